"""Finds all that a command started, whatever session it went to. The host agent has it too, so it needs little."""

import contextlib
import os
from pathlib import Path

import psutil

#: Variable by which a run's processes are found again; servers take LC_* over SSH as a rule, and no program minds it.
MARK = "LC_WK_RUN"


def signal_session(session: int, number: int, mark: str = "") -> int:
    """Send a signal to every process of a session.

    Args:
        session: 0 for none.
        mark: of a command; then also to the processes that carry it in `MARK`, and to the children of all these.

    Returns:
        How many got it.
    """
    count = 0
    for pid in _processes_of(session, mark):
        with contextlib.suppress(OSError):
            os.kill(pid, number)
            count += 1
    return count


def has_processes(session: int, mark: str = "") -> bool:
    """Return whether `signal_session` would find any."""
    return bool(_processes_of(session, mark))


def _processes_of(session: int, mark: str) -> set[int]:
    found: set[int] = set()
    parents: dict[int, int] = {}
    entry = f"{MARK}={mark}".encode()
    for pid in psutil.pids():
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent, _, its_session = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[:4]
            if state in (b"Z", b"X"):
                continue
            if session > 1 and int(its_session) == session:
                found.add(pid)
            if mark:
                parents[pid] = int(parent)
                if entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.add(pid)
    more = found
    while more := {pid for pid, parent in parents.items() if parent in more} - found:
        found |= more
    return found - {os.getpid()}
