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
from apps.notifications.services.deliveries import lane_of, new_delivery, payload_for_people, ring_after_commit
from apps.notifications.services.inbox import put_into_inboxes

_ARRIVES = (Delivery.State.PENDING, Delivery.State.DELIVERED)


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
    channels = {str(row.id): row for row in Channel.objects.filter(id__in=wanted).only("id", "name", "enabled")}
    payload = payload_for_people(fact, prefix=prefix)
    told: list[Told] = []
    rows: list[Delivery] = []
    for number in wanted:
        channel = channels.get(number)
        if channel is None:
            told.append(Told(number, "", None, "This channel was removed."))
            continue
        refusal = "" if channel.enabled else "The channel is disabled."
        row = new_delivery(Delivery.Kind.CHANNEL, channel.id, fact, payload, suppressed=refusal)
        if not refusal:
            row.reason = reason[:300]
        rows.append(row)
        told.append(Told(number, channel.name, str(row.uid), refusal))
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
    return len(put_into_inboxes(fact, users))


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


def end_for_told_directly(fact: Event, *, channel_ids: Collection[UUID], but: Collection[UUID]) -> list[Delivery]:
    """Return deliveries of "resolved" for channels that only a step or a reminder had told, not saved yet.

    Whoever was told that it is broken is told that it is well, even where no rule sends them here.

    Args:
        channel_ids: the enabled channels.
        but: those that routing has dealt with.
    """
    if fact.name != "alert.resolved":
        return []
    lanes = {lane_of(one, fact.subject_kind, fact.subject_id): one for one in channel_ids if one not in but}
    told = set(
        Delivery.objects.filter(lane__in=lanes, event_name__in=TOLD_DIRECTLY, state__in=_ARRIVES).values_list(
            "lane", flat=True
        )
    )
    payload = payload_for_people(fact) if told else {}
    return [
        new_delivery(Delivery.Kind.CHANNEL, number, fact, payload) for lane, number in lanes.items() if lane in told
    ]
