"""Reads of the core: the audit trail."""

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from apps.core.models import Event


def audit_events(
    *,
    actor: str = "",
    action: str = "",
    level: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    subject_kind: str = "",
    subject_id: str = "",
) -> QuerySet[Event]:
    """Return the audit trail, newest first.

    Args:
        actor: name or id of who did it.
        action: an event's name, or a prefix such as "user.*".
    """
    rows = Event.objects.order_by("-id")
    if actor:
        rows = rows.filter(Q(actor_name=actor) | Q(actor__id=actor))
    if action:
        rows = rows.filter(name__startswith=action[:-1]) if action.endswith("*") else rows.filter(name=action)
    if level:
        rows = rows.filter(level=level)
    if since:
        rows = rows.filter(at__gte=since)
    if until:
        rows = rows.filter(at__lt=until)
    if subject_kind:
        rows = rows.filter(subject_kind=subject_kind)
    if subject_id:
        rows = rows.filter(subject_id=subject_id)
    return rows


def audit_row(event: Event) -> dict[str, Any]:
    """Return one row of the trail in the plain form:
    who did what to which thing, when, from where, before and after.
    """
    return {
        "id": str(event.uid),
        "seq": event.seq,
        "at": event.at.isoformat(),
        "action": event.name,
        "level": event.level,
        "actor": event.actor,
        "resource_type": event.subject_kind,
        "resource_id": event.subject_id,
        "resource_name": event.subject_name,
        "before": event.audit.get("before"),
        "after": event.audit.get("after"),
        "note": event.audit.get("note", ""),
        "ip_address": event.audit.get("address", ""),
        "user_agent": event.audit.get("user_agent", ""),
        "request_id": event.audit.get("request_id", ""),
    }
