"""Those who follow events: what they may see, what they asked for, and their bounded queue."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.core.asgi.frames import text_frame
from apps.core.events.audience import may_see
from apps.core.events.catalogue import matches
from apps.core.models import Event
from apps.core.principals import Principal

QUEUE_FRAMES = 2000
QUEUE_BYTES = 8 * 1024 * 1024
#: So much goes out at once; what is more waits until the connection has taken it.
TAKE_BYTES = 64 * 1024

TOO_SLOW = 4408


@dataclass(frozen=True, slots=True)
class Frame:
    """One event, encoded once for all who follow it.

    Args:
        seq: the fact's number; None for live events.
        wire: the message as it goes over `/ws`. data_text: its payload alone, as streams send it.
    """

    name: str
    seq: int | None
    audience: Mapping[str, Any]
    subject_kind: str
    subject_id: str
    wire: bytes
    data_text: str


def _encode(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), default=str)


def frame_of_fact(event: Event) -> Frame:
    """Return the frame of a numbered fact."""
    message = {
        "type": "event",
        "event": event.name,
        "id": event.seq,
        "at": event.at.isoformat(),
        "subject": {"kind": event.subject_kind, "id": event.subject_id, "name": event.subject_name},
        "level": event.level,
        "data": event.data,
    }
    return Frame(
        event.name,
        event.seq,
        event.audience,
        event.subject_kind,
        event.subject_id,
        text_frame(_encode(message)),
        _encode(event.data),
    )


def frame_of_live(message: Mapping[str, Any]) -> Frame:
    """Return the frame of a live event as `core.events.publish_live` hands it on."""
    subject = message["subject"]
    body = {
        "type": "event",
        "event": message["event"],
        "id": None,
        "at": message["at"],
        "subject": subject,
        "level": "info",
        "data": message["data"],
    }
    return Frame(
        message["event"],
        None,
        message["audience"],
        subject["kind"],
        subject["id"],
        text_frame(_encode(body)),
        _encode(message["data"]),
    )


class Caller:
    """Somebody with an open connection. The hub keeps `principal` as it is now, and ends who has no rights any more."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.principal_key: tuple[str, str] = (
            ("session", str(principal.session_id)) if principal.session_id else (principal.kind, principal.id)
        )
        self.end_code = 0
        self.end_reason = ""

    def end(self, code: int, reason: str) -> None:
        """Note why it is over; the first reason counts."""
        if not self.end_code:
            self.end_code, self.end_reason = code, reason


class Follower(Caller):
    """One socket or stream that is sent events. All its methods belong to the hub's loop."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(principal)
        self.patterns: frozenset[str] = frozenset()
        self.subject: tuple[str, str] | None = None  # of one subject only
        self.position = 0
        self.is_replaying = False
        self.queue: asyncio.Queue[Frame | bytes | None] = asyncio.Queue()
        self.bytes_waiting = 0
        self._room = asyncio.Event()

    def wants(self, frame: Frame) -> bool:
        """Return whether this follower asked for the frame and may see it."""
        if self.subject and (frame.subject_kind, frame.subject_id) != self.subject:
            return False
        return matches(frame.name, self.patterns) and may_see(self.principal, frame.audience)

    def sight(self) -> tuple[int, frozenset[str], tuple[str, str] | None]:
        """Return what decides whether a frame is wanted: followers with the same sight want the same frames."""
        return id(self.principal), self.patterns, self.subject

    def offer(self, frame: Frame, is_wanted: bool | None = None) -> None:
        """Queue the frame where it is wanted and new; drop the follower where its queue is full.

        Args:
            is_wanted: what was found for another one of the same sight; None: to be found.
        """
        if self.end_code or (frame.seq is not None and (self.is_replaying or frame.seq <= self.position)):
            return
        if frame.seq is not None:
            self.position = frame.seq
        if self.wants(frame) if is_wanted is None else is_wanted:
            self._put(frame)

    async def offer_waiting(self, frame: Frame) -> None:
        """Queue the frame where it is wanted, waiting for room: a replay goes at the reader's pace."""
        if not self.wants(frame):
            return
        while not self.end_code and self.queue.qsize() > QUEUE_FRAMES // 2:
            self._room.clear()
            try:
                await asyncio.wait_for(self._room.wait(), 30)
            except TimeoutError:
                self.end(TOO_SLOW, "too slow: nothing was read for 30 s")
        if not self.end_code:
            self._put(frame)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Queue a message of the protocol itself."""
        if not self.end_code:
            self.queue.put_nowait(text_frame(_encode(message)))

    def _put(self, frame: Frame) -> None:
        if self.queue.qsize() >= QUEUE_FRAMES or self.bytes_waiting >= QUEUE_BYTES:
            self.end(TOO_SLOW, "too slow: the queue is full; connect again and resume")
            return
        self.bytes_waiting += len(frame.wire)
        self.queue.put_nowait(frame)

    async def next(self) -> Frame | bytes | None:
        """Return the next thing to send; None when it is over."""
        item = await self.queue.get()
        self._was_taken(item)
        return item

    async def next_frames(self) -> bytes:
        """Return what waits, at least one message, as it goes over `/ws`; empty when it is over."""
        item = await self.queue.get()
        parts = []
        size = 0
        while item is not None:
            self._was_taken(item)
            parts.append(item.wire if isinstance(item, Frame) else item)
            size += len(parts[-1])
            if size >= TAKE_BYTES or self.queue.empty():
                break
            item = self.queue.get_nowait()
        return b"".join(parts)

    def _was_taken(self, item: Frame | bytes | None) -> None:
        if isinstance(item, Frame):
            self.bytes_waiting -= len(item.wire)
        self._room.set()

    def end(self, code: int, reason: str) -> None:
        """End this follower; what waits is not sent."""
        if self.end_code:
            return
        super().end(code, reason)
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)
        self._room.set()
