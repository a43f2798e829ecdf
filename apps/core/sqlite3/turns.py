"""Turns: the queue in which the writers of one SQLite database stand, across threads and processes.

Whoever writes holds `now`; the first of those who wait holds `next`, so that one who has just written can't be the next
again. The threads of a process queue among themselves, which costs nothing while they wait; the first of them queues
with other processes for two locks on files, which must be asked for again and again.
"""

import fcntl
import os
import threading
import time
from collections import defaultdict
from contextlib import suppress

WAIT_S = 20.0
POLL_S = 0.001


class _Queue:
    """The queue of one process's threads for one database."""

    def __init__(self) -> None:
        self.next, self.now = threading.Lock(), threading.Lock()

    def enter(self, end: float) -> bool:
        if not _take(self.next, end):
            return False
        try:
            return _take(self.now, end)
        finally:
            self.next.release()


_queues: defaultdict[str, _Queue] = defaultdict(_Queue)
# A child that is forked has none of the threads that held them.
os.register_at_fork(after_in_child=_queues.clear)


class Turns:
    """A place in the queue of one database connection.

    Args:
        path: the database's file; the locks are files beside it.
    """

    def __init__(self, path: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._path = os.path.realpath(path)
        self._next = os.open(f"{path}-next", flags, 0o600)
        self._now = os.open(f"{path}-now", flags, 0o600)
        self._queue: _Queue | None = None

    @property
    def is_held(self) -> bool:
        """Tell whether this connection may write."""
        return self._queue is not None

    def enter(self, wait_s: float = WAIT_S) -> bool:
        """Wait for this connection's turn; returns False where it did not come in time."""
        if self.is_held:
            return True
        end, queue = time.monotonic() + wait_s, _queues[self._path]
        if not queue.enter(end):
            return False
        if not self._enter_files(end):
            queue.now.release()
            return False
        self._queue = queue
        return True

    def _enter_files(self, end: float) -> bool:
        if not _lock(self._next, end):
            return False
        try:
            return _lock(self._now, end)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)

    def leave(self) -> None:
        """Let the next one write; does nothing out of turn."""
        queue, self._queue = self._queue, None
        if queue is not None:
            fcntl.flock(self._now, fcntl.LOCK_UN)
            queue.now.release()

    def close(self) -> None:
        """Leave and close the files."""
        self.leave()
        for descriptor in (self._next, self._now):
            os.close(descriptor)


def _take(lock: threading.Lock, end: float) -> bool:
    return lock.acquire(timeout=max(0.0, end - time.monotonic()))


def _lock(descriptor: int, end: float) -> bool:
    # Asked for again and again, since a lock that waits in the kernel can't be given a time-out.
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_S)
