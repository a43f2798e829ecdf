"""Server-sent events: frames, resume and the comment that keeps proxies from hanging up."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from apps.core.principals import Principal
from apps.realtime.followers import Follower, Frame
from apps.realtime.hub import hub

COMMENT_EVERY_S = 15


def encode(frame: Frame, name: str | None = None) -> bytes:
    """Return one event of the stream; only facts carry an id, since only they can be resumed."""
    head = f"id: {frame.seq}\n" if frame.seq is not None else ""
    return f"{head}event: {name or frame.name}\ndata: {frame.data_text}\n\n".encode()


async def follow(
    principal: Principal,
    patterns: set[str],
    *,
    last_event_id: int | None = None,
    subject: tuple[str, str] | None = None,
    first: bytes = b"",
    name: str | None = None,
    idle: Callable[[], Awaitable[bytes]] | None = None,
    idle_s: float = COMMENT_EVERY_S,
) -> AsyncIterator[bytes]:
    """Yield the events that match, from now on or after `last_event_id`.

    Args:
        subject: (kind, id): events about this one thing only.
        first: sent at once.
        name: the stream's own name for its events.
        idle: awaited after `idle_s` seconds without an event; its bytes are sent (empty: a comment).
    """
    follower = Follower(principal)
    follower.patterns, follower.subject = frozenset(patterns), subject
    await hub.join(follower)
    replay: asyncio.Task[tuple[str, int]] | None = None
    try:
        yield b"retry: 3000\n\n" + first
        if last_event_id is not None:
            follower.is_replaying = True
            replay = asyncio.create_task(hub.replay(follower, last_event_id))
        told_at = time.monotonic()
        while True:
            wait = min(idle_s, COMMENT_EVERY_S)
            item: Frame | bytes | None = b""
            with contextlib.suppress(TimeoutError):
                item = await asyncio.wait_for(follower.next(), 0.2 if replay else wait)
            if item is None:
                return
            if isinstance(item, Frame):
                yield encode(item, name)
                told_at = time.monotonic()
            if replay and replay.done() and follower.queue.empty():
                answer, last = replay.result()
                replay = None
                if answer == "reset":
                    yield f'event: reset\ndata: {{"id":{last}}}\n\n'.encode()
            if item == b"" and not replay:
                more = await idle() if idle else b""
                if more or time.monotonic() - told_at >= COMMENT_EVERY_S - 1:
                    yield more or b": still here\n\n"
                    told_at = time.monotonic()
    finally:
        hub.remove(follower)
        if replay:
            replay.cancel()
