"""Telling named channels and people, whatever the rules say: escalation steps and reminders."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from apps.accounts.models import User
from apps.core.models import Event
from apps.core.principals import grants
from apps.notifications.models import Channel, Delivery
from apps.notifications.patterns import TOLD_DIRECTLY
from apps.notifications.routing import current_routes
from apps.notifications.routing.facts import lane_of
from apps.notifications.services.deliveries import new_delivery, ring_after_commit
from apps.notifications.services.inbox import put_into_inboxes
from apps.notifications.services.wording import words_for
from apps.notifications.texts import payload_for_people

_ARRIVES = (Delivery.State.PENDING, Delivery.State.DELIVERED, Delivery.State.BUNDLED)


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one channel: its delivery, or why there is none that will be sent ("" where one will)."""

    channel_id: str
    name: str
    delivery_id: str | None
    reason: str

    def plain(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return asdict(self)


def send_to_channels(*, fact: Event, channel_ids: Iterable[UUID | str], reason: str, prefix: str = "") -> list[Told]:
    """Queue a fact for the given channels. Call it in the transaction that emitted the fact.

    A channel that is disabled gets a row in the ledger that says so; one that was removed is only named in the answer.

    Args:
        reason: why these are told, for the ledger: "Escalation step 2 of “Nights”."
        prefix: put before the title.

    Returns:
        One entry a channel, in the order given.
    """
    wanted = list(dict.fromkeys(str(one) for one in channel_ids))
    routes = {str(one.channel.id): one for one in current_routes().channels}
    payload = payload_for_people(fact, prefix=prefix)
    told: list[Told] = []
    rows: list[Delivery] = []
    for number in wanted:
        route = routes.get(number)
        if route is None:
            told.append(Told(number, "", None, "This channel was removed."))
            continue
        channel, other = route.channel, route.fallback
        refusal = "" if channel.enabled else "The channel is disabled."
        if refusal and other is not None:
            refusal = f"The channel is disabled; the fallback “{other.name}” is told in its place."
        rows.append(
            new_delivery(
                Delivery.Kind.CHANNEL,
                channel.id,
                fact,
                words_for(payload, None, channel),
                suppressed=refusal,
                reason=reason,
            )
        )
        told.append(Told(number, channel.name, str(rows[-1].uid), refusal))
        if refusal and other is not None and str(other.id) not in wanted:
            words = words_for(payload, None, other)
            place = f"In place of “{channel.name}”: {reason}"
            rows.append(new_delivery(Delivery.Kind.CHANNEL, other.id, fact, words, reason=place))
            told.append(Told(str(other.id), other.name, str(rows[-1].uid), ""))
    if rows:
        Delivery.objects.bulk_create(rows)
        ring_after_commit()
    return told


def send_to_inboxes(*, fact: Event) -> int:
    """Put a fact into the inbox of everybody who may see it; returns into how many."""
    users = [
        user
        for user in User.objects.filter(disabled=False).prefetch_related("roles").order_by("id")
        if grants(user.permission_codes(), fact.audience["permission"])
    ]
    return put_into_inboxes([(fact, users)])


def channels_told_of(*, subject_kind: str, subject_id: str, among: Collection[UUID] | None = None) -> list[UUID]:
    """Return the enabled channels that were or will be told that this alert opened, worsened or goes on; by name."""
    channels = list(Channel.objects.filter(enabled=True).order_by("name", "id").values_list("id", flat=True))
    if among is not None:
        channels = [number for number in channels if number in among]
    lanes = {lane_of(number, subject_kind, subject_id): number for number in channels}
    names = ("alert.opened", "alert.escalated", "alert.unsilenced", *TOLD_DIRECTLY)
    found = set(
        Delivery.objects.filter(lane__in=lanes, event_name__in=names, state__in=_ARRIVES).values_list("lane", flat=True)
    )
    return [number for lane, number in lanes.items() if lane in found]
