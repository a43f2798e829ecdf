"""Routing: who is told of a fact. Runs in the reader's transaction and only writes rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Prefetch
from django.utils import timezone

from apps.accounts.models import User
from apps.core.events.catalogue import matches
from apps.core.models import Event
from apps.core.principals import grants
from apps.notifications import quiet
from apps.notifications.models import Channel, Delivery, Escalation, RoutesVersion, Rule, Webhook
from apps.notifications.patterns import CHANNEL_DEFAULT, INBOX_DEFAULT
from apps.notifications.services.deliveries import (
    lane_of,
    new_delivery,
    payload_for_people,
    payload_of,
    ring_after_commit,
    suppress,
)
from apps.notifications.services.inbox import put_into_inboxes
from apps.notifications.services.webhooks import delivers
from apps.notifications.texts import level_of, source_of, thing_of

OPENING = ("alert.opened", "alert.escalated")
ENDING = ("alert.acknowledged", "alert.silenced", "alert.resolved")


@dataclass(frozen=True, slots=True)
class _Route:
    """A channel with its enabled rules; `is_default` where it has no rule at all."""

    channel_id: UUID
    rules: tuple[Rule, ...]
    is_default: bool


@dataclass(frozen=True, slots=True)
class _Routes:
    token: UUID | None
    rules: tuple[Rule, ...]
    channels: tuple[_Route, ...]
    webhooks: tuple[tuple[UUID, tuple[str, ...]], ...]


_kept: _Routes | None = None


def _routes() -> _Routes:
    """Return rules, channels and webhooks; read again where their version has changed."""
    global _kept
    token = RoutesVersion.objects.filter(id=1).values_list("token", flat=True).first()
    if _kept is None or _kept.token != token or token is None:
        rules = list(Rule.objects.prefetch_related(Prefetch("channels", Channel.objects.only("id"))))
        of_channel: dict[UUID, list[Rule]] = {}
        for rule in rules:
            for channel in rule.channels.all():
                of_channel.setdefault(channel.id, []).append(rule)
        _kept = _Routes(
            token,
            tuple(rule for rule in rules if rule.enabled),
            tuple(
                _Route(
                    number, tuple(one for one in of_channel.get(number, ()) if one.enabled), number not in of_channel
                )
                for number in Channel.objects.filter(enabled=True).order_by("id").values_list("id", flat=True)
            ),
            tuple(
                (number, tuple(events))
                for number, events in Webhook.objects.filter(enabled=True).order_by("id").values_list("id", "events")
            ),
        )
    return _kept


def lets_through(rule: Rule, fact: Event) -> bool:
    """Return whether a rule's events and filters match a fact."""
    return (
        matches(fact.name, rule.events)
        and (not rule.levels or level_of(fact) in rule.levels)
        and (not rule.sources or source_of(fact) in rule.sources)
        and (not rule.tags or bool(set(rule.tags) & set(fact.tags)))
    )


def route(fact: Event) -> None:
    """Write what follows from a fact: inbox messages, deliveries, escalations."""
    if fact.name in ENDING:
        Escalation.objects.filter(subject_kind=fact.subject_kind, subject_id=fact.subject_id).delete()
    if not fact.audience.get("permission"):
        return  # for the audit trail alone
    routes = _routes()
    deliveries: list[Delivery] = []
    # What concerns one person (the inbox itself, own keys) is no business of channels and other people's inboxes.
    if not fact.audience.get("owner_id"):
        matched = [rule for rule in routes.rules if lets_through(rule, fact)]
        if matches(fact.name, INBOX_DEFAULT) or any(rule.inbox for rule in matched):
            put_into_inboxes(fact, _readers_of(fact))
        for one in routes.channels:
            deliveries += _to_channel(one, fact)
        if fact.name in OPENING:  # what got worse counts anew, even if it was acknowledged before
            _escalate_later(matched, fact)
    deliveries += _to_webhooks(routes, fact)
    if deliveries:
        Delivery.objects.bulk_create(deliveries)
        ring_after_commit()


def _readers_of(fact: Event) -> list[User]:
    """Return the enabled users who may see the fact, without the one who did it himself."""
    own = fact.actor.get("user_id")
    return [
        user
        for user in User.objects.filter(disabled=False).prefetch_related("roles").order_by("id")
        if grants(user.permission_codes(), fact.audience["permission"]) and str(user.id) != own
    ]


# --- channels --------------------------------------------------------------------------------------------------------


def _to_channel(route: _Route, fact: Event) -> list[Delivery]:
    matched: list[Rule | None]
    if route.is_default:
        matched = [None] if matches(fact.name, CHANNEL_DEFAULT) else []
        wanted = bool(matched)
    else:
        matched = [rule for rule in route.rules if lets_through(rule, fact)]
        wanted = any(matches(fact.name, rule.events) for rule in route.rules)
    if not wanted:
        return []
    if fact.name == "alert.resolved":
        return _resolved_to_channel(route, fact, matched)
    if not matched:
        return []
    rule, reason, hold = _best(route.channel_id, fact, matched)
    delivery = _for_channel(route, fact, rule, suppressed=reason, hold=hold)
    if fact.name.startswith("alert.") and not reason:
        _supersede_held(delivery.lane, f"Overtaken by {fact.name} before the quiet hours ended.")
    return [delivery]


def _resolved_to_channel(route: _Route, fact: Event, matched: list[Rule | None]) -> list[Delivery]:
    """A channel that was told of the alert is told of its end; one that was not, is not."""
    lane = lane_of(route.channel_id, fact.subject_kind, fact.subject_id)
    opened = Delivery.objects.filter(lane=lane, event_name__in=OPENING)
    told = opened.filter(state__in=(Delivery.State.PENDING, Delivery.State.DELIVERED))
    only_held = (
        told.exists()
        and not told.filter(held=False).exists()
        and not told.filter(state=Delivery.State.DELIVERED).exists()
    )
    if only_held:
        reason = "Opened and resolved within the quiet hours."
        _supersede_held(lane, reason)
        return [_for_channel(route, fact, None, suppressed=reason)]
    if told.exists():
        _supersede_held(lane, "Resolved before the quiet hours ended.")
        ends = [_quiet_until(rule, fact) for rule in route.rules if matches(fact.name, rule.events)]
        hold = None if not ends or None in ends else min(end for end in ends if end)
        return [_for_channel(route, fact, matched[0] if matched else None, hold=hold)]
    if not matched:
        return []
    asks_for_openings = route.is_default or any(matches("alert.opened", rule.events) for rule in route.rules)
    if asks_for_openings:
        return [_for_channel(route, fact, matched[0], suppressed="The channel was never told that this alert opened.")]
    return [_for_channel(route, fact, matched[0])]


def _best(channel_id: UUID, fact: Event, matched: Iterable[Rule | None]) -> tuple[Rule | None, str, datetime | None]:
    """Return the rule that tells soonest, with why not (or "") and until when it is held."""
    held: tuple[Rule | None, str, datetime | None] | None = None
    throttled: tuple[Rule | None, str, datetime | None] | None = None
    for rule in matched:
        if rule is not None and _is_throttled(rule, channel_id, fact):
            reason = f"Throttled by the rule “{rule.name}”: at most one in {rule.throttle_s} s."
            throttled = throttled or (rule, reason, None)
            continue
        until = _quiet_until(rule, fact) if rule is not None else None
        if until is None:
            return rule, "", None
        if held is None or (held[2] and until < held[2]):
            held = (rule, "", until)
    best = held or throttled
    assert best is not None
    return best


def _quiet_until(rule: Rule, fact: Event) -> datetime | None:
    now = timezone.now()
    until = quiet.held_until(rule.quiet_hours, level_of(fact), now)
    return until if until and until > now else None


def _is_throttled(rule: Rule, channel_id: UUID, fact: Event) -> bool:
    """Return whether this rule told this channel the same of the same thing within its throttle time."""
    if not rule.throttle_s:
        return False
    return (
        Delivery.objects.filter(
            destination_id=channel_id,
            thing=thing_of(fact),
            event_at__gt=fact.at - timedelta(seconds=rule.throttle_s),
            event_name=fact.name,
            rule_id=rule.id,
        )
        .exclude(state=Delivery.State.SUPPRESSED)
        .exists()
    )


def _for_channel(
    route: _Route, fact: Event, rule: Rule | None, *, suppressed: str = "", hold: datetime | None = None
) -> Delivery:
    return new_delivery(
        Delivery.Kind.CHANNEL,
        route.channel_id,
        fact,
        payload_for_people(fact),
        rule_id=rule.id if rule else None,
        suppressed=suppressed,
        hold_until=hold,
    )


def _supersede_held(lane: str, reason: str) -> None:
    suppress(Delivery.objects.filter(lane=lane, held=True, next_attempt_at__gt=timezone.now()), reason)


# --- escalation ------------------------------------------------------------------------------------------------------


def _escalate_later(matched: Iterable[Rule], fact: Event) -> None:
    assert fact.seq is not None
    for rule in matched:
        if rule.escalate_after_s:
            Escalation.objects.get_or_create(
                rule=rule,
                subject_kind=fact.subject_kind,
                subject_id=fact.subject_id,
                defaults={"event_seq": fact.seq, "due_at": fact.at + timedelta(seconds=rule.escalate_after_s)},
            )


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
    payload: dict[str, Any] = payload_for_people(fact, prefix=f"Still open after {minutes} min: ")
    rows = [
        new_delivery(
            Delivery.Kind.CHANNEL,
            channel_id,
            fact,
            payload,
            rule_id=rule.id,
            message_id=f"{fact.uid}-{escalation.id.hex[-8:]}",
        )
        for channel_id in rule.channels.filter(enabled=True).order_by("id").values_list("id", flat=True)
    ]
    Delivery.objects.bulk_create(rows)
    if rows:
        ring_after_commit()
    return len(rows)


# --- webhooks --------------------------------------------------------------------------------------------------------


def _to_webhooks(routes: _Routes, fact: Event) -> list[Delivery]:
    wanted = {number: events for number, events in routes.webhooks if matches(fact.name, events)}
    if not wanted:
        return []
    payload = payload_of(fact)
    found: list[Delivery] = []
    rows = Webhook.objects.filter(id__in=wanted, enabled=True).select_related("owner").prefetch_related("owner__roles")
    for webhook in rows.order_by("id"):
        if delivers(webhook, fact.audience):
            found.append(new_delivery(Delivery.Kind.WEBHOOK, webhook.id, fact, payload))
        elif not fact.audience.get("owner_id") and fact.name in wanted[webhook.id]:
            # Named outright, so its absence needs a reason; the content stays out.
            reason = "The webhook's owner may not read this event."
            found.append(new_delivery(Delivery.Kind.WEBHOOK, webhook.id, fact, {}, suppressed=reason))
    return found
