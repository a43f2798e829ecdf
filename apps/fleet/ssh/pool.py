"""Connections that are kept for the next command, each for a while."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from apps.fleet.ssh.connecting import Session
from apps.fleet.ssh.errors import Reason, SshFault

IDLE_S = 60.0
CHANNELS_MOST = 8  # of one connection; sshd allows ten by default
CONNECTIONS_MOST = 4  # to one machine
KEPT_MOST = 200  # idle, of all machines


@dataclass(slots=True, eq=False)
class _Entry:
    id: str
    token: str
    session: Session
    used: int = 0
    idle_since: float = field(default_factory=time.monotonic)
    is_retired: bool = False


class Pool:
    """Signed-in connections by id and token. The token changes with the row, so a changed row never meets an old one.

    Args:
        idle_s: how long an unused connection is kept.
    """

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self.idle_s = idle_s
        self._lock = threading.Condition()
        self._entries: list[_Entry] = []
        self._opening: dict[str, int] = {}
        self._reaper: threading.Thread | None = None

    @contextmanager
    def lease(self, id: str, token: str, connect: Callable[[], Session], *, wait_s: float = 10.0) -> Iterator[Session]:
        """Yield a signed-in connection for one command; `connect` is called where none is free.

        Raises:
            SshFault: as `connect`; or so many commands run there that none became free in time.
        """
        entry = self._take(id, token, connect, wait_s)
        try:
            yield entry.session
        finally:
            self._give_back(entry)

    def retire(self, id: str) -> None:
        """Close what is kept of a connection; what is in use ends with its command."""
        with self._lock:
            doomed = self._retire([entry for entry in self._entries if entry.id == id])
        _close(doomed)

    def close(self) -> None:
        """Close all that is kept."""
        with self._lock:
            doomed = self._retire(list(self._entries))
        _close(doomed)

    def count(self, id: str = "") -> int:
        """Return how many connections are open."""
        with self._lock:
            return sum(not id or entry.id == id for entry in self._entries)

    def _take(self, id: str, token: str, connect: Callable[[], Session], wait_s: float) -> _Entry:
        until = time.monotonic() + wait_s
        with self._lock:
            while True:
                doomed = self._retire(
                    [e for e in self._entries if e.id == id and (e.token != token or not e.session.is_alive())]
                )
                if doomed:
                    threading.Thread(target=_close, args=(doomed,), daemon=True).start()
                mine = [entry for entry in self._entries if entry.id == id and not entry.is_retired]
                free = [entry for entry in mine if entry.used < CHANNELS_MOST]
                if free:
                    entry = min(free, key=lambda one: one.used)
                    entry.used += 1
                    return entry
                if len(mine) + self._opening.get(id, 0) < CONNECTIONS_MOST:
                    self._opening[id] = self._opening.get(id, 0) + 1
                    break
                if not self._lock.wait(max(0.0, until - time.monotonic())):
                    most = CHANNELS_MOST * CONNECTIONS_MOST
                    raise SshFault(
                        Reason.BUSY, "run", f"{most} commands run there already; try again later.", hop_id=id
                    )
        try:
            session = connect()
        finally:
            with self._lock:
                self._opening[id] -= 1
                if not self._opening[id]:
                    del self._opening[id]
                self._lock.notify_all()
        entry = _Entry(id, token, session, used=1)
        with self._lock:
            self._entries.append(entry)
            if self._reaper is None:
                self._reaper = threading.Thread(target=self._reap, name="ssh-pool", daemon=True)
                self._reaper.start()
        return entry

    def _give_back(self, entry: _Entry) -> None:
        doomed: list[_Entry] = []
        with self._lock:
            entry.used -= 1
            entry.idle_since = time.monotonic()
            if not entry.used and (entry.is_retired or not entry.session.is_alive()):
                doomed = [entry]
                if entry in self._entries:
                    self._entries.remove(entry)
            idle = sorted((one for one in self._entries if not one.used), key=lambda one: one.idle_since)
            doomed += self._retire(idle[: max(0, len(idle) - KEPT_MOST)])
            self._lock.notify_all()
        _close(doomed)

    def _retire(self, entries: list[_Entry]) -> list[_Entry]:
        """Take entries out; return those to close now. The lock is held."""
        for entry in entries:
            entry.is_retired = True
            if entry in self._entries:
                self._entries.remove(entry)
        return [entry for entry in entries if not entry.used]

    def _reap(self) -> None:
        """Close what was not used for long; ends when nothing is kept."""
        while True:
            time.sleep(min(5.0, self.idle_s / 2))
            with self._lock:
                limit = time.monotonic() - self.idle_s
                doomed = self._retire([one for one in self._entries if not one.used and one.idle_since <= limit])
                if not self._entries:
                    self._reaper = None
            _close(doomed)
            with self._lock:
                if self._reaper is not threading.current_thread():
                    return


def _close(entries: list[_Entry]) -> None:
    for entry in entries:
        entry.session.close()


#: The connections of this process.
pool = Pool()
