"""Adding heartbeats, and what their changes have in common. Knows nothing of pings, which add heartbeats too."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core import leases
from apps.core.events import Subject, emit
from apps.core.models import Tag
from apps.core.principals import Principal
from apps.monitors.models.heartbeats import Heartbeat, HeartbeatState
from apps.monitors.services.heartbeat_rules import FIELDS, cleaned, cleaned_tags


def create_heartbeat(
    *,
    actor: Principal,
    name: str,
    interval_seconds: int | None = None,
    cron: str = "",
    on_calendar: str = "",
    timezone_name: str = "UTC",
    grace_seconds: int | None = None,
    early_seconds: int | None = None,
    max_runtime_seconds: int | None = None,
    resume_on_ping: bool = False,
    description: str = "",
    slug: str = "",
    ping_key_id: UUID | None = None,
    expected_pings: int = 0,
    expected_sources: Iterable[str] = (),
    failure_keywords: Iterable[str] = (),
    success_keywords: Iterable[str] = (),
    start_keywords: Iterable[str] = (),
    otherwise: str = Heartbeat.AS_SUCCESS,
    tags: Iterable[str] = (),
    ping_uuid: UUID | None = None,
) -> Heartbeat:
    """Add a heartbeat. It waits for nothing until its first ping.

    Args:
        interval_seconds: 10 or more; this or `cron`.
        cron: five fields or @daily and the like, in `timezone_name` (IANA).
        on_calendar: a systemd calendar expression in place of `cron`.
        grace_seconds: how long after the due time it is only late; a fifth of the period within 1 min and 1 h.
        early_seconds: a cron run this early counts for the coming slot; a tenth of the period, at most 5 min.
        max_runtime_seconds: a run that takes longer is down; no limit where None.
        resume_on_ping: a ping resumes it where it is paused.
        slug, ping_key_id: its name below a ping key; made of `name` where only the key is given.
        expected_pings: successes that make a run complete; as many as there are sources where 0.
        expected_sources: names of those that must each report a success.
        failure_keywords, success_keywords, start_keywords: what a success whose body contains one becomes, in this
            order; case counts.
        otherwise: what a success becomes whose body contains none: "success", "fail" or "log".
        ping_uuid: of its ping address, for a job that has one already; a random one where None.

    Raises:
        Invalid: a value is wrong (422).

    Emits: heartbeat.created.

    Source: POST /api/v1/heartbeats.
    """
    values = cleaned(
        {
            "name": name,
            "description": description,
            "interval_seconds": interval_seconds,
            "cron": cron,
            "on_calendar": on_calendar,
            "timezone": timezone_name,
            "grace_seconds": grace_seconds,
            "early_seconds": early_seconds,
            "max_runtime_seconds": max_runtime_seconds,
            "resume_on_ping": resume_on_ping,
            "slug": slug,
            "ping_key_id": ping_key_id,
            "expected_pings": expected_pings,
            "expected_sources": list(expected_sources),
            "failure_keywords": list(failure_keywords),
            "success_keywords": list(success_keywords),
            "start_keywords": list(start_keywords),
            "otherwise": otherwise,
        }
    )
    words = cleaned_tags(tags)
    if ping_uuid is not None:
        values["uuid"] = ping_uuid
    with transaction.atomic():
        heartbeat = Heartbeat.objects.create(num=leases.next_value("heartbeats"), **values)
        heartbeat.state = HeartbeatState.objects.create(heartbeat=heartbeat, since=timezone.now())
        set_tags(heartbeat, words)
        emit_change("created", heartbeat, actor, after={**shown(heartbeat), "tags": words})
    return heartbeat


def set_tags(heartbeat: Heartbeat, words: list[str]) -> None:
    """Give a heartbeat these tags and no others."""
    if words:
        Tag.objects.bulk_create([Tag(name=word) for word in words], ignore_conflicts=True)
    heartbeat.tags.set(Tag.objects.filter(name__in=words))


def shown(heartbeat: Heartbeat) -> dict[str, Any]:
    """Return what people set, as the audit trail keeps it."""
    values = {key: getattr(heartbeat, key) for key in (*FIELDS, "kind")}
    values["ping_key_id"] = str(heartbeat.ping_key_id) if heartbeat.ping_key_id else None
    return values


def emit_change(
    verb: str,
    heartbeat: Heartbeat,
    actor: Principal,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Emit that a person changed a heartbeat: "created", "updated", "deleted", "paused" or "resumed"."""
    emit(
        f"heartbeat.{verb}",
        subject=Subject("heartbeat", str(heartbeat.id), heartbeat.name),
        actor=actor,
        data={"heartbeat_id": str(heartbeat.id), "name": heartbeat.name},
        tags=[tag.name for tag in heartbeat.tags.all()],
        before=before,
        after=after,
    )
