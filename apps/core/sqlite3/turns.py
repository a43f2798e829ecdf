"""Turns: two file locks by which the writers of one SQLite database queue, across threads and processes."""

import fcntl
import os
import time

WAIT_S = 20.0
POLL_S = 0.001


class Turns:
    """A place in the queue of one database connection.

    Args:
        path: the database's file; the locks are files beside it.
    """

    def __init__(self, path: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._next = os.open(f"{path}-next", flags, 0o600)
        self._now = os.open(f"{path}-now", flags, 0o600)
        self.is_held = False

    def enter(self, wait_s: float = WAIT_S) -> bool:
        """Wait for this connection's turn; returns False where it did not come in time."""
        if self.is_held:
            return True
        end = time.monotonic() + wait_s
        if not _lock(self._next, end):
            return False
        try:
            self.is_held = _lock(self._now, end)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)
        return self.is_held

    def leave(self) -> None:
        """Let the next one write; does nothing out of turn."""
        if self.is_held:
            self.is_held = False
            fcntl.flock(self._now, fcntl.LOCK_UN)

    def close(self) -> None:
        """Leave and close the files."""
        self.leave()
        for descriptor in (self._next, self._now):
            os.close(descriptor)


def _lock(descriptor: int, end: float) -> bool:
    # Asked for again and again, since a lock that waits in the kernel can't be given a time-out.
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(POLL_S)
