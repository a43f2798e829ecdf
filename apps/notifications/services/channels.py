"""Channels: add, change, remove."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.core.errors import Conflict, Invalid
from apps.core.events import Subject, emit
from apps.core.principals import Principal
from apps.notifications.models import Channel, ChannelState, Delivery
from apps.notifications.services.common import clean_flag, clean_name, locked, touch_routes
from apps.notifications.services.deliveries import suppress_open
from apps.notifications.transports import Transport, transports


def config_of(channel: Channel) -> dict[str, Any]:
    """Return the configuration with its secrets; for the sender and for merging."""
    return dict(json.loads(channel.config or "{}"))


def create_channel(
    *, actor: Principal, name: str, type: str = "webhook", config: Mapping[str, Any], enabled: bool = True
) -> Channel:
    """Add a channel.

    Raises:
        Invalid: unknown type, or a field of `config` is wrong (422).
        Conflict: the name is taken, code `duplicate_name` (409).

    Emits:
        channel.created
    """
    transport = _transport(type)
    channel = Channel(name=clean_name(name), type=type, enabled=enabled, owner_id=actor.user_id)
    cleaned = transport.clean_config(_mapping(config))
    channel.config = json.dumps(cleaned)
    with transaction.atomic():
        _save(channel, insert=True)
        ChannelState.objects.create(channel=channel)
        touch_routes()
        emit(
            "channel.created",
            subject=subject_of(channel),
            actor=actor,
            data=facts_of(channel),
            after={"name": channel.name, "type": type, "enabled": enabled, "config": transport.mask(cleaned)},
        )
    return channel


def update_channel(
    *, actor: Principal, channel_id: UUID, changes: Mapping[str, Any], revision: int | None = None
) -> Channel:
    """Change name, config or enabled; "***" in the config keeps what is stored. Enabling clears `disabled_reason`.

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
        if "enabled" in changes and (enabled := clean_flag(changes, "enabled")) != channel.enabled:
            before["enabled"], after["enabled"] = channel.enabled, enabled
            channel.enabled, channel.disabled_reason = enabled, ""
            if enabled:
                ChannelState.objects.filter(channel=channel).update(consecutive_failures=0)
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
