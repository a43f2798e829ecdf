"""Escalation policies: who is told next while nobody acknowledges an alert."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.alerts.models import EscalationPolicy, EscalationStep
from apps.alerts.states import LEVELS
from apps.core.errors import Invalid, NotFound, PreconditionFailed
from apps.core.events import Subject, emit
from apps.core.principals import Principal
from apps.core.runtime_settings import parse_duration
from apps.notifications.models import Channel

STEPS_MOST = 10
CHANNELS_MOST = 50
LONGEST_S = 7 * 86400
#: A step is repeated, and a reminder sent, at most this often.
OFTEN_S = 60
FIELDS = ("name", "position", "sources", "levels", "tags", "steps", "remind_every_s", "enabled")
_STEP_FIELDS = {"after_s", "after", "channels", "channel_ids", "inbox", "repeat_s", "repeat"}


def create_policy(*, actor: Principal, values: Mapping[str, Any]) -> EscalationPolicy:
    """Add an escalation policy; it counts for alerts that open from now on.

    Args:
        values: `name`, `position` (the lowest that fits counts), `sources`, `levels`, `tags`, `steps`,
            `remind_every_s`, `enabled`. A step is {after_s, channels: [ids], inbox, repeat_s}; seconds or "5m".

    Raises:
        Invalid: a value is wrong; the text names the step (422).

    Emits: escalation_policy.created.
    """
    policy = EscalationPolicy()
    _apply(policy, {"name": "", "steps": [], **values})
    with transaction.atomic():
        policy.save(force_insert=True)
        _emit("escalation_policy.created", policy, actor, after=_snapshot(policy))
    return policy


def update_policy(
    *, policy_id: UUID | str, actor: Principal, values: Mapping[str, Any], expected_revision: int | None = None
) -> EscalationPolicy:
    """Change an escalation policy; ladders that run follow its new steps.

    Raises:
        NotFound: no such policy (404).
        PreconditionFailed: it was changed since it was read (412).
        Invalid: as `create_policy` (422).

    Emits: escalation_policy.updated, where something changed.
    """
    with transaction.atomic():
        policy = _locked(policy_id)
        if expected_revision is not None and policy.revision != expected_revision:
            raise PreconditionFailed("Somebody changed this policy since you read it.")
        before = _snapshot(policy)
        _apply(policy, values)
        after = _snapshot(policy)
        changed = [name for name in FIELDS if before[name] != after[name]]
        if changed:
            policy.revision += 1
            policy.save()
            if {"steps", "enabled"} & set(changed):
                _look_again(policy)
            _emit(
                "escalation_policy.updated",
                policy,
                actor,
                before={name: before[name] for name in changed},
                after={name: after[name] for name in changed},
            )
    return policy


def delete_policy(*, policy_id: UUID | str, actor: Principal) -> None:
    """Remove an escalation policy; ladders that run by it end.

    Raises:
        NotFound: no such policy (404).

    Emits: escalation_policy.deleted.
    """
    with transaction.atomic():
        policy = _locked(policy_id)
        _look_again(policy)
        _emit("escalation_policy.deleted", policy, actor, before=_snapshot(policy))
        policy.delete()


def _look_again(policy: EscalationPolicy) -> None:
    # The sweep works out anew when each is due; one statement for any number of ladders.
    EscalationStep.objects.filter(policy=policy, due_at__isnull=False).update(due_at=timezone.now())


def _locked(policy_id: UUID | str) -> EscalationPolicy:
    policy = EscalationPolicy.objects.select_for_update().filter(id=policy_id).first()
    if policy is None:
        raise NotFound("There is no such escalation policy.")
    return policy


def _snapshot(policy: EscalationPolicy) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in FIELDS}


def _emit(name: str, policy: EscalationPolicy, actor: Principal, **audit: Mapping[str, Any]) -> None:
    emit(
        name,
        subject=Subject("escalation_policy", str(policy.id), policy.name),
        actor=actor,
        data={"policy_id": str(policy.id), "name": policy.name},
        before=audit.get("before"),
        after=audit.get("after"),
    )


# --- checking what people gave -------------------------------------------------------------------------------------


def _apply(policy: EscalationPolicy, values: Mapping[str, Any]) -> None:
    problems: dict[str, str] = {f"{name}": "is not a field of a policy" for name in values if name not in FIELDS}
    if "name" in values:
        name = values["name"].strip() if isinstance(values["name"], str) else ""
        if not name or len(name) > 100 or any(ord(letter) < 32 for letter in name):
            problems["name"] = "give one line of 1 to 100 characters"
        policy.name = name
    if "position" in values:
        if not _is_whole(values["position"]) or not 0 <= values["position"] <= 10_000:
            problems["position"] = "give a whole number, 0..10000; the lowest that fits an alert counts"
        else:
            policy.position = values["position"]
    for field in ("sources", "levels", "tags"):
        if field in values:
            words = values[field]
            if not isinstance(words, list) or len(words) > 50 or not all(_is_word(word) for word in words):
                problems[field] = "give a list of at most 50 words"
            elif field == "levels" and (wrong := [word for word in words if word not in LEVELS]):
                problems[field] = f"“{wrong[0]}” is not one of {', '.join(LEVELS)}"
            else:
                setattr(policy, field, list(dict.fromkeys(words)))
    if "enabled" in values:
        if not isinstance(values["enabled"], bool):
            problems["enabled"] = "give true or false"
        else:
            policy.enabled = values["enabled"]
    if "remind_every_s" in values:
        policy.remind_every_s = _seconds("remind_every_s", values["remind_every_s"], problems, least=OFTEN_S)
    if "steps" in values:
        policy.steps = _steps(values["steps"], problems)
    if not policy.steps and not policy.remind_every_s and "steps" not in problems:
        problems["steps"] = "name at least one step, or an interval of reminders"
    if problems:
        raise Invalid(problems)


def _steps(given: Any, problems: dict[str, str]) -> list[dict[str, Any]]:
    if not isinstance(given, list) or len(given) > STEPS_MOST:
        problems["steps"] = f"give a list of at most {STEPS_MOST} steps"
        return []
    found: list[dict[str, Any]] = []
    wanted: dict[str, str] = {}  # channel -> the first place that names it
    for index, step in enumerate(given):
        place = f"steps.{index}"
        if not isinstance(step, Mapping):
            problems[place] = "give an object with after_s and channels or inbox"
            continue
        problems |= {f"{place}.{name}": "is not a field of a step" for name in step if name not in _STEP_FIELDS}
        after = _seconds(f"{place}.after_s", step.get("after_s", step.get("after")), problems)
        if after is None and f"{place}.after_s" not in problems:
            problems[f"{place}.after_s"] = "say after how long without acknowledgement"
        if found and after is not None and after <= found[-1]["after_s"]:
            problems[f"{place}.after_s"] = (
                f"must be later than the step before it ({found[-1]['after_s']} s), or it is never reached in turn"
            )
        repeat = _seconds(f"{place}.repeat_s", step.get("repeat_s", step.get("repeat")), problems, least=OFTEN_S)
        inbox = step.get("inbox", False)
        if not isinstance(inbox, bool):
            problems[f"{place}.inbox"] = "give true or false"
        channels = step.get("channels", step.get("channel_ids", []))
        ids = _ids(f"{place}.channels", channels, problems)
        for one in ids:
            wanted.setdefault(one, f"{place}.channels")
        if not ids and not inbox and f"{place}.channels" not in problems:
            problems[f"{place}.channels"] = "name a channel, or tell people in their inbox"
        found.append({"after_s": after or 0, "channels": ids, "inbox": bool(inbox), "repeat_s": repeat or 0})
    known = (
        {str(one) for one in Channel.objects.filter(id__in=wanted).values_list("id", flat=True)} if wanted else set()
    )
    for one, place in wanted.items():
        if one not in known:
            problems.setdefault(place, f"there is no channel {one}")
    return found


def _ids(place: str, given: Any, problems: dict[str, str]) -> list[str]:
    if not isinstance(given, list) or len(given) > CHANNELS_MOST:
        problems[place] = f"give a list of at most {CHANNELS_MOST} ids"
        return []
    found = []
    for one in given:
        try:
            found.append(str(UUID(str(one))))
        except ValueError:
            problems[place] = f"“{one}” is not an id"
    return list(dict.fromkeys(found))


def _seconds(place: str, given: Any, problems: dict[str, str], *, least: int = 0) -> int | None:
    """Return whole seconds, None for nothing; 0 passes even where `least` is more: it means "not at all"."""
    if given is None or given == "":
        return None
    try:
        seconds = int(parse_duration(given))
    except (ValueError, OverflowError) as error:
        problems[place] = str(error) or "give seconds or a text such as 30m"
        return None
    if not 0 <= seconds <= LONGEST_S or 0 < seconds < least:
        problems[place] = f"must lie between {max(least, 0)} s and 7 days"
        return None
    return seconds


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 100
