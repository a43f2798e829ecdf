"""What is said in plain text before TLS begins on the ports of mail."""

import asyncio
from collections.abc import Awaitable, Callable

from apps.core.net.connection import Wire
from apps.core.net.errors import ProtocolError

_LINE_MOST = 8192
_LINES_MOST = 100


class _Lines:
    """Reads lines from a wire that nobody else listens to."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._data = b""
        self._ended = False
        self._news = asyncio.Event()
        wire.listen(self._take, self._end)

    def _take(self, data: bytes) -> None:
        self._data += data
        self._news.set()

    def _end(self, failure: Exception | None) -> None:
        self._ended = True
        self._news.set()

    async def line(self) -> str:
        """Return the next line without its end.

        Raises:
            ProtocolError: the server closed, or sends no lines.
        """
        while b"\n" not in self._data:
            if self._ended:
                raise ProtocolError("The server closed the connection before TLS could begin.")
            if len(self._data) > _LINE_MOST:
                raise ProtocolError("The server does not answer in lines, as a mail server does.")
            self._news.clear()
            await self._news.wait()
        line, _, self._data = self._data.partition(b"\n")
        return line.decode("utf-8", "replace").rstrip("\r")

    def stop(self) -> None:
        """Leave what comes from now on to TLS; whatever was sent before it is thrown away."""
        self._wire.on_data = self._wire.on_end = None
        self._data = b""


async def _smtp_answer(lines: _Lines, wanted: str) -> str:
    """Return the text of an answer of one or more lines. Source: RFC 5321, section 4.2.1."""
    text = ""
    for _ in range(_LINES_MOST):
        line = await lines.line()
        text += line[4:] + "\n"
        if line[3:4] != "-":
            if line[:3] != wanted:
                raise ProtocolError(f"The mail server answered “{line[:200]}” where {wanted} was expected.")
            return text
    raise ProtocolError("The mail server does not come to an end with its answer.")


async def smtp(wire: Wire) -> None:
    """Ask a mail server for TLS. Source: RFC 3207."""
    lines = _Lines(wire)
    await _smtp_answer(lines, "220")
    wire.write(b"EHLO watchkeeper.invalid\r\n")
    if "STARTTLS" not in (await _smtp_answer(lines, "250")).upper():
        raise ProtocolError("The mail server does not offer STARTTLS.")
    wire.write(b"STARTTLS\r\n")
    await _smtp_answer(lines, "220")
    lines.stop()


async def imap(wire: Wire) -> None:
    """Ask an IMAP server for TLS. Source: RFC 3501, section 6.2.1."""
    lines = _Lines(wire)
    greeting = await lines.line()
    if not greeting.upper().startswith("* OK"):
        raise ProtocolError(f"The IMAP server greeted with “{greeting[:200]}”.")
    wire.write(b"w1 STARTTLS\r\n")
    for _ in range(_LINES_MOST):
        line = await lines.line()
        if line.startswith("w1 "):
            if not line[3:].upper().startswith("OK"):
                raise ProtocolError(f"The IMAP server refused STARTTLS: “{line[:200]}”.")
            lines.stop()
            return
    raise ProtocolError("The IMAP server does not come to an end with its answer.")


PRELUDES: dict[str, Callable[[Wire], Awaitable[None]]] = {"smtp": smtp, "imap": imap}
