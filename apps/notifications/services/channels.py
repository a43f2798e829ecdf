"""Channels: add, change, remove."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.core.errors import Conflict, Invalid
from apps.core.events import Subject, emit
from apps.core.principals import Principal
from apps.notifications import digests, quiet
from apps.notifications.models import Channel, ChannelState, Delivery
from apps.notifications.services.common import clean_flag, clean_name, clean_seconds, locked, touch_routes
from apps.notifications.services.deliveries import suppress_open
from apps.notifications.templating import clean_template
from apps.notifications.transports import Transport, transports


def config_of(channel: Channel) -> dict[str, Any]:
    """Return the configuration with its secrets; for the sender and for merging."""
    return dict(json.loads(channel.config or "{}"))


#: How a channel tells, besides where to.
MANNERS = ("most_messages", "most_per_s", "quiet_hours", "digest", "title_template", "body_template")


def create_channel(
    *,
    actor: Principal,
    name: str,
    type: str = "webhook",
    config: Mapping[str, Any],
    enabled: bool = True,
    manners: Mapping[str, Any] | None = None,
) -> Channel:
    """Add a channel.

    Args:
        manners: `fallback_id` (a channel that is told when this one fails three times or is disabled), `most_messages`
            in `most_per_s` (seconds or "5m"; 0: no limit), `quiet_hours` (see quiet.py), `digest` (see digests.py),
            `title_template`, `body_template` (see templating.py).

    Raises:
        Invalid: unknown type, or a field of `config` or of the manners is wrong (422).
        Conflict: the name is taken, code `duplicate_name` (409).

    Emits:
        channel.created
    """
    transport = _transport(type)
    channel = Channel(name=clean_name(name), type=type, enabled=enabled, owner_id=actor.user_id)
    cleaned = transport.clean_config(_mapping(config))
    channel.config = json.dumps(cleaned)
    _apply_manners(channel, manners or {})
    with transaction.atomic():
        _save(channel, insert=True)
        ChannelState.objects.create(channel=channel)
        touch_routes()
        emit(
            "channel.created",
            subject=subject_of(channel),
            actor=actor,
            data=facts_of(channel),
            after={
                "name": channel.name, "type": type, "enabled": enabled, "config": transport.mask(cleaned),
                **{field: value for field, value in _manners_of(channel).items() if value},
            },
        )  # fmt: skip
    return channel


def update_channel(
    *, actor: Principal, channel_id: UUID, changes: Mapping[str, Any], revision: int | None = None
) -> Channel:
    """Change name, config, enabled or manners; "***" in the config keeps what is stored.

    Enabling clears `disabled_reason`; manners are those of `create_channel`.

    Raises:
        NotFound (404), Invalid (422), PreconditionFailed (412).
        Conflict: the name is taken (409).

    Emits:
        channel.updated, where something changed.
    """
    with transaction.atomic():
        channel = locked(Channel, channel_id, revision)
        if changes.get("type", channel.type) != channel.type:
            raise Invalid({"type": "can't be changed; add a new channel"})
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        if "name" in changes and (name := clean_name(changes["name"])) != channel.name:
            before["name"], after["name"] = channel.name, name
            channel.name = name
        if "config" in changes:
            _change_config(channel, _mapping(changes["config"]), before, after)
        manners = _manners_of(channel)
        _apply_manners(channel, changes)
        for field, value in _manners_of(channel).items():
            if value != manners[field]:
                before[field], after[field] = manners[field], value
        if {"title_template", "body_template"} & set(changes):
            channel.template_error = ""
        if "enabled" in changes and (enabled := clean_flag(changes, "enabled")) != channel.enabled:
            before["enabled"], after["enabled"] = channel.enabled, enabled
            channel.enabled, channel.disabled_reason = enabled, ""
            if enabled:
                ChannelState.objects.filter(channel=channel).update(consecutive_failures=0, retry_at=None)
            else:
                suppress_open(Delivery.Kind.CHANNEL, channel.id, "The channel was disabled.")
        if after:
            channel.revision += 1
            _save(channel)
            touch_routes()
            data = {**facts_of(channel), "changed": sorted(after)}
            emit("channel.updated", subject=subject_of(channel), actor=actor, data=data, before=before, after=after)
    return channel


def _change_config(channel: Channel, given: Mapping[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
    transport = _transport(channel.type)
    stored = config_of(channel)
    cleaned = transport.clean_config({**transport.mask(stored), **given}, stored)
    if cleaned != stored:
        before["config"], after["config"] = transport.mask(stored), transport.mask(cleaned)
        channel.config = json.dumps(cleaned)


def delete_channel(*, actor: Principal, channel_id: UUID, revision: int | None = None) -> None:
    """Remove a channel; what was not sent yet is suppressed, the ledger stays.

    Raises:
        NotFound (404), PreconditionFailed (412).

    Emits:
        channel.deleted
    """
    with transaction.atomic():
        channel = locked(Channel, channel_id, revision)
        suppress_open(Delivery.Kind.CHANNEL, channel.id, "The channel was removed.")
        emit(
            "channel.deleted", subject=subject_of(channel), actor=actor, data=facts_of(channel),
            before={"name": channel.name, "type": channel.type},
        )  # fmt: skip
        channel.delete()
        touch_routes()


def subject_of(channel: Channel) -> Subject:
    """Return the channel as an event's subject."""
    return Subject("channel", str(channel.id), channel.name)


def facts_of(channel: Channel) -> dict[str, Any]:
    """Return the payload that all events of a channel share."""
    return {"channel_id": str(channel.id), "name": channel.name, "type": channel.type}


def _manners_of(channel: Channel) -> dict[str, Any]:
    shown = {field: getattr(channel, field) for field in MANNERS}
    return {**shown, "fallback_id": str(channel.fallback_id) if channel.fallback_id else None}


def _apply_manners(channel: Channel, values: Mapping[str, Any]) -> None:
    if "fallback_id" in values:
        channel.fallback = _fallback(channel, values["fallback_id"])
    if "most_messages" in values:
        channel.most_messages = _limit(values["most_messages"])
    if "most_per_s" in values:
        channel.most_per_s = clean_seconds("most_per", values["most_per_s"], least=10, most=86400)
    if "quiet_hours" in values:
        channel.quiet_hours = quiet.clean(values["quiet_hours"])
    if "digest" in values:
        channel.digest = digests.clean(values["digest"])
    for field in ("title_template", "body_template"):
        if field in values:
            setattr(channel, field, clean_template(values[field], field))
    transport = transports.get(channel.type)
    if transport is not None and not transport.takes_summaries:
        text = f"{transport.label} opens and closes each alert by itself; it can't be told in summaries"
        problems = {field: text for field in ("digest", "most_messages") if getattr(channel, field)}
        if problems:
            raise Invalid(problems)


def _limit(value: Any) -> int:
    if value in (None, ""):
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10000:
        raise Invalid({"most_messages": "give a whole number from 0 (no limit) to 10000"})
    return value


def _fallback(channel: Channel, value: Any) -> Channel | None:
    if value in (None, ""):
        return None
    try:
        number = value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise Invalid({"fallback_id": f"“{value}” is not an id"}) from None
    chain = dict(Channel.objects.values_list("id", "fallback_id"))
    if number not in chain:
        raise Invalid({"fallback_id": f"there is no channel {number}"})
    following: UUID | None = number
    for _ in range(len(chain) + 1):
        if following == channel.id:
            raise Invalid({"fallback_id": "the fallbacks would lead back to this channel"})
        following = chain.get(following) if following else None
    return Channel.objects.get(id=number)


def _transport(kind: object) -> Transport:
    found = transports.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise Invalid({"type": f"choose one of {', '.join(transports)}"})
    return found


def _mapping(config: object) -> Mapping[str, Any]:
    if not isinstance(config, Mapping):
        raise Invalid({"config": "give an object"})
    return config


def _save(channel: Channel, *, insert: bool = False) -> None:
    try:
        with transaction.atomic():
            channel.save(force_insert=insert)
    except IntegrityError as error:
        raise Conflict(f"There is a channel named “{channel.name}” already.", code="duplicate_name") from error
