"""Reminders: an open alert that nobody acknowledged is told of again, once an interval, to those who know of it."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.alerts.models import Alert, Reminder
from apps.alerts.services.alerts import unacknowledge_alert
from apps.alerts.services.ladder import policy_for
from apps.alerts.services.telling import ACTOR, emit_about, why_held
from apps.alerts.states import ACKNOWLEDGED, ACTIVE
from apps.core import leases, runtime_settings
from apps.core.admin.words import spoken
from apps.notifications.services.direct import channels_told_of, send_to_channels, send_to_inboxes

EVENT = "alert.reminded"
LEASE_S = 60
AT_ONCE = 100


def interval_for(alert: Alert) -> int:
    """Return the seconds between reminders of an alert: its policy's, else the setting's; 0 for none."""
    policy = policy_for(alert)
    if policy is not None and policy.remind_every_s is not None:
        return policy.remind_every_s
    return int(runtime_settings.get("alerts.remind_every"))


def plan_reminder(*, alert_id: UUID | str, at: datetime, once: bool = False) -> Reminder | None:
    """Begin the reminders of an open alert, or go on with them. Call it in a transaction.

    Args:
        at: when the intervals begin.
        once: tell of it at once as well, e.g. because an acknowledgement has ended.

    Returns:
        The reminder; None where there are to be none.
    """
    alert = Alert.objects.select_for_update().filter(id=alert_id).first()
    if alert is None or alert.status != ACTIVE:
        return None
    every = interval_for(alert)
    if not every and not once:
        stop_reminder(alert_id=alert.id)
        return None
    row = Reminder.objects.filter(alert=alert).first()
    if row is not None and row.due_at is not None and row.every_s == every and not once:
        return row  # it runs already: getting worse does not shift the intervals
    row = row or Reminder(alert=alert, every_s=every)
    row.every_s, row.base_at, row.reason = every, at, ""
    row.due_at = at if once else at + timedelta(seconds=every)
    row.lease_owner, row.lease_until = "", None
    row.save()
    return row


def stop_reminder(*, alert_id: UUID | str) -> None:
    """Let an alert's reminders rest."""
    Reminder.objects.filter(alert_id=alert_id, due_at__isnull=False).update(
        due_at=None, lease_owner="", lease_until=None
    )


def send_reminders(*, now: datetime | None = None, limit: int = AT_ONCE) -> int:
    """Tell of every alert whose reminder is due; returns how many rows were looked at.

    However long nothing ran, an interval has at most one reminder, and lost ones are not made up for.

    Emits: alert.reminded, one a reminder sent.
    """
    moment = now or timezone.now()
    due = Reminder.objects.filter(due_at__lte=moment).order_by("due_at")
    claimed = leases.claim(due, limit=limit, owner=leases.owner(), seconds=LEASE_S)
    for row in claimed:
        with transaction.atomic():
            _remind(row.alert_id, moment)
    return len(claimed)


def end_acknowledgements(*, now: datetime | None = None, limit: int = AT_ONCE) -> int:
    """Give back alerts whose acknowledgement was for a time that is over; returns how many.

    Emits: alert.unacknowledged, one an alert.
    """
    moment = now or timezone.now()
    over = Alert.objects.filter(status=ACKNOWLEDGED, acknowledged_until__isnull=False, acknowledged_until__lte=moment)
    ended = 0
    for alert_id in list(over.order_by("acknowledged_until").values_list("id", flat=True)[:limit]):
        with transaction.atomic():
            alert = Alert.objects.select_for_update().filter(id=alert_id, status=ACKNOWLEDGED).first()
            if alert is None or alert.acknowledged_until is None or alert.acknowledged_until > moment:
                continue  # renewed or taken back meanwhile
            unacknowledge_alert(alert_id=alert_id, actor=ACTOR)
            ended += 1
    return ended


def _remind(alert_id: UUID, now: datetime) -> None:
    alert = Alert.objects.select_for_update().filter(id=alert_id).first()
    row = Reminder.objects.filter(alert_id=alert_id, due_at__isnull=False).first()
    if alert is None or row is None or row.due_at is None or row.due_at > now:
        return  # another worker was first
    if alert.status != ACTIVE:
        stop_reminder(alert_id=alert_id)
        return
    row.reason = why_held(alert, now)[:300]
    if not row.reason:
        _tell(alert, row, now)
    every = interval_for(alert)
    if every != row.every_s:  # the policy or the setting was changed
        row.every_s, row.base_at = every, now
    row.due_at = _next_due(row, now)
    row.lease_owner, row.lease_until = "", None
    row.save()


def _next_due(row: Reminder, now: datetime) -> datetime | None:
    if not row.every_s:
        return None
    passed = int((now - row.base_at).total_seconds() // row.every_s)
    return row.base_at + timedelta(seconds=(passed + 1) * row.every_s)


def _tell(alert: Alert, row: Reminder, now: datetime) -> None:
    row.count, row.last_at = row.count + 1, now
    open_s = (now - alert.opened_at).total_seconds()
    lasting = spoken(open_s)
    fact = emit_about(
        EVENT,
        alert,
        message=f"{alert.message} It has been going on for {lasting} and nobody has acknowledged it.",
        at=now,
        more={"count": row.count, "open_s": open_s},
    )
    channels = channels_told_of(subject_kind="alert", subject_id=str(alert.id))
    send_to_channels(
        fact=fact, channel_ids=channels, reason=f"Reminder, open for {lasting}.", prefix=f"Still open after {lasting}: "
    )
    send_to_inboxes(fact=fact)
