"""Rules: add, change, remove, take off a channel."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.core.errors import Invalid, NotFound
from apps.core.events import Subject, emit
from apps.core.events.catalogue import LEVELS, LIVE, catalogue, matches
from apps.core.principals import Principal
from apps.core.registries import subjects
from apps.notifications import digests, quiet
from apps.notifications.models import Channel, Rule
from apps.notifications.patterns import CHANNEL_DEFAULT, clean_patterns
from apps.notifications.routing import RuleRoute
from apps.notifications.services.common import clean_flag, clean_name, clean_seconds, locked, touch_routes
from apps.notifications.templating import clean_template

#: Fields of a rule that people set, besides its channels.
FIELDS = (
    "name",
    "events",
    "levels",
    "sources",
    "tags",
    "subjects",
    "servers",
    "hours",
    "order",
    "stop",
    "inbox",
    "enabled",
    "throttle_s",
    "quiet_hours",
    "escalate_after_s",
    "digest",
    "title_template",
    "body_template",
)


def create_rule(*, actor: Principal, values: Mapping[str, Any]) -> Rule:
    """Add a rule.

    Args:
        values: `name`, `events`, `levels`, `sources`, `tags`, `channel_ids`, `inbox`, `enabled`, `throttle_s` and
            `escalate_after_s` (seconds or "30m"), `quiet_hours` (see `quiet.py`), `subjects` (patterns of what it is
            about), `servers` (ids or slugs), `hours` (in which it counts), `order` and `stop` (behind it no other rule
            is asked), `digest` (see `digests.py`), `title_template`, `body_template`. Without `events`: what a channel
            without rules is told.

    Raises:
        Invalid: a value is wrong or names a channel that does not exist (422).

    Emits:
        rule.created
    """
    rule = Rule(events=list(CHANNEL_DEFAULT))
    channels = _apply(rule, {"name": "", **values})
    with transaction.atomic():
        rule.save(force_insert=True)
        rule.channels.set(channels or [])
        touch_routes()
        emit("rule.created", subject=subject_of(rule), actor=actor, data=facts_of(rule), after=_snapshot(rule))
    return rule


def update_rule(*, actor: Principal, rule_id: UUID, changes: Mapping[str, Any], revision: int | None = None) -> Rule:
    """Change a rule; fields as for `create_rule`.

    Raises:
        NotFound (404), Invalid (422), PreconditionFailed (412).

    Emits:
        rule.updated, where something changed.
    """
    with transaction.atomic():
        rule = locked(Rule, rule_id, revision)
        before = _snapshot(rule)
        channels = _apply(rule, changes)
        if channels is not None:
            rule.channels.set(channels)
        after = _snapshot(rule)
        changed = sorted(name for name in after if after[name] != before[name])
        if changed:
            rule.revision += 1
            if {"title_template", "body_template"} & set(changed):
                rule.template_error = ""
            rule.save()
            if not rule.enabled or rule.escalate_after_s is None:
                rule.escalations.all().delete()
            touch_routes()
            emit(
                "rule.updated",
                subject=subject_of(rule),
                actor=actor,
                data={**facts_of(rule), "changed": changed},
                before={name: before[name] for name in changed},
                after={name: after[name] for name in changed},
            )
    return rule


def delete_rule(*, actor: Principal, rule_id: UUID, revision: int | None = None) -> None:
    """Remove a rule.

    Raises:
        NotFound (404), PreconditionFailed (412).

    Emits:
        rule.deleted
    """
    with transaction.atomic():
        rule = locked(Rule, rule_id, revision)
        emit("rule.deleted", subject=subject_of(rule), actor=actor, data=facts_of(rule), before=_snapshot(rule))
        rule.delete()
        touch_routes()


def detach_rule(*, actor: Principal, rule_id: UUID, channel_id: UUID) -> None:
    """Take a rule off one channel; a rule that then routes to none is removed.

    Raises:
        NotFound: the rule does not route to this channel (404).

    Emits:
        rule.updated or rule.deleted
    """
    with transaction.atomic():
        rule = locked(Rule, rule_id, None)
        others = list(rule.channels.exclude(id=channel_id).values_list("id", flat=True))
        if not rule.channels.filter(id=channel_id).exists():
            raise NotFound("This channel has no such rule.")
        if others:
            update_rule(actor=actor, rule_id=rule_id, changes={"channel_ids": others})
        else:
            delete_rule(actor=actor, rule_id=rule_id)


def subject_of(rule: Rule) -> Subject:
    """Return the rule as an event's subject."""
    return Subject("rule", str(rule.id), rule.name)


def facts_of(rule: Rule) -> dict[str, Any]:
    """Return the payload that all events of a rule share."""
    return {"rule_id": str(rule.id), "name": rule.name}


def _snapshot(rule: Rule) -> dict[str, Any]:
    shown = {name: getattr(rule, name) for name in FIELDS}
    return {**shown, "channel_ids": sorted(str(one) for one in rule.channels.values_list("id", flat=True))}


def proposed_route(values: Mapping[str, Any], *, rule_id: UUID | None = None) -> RuleRoute:
    """Return a rule as it would be with these values, nothing written: of a new one, or of the one of that id.

    Raises:
        Invalid: as for `create_rule` (422).
        NotFound: there is no such rule (404).
    """
    rule = Rule(name="(proposed)", events=list(CHANNEL_DEFAULT))
    current: frozenset[UUID] = frozenset()
    if rule_id is not None:
        found = Rule.objects.filter(id=rule_id).first()
        if found is None:
            raise NotFound("There is no such rule.")
        rule, current = found, frozenset(found.channels.values_list("id", flat=True))
    channels = _apply(rule, values)
    return RuleRoute(rule, current if channels is None else frozenset(channel.id for channel in channels))


def _apply(rule: Rule, values: Mapping[str, Any]) -> list[Channel] | None:
    """Put checked values onto the rule; returns its new channels, None where they stay."""
    if "name" in values:
        rule.name = clean_name(values["name"])
    if "events" in values:
        rule.events = clean_patterns(values["events"])
    if "levels" in values:
        rule.levels = _words("levels", values["levels"], LEVELS)
    for field in ("sources", "tags", "subjects"):
        if field in values:
            setattr(rule, field, _words(field, values[field]))
    if "servers" in values:
        rule.servers = _servers(_words("servers", values["servers"]))
    for field in ("inbox", "enabled", "stop"):
        if field in values:
            setattr(rule, field, clean_flag(values, field))
    if "order" in values:
        rule.order = _order(values["order"])
    if "throttle_s" in values:
        rule.throttle_s = _seconds("throttle", values["throttle_s"]) or 0
    if "escalate_after_s" in values:
        rule.escalate_after_s = _seconds("escalate_after", values["escalate_after_s"]) or None
    if "quiet_hours" in values:
        rule.quiet_hours = quiet.clean(values["quiet_hours"])
    if "hours" in values:
        rule.hours = quiet.clean_hours(values["hours"])
    if "digest" in values:
        rule.digest = digests.clean(values["digest"])
    for field in ("title_template", "body_template"):
        if field in values:
            setattr(rule, field, clean_template(values[field], field))
    channels = _channels(values["channel_ids"]) if "channel_ids" in values else None
    if rule.escalate_after_s:
        if not matches("alert.opened", rule.events):
            raise Invalid({"escalate_after": "works for alerts: let the rule's events include alert.opened"})
        routed = channels if channels is not None else list(rule.channels.all()[:1]) if not rule._state.adding else []
        if not routed:
            raise Invalid({"escalate_after": "needs a channel to tell again"})
    return channels


def check_event(name: str) -> None:
    """Refuse a name that no fact bears.

    Raises:
        Invalid: there is no such event (422).
    """
    if name not in catalogue or catalogue[name].kind == LIVE:
        raise Invalid({"event": f"there is no event “{name}”; docs/events.md lists them"})


def _order(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100000:
        raise Invalid({"order": "give a whole number from 0 to 100000; smaller ones are asked first"})
    return value


def _servers(words: list[str]) -> list[str]:
    known = subjects.get("server")
    found: list[str] = []
    for word in words:
        number = known.resolve(word) if known is not None and known.resolve is not None else None
        if number is None:
            raise Invalid({"servers": f"there is no server “{word}”"})
        found.append(str(number))
    return list(dict.fromkeys(found))


def _words(field: str, value: Any, choices: Iterable[str] | None = None) -> list[str]:
    words = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if words is None:
        return []
    if (
        not isinstance(words, list)
        or len(words) > 50
        or not all(isinstance(one, str) and one and len(one) <= 100 for one in words)
    ):
        raise Invalid({field: "give a list of at most 50 words"})
    if choices is not None and (wrong := [word for word in words if word not in choices]):
        raise Invalid({field: f"“{wrong[0]}” is not one of {', '.join(choices)}"})
    return list(dict.fromkeys(words))


def _seconds(field: str, value: Any) -> int | None:
    return None if value is None else clean_seconds(field, value)


def _channels(ids: Any) -> list[Channel]:
    if not isinstance(ids, list) or len(ids) > 100:
        raise Invalid({"channel_ids": "give a list of at most 100 ids"})
    wanted: set[UUID] = set()
    for one in ids:
        try:
            wanted.add(one if isinstance(one, UUID) else UUID(str(one)))
        except ValueError:
            raise Invalid({"channel_ids": f"“{one}” is not an id"}) from None
    found = list(Channel.objects.filter(id__in=wanted))
    if missing := wanted - {channel.id for channel in found}:
        raise Invalid({"channel_ids": f"there is no channel {sorted(map(str, missing))[0]}"})
    return found
