"""One outgoing connection: plain bytes, or TLS on top of them, driven by callbacks.

Not asyncio's streams and not its TLS: a check opens one connection, sends one request and closes; this is a third of
the work, times each phase, and keeps hold of the TLS object, so that a certificate that does not verify can be read.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable
from typing import cast

from apps.core.net.certificates import (
    PeerCertificate,
    chain_der,
    handshake_error,
    peer_chain,
    read_certificate,
    verification_error,
)
from apps.core.net.errors import NetError, TlsError, error_from_os
from apps.core.net.resolve import Address

_READ_BYTES = 65536
_HEAD_START_S = 0.25  # RFC 8305, "connection attempt delay"
_MOST_ADDRESSES = 6


class Wire(asyncio.Protocol):
    """A connection as the event loop sees it; the user sets `on_data` and `on_end`."""

    __slots__ = (
        "_handshake",
        "_incoming",
        "_outgoing",
        "_tls",
        "_waiting",
        "address",
        "ended",
        "failure",
        "loop",
        "on_data",
        "on_end",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, address: Address) -> None:
        self.loop = loop
        self.address = address
        self.transport: asyncio.Transport | None = None
        self.on_data: Callable[[bytes], None] | None = None
        self.on_end: Callable[[Exception | None], None] | None = None
        self.ended = False
        self.failure: Exception | None = None
        self._tls: ssl.SSLObject | None = None
        self._incoming = self._outgoing = cast("ssl.MemoryBIO", None)
        self._handshake: asyncio.Future[None] | None = None
        self._waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._tls is None:
            self._deliver(data)
            return
        self._incoming.write(data)
        if self._handshake is not None:
            self._shake()
        else:
            self._read_tls()

    def eof_received(self) -> bool:
        self._end(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def listen(self, on_data: Callable[[bytes], None], on_end: Callable[[Exception | None], None]) -> None:
        """Hand on what arrives, beginning with what has arrived already."""
        self.on_data, self.on_end = on_data, on_end
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            on_data(data)
        if self.ended:
            on_end(self.failure)

    def write(self, data: bytes) -> None:
        """Send bytes; what the peer does not take at once is buffered."""
        if self.transport is None or self.ended:
            return
        if self._tls is None:
            self.transport.write(data)
            return
        self._tls.write(data)
        self._flush()

    def close(self) -> None:
        """Close; with TLS the peer is told."""
        transport, self.transport = self.transport, None
        self.on_data = self.on_end = None
        if transport is None:
            return
        if self._tls is not None and not self.ended and self._handshake is None:
            # It always wants the peer's answer, which nobody waits for.
            with contextlib.suppress(ssl.SSLError, OSError):
                self._tls.unwrap()
            if self._outgoing.pending:
                transport.write(self._outgoing.read())
        self.ended = True
        transport.close()

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Do the TLS handshake as the client.

        Raises:
            TlsError: it failed; with the peer's certificate if that was received.
            ConnectError: the connection broke.
        """
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        except ValueError as error:
            raise TlsError(f"“{server_name}” can't be a TLS server name.", reason="bad_options") from error
        for data in self._waiting:
            self._incoming.write(data)
        self._waiting = []
        self._handshake = self.loop.create_future()
        handshake = self._handshake
        self._shake()
        if self.ended and not handshake.done():
            handshake.set_exception(self.failure or ssl.SSLEOFError("closed"))
        try:
            await handshake
        except ssl.SSLCertVerificationError as error:
            raise verification_error(
                error, name=server_name, chain=peer_chain(self._tls), remote_ip=self.address.ip
            ) from error
        except (ssl.SSLError, ConnectionError) as error:
            raise handshake_error(error, name=server_name, remote_ip=self.address.ip) from error
        except OSError as error:
            raise error_from_os(error, ip=self.address.ip, port=self.address.port) from error

    def certificate(self) -> PeerCertificate | None:
        """Return the peer's certificate; None without TLS."""
        if self._tls is None:
            return None
        try:
            der = self._tls.getpeercert(binary_form=True)
        except ValueError:  # the handshake is not done
            return None
        return read_certificate(der) if der else None

    def chain(self) -> tuple[PeerCertificate, ...]:
        """Return what the peer sent, its own certificate first."""
        return peer_chain(self._tls) if self._tls is not None else ()

    def chain_der(self, *, verified: bool = False) -> tuple[bytes, ...]:
        """Return the chain as DER: what was sent or, with `verified`, what it was found to lead to."""
        return chain_der(self._tls, verified=verified) if self._tls is not None else ()

    def tls_facts(self) -> tuple[str, str]:
        """Return protocol version and cipher, "" without TLS."""
        if self._tls is None:
            return "", ""
        cipher = self._tls.cipher()
        return self._tls.version() or "", cipher[0] if cipher else ""

    def _deliver(self, data: bytes) -> None:
        if self.on_data is not None:
            self.on_data(data)
        elif not self.ended:
            self._waiting.append(data)
            # Nobody listens yet: what a peer may send unasked is kept small.
            if len(self._waiting) > 64 and self.transport is not None:
                self.transport.pause_reading()

    def _flush(self) -> None:
        if self._outgoing.pending and self.transport is not None and not self.transport.is_closing():
            self.transport.write(self._outgoing.read())

    def _shake(self) -> None:
        tls, handshake = self._tls, self._handshake
        if tls is None or handshake is None or handshake.done():
            return
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, OSError) as error:
            self._flush()  # the alert that tells the peer why
            handshake.set_exception(error)
            return
        self._flush()
        self._handshake = None
        handshake.set_result(None)
        self._read_tls()

    def _read_tls(self) -> None:
        tls = self._tls
        if tls is None:
            return
        try:
            while not self.ended:
                data = tls.read(_READ_BYTES)
                if not data:
                    self._end(None)
                    return
                self._deliver(data)
        except ssl.SSLWantReadError:
            if self._outgoing.pending:
                self._flush()
        except ssl.SSLZeroReturnError:
            self._end(None)
        except ssl.SSLError as error:
            self._end(error)

    def _end(self, failure: Exception | None) -> None:
        if self.ended:
            return
        self.ended = True
        self.failure = failure
        handshake = self._handshake
        if handshake is not None and not handshake.done():
            handshake.set_exception(failure or ssl.SSLEOFError("closed"))
        if self.on_end is not None:
            self.on_end(failure)


async def dial(addresses: list[Address]) -> Wire:
    """Connect to the first address that answers.

    The next one is tried when one fails, or after a quarter of a second beside it. Source: RFC 8305.

    Raises:
        ConnectError: none answered; the error is that of the first.
        LocalError: this machine could not try.
    """
    loop = asyncio.get_running_loop()
    if len(addresses) == 1:
        return await _open(loop, addresses[0])
    waiting = deque(addresses[:_MOST_ADDRESSES])
    attempts: set[asyncio.Task[Wire]] = set()
    first_error: NetError | None = None
    winner: Wire | None = None
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(loop.create_task(_open(loop, waiting.popleft())))
            done, _ = await asyncio.wait(
                attempts, timeout=_HEAD_START_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                attempts.discard(attempt)
                error = attempt.exception()
                if error is None and winner is None:
                    winner = attempt.result()
                elif error is None:
                    attempt.result().close()
                elif isinstance(error, NetError):
                    first_error = first_error or error
                else:
                    raise error
            if winner is not None:
                return winner
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_drop)
            attempt.cancel()
    assert first_error is not None
    raise first_error


def _drop(attempt: "asyncio.Task[Wire]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _open(loop: asyncio.AbstractEventLoop, address: Address) -> Wire:
    try:
        # The address is numeric, so the loop looks nothing up: this is the address that was checked.
        _, wire = await loop.create_connection(lambda: Wire(loop, address), address.ip, address.port)
    except OSError as error:
        raise error_from_os(error, ip=address.ip, port=address.port) from error
    return wire
