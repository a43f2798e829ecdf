"""The short way for log lines: a raw ASGI application with group commit, as the one for samples.

Whatever is no push with an API key is handed on to Django, which knows the same path.
"""

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from json import dumps
from urllib.parse import parse_qs

from django.db import connection

from apps.core.api.exceptions import render
from apps.core.asgi.types import Receive, Scope, Send
from apps.core.errors import DomainError, Unavailable
from apps.fleet.hot import answer, disconnect, key_of
from apps.fleet.services.logs import LogOutcome, LogPush, accept_logs

log = logging.getLogger(__name__)

PATHS = ("/api/v1/logs", "/api/v1/logs/")
GATHER_S = 0.05
PUSHES_MOST = 32
BYTES_MOST = 1024 * 1024
#: More bytes than this waiting for the disk, and new pushes are told to come again.
WAITING_BYTES_MOST = 64 * 1024 * 1024


class LogApplication:
    """Serves `POST /api/v1/logs` for API keys; see the module."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[LogPush, asyncio.Future[LogOutcome]]] = deque()
        self._waiting_bytes = 0
        self._writer: ThreadPoolExecutor | None = None
        self._writing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept one push, or hand the request on by `scope["state"]["pass"]`."""
        is_push = scope["method"] == "POST" and scope["path"] in PATHS
        key = key_of(scope) if is_push else None
        if key is None:
            scope["state"]["pass"] = True
            return
        try:
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            outcome = await self._accept(key, query.get("agent_id", [""])[0], receive)
            if outcome.error:
                raise outcome.error
        except DomainError as error:
            status, body, headers = render(error)
            await answer(send, status, dumps(body).encode(), headers)
            return
        await answer(send, 202, dumps(outcome.body(), separators=(",", ":")).encode(), {})

    async def drain(self) -> None:
        """Write and answer what waits, then end the writer's thread."""
        while self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])
        if self._writer is not None:
            writer, self._writer = self._writer, None
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(writer, _leave) for _ in range(_writers())))
            writer.shutdown(wait=False)

    async def _accept(self, key: str, server: str, receive: Receive) -> LogOutcome:
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise DomainError("The connection ended before the body did.")
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = b"".join(parts)
        if self._waiting_bytes > WAITING_BYTES_MOST:
            raise Unavailable("Too many log lines wait for the disk; send them again.")
        future: asyncio.Future[LogOutcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((LogPush(body, key=key, server=server, size=len(body)), future))
        self._waiting_bytes += len(body)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())
        return await future

    async def _write_all(self) -> None:
        most = _writers()
        if self._writer is None:
            self._writer = ThreadPoolExecutor(most, thread_name_prefix="logs")
        running: set[asyncio.Task[None]] = set()
        while self._waiting or running:
            if self._waiting and len(running) < most:
                if len(self._waiting) < PUSHES_MOST:
                    await asyncio.sleep(GATHER_S)
                running.add(asyncio.get_running_loop().create_task(self._write(self._next_batch())))
            else:
                _, running = await asyncio.wait(running, timeout=GATHER_S, return_when=asyncio.FIRST_COMPLETED)

    async def _write(self, batch: list[tuple[LogPush, "asyncio.Future[LogOutcome]"]]) -> None:
        pushes = [push for push, _ in batch]
        outcomes = await asyncio.get_running_loop().run_in_executor(self._writer, _store, pushes)
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():  # else the client went away
                future.set_result(outcome)

    def _next_batch(self) -> list[tuple[LogPush, "asyncio.Future[LogOutcome]"]]:
        batch: list[tuple[LogPush, asyncio.Future[LogOutcome]]] = []
        size = 0
        while self._waiting and len(batch) < PUSHES_MOST:
            push, future = self._waiting[0]
            if batch and size + push.size > BYTES_MOST:
                break
            self._waiting.popleft()
            self._waiting_bytes -= push.size
            size += push.size
            batch.append((push, future))
        return batch


def _writers() -> int:
    """Return how many batches are written at once: SQLite lets one write."""
    return 2 if connection.vendor == "postgresql" else 1


def _leave() -> None:
    disconnect()
    time.sleep(0.01)  # so that each thread gets one


def _store(pushes: list[LogPush]) -> list[LogOutcome]:
    """Write a batch, in the writer's thread."""
    try:
        return accept_logs(pushes)
    except Exception:
        log.exception("storing %d pushes of log lines failed", len(pushes))
        connection.close()  # the next try gets a fresh one
    # One push that can't be stored must not take those beside it along.
    return [_store_alone(push) for push in pushes]


def _store_alone(push: LogPush) -> LogOutcome:
    try:
        return accept_logs([LogPush(push.body, key=push.key, server=push.server)])[0]
    except Exception:
        log.exception("storing log lines failed")
        connection.close()
        return LogOutcome(error=Unavailable("The log lines could not be stored; send them again."))
