"""Processes of a server, from the newest table it sent."""

from typing import Any

from django.conf import settings

from apps.core.errors import NotFound
from apps.fleet.models import ProcessTable, Server
from apps.fleet.sampler.processes import read_process
from apps.fleet.selectors.servers import latest_snapshot
from apps.fleet.snapshots import to_iso, unpack

SORTS = ("cpu", "memory")


def process_table(server: Server, *, sort: str = "cpu", search: str = "") -> tuple[list[dict[str, Any]], str | None]:
    """Return the newest process table and its time.

    Args:
        sort: "cpu" or "memory", largest first.
        search: part of a name, command line or user, or a pid; letters' case aside.

    Returns:
        Processes with pid, name, user, state, cpu (percent of one core), memory (percent) and what else the server
        sent. A server that sends no table has those that its snapshots name. The time is None where there is none.
    """
    row = ProcessTable.objects.filter(server_id=server.id).values_list("at", "body").first()
    snapshot = latest_snapshot(server)
    if row is not None:
        at, table = to_iso(row[0]), unpack(row[1])
    elif snapshot is not None:
        at, table = snapshot["timestamp"], []
    else:
        return [], None
    # The snapshot's lists carry details (command lines) that the table lacks.
    details: dict[Any, dict[str, Any]] = {}
    for name in ("topByCpu", "topByMemory"):
        for process in (snapshot or {}).get("processes", {}).get(name) or []:
            details[process.get("pid")] = process
    if row is None:
        table = list(details.values())
    else:
        for process in table:
            detail = details.get(process.get("pid"))
            if detail and detail.get("name") == process.get("name") and "cmdline" in detail:
                process.setdefault("cmdline", detail["cmdline"])
    needle = search.strip().lower()
    if needle:
        table = [
            process
            for process in table
            if needle == str(process.get("pid"))
            or any(needle in str(process.get(key) or "").lower() for key in ("name", "cmdline", "user"))
        ]
    table.sort(key=lambda process: (-_figure(process, sort), -_figure(process, "rss"), str(process.get("pid"))))
    return table, at


def _figure(process: dict[str, Any], key: str) -> float:
    value = process.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def find_process(server: Server, pid: int) -> dict[str, Any]:
    """Return one process: pid, name, cmdline (masked), user, state, cpu, memory, threads, startTime.

    On an installation of one machine, processes of the host itself are read afresh.

    Raises:
        NotFound: no such process (404).

    Source: contract row GET /processes/{pid}.
    """
    table, _ = process_table(server)
    known = next((process for process in table if process.get("pid") == pid), None)
    if server.is_local and settings.EMBEDDED and settings.LOCAL_SERVER:
        fresh = read_process(pid)
        if fresh is not None and known is not None and known.get("startTime") == fresh["startTime"]:
            fresh["cpu"] = known.get("cpu")
        known = fresh
    if known is None:
        raise NotFound("There is no such process.", details={"pid": pid})
    fields = ("pid", "name", "cmdline", "user", "state", "cpu", "memory", "rss", "threads", "startTime")
    return {**dict.fromkeys(fields), **known}


def top_processes(server: Server, n: int = 5, *, sort: str = "cpu") -> list[dict[str, Any]]:
    """Return the `n` processes that use most, as evidence: pid, name, user, cpu, memory, cmdline (masked)."""
    table, _ = process_table(server, sort=sort)
    return [
        {key: process.get(key) for key in ("pid", "name", "user", "cpu", "memory", "cmdline")} for process in table[:n]
    ]
