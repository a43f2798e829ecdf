"""One connection: bytes in, bytes out, and no wait without an end."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

#: Bytes that may wait unread; the sender is held up then.
BUFFER_MOST = 64 * 1024
LINE_MOST = 2048


class Gone(Exception):  # noqa: N818  (an end, no fault)
    """The other side has hung up."""


class LineTooLong(Exception):  # noqa: N818
    """A command without an end."""


class Link(asyncio.Protocol):
    """A connection that is read by line and by message. One coroutine reads and writes it."""

    def __init__(self, on_connect: Callable[["Link"], None], on_end: Callable[["Link"], None]) -> None:
        self._on_connect, self._on_end = on_connect, on_end
        self._buffer = bytearray()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: Any = None
        self._is_paused = False
        self._has_all = False
        self.is_closed = False
        self.address = ""
        self.is_encrypted = False

    # --- called by the loop --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; who it is, the listener decides."""
        self._transport = transport
        self.address = str((transport.get_extra_info("peername") or ("",))[0])
        self._on_connect(self)

    def data_received(self, data: bytes) -> None:
        """Keep what came; stop reading while much of it waits."""
        self._buffer += data
        if len(self._buffer) > BUFFER_MOST and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._changed.set()

    def eof_received(self) -> bool:
        """Answer what came before the other side ended its half; TLS has no halves."""
        self._has_all = True
        self._changed.set()
        return not self.is_encrypted

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits: nothing comes any more."""
        if self.is_closed:
            return
        self.is_closed = True
        self._changed.set()
        self._writable.set()
        self._on_end(self)

    def pause_writing(self) -> None:
        """Let the writer wait: the other side does not read its answers."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let the writer go on."""
        self._writable.set()

    # --- called by the session -----------------------------------------------------------------------------------

    async def line(self, *, within_s: float) -> bytes:
        """Return the next line, with its end.

        Raises:
            Gone, TimeoutError, LineTooLong.
        """
        async with asyncio.timeout(within_s):
            while True:
                end = self._buffer.find(b"\n", 0, LINE_MOST)
                if end >= 0:
                    return self._take(end + 1)
                if len(self._buffer) >= LINE_MOST:
                    raise LineTooLong
                await self._more()

    async def chunk(self) -> bytes:
        """Return whatever is there, at least a byte. The caller limits the time.

        Raises:
            Gone.
        """
        while not self._buffer:
            await self._more()
        return self._take(len(self._buffer))

    def put_back(self, data: bytes) -> None:
        """Give back what belongs to the next command."""
        self._buffer[:0] = data

    async def write(self, data: bytes, *, within_s: float) -> None:
        """Send; waits while the other side does not read.

        Raises:
            Gone, TimeoutError.
        """
        if self.is_closed:
            raise Gone
        self._transport.write(data)
        async with asyncio.timeout(within_s):
            await self._writable.wait()

    async def encrypt(self, context: ssl.SSLContext, greeting: bytes) -> None:
        """Say `greeting` and go on in TLS. What was sent before it in the clear is dropped: it counts for nothing.

        Raises:
            OSError: the handshake failed.
        """
        self._buffer.clear()
        self._transport.write(greeting)
        # Nothing awaits between the last line and this: no byte in the clear can slip in behind the handshake.
        try:
            self._transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=20
            )
        except BaseException:
            self._transport.abort()
            self.connection_lost(None)  # a handshake that fails tells nobody else that this connection is over
            raise
        self._is_paused = False
        self.is_encrypted = True

    def refuse(self, words: bytes) -> None:
        """Say a last line and hang up; nobody waits for it to be read."""
        if not self.is_closed:
            self._transport.write(words)
            self._transport.close()

    def close(self) -> None:
        """Hang up, after what was written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        if self._is_paused and len(self._buffer) <= BUFFER_MOST:
            self._is_paused = False
            self._transport.resume_reading()
        return taken

    async def _more(self) -> None:
        if self.is_closed or self._has_all:
            raise Gone
        self._changed.clear()
        await self._changed.wait()
