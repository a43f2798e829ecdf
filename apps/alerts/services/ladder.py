"""The ladder of an alert: step after step of its escalation policy, until somebody reacts.

At most one step waits for each alert. Its due time is a column; whoever claims it reads alert and policy anew in the
transaction that tells, so that an acknowledgement, a silence or a changed policy counts up to the last moment.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.alerts.models import Alert, EscalationPolicy, EscalationStep
from apps.alerts.services.telling import emit_about, why_held, why_over
from apps.alerts.states import ACTIVE
from apps.core import leases
from apps.core.admin.words import spoken
from apps.notifications.services.direct import send_to_channels, send_to_inboxes

State = EscalationStep.State
EVENT = "alert.step_reached"
LEASE_S = 60
#: A ladder that is held back is looked at again after this many seconds.
LOOK_AGAIN_S = 30
AT_ONCE = 100
#: What is told later than this after it was due was held up by us, not by the period of the sweep.
LATE = timedelta(seconds=30)


def policy_for(alert: Alert) -> EscalationPolicy | None:
    """Return the policy that counts for an alert: the first enabled one, by position, whose filters it passes."""
    policies = EscalationPolicy.objects.filter(enabled=True).order_by("position", "name", "id")
    return next((one for one in policies if one.takes(alert)), None)


def start_ladder(*, alert_id: UUID | str, at: datetime) -> EscalationStep | None:
    """Begin an alert's ladder at its first step, or leave the one that runs alone if the policy is the same.

    Call it in a transaction.

    Args:
        at: when the clock of the steps begins.

    Returns:
        The step that waits; None where no policy fits or the alert is not open and unacknowledged.
    """
    alert = Alert.objects.select_for_update().filter(id=alert_id).first()
    if alert is None or alert.status != ACTIVE:
        return None
    policy = policy_for(alert)
    waiting = EscalationStep.objects.filter(alert=alert, state=State.WAITING).first()
    if waiting is not None:
        if policy is not None and waiting.policy_id == policy.id:
            return waiting
        _settle(
            waiting, State.CANCELLED, f"“{policy.name}” counts for it now." if policy else "No policy fits any more."
        )
    if policy is None or not policy.steps:
        return None
    return _begin(alert, policy, at)


def stop_ladder(*, alert_id: UUID | str, reason: str) -> int:
    """Cancel the step that waits; returns how many waited. Call it in a transaction."""
    now = timezone.now()
    return EscalationStep.objects.filter(alert_id=alert_id, state=State.WAITING).update(
        state=State.CANCELLED, reason=reason[:300], due_at=None, settled_at=now, lease_owner="", lease_until=None
    )


def climb_ladders(*, now: datetime | None = None, limit: int = AT_ONCE) -> int:
    """Tell every step that is due; returns how many rows were looked at.

    Emits: alert.step_reached, one a step told.
    """
    moment = now or timezone.now()
    due = EscalationStep.objects.filter(due_at__lte=moment).order_by("due_at")
    claimed = leases.claim(due, limit=limit, owner=leases.owner(), seconds=LEASE_S)
    for row in claimed:
        with transaction.atomic():
            _reach(row, moment)
    return len(claimed)


# --- one step ------------------------------------------------------------------------------------------------------


def _reach(claimed: EscalationStep, now: datetime) -> None:
    # The alert is locked first, as everybody else does it; then nothing about it changes until we have told.
    alert = Alert.objects.select_for_update().filter(id=claimed.alert_id).first()
    step = EscalationStep.objects.filter(id=claimed.id, state=State.WAITING).first()
    if alert is None or step is None:
        return
    policy = EscalationPolicy.objects.filter(id=step.policy_id).first() if step.policy_id else None
    over = why_over(alert) or _why_no_policy(policy, step)
    if over or policy is None:
        _settle(step, State.CANCELLED, over)
        return
    due = _due(policy, step)
    if due is None or due > now:  # the policy was changed meanwhile
        _move(policy, step, due)
        return
    held = why_held(alert, now)
    if held:
        _hold(step, held, now)
        return
    if step.reason:  # it was held back until now: people hear of the alert only now, so the ladder begins now
        _restart(alert, policy, step, now)
        return
    _tell(alert, policy, step, now)


def _why_no_policy(policy: EscalationPolicy | None, step: EscalationStep) -> str:
    if policy is None:
        return f"The policy “{step.policy_name}” was removed."
    if not policy.enabled:
        return f"The policy “{policy.name}” was switched off."
    if step.number > len(policy.steps):
        return f"“{policy.name}” has no step {step.number} any more."
    return ""


def _due(policy: EscalationPolicy, step: EscalationStep) -> datetime | None:
    """Return when a waiting step is due by the policy as it is now; None where it is not repeated any more."""
    plan = policy.steps[step.number - 1]
    if not step.repetition:
        return step.started_at + timedelta(seconds=plan["after_s"])
    return step.base_at + timedelta(seconds=plan["repeat_s"]) if plan["repeat_s"] else None


def _move(policy: EscalationPolicy, step: EscalationStep, due: datetime | None) -> None:
    if due is None:
        _settle(step, State.CANCELLED, "It is not repeated any more.")
        following = _following(policy, step, step.base_at)
        if following is not None:
            following.save(force_insert=True)
        return
    step.due_at, step.lease_owner, step.lease_until = due, "", None
    step.save(update_fields=["due_at", "lease_owner", "lease_until"])


def _hold(step: EscalationStep, reason: str, now: datetime) -> None:
    if step.reason != reason[:300]:
        EscalationStep.objects.create(
            alert_id=step.alert_id,
            policy_id=step.policy_id,
            policy_name=step.policy_name,
            round=step.round,
            number=step.number,
            repetition=step.repetition,
            started_at=step.started_at,
            base_at=step.base_at,
            state=State.SUPPRESSED,
            reason=reason[:300],
            settled_at=now,
        )
    step.reason, step.due_at = reason[:300], now + timedelta(seconds=LOOK_AGAIN_S)
    step.lease_owner, step.lease_until = "", None
    step.save(update_fields=["reason", "due_at", "lease_owner", "lease_until"])


def _begin(alert: Alert, policy: EscalationPolicy, at: datetime) -> EscalationStep:
    latest = EscalationStep.objects.filter(alert=alert).order_by("-id").values_list("round", flat=True).first() or 0
    return EscalationStep.objects.create(
        alert=alert,
        policy=policy,
        policy_name=policy.name,
        round=latest + 1,
        number=1,
        started_at=at,
        base_at=at,
        due_at=at + timedelta(seconds=policy.steps[0]["after_s"]),
    )


def _restart(alert: Alert, policy: EscalationPolicy, step: EscalationStep, now: datetime) -> None:
    step.delete()  # what held it is on record in a row of its own
    _begin(alert, policy, now)


def _tell(alert: Alert, policy: EscalationPolicy, step: EscalationStep, now: datetime) -> None:
    plan = policy.steps[step.number - 1]
    again = f", repeated for the {_nth(step.repetition)} time" if step.repetition else ""
    reason = f"Escalation step {step.number} of “{policy.name}”{again}."
    lasting = spoken((now - alert.opened_at).total_seconds())
    fact = emit_about(
        EVENT,
        alert,
        message=f"{alert.message} Open for {lasting} and not acknowledged. {reason}",
        at=now,
        more={
            "policy_id": str(policy.id),
            "policy": policy.name,
            "step": step.number,
            "repetition": step.repetition,
            "reason": reason,
        },
    )
    told = send_to_channels(
        fact=fact, channel_ids=plan["channels"], reason=reason, prefix=f"Still open after {lasting}: "
    )
    step.told = [one.plain() for one in told]
    step.inbox_count = send_to_inboxes(fact=fact) if plan["inbox"] else 0
    nobody = (
        ""
        if step.inbox_count or any(not one.reason for one in told)
        else "Nobody could be told: no channel of it works."
    )
    _settle(step, State.TOLD, nobody, at=now)
    following = _following(policy, step, now)
    if following is not None:
        following.save(force_insert=True)


def _following(policy: EscalationPolicy, step: EscalationStep, told_at: datetime) -> EscalationStep | None:
    """Return what waits after a step was told: its repetition or the next step, whichever comes first; not saved."""
    plan = policy.steps[step.number - 1]
    started = step.started_at
    lateness = told_at - started - timedelta(seconds=plan["after_s"])
    if not step.repetition and lateness > LATE:
        started += lateness  # after an outage of ours the next step still leaves people the time it was meant to
    options: list[tuple[datetime, int, int]] = []
    if step.number < len(policy.steps):
        due = started + timedelta(seconds=policy.steps[step.number]["after_s"])
        options.append((max(due, told_at), step.number + 1, 0))
    if plan["repeat_s"]:
        options.append((told_at + timedelta(seconds=plan["repeat_s"]), step.number, step.repetition + 1))
    if not options:
        return None
    due, number, repetition = min(options)
    return EscalationStep(
        alert_id=step.alert_id,
        policy=policy,
        policy_name=policy.name,
        round=step.round,
        number=number,
        repetition=repetition,
        started_at=started,
        base_at=told_at,
        due_at=due,
    )


def _settle(step: EscalationStep, state: str, reason: str, *, at: datetime | None = None) -> None:
    step.state, step.reason, step.due_at = state, reason[:300], None
    step.settled_at, step.lease_owner, step.lease_until = at or timezone.now(), "", None
    step.save(
        update_fields=[
            "state", "reason", "due_at", "settled_at", "lease_owner", "lease_until", "told", "inbox_count",
        ]
    )  # fmt: skip


def _nth(number: int) -> str:
    return {1: "1st", 2: "2nd", 3: "3rd"}.get(number, f"{number}th")
