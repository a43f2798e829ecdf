"""Reads about escalation: what is wrong with a policy, and how far an alert has come."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from apps.alerts.models import Alert, EscalationPolicy, EscalationStep, Reminder
from apps.core.admin.words import spoken
from apps.notifications.models import Channel, Delivery

State = EscalationStep.State
#: So many of an alert's latest steps are shown.
SHOWN = 100


def policies() -> list[EscalationPolicy]:
    """Return the policies in the order in which they are asked."""
    return list(EscalationPolicy.objects.order_by("position", "name", "id"))


def channel_states() -> dict[str, tuple[str, str]]:
    """Return channel id -> its name and why it does not work now ("" where it does)."""
    found = {}
    for number, name, enabled, why, health in Channel.objects.values_list(
        "id", "name", "enabled", "disabled_reason", "state__health"
    ):
        problem = "" if enabled else f"is switched off{f' ({why})' if why else ''}"
        found[str(number)] = (name, problem or ("failed at its last attempts" if health == "failing" else ""))
    return found


def warnings_of(
    policy: EscalationPolicy, others: Iterable[EscalationPolicy], channels: dict[str, tuple[str, str]]
) -> list[str]:
    """Return what of a policy would not do what it says, in sentences.

    Args:
        others: all policies, in the order in which they are asked.
        channels: see `channel_states`.
    """
    found = []
    if policy.enabled:
        key = (policy.position, policy.name, str(policy.id))
        before = [one for one in others if one.enabled and (one.position, one.name, str(one.id)) < key]
        taker = next((one for one in before if one.id != policy.id and _covers(one, policy)), None)
        if taker is not None:
            found.append(f"It is never used: “{taker.name}” stands before it and takes every alert that it would take.")
    for index, step in enumerate(policy.steps):
        word = f"Step {index + 1}"
        works = step["inbox"]
        for number in step["channels"]:
            name, problem = channels.get(number, ("", "was removed"))
            works = works or not problem or problem.startswith("failed")
            if problem:
                found.append(f"{word}: the channel {f'“{name}” ' if name else ''}{problem}.")
        if not works:
            found.append(f"{word} reaches nobody.")
        if index + 1 < len(policy.steps) and step["repeat_s"]:
            gap = policy.steps[index + 1]["after_s"] - step["after_s"]
            if step["repeat_s"] >= gap:
                found.append(f"{word} is never repeated: step {index + 2} comes first, after {spoken(gap)}.")
    return found


def _covers(wide: EscalationPolicy, narrow: EscalationPolicy) -> bool:
    pairs = ((wide.sources, narrow.sources), (wide.levels, narrow.levels), (wide.tags, narrow.tags))
    return all(not taken or (asked and set(asked) <= set(taken)) for taken, asked in pairs)


def in_words(policy: EscalationPolicy, channels: dict[str, tuple[str, str]]) -> list[str]:
    """Return the steps as sentences."""
    found = []
    for step in policy.steps:
        who = [channels.get(one, ("a removed channel", ""))[0] for one in step["channels"]]
        who += ["everybody's inbox"] if step["inbox"] else []
        when = f"After {spoken(step['after_s'])} without acknowledgement" if step["after_s"] else "At once"
        again = f", and again every {spoken(step['repeat_s'])}" if step["repeat_s"] else ""
        found.append(f"{when}: tell {', '.join(who) or 'nobody'}{again}.")
    return found


def ladder_of(alert: Alert) -> dict[str, Any]:
    """Return how far an alert's escalation has come and what would follow; a fixed number of queries.

    Returns:
        `policy_id`, `policy`, `state` ("none", "running", "ended"), `reason` it ended, `steps` (settled, waiting and
        planned ones in order), `reminder` ({every_s, next_at, count, last_at, reason} or None).
    """
    rows = list(alert.ladder.order_by("-id")[:SHOWN])[::-1]
    latest = rows[-1] if rows else None
    waiting = next((row for row in rows if row.state == State.WAITING), None)
    policy = EscalationPolicy.objects.filter(id=latest.policy_id).first() if latest and latest.policy_id else None
    channels = channel_states() if rows else {}
    fates = _fates(rows)
    reminder = Reminder.objects.filter(alert=alert).first()
    return {
        "policy_id": str(latest.policy_id) if latest and latest.policy_id else None,
        "policy": latest.policy_name if latest else None,
        "state": "running" if waiting else "ended" if latest else "none",
        "reason": "" if waiting or latest is None else latest.reason,
        "steps": [_shown(row, channels, fates) for row in rows] + _planned(policy, waiting, channels),
        "reminder": None
        if reminder is None
        else {
            "every_s": reminder.every_s,
            "next_at": reminder.due_at,
            "count": reminder.count,
            "last_at": reminder.last_at,
            "reason": reminder.reason,
        },
    }


def _fates(rows: Sequence[EscalationStep]) -> dict[str, tuple[str, str]]:
    wanted = [one["delivery_id"] for row in rows for one in row.told if one["delivery_id"]]
    found = Delivery.objects.filter(uid__in=wanted)
    return {str(uid): (state, reason) for uid, state, reason in found.values_list("uid", "state", "reason")}


def _shown(
    row: EscalationStep, channels: dict[str, tuple[str, str]], fates: dict[str, tuple[str, str]]
) -> dict[str, Any]:
    told = []
    for one in row.told:
        state, reason = fates.get(one["delivery_id"] or "", ("", one["reason"]))
        told.append(
            {"id": one["channel_id"], "name": one["name"], "state": state or "suppressed", "reason": reason or ""}
        )
    return {
        "number": row.number,
        "round": row.round,
        "repetition": row.repetition,
        "state": row.state,
        "reason": row.reason,
        "due_at": row.due_at,
        "at": row.settled_at,
        "channels": told,
        "inbox_count": row.inbox_count,
    }


def _planned(
    policy: EscalationPolicy | None, waiting: EscalationStep | None, channels: dict[str, tuple[str, str]]
) -> list[dict[str, Any]]:
    if policy is None or waiting is None:
        return []
    return [
        {
            "number": number,
            "round": waiting.round,
            "repetition": 0,
            "state": "planned",
            "reason": "",
            "due_at": waiting.started_at + timedelta(seconds=step["after_s"]),
            "at": None,
            "channels": [
                {"id": one, "name": channels.get(one, ("", ""))[0], "state": "planned", "reason": ""}
                for one in step["channels"]
            ],
            "inbox_count": 0,
        }
        for number, step in enumerate(policy.steps, start=1)
        if number > waiting.number
    ]
