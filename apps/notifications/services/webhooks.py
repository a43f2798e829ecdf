"""Webhooks: add, change, rotate the secret, remove."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.accounts.permissions import CODES
from apps.accounts.principals import principal_of_user
from apps.core import runtime_settings
from apps.core.errors import Forbidden, Invalid
from apps.core.events import Subject, emit
from apps.core.events.audience import may_see
from apps.core.fields import MASK
from apps.core.principals import Principal, grants
from apps.notifications.models import Delivery, Webhook, WebhookState
from apps.notifications.patterns import clean_patterns
from apps.notifications.services.common import clean_flag, clean_name, locked, touch_routes
from apps.notifications.services.deliveries import suppress_open
from apps.notifications.services.targets import check_url_form
from apps.notifications.signing import clean_secret, make_secret

runtime_settings.declare(
    "notifications", "secret_overlap", "duration", 86400,
    "How long a replaced webhook secret still signs beside the new one.", least=0, most=30 * 86400,
)  # fmt: skip


def create_webhook(
    *,
    actor: Principal,
    url: str,
    events: Any = None,
    name: str = "",
    description: str = "",
    secret: str = "",
    enabled: bool = True,
) -> tuple[Webhook, str | None]:
    """Add a webhook of the caller.

    Args:
        events: names and patterns; None means all facts that its owner may read.
        name: "" takes the URL's host.
        secret: `whsec_` and base64; "" has one made.

    Returns:
        The webhook, and the secret where it was made here: this is the only time it is shown.

    Raises:
        Invalid: URL refused by the outbound policy, unknown event, malformed secret (422).
        Forbidden: the caller is not a person's credential (403).

    Emits:
        webhook.created
    """
    if actor.user_id is None:
        raise Forbidden("A webhook belongs to a person; sign in as one.")
    target = check_url_form(url)
    made = None if secret else make_secret()
    webhook = Webhook(
        name=clean_name(name or urlsplit(target).hostname or "webhook"),
        url=target,
        events=clean_patterns(["*"] if events is None else events),
        description=_description(description),
        secret=made or clean_secret(secret),
        enabled=enabled,
        owner_id=actor.user_id,
        codes_cap=sorted(actor.permissions) if actor.kind == "api_key" else None,
    )
    with transaction.atomic():
        webhook.save(force_insert=True)
        WebhookState.objects.create(webhook=webhook)
        touch_routes()
        shown = {name: getattr(webhook, name) for name in ("name", "url", "events", "description", "enabled")}
        emit(
            "webhook.created", subject=subject_of(webhook), actor=actor, data=facts_of(webhook),
            after={**shown, "secret": MASK},
        )  # fmt: skip
    return webhook, made


def update_webhook(
    *, actor: Principal, webhook_id: UUID, changes: Mapping[str, Any], revision: int | None = None
) -> tuple[Webhook, str | None]:
    """Change url, events, name, description, enabled or secret.

    Args:
        changes: `secret` given, or `rotate_secret` true: the former secret signs beside the new one for
            `notifications.secret_overlap`. Enabling clears the reason it was off for.

    Returns:
        The webhook, and its new secret where that was made here.

    Raises:
        NotFound (404), Invalid (422), PreconditionFailed (412).
        Forbidden: the webhook delivers what the caller may not read, and he would change where it goes (403).

    Emits:
        webhook.updated, where something changed.
    """
    with transaction.atomic():
        webhook = locked(Webhook, webhook_id, revision)
        _require_its_rights(actor, webhook)
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}

        def put(field: str, value: Any) -> None:
            if getattr(webhook, field) != value:
                before[field], after[field] = getattr(webhook, field), value
                setattr(webhook, field, value)

        if "url" in changes:
            put("url", check_url_form(changes["url"]))
        if "events" in changes:
            put("events", clean_patterns(changes["events"]))
        if "name" in changes:
            put("name", clean_name(changes["name"]))
        if "description" in changes:
            put("description", _description(changes["description"]))
        if "enabled" in changes:
            put("enabled", clean_flag(changes, "enabled"))
            if after.get("enabled"):
                webhook.disabled_reason = ""
                WebhookState.objects.filter(webhook=webhook).update(consecutive_failures=0)
            elif "enabled" in after:
                suppress_open(Delivery.Kind.WEBHOOK, webhook.id, "The webhook was disabled.")
        made = _change_secret(webhook, changes, before, after)
        if after:
            webhook.revision += 1
            webhook.save()
            touch_routes()
            data = {**facts_of(webhook), "changed": sorted(after)}
            emit("webhook.updated", subject=subject_of(webhook), actor=actor, data=data, before=before, after=after)
    return webhook, made


def _change_secret(
    webhook: Webhook, changes: Mapping[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> str | None:
    given = changes.get("secret")
    if given == MASK:
        given = None
    if not given and not changes.get("rotate_secret"):
        return None
    if given and not isinstance(given, str):
        raise Invalid({"secret": "give a text"})
    made = None if given else make_secret()
    webhook.previous_secret = webhook.secret
    webhook.previous_secret_until = timezone.now() + timedelta(
        seconds=runtime_settings.get("notifications.secret_overlap")
    )
    webhook.secret = made or clean_secret(str(given))
    before["secret"] = after["secret"] = MASK
    return made


def delete_webhook(*, actor: Principal, webhook_id: UUID, revision: int | None = None) -> None:
    """Remove a webhook; what was not sent yet is suppressed.

    Raises:
        NotFound (404), PreconditionFailed (412).

    Emits:
        webhook.deleted
    """
    with transaction.atomic():
        webhook = locked(Webhook, webhook_id, revision)
        suppress_open(Delivery.Kind.WEBHOOK, webhook.id, "The webhook was removed.")
        before = {"name": webhook.name, "url": webhook.url, "events": webhook.events}
        emit("webhook.deleted", subject=subject_of(webhook), actor=actor, data=facts_of(webhook), before=before)
        webhook.delete()
        touch_routes()


def subject_of(webhook: Webhook) -> Subject:
    """Return the webhook as an event's subject."""
    return Subject("webhook", str(webhook.id), webhook.name)


def facts_of(webhook: Webhook) -> dict[str, Any]:
    """Return the payload that all events of a webhook share."""
    return {"webhook_id": str(webhook.id), "name": webhook.name}


def delivers(webhook: Webhook, audience: Mapping[str, Any]) -> bool:
    """Return whether its owner, and the key that made it, may read now what has this audience.

    Args:
        webhook: with `owner` and the owner's roles at hand.
    """
    if webhook.owner.disabled or not may_see(principal_of_user(webhook.owner), audience):
        return False
    return webhook.codes_cap is None or grants(frozenset(webhook.codes_cap), audience["permission"])


def _require_its_rights(actor: Principal, webhook: Webhook) -> None:
    # Whoever sets the target reads what goes there: an operator must not turn an admin's webhook towards himself.
    owner = principal_of_user(webhook.owner)
    cap = None if webhook.codes_cap is None else frozenset(webhook.codes_cap)
    for code in CODES:
        if owner.can(code) and (cap is None or grants(cap, code)) and not actor.can(code):
            raise Forbidden("This webhook delivers more than you may read; you can't change it.")


def _description(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 500:
        raise Invalid({"description": "give a text of at most 500 characters"})
    return value.strip()
