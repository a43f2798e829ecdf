"""What is at work: Redis, the worker, beat, the sweeps, the readers."""

import fcntl
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import redis
from django.conf import settings
from django.utils import timezone

from apps.core import bell
from apps.core.care.doctor.findings import Finding, failed, fine, notice
from apps.core.care.lock import working_owner
from apps.core.events.readers import readers
from apps.core.events.sequencer import last_seq
from apps.core.models import Event, Lease, ReaderCursor, SetAsideFact
from apps.core.pulse import sweeps
from apps.core.registries import health_parts
from apps.core.services import outside_heartbeat
from apps.core.tasks import PRUNE_EVERY_S

LATE_TURNS = 6
"""How many turns a sweep may miss before it is told."""
LEAST_LATE_S = 60.0
LAG_FACTS = 1000


def supervisor_runs() -> bool:
    """Tell whether `manage.py up` holds the data folder now."""
    try:
        descriptor = os.open(Path(settings.DATA_DIR) / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def is_running() -> bool:
    """Tell whether a worker is there, or should be."""
    return bool(working_owner()) or supervisor_runs()


def check_redis() -> Iterator[Finding]:
    """Ping Redis."""
    try:
        info = bell.client().info("server")
    except (redis.RedisError, OSError) as error:
        if settings.REDIS_URL.startswith("unix:") and not supervisor_runs():
            yield fine("redis", "The private Redis is started with Watchkeeper; it does not run now.")
            return
        yield failed(
            "redis",
            f"Redis does not answer ({str(error)[:100]}); all goes on by polling, but later. Check REDIS_URL.",
        )
        return
    yield fine("redis", f"Redis {info.get('redis_version', '')} answers.")


def check_processes() -> Iterator[Finding]:
    """See that some worker numbers the facts."""
    owner = working_owner()
    if owner:
        yield fine("processes", f"A worker is at work ({owner.rpartition(':')[0]}).")
    elif supervisor_runs():
        yield failed(
            "processes",
            "Watchkeeper runs, but no worker has been at the database for ten seconds;"
            f" see {settings.DATA_DIR}/logs/worker.log.",
        )
    else:
        yield notice("processes", "Watchkeeper does not run; start it with `make run`.")


def check_beat() -> Iterator[Finding]:
    """See that the periodic tasks come."""
    if not is_running():
        return
    row = Lease.objects.filter(name="job:core.prune").first()
    if row is None or row.last_run_at is None:
        yield notice(
            "beat", "The periodic tasks have not run yet; the first comes within five minutes of the first start."
        )
        return
    age = (timezone.now() - row.last_run_at).total_seconds()
    if age > 3 * PRUNE_EVERY_S:
        yield failed("beat", f"The last periodic task ran {_span(age)} ago; see that beat and Redis run.")
    else:
        yield fine("beat", f"The last periodic task ran {_span(age)} ago.")


def check_sweeps() -> Iterator[Finding]:
    """See that the sweeps take their turns."""
    if not is_running():
        return
    now = timezone.now()
    seen = dict(Lease.objects.filter(name__startswith="sweep:").values_list("name", "last_run_at"))
    counted = [(name, one) for name, one in sweeps.items() if f"sweep:{name}" in seen]
    late = []
    for name, one in counted:
        last = seen[f"sweep:{name}"]
        if last and (now - last).total_seconds() > max(LEAST_LATE_S, LATE_TURNS * one.every_s):
            late.append(f"{name} ran {_span((now - last).total_seconds())} ago")
    if late:
        yield failed("sweeps", f"Overdue: {', '.join(late)}; see {settings.DATA_DIR}/logs/worker.log.")
    else:
        yield fine("sweeps", f"Of {len(sweeps.items())} sweeps none is overdue.")


def check_readers() -> Iterator[Finding]:
    """See that facts are numbered and that every reader keeps up."""
    unnumbered = Event.objects.filter(seq__isnull=True, at__lt=timezone.now() - timedelta(seconds=60))[:1]
    if is_running() and unnumbered.exists():
        yield failed(
            "readers", "There are facts older than a minute without a number; the worker does not number them."
        )
    newest = last_seq()
    cursors = {row.name: row for row in ReaderCursor.objects.filter(name__in=list(readers))}
    lags = {name: newest - (cursors[name].seq if name in cursors else 0) for name in readers}
    behind = {name: lag for name, lag in lags.items() if lag > LAG_FACTS}
    for name, lag in sorted(behind.items()):
        error = cursors[name].last_error if name in cursors else ""
        yield failed("readers", f"{name} is {lag} facts behind{f' and last said: {error[:150]}' if error else ''}.")
    if not behind:
        most = max(lags.values(), default=0)
        yield fine(
            "readers",
            f"{len(lags)} readers are at most {most} facts behind."
            if most
            else f"All {len(lags)} readers are up to date.",
        )


def check_mail_pings() -> Iterator[Finding]:
    """See that a listener takes the mail for heartbeats, where one is wanted."""
    probe = health_parts.get("mail_pings")
    if probe is None or not is_running():
        return
    health = probe()
    if health.status == "ok":
        yield fine("mail pings", health.detail)
    else:
        yield failed("mail pings", f"{health.detail} Senders try again meanwhile, but their pings come late.")


def check_set_aside() -> Iterator[Finding]:
    """Say which facts a reader gave up on."""
    count = SetAsideFact.objects.count()
    if not count:
        yield fine("facts set aside", "No reader has given up on a fact.")
        return
    newest = SetAsideFact.objects.latest("at")
    yield failed(
        "facts set aside",
        f"{count} facts were set aside after three failures; the newest is {newest.event_name} (no. {newest.seq}) by"
        f" {newest.reader}: {newest.error[:150]}",
    )


def check_outside_heartbeat() -> Iterator[Finding]:
    """See that a service outside hears us, where one is set."""
    health = outside_heartbeat.health()
    if health.status == "off":
        yield notice("outside heartbeat", f"{health.detail} Set one under Settings.")
    elif health.status == "ok" or not is_running():
        yield fine("outside heartbeat", health.detail if health.status == "ok" else "It goes out while a worker runs.")
    else:
        yield failed("outside heartbeat", health.detail)


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
