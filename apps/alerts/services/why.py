"""Why people were told of an alert, or why not: what was seen, what stood against it, who was told, what came back."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from apps.alerts.models import Alert, Decision
from apps.core.admin.words import exact, spoken
from apps.core.models import Event
from apps.monitors.models import CheckResult, Endpoint
from apps.monitors.selectors.endpoints import to_ms
from apps.monitors.states.endpoints import NAMES
from apps.notifications.models import Attempt, Channel, Delivery, Webhook
from apps.notifications.selectors import explain_routing

#: Results before the opening that are shown.
CHECKS = 8
#: Events of an alert whose routing is replayed, the newest first to go.
MOST_EVENTS = 12
#: Deliveries that are shown with their attempts.
MOST_DELIVERIES = 60

TOLD_EVENTS = (
    "alert.opened", "alert.escalated", "alert.unsilenced", "alert.flapping", "alert.settled", "alert.resolved",
    "alert.step_reached", "alert.reminded",
)  # fmt: skip
_WORDS = {
    "alert.opened": "opened",
    "alert.escalated": "got worse",
    "alert.unsilenced": "was told again after a silence",
    "alert.flapping": "flapped",
    "alert.settled": "was stable again",
    "alert.resolved": "ended",
    "alert.step_reached": "reached a step of its escalation",
    "alert.reminded": "was told of again",
}
_STATES = {
    "pending": "waits to be sent",
    "delivered": "arrived",
    "failed": "could not be delivered",
    "suppressed": "was not sent",
    "bundled": "was told in a summary",
}


def why(alert: Alert) -> dict[str, Any]:
    """Return the story of an alert in order: what was seen, what stood against telling, who was told, what came back.

    Returns:
        `summary`, one sentence; `steps`, each {step, outcome, at, text, details}; `step` is seen, condition, opened,
        silence, maintenance, dependency, flapping, routing, delivery or end; `outcome` passed, held, suppressed, told,
        failed or info.
    """
    decisions = list(alert.decisions.order_by("id"))
    events = list(
        Event.objects.filter(subject_kind="alert", subject_id=str(alert.id), name__in=TOLD_EVENTS).order_by("id")
    )
    steps = [*_seen(alert), *_conditions(alert), _opened(alert), *_stood_against(alert, decisions)]
    fates = _deliveries([event.seq for event in events if event.seq is not None])
    for event in events[:MOST_EVENTS]:
        steps += _routed(event)
        steps += [step for seq, step in fates if seq == event.seq]
    if alert.resolved_at:
        steps.append(_step("end", "info", alert.resolved_at, f"Resolved by {alert.resolved_by}. {alert.note}".strip()))
    return {"alert_id": str(alert.id), "summary": _summary(alert, steps), "steps": steps}


def _step(step: str, outcome: str, at: datetime | None, text: str, /, **details: Any) -> dict[str, Any]:
    return {"step": step, "outcome": outcome, "at": at, "text": text, "details": details}


def _summary(alert: Alert, steps: Iterable[dict[str, Any]]) -> str:
    sent = [one for one in steps if one["step"] == "delivery" and one["outcome"] == "told"]
    if alert.muted_by and alert.is_open:
        known = "People know that it opened; nothing more is told now" if alert.is_told else "Nobody was told"
        return f"{known}. {alert.muted_reason}"
    if not alert.is_told:
        return f"Nobody was told. {alert.muted_reason}".strip()
    if sent:
        names = sorted({one["details"]["destination"] for one in sent})
        return f"Told to {', '.join(names)}."
    return "Told in the inbox and on open pages; no message of it has reached a channel or webhook."


# --- what was seen -------------------------------------------------------------------------------------------------


def _seen(alert: Alert) -> list[dict[str, Any]]:
    evidence = alert.evidence
    if alert.source == "endpoint":
        return _checks(alert)
    if evidence.get("received_from"):
        began = parse_datetime(str(evidence.get("started_at") or ""))
        since = f" It began {exact(began)} by its own clock." if began else ""
        said = alert.message if alert.message.endswith((".", "!", "?")) else f"{alert.message}."
        text = f"{evidence['received_from']} ({evidence.get('system')}) posted it: {said}{since}"
        return [_step("seen", "info", alert.opened_at, text, labels=evidence.get("labels", {}))]
    if alert.source == "heartbeat":
        due = parse_datetime(str(evidence.get("due_at") or ""))
        last = parse_datetime(str(evidence.get("last_ping_at") or ""))
        heard = f"The last ping came {exact(last)}." if last else "It has never pinged."
        if due:
            return [_step("seen", "info", due, f"A ping was due {exact(due)}. {heard}")]
        return [_step("seen", "info", alert.opened_at, f"A run reported that it failed: {alert.message}")]
    values = evidence.get("values") or []
    if values:
        shown = [value[1] if isinstance(value, list | tuple) else value for value in values][-CHECKS:]
        text = f"The last values of {evidence.get('metric', alert.kind)}: {', '.join(f'{one:g}' for one in shown)}."
        return [_step("seen", "info", alert.opened_at, text, values=shown)]
    return [_step("seen", "info", alert.opened_at, alert.message)]


def _checks(alert: Alert) -> list[dict[str, Any]]:
    num = Endpoint.objects.filter(pk=alert.subject_id).values_list("num", flat=True).first()
    rows = (
        list(CheckResult.objects.filter(num=num, at__lte=to_ms(alert.opened_at)).order_by("-at")[:CHECKS])
        if num is not None
        else []
    )
    checks: list[dict[str, Any]] = [
        {"at_ms": row.at, "status": NAMES.get(row.status, "unknown"), "latency_ms": row.latency_ms, "error": row.error}
        for row in reversed(rows)
    ]
    if not checks:
        return [_step("seen", "info", alert.opened_at, f"The checks reported: {alert.evidence.get('last_error', '')}")]
    words = ", ".join(one["status"] for one in checks)
    error = next((one["error"] for one in reversed(checks) if one["error"]), "")
    what = f"The last {len(checks)} checks" if len(checks) > 1 else "The only check so far"
    text = f"{what}: {words}." + (f" The last error: {error.rstrip('.')}." if error else "")
    return [_step("seen", "info", alert.opened_at, text, checks=checks)]


def _conditions(alert: Alert) -> list[dict[str, Any]]:
    evidence = alert.evidence
    if alert.source == "endpoint" and evidence.get("threshold"):
        text = (
            f"{_count(evidence.get('consecutive_failures') or 1, 'failure')} in a row; this endpoint tells after "
            f"{evidence['threshold']}."
        )
        return [_step("condition", "passed", alert.opened_at, text)]
    if evidence.get("received_from"):
        word = evidence.get("severity")
        text = (
            f"The sender calls it “{word}”; it was taken as {alert.level}."
            if word
            else f"The sender does not say how bad it is; it was taken as {alert.level}, as its source is set."
        )
        return [_step("condition", "passed", alert.opened_at, text)]
    if alert.source == "server" and alert.threshold is not None:
        lasting = f" for {spoken(evidence['for_s'])}" if evidence.get("for_s") else ", with no time to last"
        text = f"The value {alert.value:g} passed the limit {alert.threshold:g}{lasting}."
        return [_step("condition", "passed", alert.opened_at, text)]
    if alert.source == "heartbeat" and evidence.get("grace_seconds") is not None:
        text = f"Its time of grace, {spoken(evidence['grace_seconds'])}, was over."
        return [_step("condition", "passed", alert.opened_at, text)]
    return []


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _opened(alert: Alert) -> dict[str, Any]:
    again = f" It was seen {alert.count} times since." if alert.count > 1 else ""
    return _step("opened", "passed", alert.opened_at, f"The alert was recorded, {alert.level}.{again}")


# --- what stood against it -----------------------------------------------------------------------------------------


def _stood_against(alert: Alert, decisions: Iterable[Decision]) -> list[dict[str, Any]]:
    mute, steps = Alert.Mute, []
    rows = list(decisions)
    absent = {
        "silence": ({mute.SILENCE}, "No silence matched."),
        "maintenance": ({mute.MAINTENANCE}, "It was not under maintenance."),
        "flapping": ({mute.FLAPPING}, "It did not flap."),
        "dependency": ({mute.DEPENDENCY, mute.WAITING}, "Nothing it depends on was down."),
    }
    named = {row.by for row in rows}
    for step, (values, text) in absent.items():
        if not named & values:
            steps.append(_step(step, "passed", alert.opened_at, text))
    step_of: dict[str, str] = {str(value): step for step, (values, _) in absent.items() for value in values}
    for row in rows:
        step = step_of.get(row.by, "opened")
        steps.append(_step(step, row.outcome, row.at, row.reason, about=row.about, **row.facts))
    return steps


# --- who was told --------------------------------------------------------------------------------------------------


def _routed(event: Event) -> list[dict[str, Any]]:
    word = _WORDS[event.name]
    if event.seq is None:
        return [_step("routing", "held", event.at, f"That it {word} has not been routed yet.", event=event.name)]
    found = []
    for answer in explain_routing(event, at=event.at):
        if answer.kind in ("channel", "webhook") and answer.outcome != "not told":
            continue  # what really became of it stands in the ledger
        where = answer.destination or answer.rule
        by = f" by the rule “{answer.rule}”" if answer.rule and answer.kind != "rule" else ""
        heads = {"channel": f"The channel “{where}”", "webhook": f"The webhook “{where}”",
                 "inbox": f"The inbox ({answer.destination})", "rule": f"The rule “{where}”"}  # fmt: skip
        verb = "is told" if answer.outcome == "told" else f"is {answer.outcome}" if answer.kind != "rule" else "passes"
        if answer.kind == "rule":
            verb = "does not take it"
        text = f"{heads[answer.kind]} {verb}{by} that it {word}." + (f" {answer.reason}" if answer.reason else "")
        outcome = {"told": "passed", "held": "held", "suppressed": "suppressed"}.get(answer.outcome, "info")
        found.append(_step("routing", outcome, event.at, text, event=event.name, **answer.as_dict()))
    return found


def _deliveries(seqs: list[int]) -> list[tuple[int | None, dict[str, Any]]]:
    """Return (number of the fact, step) of what was queued for these facts, oldest first."""
    from_ledger = Delivery.objects.filter(event_seq__in=seqs).order_by("id").prefetch_related("tries")
    rows = list(from_ledger[:MOST_DELIVERIES])
    names = _names_of(rows)
    found = []
    for row in rows:
        tries = [_attempt(one) for one in sorted(row.tries.all(), key=lambda one: one.id)]
        name = names.get(row.destination_id, "a destination that was removed")
        text = f"{name}: that it {_WORDS.get(row.event_name, 'changed')} {_STATES.get(row.state, row.state)}."
        if row.reason:
            text += f" {row.reason}"
        if tries:
            answer = tries[-1]["answer"].rstrip(".")
            text += f" {_count(len(tries), 'attempt')}" + ("." if answer in row.reason else f", the last: {answer}.")
        outcome = {"delivered": "told", "bundled": "told", "failed": "failed", "pending": "held"}.get(
            row.state, "suppressed"
        )
        step = _step(
            "delivery", outcome, row.settled_at or row.created_at, text, destination=name, event=row.event_name,
            state=row.state, reason=row.reason, attempts=tries,
        )  # fmt: skip
        found.append((row.event_seq, step))
    return found


def _names_of(rows: Iterable[Delivery]) -> dict[Any, str]:
    ids = {row.destination_id for row in rows}
    return {
        **dict(Webhook.objects.filter(id__in=ids).values_list("id", "name")),
        **dict(Channel.objects.filter(id__in=ids).values_list("id", "name")),
    }


def _attempt(one: Attempt) -> dict[str, Any]:
    answer = one.error or (f"HTTP {one.status_code}" if one.status_code else "accepted")
    return {"at": one.at, "answer": answer, "status_code": one.status_code, "latency_ms": one.latency_ms}
