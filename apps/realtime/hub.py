"""The hub: one reader of facts and live events in each web process, fanning out to its sockets and streams.

A fact is read from the database once and encoded once, whatever the number of followers, and asked once of those who
follow alike. Nothing on the way to a follower waits for another one: each has a bounded queue, and who does not keep up
is dropped with a reason.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.utils import timezone

from apps.core import bell
from apps.core.events.sequencer import last_seq
from apps.core.models import Event
from apps.realtime.followers import Caller, Follower, Frame, frame_of_fact, frame_of_live
from apps.realtime.rights import current_principals

log = logging.getLogger(__name__)

POLL_S = 1.0
RESUME_WINDOW = timedelta(hours=72)
RIGHTS_S = 0.8
BATCH = 500
#: After each round the facts rest for so long for each follower, up to the second figure.
PAUSE_S = 0.0001
REST_S = 0.2


def _in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        close_old_connections()
        try:
            return function(*args)
        finally:
            close_old_connections()

    return sync_to_async(call, thread_sensitive=False)


def facts_after(seq: int, limit: int = BATCH) -> list[Frame]:
    """Return the next facts after `seq` in order, encoded."""
    return [frame_of_fact(fact) for fact in Event.objects.filter(seq__gt=seq).order_by("seq")[:limit]]


def oldest_seq() -> int:
    """Return the number of the oldest fact kept, 0 where there is none."""
    return Event.objects.filter(seq__isnull=False).order_by("seq").values_list("seq", flat=True).first() or 0


class Hub:
    """See the module. One instance a process."""

    def __init__(self) -> None:
        self.followers: set[Follower] = set()
        self.callers: set[Caller] = set()  # all whose rights are watched: the followers, and who is sent no events
        self.cursor = 0
        self._wake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._joining = asyncio.Lock()

    async def start(self) -> None:
        """Start the pumps in the running loop; a second call in the same loop does nothing."""
        loop = asyncio.get_running_loop()
        if self._loop is loop and any(not task.done() for task in self._tasks):
            return
        bell.unlisten(bell.LIVE, self._on_live)
        self._loop, self._wake, self._joining = loop, asyncio.Event(), asyncio.Lock()
        self.followers, self.callers = set(), set()
        self.cursor = await _in_thread(last_seq)()
        bell.listen(bell.FACTS, self._on_facts)
        self._tasks = [loop.create_task(self._pump_facts()), loop.create_task(self._watch_rights())]

    async def stop(self) -> None:
        """End the pumps and everybody with an open connection."""
        bell.unlisten(bell.FACTS, self._on_facts)
        for caller in list(self.callers):
            caller.end(1012, "the server restarts")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._loop = None

    # --- callers -------------------------------------------------------------------------------------------------

    async def watch(self, caller: Caller) -> None:
        """Keep the rights of `caller` up to date from now on; it is sent no events."""
        await self.start()
        self.callers.add(caller)

    async def join(self, follower: Follower) -> None:
        """Let `follower` get what it follows from now on."""
        await self.start()
        async with self._joining:
            if not self.followers:  # nobody listened: what happened meanwhile is nobody's news
                self.cursor = await _in_thread(last_seq)()
            follower.position = self.cursor
            if not self.followers:
                bell.listen(bell.LIVE, self._on_live)
            self.followers.add(follower)
            self.callers.add(follower)

    def remove(self, caller: Caller) -> None:
        """Forget somebody who joined or is watched."""
        self.callers.discard(caller)
        if isinstance(caller, Follower) and caller in self.followers:
            self.followers.discard(caller)
            if not self.followers:
                bell.unlisten(bell.LIVE, self._on_live)

    async def replay(self, follower: Follower, after: int) -> tuple[str, int]:
        """Send `follower` what it missed after `after`; it gets each fact once, in order, also those that come
        meanwhile.

        Returns:
            ("resumed", last) or ("reset", last) where the facts asked for are kept no more.
        """
        follower.is_replaying = True  # from here on the pump passes it over: nothing newer comes before what was missed
        position = after
        try:
            newest = await _in_thread(last_seq)()
            oldest = await _in_thread(oldest_seq)()
            if after > newest or (oldest and after < oldest - 1) or await _in_thread(_past_window)(after):
                follower.position = self.cursor
                return "reset", self.cursor
            while True:
                frames: list[Frame] = await _in_thread(facts_after)(position)
                for frame in frames:
                    await follower.offer_waiting(frame)
                    position = frame.seq or position
                if len(frames) < BATCH and (position >= self.cursor or not frames):
                    break  # no await between this look at the cursor and the end of replaying: nothing slips through
            follower.position = max(position, self.cursor)
            return "resumed", follower.position
        finally:
            follower.is_replaying = False

    # --- pumps ---------------------------------------------------------------------------------------------------

    def _on_facts(self, *_: object) -> None:
        loop, wake = self._loop, self._wake
        if loop and wake and self.followers:
            loop.call_soon_threadsafe(wake.set)

    def _on_live(self, _: str, batch: Any) -> None:
        loop = self._loop
        if loop and batch and self.followers:
            loop.call_soon_threadsafe(self._fan_out_live, batch)

    def _fan_out_live(self, batch: list[dict[str, Any]]) -> None:
        for message in batch:
            self._fan_out(frame_of_live(message))

    def _fan_out(self, frame: Frame) -> None:
        wanted: dict[Any, bool] = {}
        for follower in list(self.followers):
            sight = follower.sight()
            is_wanted = wanted.get(sight)
            if is_wanted is None:
                is_wanted = wanted[sight] = follower.wants(frame)
            follower.offer(frame, is_wanted)

    async def _pump_facts(self) -> None:
        assert self._wake
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            self._wake.clear()
            try:
                if not self.followers:
                    continue  # a follower starts from its own position; the cursor catches up with the first one
                while True:
                    frames: list[Frame] = await _in_thread(facts_after)(self.cursor)
                    for frame in frames:
                        self.cursor = frame.seq or self.cursor
                        self._fan_out(frame)
                    # Many followers get in one message what happened within some tens of milliseconds.
                    await asyncio.sleep(min(REST_S, PAUSE_S * len(self.followers)))
                    if len(frames) < BATCH:
                        break
            except Exception:
                log.exception("facts can't be read")
                await asyncio.sleep(POLL_S)

    async def _watch_rights(self) -> None:
        while True:
            await asyncio.sleep(RIGHTS_S)
            if not self.callers:
                continue
            try:
                began = time.monotonic()
                asked = list(self.callers)
                principals = await _in_thread(current_principals)({caller.principal_key for caller in asked})
                for caller in asked:
                    principal = principals.get(caller.principal_key)
                    if principal is None:
                        caller.end(4401, "the session has ended")
                    else:
                        caller.principal = principal
                if time.monotonic() - began > 0.5:
                    log.warning("looking rights up took over half a second")
            except Exception:
                log.exception("rights can't be read")


def _past_window(after: int) -> bool:
    first = Event.objects.filter(seq__gt=after).order_by("seq").values_list("at", flat=True).first()
    return first is not None and first < timezone.now() - RESUME_WINDOW


hub = Hub()
