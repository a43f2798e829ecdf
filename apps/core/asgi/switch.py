"""Sends a connection to Django, to the sockets, or to a hot application."""

from collections.abc import Awaitable, Callable, Sequence

from apps.core.asgi.types import Application, Receive, Scope, Send

Hook = Callable[[], Awaitable[None]]


class Switch:
    """Routes by kind and path prefix.

    Args:
        http: Django.
        websocket: the sockets.
        hot: (prefix, application) pairs; an application that sets `scope["state"]["pass"]` to True without answering
            hands the request on to Django.
        on_start, on_stop: run with the server's life.
    """

    def __init__(
        self,
        *,
        http: Application,
        websocket: Application,
        hot: Sequence[tuple[str, Application]] = (),
        on_start: Sequence[Hook] = (),
        on_stop: Sequence[Hook] = (),
    ) -> None:
        self.http, self.websocket, self.hot = http, websocket, tuple(hot)
        self.on_start, self.on_stop = tuple(on_start), tuple(on_stop)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(receive, send)
        elif kind == "websocket":
            await self.websocket(scope, receive, send)
        else:
            path = scope["path"]
            for prefix, application in self.hot:
                if path.startswith(prefix):
                    await application(scope, receive, send)
                    if not scope["state"].get("pass"):
                        return
            await self.http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                for hook in self.on_start:
                    await hook()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                for hook in self.on_stop:
                    await hook()
                await send({"type": "lifespan.shutdown.complete"})
                return
