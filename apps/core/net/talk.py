"""A conversation over one connection, for protocols of lines and packets: each phase timed, one time limit for all."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from apps.core.net.certificates import PeerCertificate
from apps.core.net.connection import Wire
from apps.core.net.errors import ConnectError, NetError, Phases, TooLarge
from apps.core.net.hosts import canonical_host
from apps.core.net.http import Progress, open_wire
from apps.core.net.policy import Purpose

_BUFFER_MOST = 1 << 20
LINE_MOST = 8192


class Talk:
    """An open connection: write, and await what comes. Reading past the peer's end raises ConnectError `closed`."""

    def __init__(self, wire: Wire, progress: Progress, name: str) -> None:
        self.name = name
        self._wire = wire
        self._progress = progress
        self._data = bytearray()
        self._news = asyncio.Event()
        self._ended = False
        self._failure: Exception | None = None
        self._has_answered = False
        wire.listen(self._take, self._end)

    @property
    def remote_ip(self) -> str:
        """Return the address that is talked to."""
        return self._wire.address.ip

    def certificate(self) -> PeerCertificate | None:
        """Return the peer's certificate; None without TLS."""
        return self._wire.certificate()

    def phases(self) -> Phases:
        """Return what was measured, the total up to now."""
        return self._progress.stop()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._wire.write(data)

    async def start_tls(self, context: ssl.SSLContext, server_name: str = "") -> None:
        """Do the TLS handshake. What the peer sent before it in plain text is thrown away.

        Raises:
            TlsError, ConnectError: it failed.
        """
        self._data.clear()
        self._progress.begin("tls")
        await self._wire.start_tls(context, server_name or self.name)
        self._progress.end()
        self._progress.begin("body" if self._has_answered else "first_byte")

    async def read_some(self) -> bytes:
        """Return what has come, waiting for at least a byte; b"" once the peer has ended."""
        while not self._data and not self._ended:
            await self._wait()
        data = bytes(self._data)
        self._data.clear()
        return data

    async def read_exactly(self, count: int) -> bytes:
        """Return `count` bytes."""
        if count > _BUFFER_MOST:
            raise TooLarge(f"{self.name} announces an answer of {count:,} bytes, which is too much.")
        while len(self._data) < count:
            self._must_go_on()
            await self._wait()
        data = bytes(self._data[:count])
        del self._data[:count]
        return data

    async def read_line(self, most: int = LINE_MOST) -> bytes:
        """Return the next line without its end."""
        while b"\n" not in self._data:
            if len(self._data) > most:
                raise TooLarge(f"{self.name} does not answer in lines of text.")
            self._must_go_on()
            await self._wait()
        position = self._data.index(b"\n")
        line = bytes(self._data[:position])
        del self._data[: position + 1]
        return line.removesuffix(b"\r")

    def _must_go_on(self) -> None:
        if self._ended:
            said = "in the middle of its answer" if self._has_answered else "without a word"
            raise ConnectError(
                f"{self.name} closed the connection {said}.", reason="closed", remote_ip=self.remote_ip
            ) from self._failure

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _take(self, data: bytes) -> None:
        if not self._has_answered:
            self._has_answered = True
            if self._progress.phase == "first_byte":
                self._progress.end()
                self._progress.phase = "body"
        if len(self._data) < _BUFFER_MOST:
            self._data += data
        self._news.set()

    def _end(self, failure: Exception | None) -> None:
        self._ended, self._failure = True, failure
        self._news.set()


@contextlib.asynccontextmanager
async def converse(
    host: str,
    port: int,
    purpose: Purpose,
    timeout_s: float = 10.0,
    *,
    family: int | None = None,
    context: ssl.SSLContext | None = None,
    server_name: str = "",
) -> AsyncIterator[Talk]:
    """Connect, talk, and close again.

    Args:
        timeout_s: seconds for everything until the block ends.
        context: begin with TLS.
        server_name: the name to ask for and to verify; "" means `host`.

    Raises:
        OutboundRefused, InvalidTarget, DnsError, ConnectError, LocalError, NetTimeout, TlsError: all are NetError, with
        what was measured until then; so are those that the block itself raises.
    """
    progress = Progress()
    name = host
    wire: Wire | None = None
    try:
        name = canonical_host(host)
        async with asyncio.timeout(timeout_s):
            wire = await open_wire(progress, name, port, purpose, family, timeout_s)
            talk = Talk(wire, progress, name)
            if context is not None:
                await talk.start_tls(context, server_name)
            else:
                progress.begin("first_byte")
            yield talk
    except TimeoutError as error:
        timeout = progress.timeout(f"{name}, port {port},", timeout_s)
        progress.stamp(timeout)
        raise timeout from error
    except NetError as error:
        progress.stamp(error)
        raise
    finally:
        if wire is not None:
            wire.close()
