"""Send signals to processes of servers."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.core.errors import Conflict, Invalid
from apps.core.events import emit
from apps.core.principals import Principal
from apps.fleet.executors import executor_of
from apps.fleet.models import Server
from apps.fleet.selectors.processes import find_process
from apps.fleet.services.servers import subject_of
from apps.fleet.signalling import SIGNALS, own_processes, protected, replaced
from apps.fleet.ssh import Reason, SshFault

_SHOWN = ("pid", "name", "cmdline", "user", "state", "cpu", "memory", "rss", "threads", "startTime")


def signal_process(
    *, actor: Principal, server: Server, pid: int, number: int, start_time: str | None = None
) -> dict[str, Any]:
    """Send a signal to a process, over the server's host agent, SSH or locally. Not to be called in a transaction.

    Args:
        start_time: when the process that is meant was started, as the process list says it; where it is left out, the
            newest process table of the server says it.

    Returns:
        The process afterwards, with `signal` and `is_running`; its state is null once it has ended.

    Raises:
        NotFound: no such process, or it has ended (404). Invalid: the signal is not sent by anybody (422).
        Conflict: another process has its number now, or no way leads to the server (409).
        Forbidden: it is process 0 or 1, the kernel's or the platform's own, or the caller may not (403).

    Emits: process.signal_asked, then process.signalled

    Source: contract row POST /processes/{pid}/signal.
    """
    if number not in SIGNALS:
        raise Invalid({"signal": f"must be one of {', '.join(f'{n} ({word})' for n, word in SIGNALS.items())}"})
    if pid <= 1:
        raise protected("The first process of a machine is never signalled.")
    if server.is_local and settings.LOCAL_SERVER and pid in own_processes():
        raise protected("It is one of Watchkeeper's own processes; stop Watchkeeper itself instead.")
    executor = executor_of(server, actor)
    known: Mapping[str, Any] = find_process(server, pid)
    started = known.get("startTime")
    if not started:
        raise Conflict(
            "It is not known when this process was started, so another one could be hit: the server has to send "
            "startTime with its processes.",
            code="start_unknown",
        )
    if start_time is not None and start_time != started:
        raise replaced()
    told: dict[str, Any] = {
        "server_id": str(server.pk),
        "slug": server.slug,
        "name": server.name,
        "pid": pid,
        "process": str(known.get("name") or ""),
        "signal": number,
        "started": str(started),
        "by": actor.name,
    }
    # Before it is sent: should this process die meanwhile, who asked for what is known nevertheless.
    _tell("process.signal_asked", server, actor, told)
    try:
        after = executor.signal(pid, str(started), number)
    except SshFault as fault:
        if fault.reason in (Reason.HOST_KEY_CHANGED, Reason.HOST_KEY_PENDING):
            raise Conflict(fault.detail, code=str(fault.reason)) from fault
        raise Conflict(f"The machine was not reached: {fault.detail}", code="not_reached") from fault
    _tell("process.signalled", server, actor, told, level="warning" if number == 9 else "info")
    now = {name: value for name, value in (after or {}).items() if value is not None}
    shown = {**{name: known.get(name) for name in _SHOWN}, **{name: now[name] for name in _SHOWN if name in now}}
    if after is None:
        shown |= {"state": None, "cpu": None, "memory": None, "rss": None, "threads": None}
    return {**shown, "signal": number, "is_running": after is not None}


def _tell(event: str, server: Server, actor: Principal, told: dict[str, Any], *, level: str = "info") -> None:
    with transaction.atomic():
        emit(event, subject=subject_of(server), actor=actor, level=level, data=told, server_id=server.pk)
