"""The short way for visitors: a raw ASGI application that answers from memory.

It knows the public pages alone and asks nobody; whatever else lies below `/status` is handed on to Django, which knows
the same paths.
"""

import asyncio
import contextlib
import logging
import re
import time
from json import dumps
from typing import Any
from urllib.parse import urlsplit

from apps.core import bell
from apps.core.api.exceptions import body_of
from apps.core.asgi.types import Receive, Scope, Send
from apps.statuspage.boards import CHECK_S, Board, Boards, refresh_in_thread, store
from apps.statuspage.rendering import Body

log = logging.getLogger(__name__)

#: How long a visitor without the pump waits for the database before he gets what there is.
PATIENCE_S = 2.0

_PATH = re.compile(
    r"/status(?:/(?!(?:events|subscribe|confirm|unsubscribe|history|logo)(?:/|\Z))(?P<slug>[a-z0-9-]{1,63}))?"
    r"(?P<part>\.json|/status\.json|/feed\.atom|/history|/calendar\.ics|/logo)?/?\Z"
)
PARTS = {
    "": "page",
    ".json": "json",
    "/status.json": "json",
    "/history": "history",
    "/feed.atom": "feed",
    "/calendar.ics": "calendar",
    "/logo": "logo",
}
NOTHING = "There is no such status page."


def parse(path: str) -> tuple[str | None, str] | None:
    """Return (slug, part) of a public path; None where it is none."""
    found = _PATH.match(path)
    if found is None:
        return None
    slug, part = found["slug"], found["part"] or ""
    if (part == ".json") == bool(slug) and part in (".json", "/status.json"):
        return None  # the JSON of a named page lies below it, that of the default page beside it
    return slug, PARTS[part]


def host_of(header: str) -> str:
    """Return the host name of a Host header, without its port."""
    return (urlsplit(f"//{header}").hostname or "").rstrip(".")


def headers_of(board: Board, answer: Body) -> dict[str, str]:
    """Return what goes with an answer, whoever sends it."""
    cache = "private, no-store" if board.networks else "public, max-age=5, stale-if-error=86400"
    found = {
        "Content-Type": answer.content_type,
        "ETag": answer.etag,
        "Cache-Control": cache,
        "Vary": "Accept-Encoding",
    }
    if answer.content_type.startswith("image/svg"):
        # Nothing in a picture runs, even where somebody opens it by itself.
        found["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return found


class StatusApplication:
    """Serves the public pages; see the module."""

    def __init__(self) -> None:
        self._pump: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._encoded: dict[tuple[int, bool], list[tuple[bytes, bytes]]] = {}
        self._encoded_of: Boards | None = None

    async def start(self) -> None:
        """Start looking for changes, once a second and when the bell rings."""
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        await asyncio.to_thread(store.preload)
        bell.listen(bell.FACTS, self._on_ring)
        self._pump = self._loop.create_task(self._look_forever())

    async def stop(self) -> None:
        """Stop looking."""
        bell.unlisten(bell.FACTS, self._on_ring)
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
            self._pump = None

    def _on_ring(self, *_: object) -> None:
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None and not loop.is_closed():
            loop.call_soon_threadsafe(wake.set)

    async def _look_forever(self) -> None:
        assert self._wake
        while True:
            began = time.monotonic()
            try:
                await asyncio.to_thread(refresh_in_thread)
            except Exception:  # a fault of ours must not stop the looking
                log.exception("the status pages can't be brought up to date")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), CHECK_S)
            # However often it rings: at most one look a second.
            await asyncio.sleep(max(0.0, CHECK_S - (time.monotonic() - began)))
            self._wake.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one visitor, or hand the request on by `scope["state"]["pass"]`."""
        found = parse(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        if found is None:
            scope["state"]["pass"] = True
            return
        if self._pump is None or store.boards is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(asyncio.to_thread(store.current)), PATIENCE_S)
        boards = store.boards or Boards()
        host, known, packs, address = "", b"", False, ""
        for name, value in scope["headers"]:
            if name == b"host":
                host = host_of(value.decode("latin-1"))
            elif name == b"if-none-match":
                known = value
            elif name == b"accept-encoding":
                packs = b"gzip" in value
        facts = scope.get("state", {}).get("wk")
        address = facts.address if facts else (scope.get("client") or ("",))[0]
        slug, part = found
        board = boards.find(slug, host)
        answer = board.bodies.get(part) if board else None
        if board is None or answer is None or not board.may_read(address):
            await _nothing(send, part)
        else:
            await self._answer(scope, send, boards, board, answer, known=known, packs=packs and bool(answer.packed))

    async def _answer(
        self, scope: Scope, send: Send, boards: Boards, board: Board, answer: Body, *, known: bytes, packs: bool
    ) -> None:
        if self._encoded_of is not boards:
            self._encoded, self._encoded_of = {}, boards
        headers = self._encoded.get((id(answer), packs))
        if headers is None:
            headers = [(name.lower().encode(), value.encode()) for name, value in headers_of(board, answer).items()]
            headers.append((b"content-length", str(len(answer.packed if packs else answer.content)).encode()))
            if packs:
                headers.append((b"content-encoding", b"gzip"))
            self._encoded[id(answer), packs] = headers
        if known and answer.etag.encode() in known:
            kept = [
                pair for pair in headers if pair[0] not in (b"content-length", b"content-encoding", b"content-type")
            ]
            await send({"type": "http.response.start", "status": 304, "headers": kept})
            await send({"type": "http.response.body", "body": b""})
            return
        content = b"" if scope["method"] == "HEAD" else answer.packed if packs else answer.content
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await send({"type": "http.response.body", "body": content})


class DomainRoot:
    """Leads the bare address of a page's own domain to the page; hands everything else on."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `/` where the host is a page's domain."""
        boards = store.boards
        if scope["path"] == "/" and boards is not None and boards.by_domain:
            host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
            if host_of(host) in boards.by_domain:
                headers = [(b"location", b"/status"), (b"content-length", b"0"), (b"cache-control", b"no-store")]
                await send({"type": "http.response.start", "status": 302, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        scope["state"]["pass"] = True


async def _nothing(send: Send, part: str) -> None:
    if part in ("page", "history"):
        content, kind = NOTHING.encode(), b"text/plain; charset=utf-8"
    else:
        content, kind = dumps(body_of(NOTHING, "not_found")).encode(), b"application/json"
    headers: list[Any] = [
        (b"content-type", kind),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": content})
