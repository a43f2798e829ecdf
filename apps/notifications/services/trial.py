"""Test messages: sent at once, by the process that was asked, outside of any transaction."""

import json
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core.events import emit
from apps.core.ids import new_id
from apps.core.net import run_sync
from apps.core.principals import Principal
from apps.notifications.models import Attempt, Channel, ChannelState, Delivery, Webhook, WebhookState
from apps.notifications.routing.facts import lane_of
from apps.notifications.services import channels, webhooks
from apps.notifications.services.sending import webhook_config
from apps.notifications.transports import Message, Outcome, transports

TEXT = "This is a test message of Watchkeeper. If you read it, messages arrive here."


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What the other side said to a test message."""

    delivery: Delivery
    outcome: Outcome

    @property
    def status(self) -> str:
        """Return "delivered" or "failed"."""
        return "delivered" if self.outcome.ok else "failed"


def try_channel(*, actor: Principal, channel: Channel) -> TrialResult:
    """Send a test message to a channel, also a disabled one, and return what the other side said.

    Emits:
        channel.tested
    """
    payload = _payload("channel", str(channel.id), channel.name, actor)
    payload |= {"title": f"Test of {channel.name}", "message": TEXT, "url": ""}
    outcome = _send(channel.type, channels.config_of(channel), payload)
    with transaction.atomic():
        delivery = _record(Delivery.Kind.CHANNEL, channel, payload, outcome)
        _note(ChannelState.objects.get_or_create(channel=channel)[0], outcome)
        data = {**channels.facts_of(channel), "outcome": "delivered" if outcome.ok else "failed"}
        emit("channel.tested", subject=channels.subject_of(channel), actor=actor, data=data)
    return TrialResult(delivery, outcome)


def try_webhook(*, actor: Principal, webhook: Webhook) -> TrialResult:
    """Send a signed test message to a webhook, also a disabled one, and return what the other side said.

    Emits:
        webhook.tested
    """
    payload = _payload("webhook", str(webhook.id), webhook.name, actor)
    outcome = _send("webhook", webhook_config(webhook), payload)
    with transaction.atomic():
        delivery = _record(Delivery.Kind.WEBHOOK, webhook, payload, outcome)
        _note(WebhookState.objects.get_or_create(webhook=webhook)[0], outcome)
        data = {**webhooks.facts_of(webhook), "outcome": "delivered" if outcome.ok else "failed"}
        emit("webhook.tested", subject=webhooks.subject_of(webhook), actor=actor, data=data)
    return TrialResult(delivery, outcome)


def _payload(kind: str, row_id: str, name: str, actor: Principal) -> dict[str, Any]:
    return {
        "type": "test",
        "timestamp": timezone.now().isoformat().replace("+00:00", "Z"),
        "id": str(new_id()),
        "seq": None,
        "data": {"message": TEXT},
        "subject": {"kind": kind, "id": row_id, "name": name},
        "level": "info",
        "tags": [],
        "actor": {"kind": actor.kind, "id": actor.id, "name": actor.name},
    }


def _send(kind: str, config: dict[str, Any], payload: dict[str, Any]) -> Outcome:
    message = Message(
        id=payload["id"],
        event="test",
        body=json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(),
        title=payload.get("title", "Test"),
        text=TEXT,
    )
    return run_sync(transports[kind].send(config, message))


def _record(kind: str, destination: Channel | Webhook, payload: dict[str, Any], outcome: Outcome) -> Delivery:
    now = timezone.now()
    subject = payload["subject"]
    delivery = Delivery.objects.create(
        kind=kind,
        destination_id=destination.id,
        lane=lane_of(destination.id, "test", payload["id"]),
        message_id=payload["id"],
        event_name="test",
        event_at=now,
        subject_kind=subject["kind"],
        subject_id=subject["id"],
        subject_name=subject["name"],
        audience={"permission": "webhooks:view" if kind == Delivery.Kind.WEBHOOK else "channels:view"},
        payload=payload,
        state=Delivery.State.DELIVERED if outcome.ok else Delivery.State.FAILED,
        attempts=1,
        next_attempt_at=None,
        settled_at=now,
    )
    Attempt.objects.create(
        delivery=delivery, at=now, status_code=outcome.status_code, latency_ms=outcome.latency_ms,
        request=dict(outcome.request), response=outcome.response, error=outcome.error,
    )  # fmt: skip
    return delivery


def _note(state: ChannelState | WebhookState, outcome: Outcome) -> None:
    """Keep how the test went; only real deliveries count towards disabling."""
    state.last_attempt_at = timezone.now()
    state.last_status_code, state.last_error = outcome.status_code, outcome.error[:500]
    state.health = state.Health.HEALTHY if outcome.ok else state.Health.FAILING
    if outcome.ok:
        state.consecutive_failures = 0
    state.save()
