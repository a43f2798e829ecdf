"""Sends signals to processes."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from apps.fleet.sampler.processes import read_process

SIGNALS = frozenset({1, 2, 9, 15, 18, 19})
#: How long the answer waits for the process to do as it was told.
SETTLE_S = 1.0
#: Variable by which all that a command started is found again, whatever session it went to; the same as over SSH.
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


def signal_process(pid: int, start_time: str, number: int) -> dict[str, Any]:
    """Send a signal to the process of this pid and start time.

    Returns:
        {"ok": true} with the process afterwards, or {"ok": false} with code and message.
    """
    if number not in SIGNALS:
        return _no("bad_signal", f"Signal {number} is not sent; known are {', '.join(map(str, sorted(SIGNALS)))}.")
    if pid <= 1 or pid in (os.getpid(), os.getppid()):
        return _no("protected", "This process is never signalled.")
    handle = -1
    try:
        # Held from here on: the pid can't come to mean another process.
        handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
        known = read_process(pid)
        if known is None or known["startTime"] != start_time:
            return _no("gone", "The process has ended; another one has its number now." if known else "It has ended.")
        if psutil.Process(pid).ppid() == 2 or pid == 2:
            return _no("protected", "This is a thread of the kernel.")
        if handle >= 0:
            signal.pidfd_send_signal(handle, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return _no("gone", "It has ended.")
    except PermissionError:
        return _no("forbidden", "The agent's user may not signal this process.")
    except (OSError, psutil.Error) as error:
        return _no("failed", str(error))
    finally:
        if handle >= 0:
            os.close(handle)
    return {"ok": True, "process": _afterwards(pid, start_time, number)}


def _afterwards(pid: int, start_time: str, number: int) -> dict[str, Any] | None:
    """Return the process once it shows what came of a signal, or after a moment; None where it has ended."""
    until = time.monotonic() + SETTLE_S
    while True:
        after = read_process(pid)
        if after is None or after["startTime"] != start_time or after["state"] in ("Z", "X"):
            return None
        is_stopped = after["state"] in ("T", "t")
        if number == signal.SIGSTOP and is_stopped or number == signal.SIGCONT and not is_stopped:
            return after
        if time.monotonic() >= until:
            return after
        time.sleep(0.02)


def _no(code: str, message: str) -> dict[str, Any]:
    return {"ok": False, "code": code, "message": message}
