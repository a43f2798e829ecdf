"""One function per transition of an alert."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from apps.alerts.models import Alert
from apps.alerts.services import flapping
from apps.alerts.services.evidence import changes_before
from apps.alerts.services.verdicts import MUTE_FIELDS, Verdict, apply_verdict, judge
from apps.alerts.services.verdicts import note as note_decision
from apps.alerts.states import ACKNOWLEDGED, ACTIVE, ALERT, RANK, RESOLVED
from apps.core import runtime_settings
from apps.core.errors import Conflict, NotFound
from apps.core.events import Subject, emit
from apps.core.principals import Principal
from apps.monitors.services.dependencies import ancestors_of

UNTOLD = Verdict("", "Nobody was told that it opened, so nobody is told of its end.")


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

    A higher level escalates the open alert; a lower or equal one only renews its message and value, and counts: it
    stays at its worst until it is resolved. The evidence is frozen at opening. People are told unless a silence,
    maintenance, a parent that is down or may be, or flapping stands against it; why they were not is kept.

    Emits: alert.opened where people are told, else alert.silenced, alert.suppressed or, once, alert.flapping;
        alert.escalated where the level rises and people are told; nothing where it does not rise.
    """
    with transaction.atomic():
        last = _open_or_last(source, kind, subject)
        if last is not None and last.is_open:
            return _renew(last, level=level, message=message, value=value, threshold=threshold, actor=actor)
        now = timezone.now()
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
            opened_at=now,
            last_seen_at=now,
            is_told=False,
        )
        try:
            with transaction.atomic():
                _insert(alert, last, evidence=evidence or {}, actor=actor, now=now)
        except IntegrityError:  # another process opened it between our look and our insert; the constraint decided
            last = _open_or_last(source, kind, subject)
            if last is None or not last.is_open:
                raise
            return _renew(last, level=level, message=message, value=value, threshold=threshold, actor=actor)
        return alert


def _open_or_last(source: str, kind: str, subject: Subject) -> Alert | None:
    """Return the open alert, else the one that ended last: one query tells both, and most things have neither."""
    rows = Alert.objects.select_for_update().filter(
        source=source, kind=kind, subject_kind=subject.kind, subject_id=subject.id
    )
    found: Alert | None = rows.order_by(F("resolved_at").desc(nulls_first=True)).first()
    return found


def _insert(alert: Alert, last: Alert | None, *, evidence: Mapping[str, Any], actor: Principal, now: datetime) -> None:
    flap, has_begun = flapping.note_opening(alert, last=last, now=now)
    ancestors = ancestors_of(alert.subject_kind, alert.subject_id)
    verdict = judge(alert, now=now, ancestors=ancestors, flap=flap)
    changes = changes_before(alert, parents=list(ancestors), now=now)
    alert.evidence = {**evidence, **({"changes": changes} if changes else {})}
    apply_verdict(alert, verdict)
    if verdict is None:
        alert.is_told, alert.told_at = True, now
    alert.save(force_insert=True)
    if verdict is None:
        emit_alert("alert.opened", alert, actor=actor)
        return
    note_decision(alert, about="opening", verdict=verdict, at=now)
    if flap is not None and has_begun and verdict.by == Alert.Mute.FLAPPING:
        more = {"flips": flap.flips, "since": flap.began_at.isoformat()}
        emit_alert("alert.flapping", alert, actor=actor, more=more)
    else:
        emit_muted(alert, actor=actor)


def _renew(
    alert: Alert, *, level: str, message: str, value: float | None, threshold: float | None, actor: Principal
) -> Alert:
    before, now = alert.level, timezone.now()
    alert.message, alert.value, alert.threshold = message, value, threshold
    alert.count, alert.last_seen_at = alert.count + 1, now
    fields = ["message", "value", "threshold", "count", "last_seen_at", "updated_at"]
    has_escalated = RANK[level] > RANK[alert.level]
    if not has_escalated:
        alert.save(update_fields=fields)
        return alert
    alert.level, alert.escalated_at = level, now
    alert.status = ACTIVE  # who acknowledged it knew less than this
    flap = flapping.running_flap(alert) if not alert.is_told else None
    verdict = judge(alert, now=now, flap=flap)  # a silence of warnings does not cover what has become critical
    apply_verdict(alert, verdict)
    was_told = alert.is_told
    if verdict is None:
        alert.is_told, alert.owes_escalation = True, False
        alert.told_at = alert.told_at or now
    else:
        alert.owes_escalation = was_told
    alert.save(update_fields=[*fields, "level", "escalated_at", "status", *MUTE_FIELDS])
    change: dict[str, Any] = {"before": {"level": before}, "after": {"level": level}}
    if verdict is None:
        emit_alert("alert.escalated" if was_told else "alert.opened", alert, actor=actor, **change)
    else:
        note_decision(alert, about="escalation" if was_told else "opening", verdict=verdict, at=now)
        emit_muted(alert, actor=actor, **change)
    return alert


def acknowledge_alert(
    *, alert_id: UUID | str, actor: Principal, note: str = "", until: datetime | None = None
) -> Alert:
    """Take care of an alert: escalation and reminders stop, it stays open.

    Args:
        until: when it is everybody's again if it is still open then; None: it stays acknowledged.

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
        alert.acknowledged_until = until
        alert.note = note or alert.note
        alert.revision += 1
        alert.save(
            update_fields=[
                "status",
                "acknowledged_at",
                "acknowledged_by",
                "acknowledged_until",
                "note",
                "revision",
                "updated_at",
            ]
        )
        emit_alert(
            "alert.acknowledged",
            alert,
            actor=actor,
            by=actor.name,
            before={"status": before},
            after={"status": ACKNOWLEDGED},
        )
        return alert


def unacknowledge_alert(*, alert_id: UUID | str, actor: Principal, note: str = "") -> Alert:
    """Give an alert back to everybody: escalation begins anew, reminders go on.

    Raises:
        NotFound: no such alert (404).
        Conflict: nobody has acknowledged it, or it is resolved (409).

    Emits: alert.unacknowledged.
    """
    with transaction.atomic():
        alert = _locked(alert_id, actor)
        if alert.status != ACKNOWLEDGED:
            raise Conflict("Nobody has acknowledged this alert, or it is resolved.", code="wrong_state")
        ALERT.check(alert.status, ACTIVE)
        alert.status, alert.acknowledged_until = ACTIVE, None
        alert.note = note or alert.note
        alert.revision += 1
        alert.save(update_fields=["status", "acknowledged_until", "note", "revision", "updated_at"])
        emit_alert(
            "alert.unacknowledged",
            alert,
            actor=actor,
            by=actor.name,
            before={"status": ACKNOWLEDGED},
            after={"status": ACTIVE},
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
    alert.review_at = None
    alert.revision += 1
    alert.save(update_fields=["status", "resolved_at", "resolved_by", "note", "review_at", "revision", "updated_at"])
    flapping.note_end(alert, now=alert.resolved_at)
    if not alert.is_told:
        note_decision(alert, about="end", verdict=UNTOLD, at=alert.resolved_at)
    _release_children(alert)
    emit_alert("alert.resolved", alert, actor=actor, by=by, before={"status": before}, after={"status": RESOLVED})
    return alert


def _release_children(alert: Alert) -> None:
    """Have what was muted because of this looked at again, after the time that it gets to recover too."""
    wait = timedelta(seconds=runtime_settings.get("alerts.dependency_wait_s"))
    Alert.objects.unresolved().filter(
        muted_by=Alert.Mute.DEPENDENCY, cause_kind=alert.subject_kind, cause_id=alert.subject_id
    ).update(review_at=timezone.now() + wait)


def _locked(alert_id: UUID | str, actor: Principal) -> Alert:
    alert = Alert.objects.select_for_update().visible_to(actor).filter(id=alert_id).first()
    if alert is None:
        raise NotFound("There is no such alert, or you may not see it.")
    return alert


def emit_muted(
    alert: Alert,
    *,
    actor: Principal,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Tell programs and open pages, but no people, that an alert is muted.

    Emits: alert.silenced or alert.suppressed.
    """
    more = {"muted_by": alert.muted_by, "reason": alert.muted_reason}
    name = "alert.silenced" if alert.is_silenced else "alert.suppressed"
    emit_alert(name, alert, actor=actor, more=more, before=before, after=after)


def emit_alert(
    name: str,
    alert: Alert,
    *,
    actor: Principal,
    by: str = "",
    more: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Emit an event of an alert with the payload that all of them share.

    Args:
        more: fields of this event alone.
    """
    emit(
        name,
        subject=Subject("alert", str(alert.id), alert.subject_name),
        actor=actor,
        level=alert.level,
        tags=alert.tags,
        server_id=alert.server_id,
        before=before,
        after=after,
        data={**facts_of(alert, by=by), **(more or {})},
    )


def facts_of(alert: Alert, *, by: str = "") -> dict[str, Any]:
    """Return the payload that all events of an alert share."""
    return {
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
        "told": alert.is_told,
    }
