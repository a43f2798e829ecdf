"""WebSocket messages that are encoded once for everybody: a server's frames are the same bytes on every connection.

Serve with `--ws config.asgi:SocketProtocol`: it writes such frames as they are, several at once. Another server, which
does not name the extension in the scope, gets them one by one as text.
"""

from collections.abc import Iterator
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from apps.core.asgi.types import Scope, Send

EXTENSION = "watchkeeper.frames"

_TEXT = 0x81  # a whole message of text


def text_frame(text: str) -> bytes:
    """Return the frame of a message of text as a server sends it."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        head = bytes((_TEXT, size))
    elif size < 65536:
        head = bytes((_TEXT, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_TEXT, 127)) + size.to_bytes(8, "big")
    return head + payload


def texts_of(frames: bytes) -> Iterator[str]:
    """Yield the messages that were put together from `text_frame`."""
    at = 0
    while at < len(frames):
        size = frames[at + 1]
        at += 2
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(frames[at : at + width], "big")
            at += width
        yield frames[at : at + size].decode()
        at += size


async def send_frames(scope: Scope, send: Send, frames: bytes) -> None:
    """Send frames made by `text_frame`, one or several, on an accepted connection."""
    if EXTENSION in scope.get("extensions", {}):
        await send({"type": EXTENSION, "frames": frames})
        return
    for text in texts_of(frames):
        await send({"type": "websocket.send", "text": text})


class SocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets as uvicorn speaks them, with the extension."""

    scope: Any

    def handle_connect(self, event: Any) -> None:
        """Name the extension to the application."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.handshake_complete:
            self.scope["extensions"][EXTENSION] = {}

    async def send(self, message: Any) -> None:
        """Write frames as they are, everything else the usual way."""
        if message["type"] != EXTENSION:
            await super().send(message)
            return
        await self.writable.wait()
        if self.disconnected:
            raise ClientDisconnected
        if self.handshake_complete and not self.close_sent and not self.transport.is_closing():
            self.transport.write(message["frames"])
