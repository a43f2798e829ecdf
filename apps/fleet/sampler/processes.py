"""The process table, read in one pass."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psutil

from apps.fleet.masking import mask_command

TOP = 10
_STATES = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_SLEEPING: "S",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_TRACING_STOP: "T",
    psutil.STATUS_ZOMBIE: "Z",
    psutil.STATUS_DEAD: "X",
    psutil.STATUS_IDLE: "I",
}
_GONE = (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied, OSError)


def _started(seconds: float) -> str:
    return datetime.fromtimestamp(round(seconds), UTC).isoformat().replace("+00:00", "Z")


def _entry(process: psutil.Process, total: int) -> dict[str, Any]:
    with process.oneshot():
        memory = process.memory_info().rss
        try:
            user: str | None = process.username()
        except (KeyError, *_GONE):
            user = None
        return {
            "pid": process.pid,
            "name": process.name(),
            "user": user,
            "state": _STATES.get(process.status(), "S"),
            "cpu": None,
            "memory": round(100 * memory / total, 2) if total else None,
            "rss": memory,
            "threads": process.num_threads(),
            "startTime": _started(process.create_time()),
        }


def _command(pid: int) -> str | None:
    try:
        arguments = psutil.Process(pid).cmdline()
    except _GONE:
        return None
    return mask_command(arguments) if arguments else None


def read_process(pid: int) -> dict[str, Any] | None:
    """Return one process of this host, its command line masked; None where there is none."""
    try:
        process = psutil.Process(pid)
        entry = _entry(process, psutil.virtual_memory().total)
        times = process.cpu_times()
        age = max(1.0, time.time() - process.create_time())
    except (*_GONE, ValueError):
        return None
    entry["cpu"] = round(100 * (times.user + times.system) / age, 1)  # over its life, where nothing newer is known
    entry["cmdline"] = _command(pid)
    return entry


class ProcessReader:
    """Reads the table; remembers CPU times from one pass to the next.

    `cpu` is percent of one core since the pass before (two busy threads make 200), `memory` percent of all.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at: float | None = None
        self._times: dict[int, tuple[str, float]] = {}

    def read(self) -> list[dict[str, Any]]:
        """Return all processes, the busiest first. On the first pass `cpu` is 0 for all."""
        now = self._clock()
        seconds = now - self._read_at if self._read_at is not None else 0.0
        total = psutil.virtual_memory().total
        times: dict[int, tuple[str, float]] = {}
        table = []
        for pid in psutil.pids():
            try:
                process = psutil.Process(pid)
                with process.oneshot():
                    entry = _entry(process, total)
                    spent = process.cpu_times()
            except _GONE:
                continue
            used = spent.user + spent.system
            # The start time tells a process from an older one of the same pid.
            started, before = self._times.get(pid, ("", 0.0))
            is_same = started == entry["startTime"]
            entry["cpu"] = round(max(0.0, 100 * (used - before) / seconds), 1) if is_same and seconds > 0 else 0.0
            times[pid] = (entry["startTime"], used)
            table.append(entry)
        self._times, self._read_at = times, now
        table.sort(key=lambda one: (-one["cpu"], -one["rss"], one["pid"]))
        return table


def top_lists(table: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the snapshot's block: the ten busiest and the ten largest, with command lines, and the number of all."""
    by_cpu = table[:TOP]
    by_memory = sorted(table, key=lambda one: (-one["rss"], one["pid"]))[:TOP]
    for entry in {one["pid"]: one for one in [*by_cpu, *by_memory]}.values():
        entry["cmdline"] = _command(entry["pid"])
    return {"total": len(table), "topByCpu": by_cpu, "topByMemory": by_memory}
