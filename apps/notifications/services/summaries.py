"""Summaries: what was held for quiet hours, a digest or a channel's limit is told together when its time has come."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.core.ids import new_id
from apps.notifications.models import Channel, Delivery
from apps.notifications.routing.facts import lane_of
from apps.notifications.services.deliveries import ring_after_commit
from apps.notifications.transports import transports

MOST_LINES = 20  # in the text; `items` names all
MOST_ITEMS = 1000
CHUNK = 500
_LEVELS = ("info", "warning", "critical")


def tell_held(now: datetime | None = None) -> int:
    """Tell what was held and is due, each channel's in one summary; returns how many messages were released.

    A single message leaves as it is, and so does each to a channel whose other side opens and closes alerts one by one.
    Run it in one process at a time.
    """
    now = now or timezone.now()
    due = Delivery.objects.filter(held=True, next_attempt_at__lte=now)
    told = 0
    for number in due.order_by().values_list("destination_id", flat=True).distinct():
        rows: list[Any] = list(
            due.filter(destination_id=number).order_by("id").values(
                "id", "uid", "event_name", "event_at", "subject_kind", "subject_id", "subject_name", "thing",
                "waits_for", "payload__title", "payload__level", "audience",
            )
        )  # fmt: skip
        channel = Channel.objects.filter(id=number).first()
        transport = transports.get(channel.type) if channel else None
        if channel is None or len(rows) == 1 or (transport is not None and not transport.takes_summaries):
            _release([row["id"] for row in rows], now)
        else:
            _bundle(channel, rows, now)
        told += len(rows)
    return told


def _release(ids: Sequence[int], now: datetime) -> None:
    for start in range(0, len(ids), CHUNK):
        with transaction.atomic():
            Delivery.objects.filter(id__in=ids[start : start + CHUNK], held=True, state=Delivery.State.PENDING).update(
                held=False, next_attempt_at=now
            )
            ring_after_commit()


def _bundle(channel: Channel, rows: Sequence[dict[str, Any]], now: datetime) -> None:
    message_id = new_id()
    summary = Delivery(
        kind=Delivery.Kind.CHANNEL,
        destination_id=channel.id,
        lane=lane_of(channel.id, "channel", str(channel.id)),
        message_id=str(message_id),
        event_name="summary",
        event_at=now,
        subject_kind="channel",
        subject_id=str(channel.id),
        subject_name=channel.name,
        audience=_audience(rows),
        payload=payload_of(channel, rows, now, message_id),
        reason=f"A summary of {len(rows)} messages that waited for {_waited_for(rows)}.",
    )
    ids = [row["id"] for row in rows]
    for start in range(0, len(ids), CHUNK):
        with transaction.atomic():
            waiting = Delivery.objects.filter(
                id__in=ids[start : start + CHUNK], held=True, state=Delivery.State.PENDING
            )
            if start == 0:
                summary.save(force_insert=True)
            waiting.update(
                state=Delivery.State.BUNDLED,
                bundle=summary,
                reason=f"Told in the summary of {now:%Y-%m-%d %H:%M:%S} UTC.",
                next_attempt_at=None,
                settled_at=now,
            )
            ring_after_commit()


def payload_of(channel: Channel, rows: Sequence[dict[str, Any]], now: datetime, message_id: UUID) -> dict[str, Any]:
    """Return a summary as channels get it: the latest of each thing in the text, every message in `items`."""
    last: dict[str, dict[str, Any]] = {}
    counts: Counter[str] = Counter()
    for row in rows:
        key = row["thing"] or f"{row['subject_kind']}:{row['subject_id']}"
        last.pop(key, None)
        last[key] = row
        counts[key] += 1
    lines = [_line(row, counts[key]) for key, row in last.items()]
    more = len(lines) - MOST_LINES
    if more > 0:
        hidden = sum([counts[key] for key in last][MOST_LINES:])
        lines = [*lines[:MOST_LINES], f"and {hidden} more about {more} other things"]
    levels = [row["payload__level"] for row in rows if row["payload__level"] in _LEVELS]
    return {
        "type": "summary",
        "timestamp": now.isoformat().replace("+00:00", "Z"),
        "id": str(message_id),
        "seq": None,
        "data": {
            "count": len(rows),
            "waited_for": sorted({row["waits_for"] for row in rows}),
            "items": [
                {
                    "delivery_id": str(row["uid"]),
                    "event": row["event_name"],
                    "at": row["event_at"].isoformat().replace("+00:00", "Z"),
                    "subject": {"kind": row["subject_kind"], "id": row["subject_id"], "name": row["subject_name"]},
                    "title": row["payload__title"],
                    "level": row["payload__level"],
                }
                for row in rows[:MOST_ITEMS]
            ],
        },
        "subject": {"kind": "channel", "id": str(channel.id), "name": channel.name},
        "level": max(levels, key=_LEVELS.index, default="info"),
        "tags": [],
        "actor": {"kind": "system", "id": "notifications", "name": "notifications"},
        "title": f"Summary: {len(rows)} messages while waiting for {_waited_for(rows)}",
        "message": "\n".join(lines),
        "url": f"{settings.PUBLIC_URL}/admin/notifications/channel/{channel.id}/",
    }


def _line(row: dict[str, Any], count: int) -> str:
    times = f", the last of {count}" if count > 1 else ""
    return f"{row['event_at']:%H:%M} UTC  {row['payload__title'] or row['event_name']}{times}"


def _waited_for(rows: Sequence[dict[str, Any]]) -> str:
    kinds = sorted({row["waits_for"] for row in rows})
    return " and ".join(str(Delivery.Wait(kind).label) for kind in kinds)


def _audience(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    seen = {row["audience"].get("permission", "") for row in rows}
    # Several kinds of facts in one text: shown in the ledger to those who may see how the channel is set up.
    return {"permission": seen.pop() if len(seen) == 1 else "channels:configure"}
