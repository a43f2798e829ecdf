"""What machines push with an API key: a raw ASGI application with group commit.

Pushes are gathered for a moment and stored in one transaction; each answer leaves after the commit. A sender waits a
tenth of a second longer, and the platform saves most of the work of a transaction of its own for each. Whatever is no
push with an API key is handed on to Django, which knows the same path.
"""

from abc import ABC, abstractmethod
from json import dumps
from typing import Any, Generic, Protocol, TypeVar

from apps.core.api.exceptions import render
from apps.core.asgi.batches import Batches
from apps.core.asgi.types import Receive, Scope, Send
from apps.core.errors import DomainError, Unavailable


class Outcome(Protocol):
    """What became of a push."""

    error: DomainError | None

    def body(self) -> dict[str, Any]:
        """Return the answer's body."""
        ...


Push = TypeVar("Push")
Became = TypeVar("Became", bound=Outcome)


class PushApplication(ABC, Generic[Push, Became]):
    """Serves POSTs with an API key on the path of a subclass; `scope["state"]["pass"]` hands the others on."""

    def __init__(self, batches: Batches[Push, Became]) -> None:
        self.batches = batches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept one push, or hand the request on."""
        key = _key_of(scope) if scope["method"] == "POST" and self.is_ours(scope["path"]) else None
        if key is None:
            scope["state"]["pass"] = True
            return
        try:
            body = await _read(receive)
            if self.batches.is_full:
                raise Unavailable(f"Too many {self.batches.name} wait for the disk; send them again.")
            became = await self.batches.ask(self.push(scope, key, body), size=len(body), rows=self.rows(body))
            if became.error:
                raise became.error
        except DomainError as error:
            status, answer, headers = render(error)
            await _answer(send, status, dumps(answer).encode(), headers)
            return
        await _answer(send, 202, dumps(became.body(), separators=(",", ":")).encode(), {})

    async def drain(self) -> None:
        """Write and answer what waits, then end the threads."""
        await self.batches.drain()

    @abstractmethod
    def is_ours(self, path: str) -> bool:
        """Return whether a POST to this path is a push."""

    @abstractmethod
    def push(self, scope: Scope, key: str, body: bytes) -> Push:
        """Return what the service takes."""

    def rows(self, body: bytes) -> int:
        """Return how many rows a push may become at most; 1 where its bytes say enough."""
        return 1


def _key_of(scope: Scope) -> str | None:
    """Return the API key where it is the request's one credential and the body is plain JSON; else None."""
    key = None
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            if key is not None:
                return None
            key = value.decode("latin-1").strip()
        elif name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if key is not None or scheme.lower() != "bearer" or not token.strip().startswith("wk_"):
                return None
            key = token.strip()
        elif name == b"content-encoding":
            return None
    return key or None


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DomainError("The connection ended before the body did.")
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    start = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in headers.items()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
