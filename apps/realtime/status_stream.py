"""The public stream of status pages: bounded, anonymous, public names alone.

One follower of the hub a process reads the facts about status pages; each is encoded once and handed to all visitors.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator

from django.conf import settings

from apps.core.principals import system
from apps.realtime.followers import Follower, Frame
from apps.realtime.hub import hub
from apps.realtime.streams import COMMENT_EVERY_S
from apps.statuspage.boards import store
from apps.statuspage.events import STREAMED

#: Events that wait for one visitor; of more, the newest are dropped. The page asks for everything every 30 s anyway.
WAITING_MOST = 64
PRINCIPAL = system("status stream")


class StatusFan:
    """Counts the visitors of this process and hands each what is new on his page."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0
        self._visitors: set[Visitor] = set()
        self._follower: Follower | None = None
        self._pump: asyncio.Task[None] | None = None

    def seat(self, slug: str) -> "Visitor | None":
        """Return a place for one more visitor of a page; None where all are taken."""
        with self._lock:
            if self._taken >= settings.STATUS_STREAMS_MAX:
                return None
            self._taken += 1
        return Visitor(self, slug)

    @property
    def taken(self) -> int:
        """Return how many places are taken."""
        return self._taken

    def leave(self, visitor: "Visitor") -> None:
        """Give a place back."""
        with self._lock:
            self._taken -= 1
        self._visitors.discard(visitor)
        if not self._visitors and self._follower is not None:
            self._follower.end(1000, "nobody is left")

    async def join(self, visitor: "Visitor") -> None:
        """Let a visitor get what is new from now on."""
        self._visitors.add(visitor)
        if self._pump is None or self._pump.done() or self._pump.get_loop() is not asyncio.get_running_loop():
            follower = self._follower = Follower(PRINCIPAL)
            follower.patterns = frozenset(STREAMED)
            await hub.join(follower)
            self._pump = asyncio.get_running_loop().create_task(self._fan_out(follower))

    async def _fan_out(self, follower: Follower) -> None:
        try:
            while True:
                item = await follower.next()
                if item is None:
                    break
                if isinstance(item, Frame):
                    self._hand_on(item)
        finally:
            hub.remove(follower)
            if self._follower is follower:
                self._follower = None
                for visitor in list(self._visitors):  # the hub ended: the visitors come again
                    visitor.offer(b"")

    def _hand_on(self, frame: Frame) -> None:
        public = json.loads(frame.data_text).get("public") or {}
        slug = public.get("page")
        boards = store.boards
        if not slug or boards is None or slug not in boards.by_slug:
            return  # hidden, or the page is not published
        text = json.dumps(public, separators=(",", ":"), ensure_ascii=False)
        chunk = f"event: {STREAMED[frame.name]}\ndata: {text}\n\n".encode()
        for visitor in list(self._visitors):
            if visitor.slug == slug:
                visitor.offer(chunk)


class Visitor:
    """One open stream. `close` gives its place back, whether it ever began or not."""

    def __init__(self, fan: StatusFan, slug: str) -> None:
        self.fan, self.slug = fan, slug
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING_MOST)
        self._is_open = True

    def offer(self, chunk: bytes) -> None:
        """Queue an event; drop it where the visitor does not read. An empty one ends the stream."""
        if not self._queue.full():
            self._queue.put_nowait(chunk)

    def close(self) -> None:
        """Leave."""
        if self._is_open:
            self._is_open = False
            self.fan.leave(self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            await self.fan.join(self)
            yield b"retry: 10000\n\n"
            told_at = time.monotonic()
            while True:
                wait = COMMENT_EVERY_S - (time.monotonic() - told_at)
                try:
                    chunk = await asyncio.wait_for(self._queue.get(), max(0.1, wait))
                except TimeoutError:
                    chunk = b": still here\n\n"
                if not chunk:
                    return
                yield chunk
                told_at = time.monotonic()
        finally:
            self.close()


fan = StatusFan()
