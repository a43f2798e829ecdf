"""The short way for pings: a raw ASGI application with group commit, which also takes plain requests past ASGI.

Requests that arrive while a batch is being written form the next one; an idle server writes a single ping at once. One
thread writes, so the batches of a process never compete, and each answer leaves after the commit of its batch.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from json import dumps

from django.db import Error as DatabaseError
from django.db import connection

from apps.core.api.exceptions import render
from apps.core.asgi.quick import Headers, Reply
from apps.core.asgi.types import Receive, Scope, Send
from apps.core.context import RequestContext
from apps.core.errors import Conflict, DomainError, NotFound, TooLarge, TooMany, Unavailable
from apps.monitors.ping_paths import parse, source_name
from apps.monitors.services.pings import BATCH_MOST, PING_BODY_LIMIT, PING_BODY_MOST, Answer, PingRequest, accept_pings

log = logging.getLogger(__name__)

#: More pings than this waiting for the disk, and new ones are told to come again.
WAITING_MOST = 20_000
#: Between two batches, where pings wait already; one that comes alone is never held up.
GATHER_S = 0.0005

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
        self._waiting: deque[tuple[PingRequest, Callable[[Answer | None], None]]] = deque()
        self._writer: ThreadPoolExecutor | None = None
        self._writing: asyncio.Task[None] | None = None

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
        if b"%" in path or b"#" in target or len(self._waiting) >= WAITING_MOST:
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
        self._enqueue(ping, lambda answer: reply(*_response(answer)))
        return True

    async def drain(self) -> None:
        """Write and answer what waits, then end the writer's thread."""
        while self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await asyncio.get_running_loop().run_in_executor(writer, _hang_up)
            writer.shutdown(wait=False)

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
        if len(self._waiting) >= WAITING_MOST:
            raise Unavailable("Too many pings wait for the disk; send it again.")
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        # Where the client went away meanwhile, its future is done.
        self._enqueue(ping, lambda answer: None if future.done() else future.set_result(answer))
        return await future

    def _enqueue(self, ping: PingRequest, tell: Callable[[Answer | None], None]) -> None:
        self._waiting.append((ping, tell))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, thread_name_prefix="pings")
        while True:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MOST))]
            answers = await loop.run_in_executor(self._writer, _store, [ping for ping, _ in batch])
            for (_, tell), answer in zip(batch, answers, strict=True):
                try:
                    tell(answer)
                except Exception:  # a connection that can't be written to costs no other ping its answer
                    log.exception("a ping could not be answered")
            if not self._waiting:
                return
            # Those just answered send their next ones at once: waiting for them makes fewer, larger batches.
            await asyncio.sleep(GATHER_S)

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


def _hang_up() -> None:
    connection.close()  # looked up in the writer's thread: the connection is that thread's


def _store(pings: list[PingRequest]) -> list[Answer | None]:
    """Write a batch, in the writer's thread; None for a ping that can't be stored."""
    for last in (False, True):
        try:
            return list(accept_pings(pings))
        except DatabaseError:
            log.exception("storing %d pings failed", len(pings))
            if not connection.in_atomic_block:
                connection.close()  # the next try gets a fresh one
            if last:
                break
        except Exception:
            log.exception("storing %d pings failed", len(pings))
            break
    if len(pings) == 1:
        return [None]
    # One ping that can't be stored must not take those beside it along.
    return [answer for ping in pings for answer in _store_alone(ping)]


def _store_alone(ping: PingRequest) -> list[Answer | None]:
    try:
        return list(accept_pings([ping]))
    except Exception:
        log.exception("storing a ping failed")
        return [None]


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
