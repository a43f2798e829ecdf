"""One request and its response over one connection."""

import asyncio
import ssl
import time
import zlib
from typing import Any

import httptools

from apps.core.net.certificates import handshake_error
from apps.core.net.connection import Wire
from apps.core.net.errors import ConnectError, NetError, ProtocolError, TooLarge

MAX_HEAD_BYTES = 65536
_REDIRECTS = {301, 302, 303, 307, 308}


class BodyTooLong(Exception):
    """Tell that the decoded body has reached its limit; `data` is what still fits."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data


class _Inflater:
    """Decode gzip or deflate and never hold more than the limit, whatever the compressed data claims."""

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding in ("gzip", "x-gzip")
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16 if self._gzip else zlib.MAX_WBITS)
        self._begun = False

    def decode(self, data: bytes, limit: int) -> bytes:
        try:
            out = self._inflater.decompress(data, limit + 1)
        except zlib.error:
            if self._gzip or self._begun:
                raise
            # "deflate" means zlib's format, but some servers send the bare stream.
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            out = self._inflater.decompress(data, limit + 1)
        self._begun = True
        while self._gzip and self._inflater.eof and self._inflater.unused_data and len(out) <= limit:
            rest = self._inflater.unused_data
            if rest[:2] != b"\x1f\x8b":  # padding after the last member
                break
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
            out += self._inflater.decompress(rest, limit + 1 - len(out))
        if len(out) > limit:
            raise BodyTooLong(out[:limit])
        return out

    @property
    def complete(self) -> bool:
        return self._inflater.eof or not self._begun


class Exchange:
    """Reads one response; `done` ends when it is complete, cut off by a limit, or failed."""

    def __init__(self, wire: Wire, *, name: str, method: str, max_body_bytes: int, stop_at_redirect: bool) -> None:
        self.done: asyncio.Future[None] = wire.loop.create_future()
        self.status = 0
        self.http_version = ""
        self.headers: list[tuple[str, str]] = []
        self.truncated = False
        self.first_byte_at = 0.0
        self._wire = wire
        self._name = name
        self._method = method
        self._limit = max_body_bytes
        # Framing may cost up to six bytes for each byte of content; beyond that somebody plays games.
        self._wire_limit = MAX_HEAD_BYTES * 4 + max_body_bytes * 8
        self._stop_at_redirect = stop_at_redirect
        self._received = 0
        self._head_bytes = 0
        self._head_done = False
        self._until_eof = False
        self._body: list[bytes] = []
        self._body_length = 0
        self._inflater: _Inflater | None = None
        self._reason = b""
        self._parser: Any = httptools.HttpResponseParser(self)
        # Servers get away with these towards browsers and curl. Nothing is forwarded, so nothing can be smuggled.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True, lenient_data_after_close=True
        )

    @property
    def body(self) -> bytes:
        return b"".join(self._body)

    @property
    def reason(self) -> str:
        return self._reason.decode("latin-1")

    def release(self) -> None:
        """Let go of the parser, which refers back to this object: without the cycle both end at once."""
        self._parser = None

    # What the wire tells.

    def on_data(self, data: bytes) -> None:
        if self.done.done():
            return
        if not self._received:
            self.first_byte_at = time.perf_counter()
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._finish()
        except httptools.HttpParserError as error:
            if not self.done.done():
                self._fail(self._parse_error(error, data))
            return
        if self.done.done():
            return
        if not self._head_done and self._received > MAX_HEAD_BYTES:
            self._fail_head()
        elif self._received > self._wire_limit:
            self._fail(TooLarge(f"{self._name} sent much more data than its answer contains."))

    def on_end(self, failure: Exception | None) -> None:
        if self.done.done():
            return
        ip = self._wire.address.ip
        if isinstance(failure, ssl.SSLError) and not self._received:
            # TLS 1.3 servers refuse a missing client certificate only after the handshake.
            self._fail(handshake_error(failure, name=self._name, remote_ip=ip))
        elif self._until_eof and self._head_done and not isinstance(failure, OSError):
            self._complete()
        elif not self._received and failure is not None:
            self._fail(ConnectError(f"{self._name} broke the connection off before it answered.", reason="reset"))
        elif not self._received:
            self._fail(ProtocolError(f"{self._name} closed the connection without an answer."))
        elif not self._head_done:
            self._fail(ProtocolError(f"{self._name} closed the connection in the middle of the headers."))
        else:
            self._fail(ProtocolError(f"{self._name} closed the connection before the body was complete."))

    # What the parser tells.

    def on_message_begin(self) -> None:
        if not self.done.done():
            self.headers = []
            self._reason = b""

    def on_status(self, status: bytes) -> None:
        self._reason += status

    def on_header(self, name: bytes, value: bytes | None) -> None:
        if self._head_done or self.done.done():
            return
        self._head_bytes += len(name) + len(value or b"") + 4
        if self._head_bytes > MAX_HEAD_BYTES:
            self._fail_head()
        else:
            self.headers.append((name.decode("latin-1").lower(), (value or b"").decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        if self.done.done():
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            return
        self.status = status
        self.http_version = str(self._parser.get_http_version())
        self._head_done = True
        fields = dict(self.headers)
        if self._stop_at_redirect and status in _REDIRECTS and "location" in fields:
            self._finish()
            return
        if self._method == "HEAD" or status in (101, 204, 304):
            self._finish()
            return
        chunked = fields.get("transfer-encoding", "").lower().endswith("chunked")
        length = fields.get("content-length")
        self._until_eof = not chunked and length is None
        if not self._limit:
            self.truncated = length != "0"
            self._finish()
            return
        encoding = fields.get("content-encoding", "").lower()
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._inflater = _Inflater(encoding)

    def on_body(self, data: bytes) -> None:
        if self.done.done():
            return
        room = self._limit - self._body_length
        try:
            if self._inflater is not None:
                data = self._inflater.decode(data, room)
            elif len(data) > room:
                raise BodyTooLong(data[:room])
        except zlib.error:
            self._fail(ProtocolError(f"{self._name} sent a body that can't be decompressed."))
            return
        except BodyTooLong as stop:
            self._body.append(stop.data)
            self.truncated = True
            self._finish()
            return
        if data:
            self._body.append(data)
            self._body_length += len(data)

    def on_message_complete(self) -> None:
        if self._head_done and not self.done.done():
            self._complete()

    def _complete(self) -> None:
        if self._inflater is not None and not self._inflater.complete:
            self._fail(ProtocolError(f"{self._name} sent a compressed body that ends too early."))
        else:
            self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _fail(self, error: NetError) -> None:
        if not self.done.done():
            error.remote_ip = self._wire.address.ip
            self.done.set_exception(error)

    def _fail_head(self) -> None:
        self._fail(TooLarge(f"{self._name} sent more than {MAX_HEAD_BYTES // 1024} KiB of headers."))

    def _parse_error(self, error: Exception, data: bytes) -> ProtocolError:
        if self._head_done:
            return ProtocolError(f"{self._name} sent a body that breaks the rules of HTTP ({error}).")
        if data[:2] in (b"\x15\x03", b"\x16\x03"):
            return ProtocolError(f"{self._name} speaks TLS on this port: use https://.")
        if not data.startswith(b"HTTP/"[: len(data)]) and self._received == len(data):
            return ProtocolError(f"{self._name} answered with something that is not HTTP.")
        return ProtocolError(f"{self._name} sent headers that break the rules of HTTP ({error}).")
