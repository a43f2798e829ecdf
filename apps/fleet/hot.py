"""The short way for samples: a raw ASGI application with group commit.

Pushes are gathered for a moment and stored in one transaction by one thread; each answer leaves after the commit. A
sender waits a tenth of a second longer and the platform saves most of the work of a transaction of its own for each.
Whatever is no push with an API key is handed on to Django, which knows the same path.
"""

import asyncio
import logging
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from json import dumps

from django.db import connection

from apps.core.api.exceptions import render
from apps.core.asgi.types import Receive, Scope, Send
from apps.core.errors import DomainError, Unavailable
from apps.fleet.services.samples import MOST_A_PUSH, Outcome, Push, accept_samples

log = logging.getLogger(__name__)

GATHER_S = 0.1
PUSHES_MOST = 64
BYTES_MOST = 4 * 1024 * 1024
#: More bytes than this waiting for the disk, and new pushes are told to come again.
WAITING_BYTES_MOST = 64 * 1024 * 1024

_PATH = re.compile(r"^/api/v1/metrics/([^/]+)/?$")
# A sample is some hundred bytes long at least; so the transaction stays under its rows.
_BYTES_A_SAMPLE = 64


class SampleApplication:
    """Serves `POST /api/v1/metrics/{server_id}` for API keys; see the module."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Push, int, asyncio.Future[Outcome]]] = deque()
        self._waiting_bytes = 0
        self._writer: ThreadPoolExecutor | None = None
        self._writing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept one push, or hand the request on by `scope["state"]["pass"]`."""
        found = _PATH.match(scope["path"]) if scope["method"] == "POST" else None
        key = key_of(scope) if found else None
        if found is None or key is None:
            scope["state"]["pass"] = True
            return
        try:
            outcome = await self._accept(found[1], key, receive)
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
            await asyncio.get_running_loop().run_in_executor(writer, disconnect)
            writer.shutdown(wait=False)

    async def _accept(self, server: str, key: str, receive: Receive) -> Outcome:
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
            raise Unavailable("Too many samples wait for the disk; send them again.")
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((Push(server, body, key=key, size=len(body)), len(body), future))
        self._waiting_bytes += len(body)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())
        return await future

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, thread_name_prefix="samples")
        while self._waiting:
            if len(self._waiting) < PUSHES_MOST:
                await asyncio.sleep(GATHER_S)
            batch = self._next_batch()
            outcomes = await loop.run_in_executor(self._writer, _store, [push for push, _ in batch])
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():  # else the client went away
                    future.set_result(outcome)

    def _next_batch(self) -> list[tuple[Push, "asyncio.Future[Outcome]"]]:
        batch: list[tuple[Push, asyncio.Future[Outcome]]] = []
        size = samples = 0
        while self._waiting and len(batch) < PUSHES_MOST:
            push, length, future = self._waiting[0]
            # One object is one sample; an array may hold as many as its bytes allow.
            may_hold = min(MOST_A_PUSH, length // _BYTES_A_SAMPLE + 1) if push.body.lstrip()[:1] == b"[" else 1
            if batch and (size + length > BYTES_MOST or samples + may_hold > MOST_A_PUSH):
                break
            self._waiting.popleft()
            self._waiting_bytes -= length
            size, samples = size + length, samples + may_hold
            batch.append((push, future))
        return batch


def key_of(scope: Scope) -> str | None:
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


def disconnect() -> None:
    """Close the connection of the thread that runs this."""
    connection.close()


def _store(pushes: list[Push]) -> list[Outcome]:
    """Write a batch, in the writer's thread."""
    try:
        return accept_samples(pushes)
    except Exception:
        log.exception("storing %d pushes failed", len(pushes))
        connection.close()  # the next try gets a fresh one
    # One push that can't be stored must not take those beside it along.
    return [_store_alone(push) for push in pushes]


def _store_alone(push: Push) -> Outcome:
    try:
        return accept_samples([Push(push.server, push.body, key=push.key)])[0]
    except Exception:
        log.exception("storing a push for %s failed", push.server)
        connection.close()
        return Outcome(error=Unavailable("The samples could not be stored; send them again."))


async def answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    """Send a whole answer of JSON."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *((name.lower().encode(), value.encode()) for name, value in headers.items()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
