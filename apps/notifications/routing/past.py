"""What the ledger says of the past of some facts: read at once for all of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from apps.notifications.models import Delivery
from apps.notifications.patterns import TOLD_DIRECTLY
from apps.notifications.routing.facts import FactLike, lane_of, thing_of
from apps.notifications.routing.routes import Routes

OPENING = ("alert.opened", "alert.escalated", "alert.unsilenced")
#: What tells a channel that something is wrong: routed, or sent to it by an escalation step or a reminder.
_TELLING = (*OPENING, *TOLD_DIRECTLY)
_ALIVE = (Delivery.State.PENDING, Delivery.State.DELIVERED)


@dataclass(frozen=True, slots=True)
class Row:
    """A delivery of the past, as far as it matters."""

    id: int
    event_name: str
    state: str
    waits_for: str  # of one that is held still, else ""
    until: datetime | None
    bundle_state: str

    @property
    def is_told(self) -> bool:
        """Return whether it has arrived, alone or in a summary, or will."""
        return self.state in _ALIVE or (self.state == Delivery.State.BUNDLED and self.bundle_state in _ALIVE)


class Past:
    """The ledger around some facts.

    A mass outage is thousands of facts; each question is asked once for a batch of them.

    Args:
        at: look back from here; None in the reader, where nothing is newer than the facts.
    """

    def __init__(self, facts: Sequence[FactLike], routes: Routes, *, at: datetime | None = None) -> None:
        self._rows = Delivery.objects.filter(kind=Delivery.Kind.CHANNEL)
        if at is not None:
            self._rows = self._rows.filter(created_at__lte=at)
        self.lanes: defaultdict[str, list[Row]] = defaultdict(list)
        self._stand_ins: defaultdict[int, list[UUID]] = defaultdict(list)
        self._told: set[tuple[UUID, UUID | None, str, str]] = set()
        self._told_at: defaultdict[tuple[UUID, UUID | None, str, str], list[datetime]] = defaultdict(list)
        self._counted: dict[UUID, list[datetime]] = {}
        self._waiting: dict[UUID, datetime | None] = {}
        self._read_lanes(facts, routes)
        self._read_told(facts, routes)

    def _read_lanes(self, facts: Sequence[FactLike], routes: Routes) -> None:
        numbers = [one.channel.id for one in routes.channels]
        lanes = [
            lane_of(number, fact.subject_kind, fact.subject_id)
            for fact in facts
            if fact.name.startswith("alert.")
            for number in numbers
        ]
        if not lanes:
            return
        rows = self._rows.filter(Q(event_name__in=_TELLING) | Q(held=True), lane__in=lanes).order_by("id")
        failed: list[int] = []
        for lane, held, waits_for, number, name, state, until, bundle_state in rows.values_list(
            "lane", "held", "waits_for", "id", "event_name", "state", "next_attempt_at", "bundle__state"
        ):
            waits = waits_for if held and state == Delivery.State.PENDING else ""
            self.lanes[lane].append(Row(number, name, state, waits, until, bundle_state or ""))
            if state in (Delivery.State.FAILED, Delivery.State.SUPPRESSED):
                failed.append(number)
        if failed:
            found = Delivery.objects.filter(in_place_of_id__in=failed).exclude(state=Delivery.State.SUPPRESSED)
            for number, destination in found.values_list("in_place_of_id", "destination_id"):
                assert number is not None
                self._stand_ins[number].append(destination)

    def _read_told(self, facts: Sequence[FactLike], routes: Routes) -> None:
        longest = max((one.rule.throttle_s for one in routes.rules), default=0)
        if not longest or not facts:
            return
        earliest = min(fact.at for fact in facts) - timedelta(seconds=longest)
        rows = self._rows.filter(
            destination_id__in=[one.channel.id for one in routes.channels],
            thing__in={thing_of(fact) for fact in facts},
            event_at__gt=earliest,
            rule_id__isnull=False,
        ).exclude(state=Delivery.State.SUPPRESSED)
        for destination, rule, thing, name, at in rows.values_list(
            "destination_id", "rule_id", "thing", "event_name", "event_at"
        ):
            self._told_at[destination, rule, thing, name].append(at)

    def was_told(self, channel_id: UUID, rule_id: UUID, fact: FactLike, within_s: int) -> bool:
        """Return whether the rule told the channel the same of the same thing within that time before the fact."""
        since = fact.at - timedelta(seconds=within_s)
        times = self._told_at.get((channel_id, rule_id, thing_of(fact), fact.name), ())
        return any(since < at <= fact.at for at in times)

    def openings(self, lane: str) -> list[Row]:
        """Return how a channel was told that something opened, got worse or goes on, oldest first."""
        return [row for row in self.lanes.get(lane, ()) if row.event_name in _TELLING]

    def was_told_directly(self, lane: str) -> bool:
        """Return whether an escalation step or a reminder told a channel, whatever its rules say."""
        return any(row.event_name in TOLD_DIRECTLY and row.is_told for row in self.lanes.get(lane, ()))

    def stand_ins(self, rows: Iterable[Row]) -> list[UUID]:
        """Return the channels that were told in place of these."""
        return [number for row in rows for number in self._stand_ins.get(row.id, ())]

    def room_after(self, channel_id: UUID, most: int, per_s: int, now: datetime) -> datetime | None:
        """Return from when on a channel may be told again under its limit; None: now.

        While messages wait for room the next ones wait with them, so that none overtakes.
        """
        if channel_id not in self._counted:
            rows = self._rows.filter(destination_id=channel_id, created_at__gt=now - timedelta(seconds=per_s))
            alone = rows.filter(held=False).exclude(
                state__in=(Delivery.State.SUPPRESSED, Delivery.State.BUNDLED)
            ).exclude(event_name="test")  # fmt: skip
            self._counted[channel_id] = list(alone.order_by("-created_at").values_list("created_at", flat=True)[:most])
            waiting = self._rows.filter(destination_id=channel_id, held=True, waits_for=Delivery.Wait.LIMIT)
            self._waiting[channel_id] = (
                waiting.filter(state=Delivery.State.PENDING)
                .order_by("next_attempt_at")
                .values_list("next_attempt_at", flat=True)
                .first()
            )
        waiting_until = self._waiting[channel_id]
        if waiting_until is not None:
            return waiting_until
        counted = self._counted[channel_id]
        if len(counted) < most:
            return None
        self._waiting[channel_id] = min(counted) + timedelta(seconds=per_s)
        return self._waiting[channel_id]

    def count(self, channel_id: UUID, now: datetime) -> None:
        """Take note that a channel is being told now."""
        if channel_id in self._counted:
            self._counted[channel_id].append(now)
