"""Questions about notifications."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, Max, Q, QuerySet
from django.utils import timezone

from apps.core.events.audience import may_see
from apps.core.principals import Principal
from apps.notifications.models import Attempt, Channel, Delivery, Notification, Rule, Webhook
from apps.notifications.routing import Answer, FactLike, Routes, explain
from apps.notifications.transports import transports


def unread_count(principal: Principal) -> int:
    """Return how many messages of the caller's inbox are unread."""
    return Notification.objects.visible_to(principal).unread().count()


def channels_with_state() -> QuerySet[Channel]:
    """Return the channels with their state, by name."""
    return Channel.objects.select_related("state", "owner").order_by("name")


def rules_with_channels() -> QuerySet[Rule]:
    """Return the rules with their channels, by name."""
    return Rule.objects.prefetch_related("channels").order_by("name", "id")


def webhooks_with_state() -> QuerySet[Webhook]:
    """Return the webhooks with state and owner, by name."""
    return Webhook.objects.select_related("state", "owner").order_by("name", "id")


def masked_config(channel: Channel) -> dict[str, Any]:
    """Return a channel's configuration with its credentials masked; {} where it can't be opened or its kind is gone."""
    transport = transports.get(channel.type)
    return transport.mask(json.loads(channel.config or "{}")) if transport else {}


def deliveries_of(destination_id: UUID) -> QuerySet[Delivery]:
    """Return the deliveries to a destination with their attempts, newest first."""
    return Delivery.objects.filter(destination_id=destination_id).prefetch_related("tries").order_by("-id")


def payload_for(principal: Principal, delivery: Delivery) -> Mapping[str, Any] | None:
    """Return what was sent, None where the caller may not see such events."""
    return delivery.payload if may_see(principal, delivery.audience) else None


def delivery_statistics(destination_id: UUID, *, days: int = 30) -> dict[str, Any]:
    """Return how deliveries to a destination went in the last `days` days.

    Returns:
        `total`, `delivered`, `failed`, `suppressed`, `pending`; `success_rate` (percent of those that ended, None
        without any); `average_latency_ms` and `attempts`; `last_delivered_at`.
    """
    since = timezone.now() - timedelta(days=days)
    rows = Delivery.objects.filter(destination_id=destination_id, created_at__gte=since)
    counts = rows.aggregate(
        total=Count("id"),
        **{state: Count("id", filter=Q(state=state)) for state in Delivery.State.values},
        last_delivered_at=Max("settled_at", filter=Q(state=Delivery.State.DELIVERED)),
    )
    tries = Attempt.objects.filter(delivery__destination_id=destination_id, delivery__created_at__gte=since)
    figures = tries.aggregate(attempts=Count("id"), average_latency_ms=Avg("latency_ms", filter=Q(error="")))
    ended = counts["delivered"] + counts["failed"]
    average = figures["average_latency_ms"]
    return {
        **counts,
        "days": days,
        "success_rate": round(100 * counts["delivered"] / ended, 2) if ended else None,
        "attempts": figures["attempts"],
        "average_latency_ms": None if average is None else round(average, 1),
    }


def explain_routing(fact_like: FactLike, *, at: datetime, routes: Routes | None = None) -> list[Answer]:
    """Return who would be told of a fact at `at`, by which rule, and why the others not. Writes nothing.

    Args:
        fact_like: an `Event`, or a `routing.MadeFact` that never happened.
        at: decides about hours, digests and quiet hours; what the ledger got later does not count.
        routes: other ones than those in force (`read_routes().with_rule(...)`), to try a rule.

    Returns:
        In the order in which rules are asked: a line per channel of a rule that takes the fact, one per rule that does
        not; then channels without rules, the inbox, webhooks.
    """
    return explain(fact_like, at=at, routes=routes)


def fate_of(event_seq: int) -> list[dict[str, Any]]:
    """Return what became of a fact: per destination its state and the reason, in the order of routing."""
    rows = Delivery.objects.filter(event_seq=event_seq).order_by("id")
    names = {
        **dict(Channel.objects.values_list("id", "name")),
        **dict(Webhook.objects.values_list("id", "name")),
    }
    return [
        {
            "kind": row.kind,
            "destination_id": str(row.destination_id),
            "destination": names.get(row.destination_id, "removed"),
            "state": row.shown_state,
            "reason": row.reason,
            "attempts": row.attempts,
            "next_attempt_at": row.next_attempt_at,
        }
        for row in rows
    ]
