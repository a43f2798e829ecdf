"""Sweeps and periodic tasks of the core: numbering facts, letting readers read, pruning what is old."""

import time
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from apps.core import bell, leases, runtime_settings
from apps.core.events import declared, readers, sequencer  # noqa: F401
from apps.core.events.readers import dispatch_all
from apps.core.models import Event, IdempotencyRecord
from apps.core.pulse import sweep
from apps.core.registries import Keep, keeps
from apps.core.runner import runner
from apps.core.services import outside_heartbeat

PRUNE_ROWS = 500
PRUNE_EVERY_S = 300.0


@sweep("core.spine", every_s=1, on_ring=bell.EVENTS, shared=True)
def run_spine() -> None:
    """Number what was committed and let the readers read, until both have caught up."""
    for _ in range(200):
        numbered = sequencer.sequence_events() if sequencer.hold_lease() else 0
        if not numbered and not dispatch_all():
            return


@sweep("core.outside_heartbeat", every_s=5)
def ping_outside() -> None:
    """Ping the service outside where that is due and alerting works, in the loop that also sends messages."""
    if outside_heartbeat.claim_ping(timezone.now()):
        runner().submit("outside heartbeat", _ping_outside)


async def _ping_outside() -> None:
    result = await outside_heartbeat.send_ping(await runner().in_thread(outside_heartbeat.address))
    runner().store(outside_heartbeat.record_pings, result)


def prune_events(limit: int) -> int:
    """Delete at most `limit` events past their keep time; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.events"))
    old = list(Event.objects.filter(at__lt=before).order_by("id").values_list("id", flat=True)[:limit])
    Event.objects.filter(id__in=old).delete()
    return len(old)


def prune_idempotency(limit: int) -> int:
    """Delete at most `limit` answers older than 24 h; returns how many."""
    before = timezone.now() - timedelta(hours=24)
    old = list(IdempotencyRecord.objects.filter(created_at__lt=before).values_list("id", flat=True)[:limit])
    IdempotencyRecord.objects.filter(id__in=old).delete()
    return len(old)


keeps.register("events", Keep("core_event", "retention.events", prune_events))


@shared_task(name="core.prune")
def prune() -> None:
    """Delete what is past its keep time, in short transactions, for at most 8 s.

    Its turn also shows that beat beats.
    """
    if not leases.claim_turn("job:core.prune", every_s=PRUNE_EVERY_S):
        return
    end = time.monotonic() + 8
    for _, keep in keeps.items():
        while time.monotonic() < end and keep.prune(PRUNE_ROWS) == PRUNE_ROWS:
            time.sleep(0.02)  # lets other writers in between
    prune_idempotency(PRUNE_ROWS)
