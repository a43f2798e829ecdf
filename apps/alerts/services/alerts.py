"""One function per transition of an alert."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.alerts.models import Alert
from apps.alerts.states import ACKNOWLEDGED, ACTIVE, ALERT, RANK, RESOLVED
from apps.core.errors import NotFound
from apps.core.events import Subject, emit
from apps.core.principals import Principal


def open_alert(
    *,
    source: str,
    kind: str,
    subject: Subject,
    level: str,
    message: str,
    actor: Principal,
    value: float | None = None,
    threshold: float | None = None,
    server_id: UUID | None = None,
    tags: list[str] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Alert:
    """Open an alert, or bring the open one of this source, kind and subject up to date.

    A higher level escalates the open alert; a lower or equal one only renews its message and value: it stays at its
    worst
    until it is resolved. The evidence is frozen at opening.

    Emits: alert.opened or alert.escalated, or nothing where the level does not rise.
    """
    with transaction.atomic():
        found = (
            Alert.objects.select_for_update()
            .unresolved()
            .filter(source=source, kind=kind, subject_id=subject.id)
            .first()
        )
        if found is not None:
            return _renew(found, level=level, message=message, value=value, threshold=threshold, actor=actor)
        alert = Alert(
            source=source,
            kind=kind,
            subject_kind=subject.kind,
            subject_id=subject.id,
            subject_name=subject.name,
            server_id=server_id,
            level=level,
            message=message,
            value=value,
            threshold=threshold,
            tags=tags or [],
            evidence=dict(evidence or {}),
        )
        try:
            with transaction.atomic():
                alert.save(force_insert=True)
        except IntegrityError:  # another process opened it between our look and our insert; the constraint decided
            found = Alert.objects.select_for_update().unresolved().get(source=source, kind=kind, subject_id=subject.id)
            return _renew(found, level=level, message=message, value=value, threshold=threshold, actor=actor)
        _emit("alert.opened", alert, actor=actor)
        return alert


def _renew(
    alert: Alert, *, level: str, message: str, value: float | None, threshold: float | None, actor: Principal
) -> Alert:
    before = alert.level
    alert.message, alert.value, alert.threshold = message, value, threshold
    has_escalated = RANK[level] > RANK[alert.level]
    if has_escalated:
        alert.level, alert.escalated_at = level, timezone.now()
        alert.status = ACTIVE  # who acknowledged it knew less than this
    alert.save(update_fields=["message", "value", "threshold", "level", "escalated_at", "status", "updated_at"])
    if has_escalated:
        _emit("alert.escalated", alert, actor=actor, before={"level": before}, after={"level": level})
    return alert


def acknowledge_alert(*, alert_id: UUID | str, actor: Principal, note: str = "") -> Alert:
    """Take care of an alert: reminders stop, it stays open.

    Raises:
        NotFound: no such alert (404).
        Conflict: it is resolved (409).

    Emits: alert.acknowledged.

    Source: contract row POST /alerts/{id}/acknowledge.
    """
    with transaction.atomic():
        alert = _locked(alert_id, actor)
        ALERT.check(alert.status, ACKNOWLEDGED)
        before = alert.status
        alert.status, alert.acknowledged_at, alert.acknowledged_by = ACKNOWLEDGED, timezone.now(), actor.name
        alert.note = note or alert.note
        alert.revision += 1
        alert.save(update_fields=["status", "acknowledged_at", "acknowledged_by", "note", "revision", "updated_at"])
        _emit(
            "alert.acknowledged",
            alert,
            actor=actor,
            by=actor.name,
            before={"status": before},
            after={"status": ACKNOWLEDGED},
        )
        return alert


def resolve_alert(*, alert_id: UUID | str, actor: Principal, note: str = "") -> Alert:
    """Resolve an alert by hand. It opens again only when its subject has recovered and fails anew.

    Raises:
        NotFound: no such alert (404).
        Conflict: it is resolved already (409).

    Emits: alert.resolved.

    Source: contract row POST /alerts/{id}/resolve.
    """
    with transaction.atomic():
        return _resolve(_locked(alert_id, actor), actor=actor, note=note, by=actor.name)


def clear_alert(*, source: str, kind: str, subject_id: str, actor: Principal, note: str = "") -> Alert | None:
    """Resolve the open alert of this source, kind and subject because it recovered.

    Args:
        kind: "" means every kind of the subject, e.g. when the monitor was deleted; the last one resolved is returned.

    Returns:
        The alert, or None where none was open.

    Emits: alert.resolved, one an alert.
    """
    with transaction.atomic():
        rows = Alert.objects.select_for_update().unresolved().filter(source=source, subject_id=subject_id)
        if kind:
            rows = rows.filter(kind=kind)
        last = None
        for alert in rows:
            last = _resolve(alert, actor=actor, note=note, by="")
        return last


def _resolve(alert: Alert, *, actor: Principal, note: str, by: str) -> Alert:
    ALERT.check(alert.status, RESOLVED)
    before = alert.status
    alert.status, alert.resolved_at, alert.resolved_by = RESOLVED, timezone.now(), actor.name
    alert.note = note or alert.note
    alert.revision += 1
    alert.save(update_fields=["status", "resolved_at", "resolved_by", "note", "revision", "updated_at"])
    _emit("alert.resolved", alert, actor=actor, by=by, before={"status": before}, after={"status": RESOLVED})
    return alert


def _locked(alert_id: UUID | str, actor: Principal) -> Alert:
    alert = Alert.objects.select_for_update().visible_to(actor).filter(id=alert_id).first()
    if alert is None:
        raise NotFound("There is no such alert, or you may not see it.")
    return alert


def _emit(
    name: str,
    alert: Alert,
    *,
    actor: Principal,
    by: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    emit(
        name,
        subject=Subject("alert", str(alert.id), alert.subject_name),
        actor=actor,
        level=alert.level,
        tags=alert.tags,
        server_id=alert.server_id,
        before=before,
        after=after,
        data={
            "alert_id": str(alert.id),
            "type": alert.type,
            "source": alert.source,
            "subject_kind": alert.subject_kind,
            "subject_id": alert.subject_id,
            "subject_name": alert.subject_name,
            "server_id": str(alert.server_id) if alert.server_id else None,
            "level": alert.level,
            "status": alert.status,
            "message": alert.message,
            "value": alert.value,
            "threshold": alert.threshold,
            "opened_at": alert.opened_at.isoformat(),
            "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
            "note": alert.note or None,
            "by": by or None,
        },
    )
