"""The short way for pings: a raw ASGI application with group commit, which also takes plain requests past ASGI.

Requests that arrive while a batch is being written form the next one; an idle server writes a single ping at once.
"""

from datetime import UTC, datetime
from json import dumps

from apps.core.api.exceptions import render
from apps.core.asgi.batches import Batches, Bounds
from apps.core.asgi.quick import Headers, Reply
from apps.core.asgi.types import Receive, Scope, Send
from apps.core.context import RequestContext
from apps.core.errors import Conflict, DomainError, NotFound, TooLarge, TooMany, Unavailable
from apps.monitors.ping_paths import parse, source_name
from apps.monitors.services.pings import BATCH_MOST, PING_BODY_LIMIT, PING_BODY_MOST, Answer, PingRequest, accept_pings

#: More than 20,000 pings waiting for the disk, and new ones are told to come again. Those just answered send their next
#: ones at once: waiting half a millisecond for them makes fewer, larger batches.
BOUNDS = Bounds(items=BATCH_MOST, waiting=20_000, gather_s=0.0005, at_once=True)

_LIMIT = (b"ping-body-limit", str(PING_BODY_LIMIT).encode())
_PLAIN = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"2"),
    _LIMIT,
    (b"cache-control", b"no-store"),
]


class PingApplication:
    """Serves `/ping/...`; see the module."""

    def __init__(self) -> None:
        self._batches = Batches("pings", store=_store, unstored=lambda ping: None, bounds=BOUNDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept one ping, or serve the life of a server that mounts this application alone."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        try:
            status, headers, content = _response(await self._accept(scope, receive))
        except DomainError as error:
            status, headers, content = _refusal(error)
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})

    def take(self, method: str, target: bytes, headers: Headers, facts: RequestContext, reply: Reply) -> bool:
        """Accept a ping without a body; what is wrong with it, or asks for patience, is told on the usual way."""
        path, _, query = target.partition(b"?")
        if b"%" in path or b"#" in target or self._batches.is_full:
            return False
        try:
            ping = parse(path.decode("latin-1"), query)
        except DomainError:
            return False
        ping.at, ping.method, ping.remote_addr = datetime.now(UTC), method, facts.address
        ping.user_agent = facts.user_agent
        if not ping.source:
            ping.source = next(
                (source_name(value.decode("latin-1")) for name, value in headers if name == b"ping-source"), ""
            )
        self._batches.put(ping, lambda answer: reply(*_response(answer)))
        return True

    async def drain(self) -> None:
        """Write and answer what waits, then end the writer's thread."""
        await self._batches.drain()

    async def _accept(self, scope: Scope, receive: Receive) -> Answer | None:
        method = scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            raise _NotAllowed("Pings are sent by GET, HEAD or POST.")
        ping = parse(scope["path"], scope.get("query_string", b""))
        ping.at = datetime.now(UTC)
        ping.method = method
        length, chunked = -1, False
        for name, value in scope["headers"]:
            if name == b"user-agent":
                ping.user_agent = value.decode("latin-1")
            elif name == b"content-length":
                length = int(value) if value.isdigit() else -1
            elif name == b"transfer-encoding":
                chunked = True
            elif name == b"ping-source" and not ping.source:
                ping.source = source_name(value.decode("latin-1"))
        facts = scope.get("state", {}).get("wk")
        ping.remote_addr = facts.address if facts else (scope.get("client") or ("",))[0]
        if length > PING_BODY_MOST:
            raise TooLarge(f"A ping's body has at most {PING_BODY_MOST} bytes; the first {PING_BODY_LIMIT} are kept.")
        if length > 0 or chunked:
            ping.body = await _read_body(receive)
        if self._batches.is_full:
            raise Unavailable("Too many pings wait for the disk; send it again.")
        return await self._batches.ask(ping)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.drain()
                await send({"type": "lifespan.shutdown.complete"})
                return


class _NotAllowed(DomainError):
    status = 405
    code = "method_not_allowed"


def _store(pings: list[PingRequest]) -> list[Answer | None]:
    return list(accept_pings(pings))


async def _read_body(receive: Receive) -> bytes:
    kept = bytearray()
    seen = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(kept)
        chunk = message.get("body", b"")
        seen += len(chunk)
        if seen > PING_BODY_MOST:
            raise TooLarge(f"A ping's body has at most {PING_BODY_MOST} bytes; the first {PING_BODY_LIMIT} are kept.")
        if len(kept) < PING_BODY_LIMIT:
            kept += chunk[: PING_BODY_LIMIT - len(kept)]
        if not message.get("more_body"):
            return bytes(kept)


def _response(answer: Answer | None) -> tuple[int, Headers, bytes]:
    """Return status, headers and content for what became of a ping; None: it could not be stored."""
    if answer is None:
        return _refusal(Unavailable("The ping could not be stored; send it again."))
    if answer.status in (200, 201):
        return answer.status, _PLAIN, b"OK"
    if answer.status == 404:
        return _refusal(NotFound("There is no such heartbeat."))
    if answer.status == 409:
        return _refusal(Conflict(answer.detail, code="no_such_slug"))
    return _refusal(
        TooMany("Too many pings to unknown heartbeats; check the address.", retry_after_s=answer.retry_after_s)
    )


def _refusal(error: DomainError) -> tuple[int, Headers, bytes]:
    status, body, extra = render(error)
    content = dumps(body).encode()
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        _LIMIT,
        *((name.lower().encode(), value.encode()) for name, value in extra.items()),
    ]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD, POST"))
    if status == 503:
        headers.append((b"retry-after", b"1"))
    return status, headers, content
