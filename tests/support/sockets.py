"""A websocket client that speaks ASGI to the application in this process."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from apps.core.asgi.types import Application, Message


class AsgiSocket:
    """`async with AsgiSocket(app, "/ws?token=...") as socket:`; messages are dicts both ways."""

    def __init__(self, app: Application, url: str, headers: dict[str, str] | None = None) -> None:
        path, _, query = url.partition("?")
        self.app = app
        self.scope = {
            "type": "websocket",
            "path": path,
            "query_string": query.encode(),
            "scheme": "ws",
            "subprotocols": [],
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in {"host": "localhost", **(headers or {})}.items()
            ],
            "client": ("127.0.0.1", 5000),
            "state": {},
        }
        self._in: asyncio.Queue[Message] = asyncio.Queue()
        self._out: asyncio.Queue[Message] = asyncio.Queue()
        self.close_code: int | None = None
        self.close_reason = ""

    async def __aenter__(self) -> Self:
        await self._in.put({"type": "websocket.connect"})
        self._task = asyncio.create_task(self.app(self.scope, self._in.get, self._out.put))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._in.put({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(asyncio.gather(self._task, return_exceptions=True), 10)

    async def send(self, message: Any) -> None:
        """Send one message."""
        await self._in.put(
            {"type": "websocket.receive", "text": message if isinstance(message, str) else json.dumps(message)}
        )

    async def receive(self, timeout_s: float = 10) -> dict[str, Any] | None:
        """Return the next message; None once the server has closed (see `close_code`)."""
        while True:
            message = await asyncio.wait_for(self._out.get(), timeout_s)
            if message["type"] == "websocket.accept":
                continue
            if message["type"] == "websocket.close":
                self.close_code, self.close_reason = message["code"], message.get("reason", "")
                return None
            return json.loads(message["text"])

    async def receive_until(self, kind: str, timeout_s: float = 10) -> dict[str, Any]:
        """Return the next message of that type, passing over the others."""
        while True:
            message = await self.receive(timeout_s)
            assert message is not None, f"closed with {self.close_code} {self.close_reason} before {kind}"
            if message["type"] == kind:
                return message
