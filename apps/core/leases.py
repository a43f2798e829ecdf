"""Leases in the database: who works on what, and until when. Nothing else claims work."""

import os
import socket
import time
from collections.abc import Iterable
from collections.abc import Sequence as Seq
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4

from django.db import IntegrityError, connection, models, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.core.models import Lease, Sequence

M = TypeVar("M", bound=models.Model)

#: Names this process in leases: host, pid and a random part, since pids are used again.
OWNER = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid4().hex[:8]}"


def owner() -> str:
    """Return the name of this process in leases."""
    return OWNER


def hold(name: str, *, seconds: float, owner: str = OWNER) -> bool:
    """Take or renew the named lease.

    Returns:
        True where `owner` holds it for the next `seconds`.
    """
    now = timezone.now()
    until = now + timedelta(seconds=seconds)
    mine_or_free = Q(owner=owner) | Q(until__lt=now)
    if Lease.objects.filter(mine_or_free, name=name).update(owner=owner, until=until):
        return True
    if Lease.objects.filter(name=name).exists():
        return False
    try:
        with transaction.atomic():
            Lease.objects.create(name=name, owner=owner, until=until)
    except IntegrityError:
        return False
    return True


#: What this process holds, and from when on it asks the database again (monotonic s).
_kept: dict[tuple[str, str], float] = {}


def keep(name: str, *, seconds: float, owner: str = OWNER) -> bool:
    """As `hold`, for what is held all the time: the database is asked only when half of the lease is over."""
    if time.monotonic() < _kept.get((name, owner), 0.0):
        return True
    asked = time.monotonic()
    if not hold(name, seconds=seconds, owner=owner):
        return False
    _kept[(name, owner)] = asked + seconds / 2
    return True


def release(name: str, *, owner: str = OWNER) -> None:
    """Give the named lease back, so that another process needn't wait for its end."""
    _kept.pop((name, owner), None)
    Lease.objects.filter(name=name, owner=owner).update(until=timezone.now() - timedelta(seconds=1))


def claim_turn(name: str, *, every_s: float, owner: str = OWNER) -> bool:
    """Return True for one caller of all processes, at most once in `every_s` seconds.

    A tenth of the period is allowed for the jitter of the callers' clocks.
    """
    now = timezone.now()
    due = now - timedelta(seconds=every_s * 0.9)
    row = Lease.objects.filter(name=name)
    if row.filter(Q(last_run_at__isnull=True) | Q(last_run_at__lte=due)).update(
        owner=owner, until=now, last_run_at=now
    ):
        return True
    if row.exists():
        return False
    try:
        with transaction.atomic():
            Lease.objects.create(name=name, owner=owner, until=now, last_run_at=now)
    except IntegrityError:
        return False
    return True


def note_run(names: Iterable[str], *, owner: str = OWNER) -> None:
    """Note that these have run just now: one statement, whatever their number."""
    now, wanted = timezone.now(), set(names)
    rows = Lease.objects.filter(name__in=wanted)
    if rows.update(last_run_at=now) < len(wanted):
        missing = wanted - set(rows.values_list("name", flat=True))
        Lease.objects.bulk_create(
            [Lease(name=name, owner=owner, until=now, last_run_at=now) for name in sorted(missing)],
            ignore_conflicts=True,
        )


def last_runs(prefix: str) -> dict[str, datetime]:
    """Return when what is named `prefix`… ran last, by the rest of the name."""
    rows = Lease.objects.filter(name__startswith=prefix, last_run_at__isnull=False)
    return {row.name.removeprefix(prefix): row.last_run_at for row in rows if row.last_run_at}


def claim(queryset: QuerySet[M], *, limit: int, owner: str, seconds: float) -> list[M]:
    """Claim up to `limit` due rows of `queryset` for `owner`, each for `seconds`.

    The model has `lease_owner` (text) and `lease_until` (time or null). Rows that another owner's lease still covers
    are passed over; a dead owner's lease runs out. Two callers never get the same row: PostgreSQL skips locked rows,
    SQLite's IMMEDIATE transaction serialises writers.

    Returns:
        The claimed rows, as they were before the claim, in the queryset's order.
    """
    now = timezone.now()
    free = queryset.filter(Q(lease_until__isnull=True) | Q(lease_until__lt=now))
    with transaction.atomic():
        if connection.features.has_select_for_update_skip_locked:
            free = free.select_for_update(skip_locked=True, of=("self",))
        rows = list(free[:limit])
        if rows:
            ids: Seq[object] = [row.pk for row in rows]
            queryset.model._default_manager.filter(pk__in=ids).update(
                lease_owner=owner, lease_until=now + timedelta(seconds=seconds)
            )
    return rows


def next_value(name: str, *, by: int = 1) -> int:
    """Add `by` to the counter `name` and return its new value. Call it inside the transaction that uses the value."""
    Sequence.objects.get_or_create(name=name)
    row = Sequence.objects.select_for_update().get(name=name)
    row.value += by
    row.save(update_fields=["value"])
    return row.value
