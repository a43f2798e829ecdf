"""Fallbacks: what a channel can't tell, another tells in its place. Both are in the ledger."""

from apps.core import runtime_settings
from apps.notifications.models import Channel, Delivery
from apps.notifications.routing.facts import lane_of
from apps.notifications.routing.routes import stand_in
from apps.notifications.services.deliveries import repeat_of, ring_after_commit

runtime_settings.declare(
    "notifications", "fallback_after", "int", 3,
    "After how many failed attempts of one message a channel's fallback is told in its place.", least=1, most=9,
)  # fmt: skip


def fallback_of(channel: Channel) -> Channel | None:
    """Return the first channel of the chain of fallbacks that is switched on; None where there is none."""
    if channel.fallback_id is None:
        return None
    return stand_in(channel.fallback_id, Channel.objects.only("id", "name", "enabled", "fallback_id").in_bulk())


def hand_over(delivery: Delivery, other: Channel, why: str) -> Delivery | None:
    """Queue a message for another channel in place of its own; None where that one is told of the fact anyway.

    Call it in the transaction that settles the delivery. The message keeps its id.
    """
    same = Delivery.objects.filter(destination_id=other.id, message_id=delivery.message_id)
    lane = lane_of(other.id, delivery.subject_kind, delivery.subject_id)
    if same.filter(lane=lane).exclude(state=Delivery.State.SUPPRESSED).exists():
        return None
    copy = repeat_of(delivery, other.id, lane=lane, reason=why)
    copy.in_place_of = delivery
    copy.save(force_insert=True)
    ring_after_commit()
    return copy
