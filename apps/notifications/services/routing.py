"""Routing: write who is told of facts. Runs in the reader's transaction and only writes rows.

Facts are taken in batches, so that a mass outage costs a few statements per hundred facts and not seven per fact.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import User
from apps.core.events.catalogue import matches
from apps.core.models import Event
from apps.core.principals import grants
from apps.notifications.models import Channel, Delivery, Escalation, Rule, Webhook
from apps.notifications.patterns import INBOX_DEFAULT, TOLD_DIRECTLY
from apps.notifications.routing import Past, Plan, Routes, RuleRoute, asked_rules, current_routes, plan_for
from apps.notifications.routing.explain import held_back
from apps.notifications.routing.facts import lane_of
from apps.notifications.routing.past import OPENING
from apps.notifications.services.deliveries import (
    insert_deliveries,
    new_delivery,
    ring_after_commit,
    suppress,
)
from apps.notifications.services.inbox import put_into_inboxes
from apps.notifications.services.webhooks import delivers
from apps.notifications.services.wording import words_for
from apps.notifications.texts import payload_for_people, payload_of, thing_of

ENDING = ("alert.acknowledged", "alert.silenced", "alert.resolved")
#: Facts of one batch, and channels times facts at most: what is looked up in the ledger at once.
MOST_FACTS, MOST_LANES = 250, 5000


def route(fact: Event) -> None:
    """Write what follows from a fact: inbox messages, deliveries, escalations."""
    route_many([fact])


def route_many(facts: Sequence[Event]) -> None:
    """Write what follows from facts, in their order; in the end the same as one by one."""
    routes = current_routes()
    for batch in _batches(facts, routes):
        _Batch(routes, batch).write()


def _batches(facts: Sequence[Event], routes: Routes) -> Iterator[list[Event]]:
    """Yield the facts in batches in which no two are about the same thing: each may depend on the one before."""
    most = max(1, min(MOST_FACTS, MOST_LANES // max(1, len(routes.channels))))
    batch: list[Event] = []
    seen: set[str] = set()
    for fact in facts:
        if not fact.audience.get("permission"):
            continue  # for the audit trail alone
        things = {thing_of(fact), f"{fact.subject_kind}:{fact.subject_id}"}
        if batch and (len(batch) >= most or things & seen):
            yield batch
            batch, seen = [], set()
        batch.append(fact)
        seen |= things
    if batch:
        yield batch


@dataclass
class _Batch:
    routes: Routes
    facts: list[Event]
    now: datetime = field(default_factory=timezone.now)
    deliveries: list[Delivery] = field(default_factory=list)
    stand_ins: list[tuple[Delivery, Delivery]] = field(default_factory=list)  # with what they stand in for
    dropped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # reason -> lanes
    inboxes: list[tuple[Event, list[User]]] = field(default_factory=list)
    escalations: list[Escalation] = field(default_factory=list)

    def write(self) -> None:
        """Decide and write."""
        # What concerns one person (the inbox itself, own keys) is no business of channels and other people's inboxes.
        shared = [fact for fact in self.facts if not fact.audience.get("owner_id") and fact.name not in TOLD_DIRECTLY]
        self._forget_escalations([fact for fact in self.facts if fact.name in ENDING])
        if shared:
            self._decide(shared)
        self._to_webhooks()
        put_into_inboxes(self.inboxes)
        for reason, lanes in self.dropped.items():
            held = Delivery.objects.filter(lane__in=lanes, held=True, waits_for=Delivery.Wait.QUIET)
            suppress(held, reason)
        if self.escalations:
            Escalation.objects.bulk_create(self.escalations, ignore_conflicts=True)
        if self.stand_ins:
            Delivery.objects.bulk_create(self.deliveries)
            for delivery, original in self.stand_ins:
                delivery.in_place_of = original
            insert_deliveries([delivery for delivery, _ in self.stand_ins])
        else:
            insert_deliveries(self.deliveries)
        if self.deliveries or self.stand_ins:
            ring_after_commit()

    def _decide(self, facts: list[Event]) -> None:
        past = Past(facts, self.routes)
        holds = held_back(facts)
        readers = _Readers()
        for fact in facts:
            hold = holds.get((fact.name, fact.subject_kind, fact.subject_id), "")
            matched = [one for one, reason in asked_rules(self.routes.rules, fact, fact.at) if not reason]
            inbox = matches(fact.name, INBOX_DEFAULT) or any(one.rule.inbox for one in matched)
            if inbox and not hold:
                self.inboxes.append((fact, readers.of(fact)))
            self._to_channels(fact, matched, past, hold)
            if fact.name in OPENING and not hold:  # what got worse counts anew, even if it was acknowledged before
                self._escalate_later(matched, fact)

    # --- channels ----------------------------------------------------------------------------------------------------

    def _to_channels(self, fact: Event, matched: list[RuleRoute], past: Past, hold: str) -> None:
        plans = [plan_for(route, fact, matched, past, self.now) for route in self.routes.channels]
        told = {plan.channel.id for plan in plans if plan is not None and not plan.suppressed and not plan.in_place}
        default: dict[str, Any] | None = None
        for plan in plans:
            if plan is None:
                continue
            default = default or payload_for_people(fact)
            payload = words_for(default, plan.rule, plan.channel)
            if hold:
                self._add(fact, plan, payload, suppressed=hold)
                continue
            if plan.drops_held and past.lanes.get(lane := _lane(plan.channel, fact)):
                self.dropped[plan.drops_held].append(lane)
            if plan.in_place is None:
                self._add(fact, plan, payload, suppressed=plan.suppressed)
                if not plan.suppressed and plan.until is None:
                    past.count(plan.channel.id, self.now)
                continue
            reason, other = plan.in_place
            original = self._add(fact, plan, payload, suppressed=reason)
            if other.id not in told:
                told.add(other.id)
                words = f"In place of “{plan.channel.name}”: {reason}"
                stand_in = _delivery(fact, other.id, plan, words_for(default, plan.rule, other), reason=words)
                self.stand_ins.append((stand_in, original))

    def _add(self, fact: Event, plan: Plan, payload: Mapping[str, Any], *, suppressed: str) -> Delivery:
        delivery = _delivery(fact, plan.channel.id, plan, payload, suppressed=suppressed)
        self.deliveries.append(delivery)
        return delivery

    # --- escalation --------------------------------------------------------------------------------------------------

    def _forget_escalations(self, facts: list[Event]) -> None:
        if facts:
            over = Q()
            for fact in facts:
                over |= Q(subject_kind=fact.subject_kind, subject_id=fact.subject_id)
            Escalation.objects.filter(over).delete()

    def _escalate_later(self, matched: Iterable[RuleRoute], fact: Event) -> None:
        assert fact.seq is not None
        self.escalations += [
            Escalation(
                rule_id=one.rule.id,
                subject_kind=fact.subject_kind,
                subject_id=fact.subject_id,
                event_seq=fact.seq,
                due_at=fact.at + timedelta(seconds=one.rule.escalate_after_s),
            )
            for one in matched
            if one.rule.escalate_after_s
        ]

    # --- webhooks ----------------------------------------------------------------------------------------------------

    def _to_webhooks(self) -> None:
        wanted = {
            number: [fact for fact in self.facts if matches(fact.name, events)]
            for number, events in self.routes.webhooks
        }
        wanted = {number: facts for number, facts in wanted.items() if facts}
        if not wanted:
            return
        named = dict(self.routes.webhooks)
        rows = Webhook.objects.filter(id__in=wanted, enabled=True).select_related("owner")
        found = {row.id: row for row in rows.prefetch_related("owner__roles")}
        payloads: dict[UUID, dict[str, Any]] = {}
        for number in sorted(found, key=str):
            for fact in wanted[number]:
                if delivers(found[number], fact.audience):
                    payload = payloads.setdefault(fact.uid, payload_of(fact))
                    self.deliveries.append(new_delivery(Delivery.Kind.WEBHOOK, number, fact, payload))
                elif not fact.audience.get("owner_id") and fact.name in named[number]:
                    # Named outright, so its absence needs a reason; the content stays out.
                    reason = "The webhook's owner may not read this event."
                    self.deliveries.append(new_delivery(Delivery.Kind.WEBHOOK, number, fact, {}, suppressed=reason))


class _Readers:
    """The enabled users who may see a fact, without the one who did it himself."""

    def __init__(self) -> None:
        self._users: list[tuple[User, Callable[[str], bool]]] | None = None

    def of(self, fact: Event) -> list[User]:
        """Return them by id."""
        if self._users is None:
            users = User.objects.filter(disabled=False).prefetch_related("roles").order_by("id")
            self._users = [(user, _granted(user.permission_codes())) for user in users]
        permission, own = fact.audience["permission"], fact.actor.get("user_id")
        return [user for user, may in self._users if may(permission) and str(user.id) != own]


def _granted(codes: Any) -> Callable[[str], bool]:
    known: dict[str, bool] = {}

    def may(permission: str) -> bool:
        if permission not in known:
            known[permission] = grants(codes, permission)
        return known[permission]

    return may


def _lane(channel: Channel, fact: Event) -> str:
    return lane_of(channel.id, fact.subject_kind, fact.subject_id)


def _delivery(
    fact: Event, channel_id: UUID, plan: Plan, payload: Mapping[str, Any], *, suppressed: str = "", reason: str = ""
) -> Delivery:
    held = (plan.waits_for, plan.until, plan.reason) if plan.until is not None and not suppressed else None
    return new_delivery(
        Delivery.Kind.CHANNEL,
        channel_id,
        fact,
        payload,
        rule_id=plan.rule.id if plan.rule else None,
        suppressed=suppressed,
        held=held,
        reason=reason,
    )


# --- escalation ------------------------------------------------------------------------------------------------------


def tell_again(escalation: Escalation) -> int:
    """Queue the alert once more to the rule's channels, as nobody reacted; returns to how many.

    Call it in a transaction; the escalation is removed.
    """
    # Whoever acknowledged or resolved meanwhile removed the row; then there is nothing to tell.
    if not Escalation.objects.select_for_update().filter(id=escalation.id).exists():
        return 0
    Escalation.objects.filter(id=escalation.id).delete()
    rule = Rule.objects.filter(id=escalation.rule_id, enabled=True).first()
    fact = Event.objects.filter(seq=escalation.event_seq).first()
    if rule is None or fact is None:
        return 0
    minutes = max(1, round((timezone.now() - fact.at).total_seconds() / 60))
    payload = payload_for_people(fact, prefix=f"Still open after {minutes} min: ")
    reason = held_back([fact]).get((fact.name, fact.subject_kind, fact.subject_id), "")
    rows = [
        new_delivery(
            Delivery.Kind.CHANNEL,
            channel_id,
            fact,
            payload,
            rule_id=rule.id,
            message_id=f"{fact.uid}-{escalation.id.hex[-8:]}",
            suppressed=reason,
            reason=f"Nobody reacted for {minutes} min; the rule “{rule.name}” tells again.",
        )
        for channel_id in rule.channels.filter(enabled=True).order_by("id").values_list("id", flat=True)
    ]
    Delivery.objects.bulk_create(rows)
    if rows:
        ring_after_commit()
    return len(rows)
