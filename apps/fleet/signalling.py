"""Send a signal to one process: on this host, or through a shell on another one. Its start time tells it from others.

Over a shell the command line is fixed; what is put into it are numbers.
"""

import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.core.errors import Conflict, DomainError, Forbidden, NotFound
from apps.fleet.sampler.processes import read_process

SIGNALS = {1: "HUP", 2: "INT", 9: "KILL", 15: "TERM", 18: "CONT", 19: "STOP"}
#: Times of start in tables are whole seconds, and clocks of boot drift by parts of one.
START_SLACK_S = 2.0
#: How long the answer waits for the process to do as it was told.
SETTLE_S = 1.0
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD
_NO_PIDFD = (AttributeError, PermissionError, OSError)

#: Runs a command line of ours over there and returns its exit code and its output.
Ask = Callable[[str], tuple[int | None, str]]


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says of a process. `started` is in clock ticks since boot."""

    pid: int
    name: str
    state: str
    parent: int
    flags: int
    started: int

    @property
    def is_of_kernel(self) -> bool:
        """Return whether it is a thread of the kernel."""
        return self.pid == 2 or self.parent == 2 or bool(self.flags & _KERNEL_THREAD)


def signal_name(number: int) -> str:
    """Return a signal in short, such as "KILL"; the number of one without a name, as most real-time signals are."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


def parse_stat(text: str) -> Stat:
    """Return what a line of /proc/PID/stat says.

    Raises:
        ValueError: it is none.
    """
    pid, _, rest = text.strip().partition(" (")
    name, found, fields = rest.rpartition(") ")
    parts = fields.split()
    if not found or len(parts) < 20:
        raise ValueError("no line of /proc/PID/stat")
    return Stat(int(pid), name, parts[0], int(parts[1]), int(parts[6]), int(parts[19]))


def own_processes() -> set[int]:
    """Return the pids of the platform on this host: this process, what started it, and the other processes beside it.

    A command that was started on this host is none of them: it has a session of its own.
    """
    own, sessions = {os.getpid()}, {os.getsid(0)}
    at = os.getppid()
    while at > 1:
        own.add(at)
        stat = _local_stat(at)
        at = stat.parent if stat else 0
    with suppress(OSError):
        for file in (Path(settings.DATA_DIR) / "run").glob("*.pid"):
            with suppress(OSError, ValueError):
                pid = int(file.read_text().strip())
                own.add(pid)
                sessions.add(os.getsid(pid))
    return own | {pid for pid in _local_pids() if _session_of(pid) in sessions}


def signal_here(pid: int, start_time: str, number: int) -> dict[str, Any] | None:
    """Send a signal to a process of this host.

    Returns:
        The process afterwards; None where it has ended.

    Raises:
        NotFound: it has ended (404). Conflict: another one has its number now (409).
        Forbidden: it is the platform's own, the kernel's, or not ours to signal (403).
    """
    handle = -1
    with suppress(*_NO_PIDFD):
        handle = os.pidfd_open(pid)  # from here on the pid can't come to mean another process
    try:
        stat, known = _local_stat(pid), read_process(pid)
        if stat is None or known is None:
            raise gone()
        check_target(stat, pid in own_processes())
        check_start(start_time, datetime.fromisoformat(known["startTime"]).timestamp())
        try:
            if handle >= 0:
                signal.pidfd_send_signal(handle, number)
            else:
                os.kill(pid, number)
        except ProcessLookupError:
            raise gone() from None
        except PermissionError:
            raise Forbidden(
                f"The platform's user may not signal it: it belongs to {known.get('user') or 'another one'}."
            ) from None
    finally:
        if handle >= 0:
            os.close(handle)
    until = time.monotonic() + SETTLE_S
    while True:
        now = _local_stat(pid)
        if now is None or now.started != stat.started or now.state in "ZX":
            return None
        if _shows(number, now.state) or time.monotonic() >= until:
            return read_process(pid)
        time.sleep(0.02)


def signal_over_shell(ask: Ask, pid: int, start_time: str, number: int) -> dict[str, Any] | None:
    """Send a signal to a process of a machine with /proc and a POSIX shell; otherwise as `signal_here`.

    Raises:
        Conflict: also where the machine shows no such processes (409).
    """
    code, text = ask(_shell(_LOOK.format(pid=pid)))
    lines = text.split("\n", 4)
    if code == 3:
        raise gone()
    try:
        boot, namespace, ticks, booted = (line.strip() for line in lines[:4])
        stat = parse_stat(lines[4])
        per_second, boot_s = int(ticks), int(booted)
    except (ValueError, IndexError):
        raise Conflict("The machine does not show its processes in /proc, as Linux does.", code="no_proc") from None
    is_here = (boot, namespace) == _whereabouts() and bool(boot)
    check_target(stat, is_here and pid in own_processes())
    check_start(start_time, boot_s + stat.started / per_second)
    code, text = ask(_shell(_SEND.format(pid=pid, started=stat.started, number=number)))
    if code == 3:
        raise gone()
    if code == 4:
        raise replaced()
    if code != 0:
        raise Forbidden(f"The machine refused it: {text.strip()[:200] or 'the user there may not signal it'}.")
    try:
        after = parse_stat(text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    if after.started != stat.started or after.state in "ZX":
        return None
    return {"pid": pid, "name": after.name, "state": after.state, "startTime": start_time}


# Exit codes: 3 it is gone, 4 another one has its number, 5 refused.
_LOOK = (
    "s=$(cat /proc/{pid}/stat 2>/dev/null) || {{ [ -r /proc/self/stat ] && exit 3; exit 6; }}; "
    "cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo; readlink /proc/self/ns/pid 2>/dev/null || echo; "
    "getconf CLK_TCK 2>/dev/null || echo 100; while read -r k v; do [ $k = btime ] && echo $v; done </proc/stat; "
    'printf "%s\\n" "$s"'
)
_SEND = (
    "s=$(cat /proc/{pid}/stat 2>/dev/null) || exit 3; set -f; set -- ${{s##*) }}; [ ${{20}} = {started} ] || exit 4; "
    "kill -{number} {pid} || exit 5; sleep 0.3; cat /proc/{pid}/stat 2>/dev/null; exit 0"
)


def _shell(script: str) -> str:
    return f"/bin/sh -c {shlex.quote(script)}"


def check_target(stat: Stat, is_own: bool) -> None:
    """Refuse what is never signalled.

    Raises:
        Forbidden: the process is the platform's own, or the kernel's (403).
    """
    if stat.pid <= 1:
        raise protected("The first process of a machine is never signalled.")
    if stat.is_of_kernel:
        raise protected(f"{stat.name} is a thread of the kernel; those are never signalled.")
    if is_own:
        raise protected("It is one of Watchkeeper's own processes; stop Watchkeeper itself instead.")


def check_start(start_time: str, started_s: float) -> None:
    """Refuse another process of the same number.

    Args:
        start_time: of the process that is meant, ISO 8601.
        started_s: of the one that has the number now, epoch seconds.

    Raises:
        Conflict: it is another one (409).
    """
    if abs(datetime.fromisoformat(start_time).timestamp() - started_s) > START_SLACK_S:
        raise replaced()


def protected(sentence: str) -> Forbidden:
    """Return the refusal to signal something that never is."""
    return Forbidden(sentence, code="protected_process")


def gone() -> NotFound:
    """Return the refusal for a process that has ended."""
    return NotFound("The process has ended.", code="process_gone")


def replaced() -> DomainError:
    """Return the refusal for a number that means another process now."""
    return Conflict("The process has ended; another one has its number now.", code="process_replaced")


def started_iso(seconds: float) -> str:
    """Return a time of start as process tables write it."""
    return datetime.fromtimestamp(round(seconds), UTC).isoformat().replace("+00:00", "Z")


def _shows(number: int, state: str) -> bool:
    """Return whether a process that lives on shows what it was told."""
    if number == signal.SIGSTOP:
        return state in "Tt"
    return number == signal.SIGCONT and state not in "Tt"


def _whereabouts() -> tuple[str, str]:
    """Return what tells this host and its processes from others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return boot, str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "", ""


def _local_stat(pid: int) -> Stat | None:
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    except (OSError, ValueError):
        return None


def _local_pids() -> Iterator[int]:
    with suppress(OSError):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                yield int(entry.name)


def _session_of(pid: int) -> int:
    with suppress(OSError):
        return os.getsid(pid)
    return -1
