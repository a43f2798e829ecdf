"""The live tail of the log: who follows it, what of it waits, and what was missed by a reader that is too slow."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from apps.core.ids import new_id
from apps.core.principals import Principal
from apps.fleet.logs.words import places
from apps.fleet.selectors.logs import LogQuery, search_logs
from apps.fleet.services.logs import FOLLOW_S, follow_logs
from apps.realtime.followers import Follower, Frame
from apps.realtime.hub import hub
from apps.realtime.streams import COMMENT_EVERY_S

LINES_MOST = 2000
BYTES_MOST = 4 * 1024 * 1024
LINES_A_FRAME = 200
#: Until then every process that takes lines has seen that somebody follows.
SETTLE_S = 1.0
RESUMED_MOST = 1000


class LogTail(Follower):
    """One reader of the live tail. Of more than it can hold, the oldest lines go and are counted."""

    def __init__(self, principal: Principal, query: LogQuery) -> None:
        super().__init__(principal)
        self.patterns = frozenset({"server.logs"})
        self.query = query
        self.lines: deque[tuple[str, int]] = deque()  # (frame of the stream, its length)
        self.waiting_bytes = 0
        self.missed = 0
        self.news = asyncio.Event()

    def offer(self, frame: Frame, is_wanted: bool | None = None) -> None:
        """Take the lines of a live event that are looked for."""
        if self.end_code or not (self.wants(frame) if is_wanted is None else is_wanted):
            return
        for body in json.loads(frame.data_text)["lines"]:
            if self.query.covers(body):
                self.add(body)

    def add(self, body: dict[str, Any]) -> None:
        """Queue one line."""
        body["highlights"] = [list(place) for place in places(self.query.terms, body["message"])]
        text = f"id: {body['id']}\nevent: log\ndata: {json.dumps(body, separators=(',', ':'))}\n\n"
        self.lines.append((text, len(text)))
        self.waiting_bytes += len(text)
        while len(self.lines) > LINES_MOST or self.waiting_bytes > BYTES_MOST:
            self.waiting_bytes -= self.lines.popleft()[1]
            self.missed += 1
        self.news.set()

    def take(self) -> bytes:
        """Return what waits, at most some lines at once, led by how many were missed before them."""
        parts: list[str] = []
        if self.missed:
            parts.append(f'event: missed\ndata: {{"count":{self.missed}}}\n\n')
            self.missed = 0
        while self.lines and len(parts) < LINES_A_FRAME:
            text, length = self.lines.popleft()
            self.waiting_bytes -= length
            parts.append(text)
        if not self.lines:
            self.news.clear()
        return "".join(parts).encode()

    def end(self, code: int, reason: str) -> None:
        """End this reader."""
        super().end(code, reason)
        self.news.set()


def _in_thread(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return sync_to_async(call, thread_sensitive=False)


async def follow_log(principal: Principal, query: LogQuery, *, after: int | None = None) -> AsyncIterator[bytes]:
    """Yield the lines that match as they come; with `after`, first those kept with a larger id.

    The lines of the moment in which the stream begins may come twice, by the same id.
    """
    tail, follower = LogTail(principal, query), new_id()
    follow = _in_thread(follow_logs)

    async def renew() -> None:
        while True:
            with contextlib.suppress(Exception):  # the database is away: the next try is near
                await follow(follower=follower)
            await asyncio.sleep(FOLLOW_S / 3)

    await hub.join(tail)
    await follow(follower=follower)
    renewing = asyncio.create_task(renew())
    try:
        yield b"retry: 2000\n\n"
        if after is not None:
            await asyncio.sleep(SETTLE_S)
            page = await _in_thread(search_logs)(replace(query, after=after), principal, limit=RESUMED_MOST)
            if page.has_more:
                yield b'event: missed\ndata: {"count":null}\n\n'
            for body in reversed(page.entries):
                tail.add(body)
        told_at = time.monotonic()
        while not tail.end_code:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(tail.news.wait(), COMMENT_EVERY_S)
            if text := tail.take():
                yield text
                told_at = time.monotonic()
            elif time.monotonic() - told_at >= COMMENT_EVERY_S - 1:
                yield b": still here\n\n"
                told_at = time.monotonic()
    finally:
        hub.remove(tail)
        renewing.cancel()
        with contextlib.suppress(Exception):
            await asyncio.shield(follow(follower=follower, seconds=0))
