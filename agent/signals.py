"""Sends signals to processes."""

import os
import signal
import time
from typing import Any

import psutil

from apps.fleet.sampler.processes import read_process

SIGNALS = frozenset({1, 2, 9, 15, 18, 19})
#: How long the answer waits for the process to do as it was told.
SETTLE_S = 1.0


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
