"""Questions about notifications."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, Max, Prefetch, Q, QuerySet
from django.utils import timezone

from apps.core.errors import Invalid
from apps.core.events.audience import may_see
from apps.core.events.catalogue import catalogue
from apps.core.models import Event
from apps.core.principals import Principal
from apps.notifications.models import Attempt, Channel, Delivery, Notification, Rule, Webhook
from apps.notifications.routing import Answer, FactLike, MadeFact, Routes, explain
from apps.notifications.templating import MOST_BODY, MOST_TITLE, BadTemplate, clean_template, rendered, values_of
from apps.notifications.texts import payload_for_people
from apps.notifications.transports import transports


def unread_count(principal: Principal) -> int:
    """Return how many messages of the caller's inbox are unread."""
    return Notification.objects.visible_to(principal).unread().count()


def channels_with_state() -> QuerySet[Channel]:
    """Return the channels with their state and fallback, by name."""
    return Channel.objects.select_related("state", "owner", "fallback").order_by("name")


def rules_with_channels() -> QuerySet[Rule]:
    """Return the rules with their channels and the channels' state, in the order in which they are asked."""
    channels = Channel.objects.select_related("state", "fallback")
    return Rule.objects.prefetch_related(Prefetch("channels", channels)).order_by("order", "name", "id")


def trouble_of(channel: Channel) -> str:
    """Return in one sentence why a channel does not work now; "" where nothing is known against it.

    Args:
        channel: with state and fallback at hand.
    """
    name = f"“{channel.name}”"
    if channel.type not in transports:
        return f"{name} is of the kind “{channel.type}”, which there is not any more."
    if not channel.enabled:
        if channel.fallback is not None and channel.fallback.enabled:
            return f"{name} is disabled; “{channel.fallback.name}” is told in its place."
        return f"{name} is disabled. {channel.disabled_reason}".strip()
    if hasattr(channel, "state") and channel.state.health == channel.state.Health.FAILING:
        return f"{name} fails: {channel.state.last_error or channel.state.last_status_code}"
    return ""


def is_reachable(channel: Channel) -> bool:
    """Return whether somebody would be told over a channel now, by itself or by its fallback."""
    stands_in = channel.fallback
    return not trouble_of(channel) or (
        stands_in is not None and stands_in.enabled and stands_in.type in transports and not channel.enabled
    )


def warnings_of(rule: Rule) -> list[str]:
    """Return what is wrong with whom a rule tells, in sentences; the gravest first.

    Args:
        rule: of `rules_with_channels()`, else each channel costs a query.
    """
    channels = list(rule.channels.all())
    found: list[str] = []
    if not channels and not rule.inbox:
        found.append("This rule tells nobody: it names no channel and does not tell the inbox.")
    if channels and not any(is_reachable(channel) for channel in channels):
        found.append("No channel of this rule works now.")
    found += [trouble for channel in channels if (trouble := trouble_of(channel))]
    for channel in channels:
        if channel.enabled and hasattr(channel, "state") and channel.state.health == channel.state.Health.UNKNOWN:
            found.append(f"Nothing has ever been sent over “{channel.name}”; send a test.")
    if rule.template_error:
        found.append(f"The default text is sent, because a template can't be used: {rule.template_error}")
    return found


def ledger(principal: Principal) -> QuerySet[Delivery]:
    """Return the deliveries that a caller may see, newest first, with their attempts.

    Mails of the platform to single people are shown to those who may see how channels are set up.
    """
    rows = Delivery.objects.select_related("bundle", "in_place_of").prefetch_related("tries").order_by("-id")
    return rows if principal.can("channels:configure") else rows.exclude(kind=Delivery.Kind.MAIL)


def may_see_requests(principal: Principal, delivery: Delivery) -> bool:
    """Return whether a caller may see where exactly attempts went: the address of a channel is configuration."""
    return delivery.kind == Delivery.Kind.WEBHOOK or principal.can("channels:configure")


def names_of_destinations() -> dict[UUID, str]:
    """Return the names of all channels and webhooks."""
    channels = dict(Channel.objects.values_list("id", "name"))
    return {**channels, **dict(Webhook.objects.values_list("id", "name"))}


def kinds_of_channels() -> list[dict[str, Any]]:
    """Return what kinds of channels there are, with the fields of their configuration."""
    return [
        {
            "type": kind,
            "label": transport.label,
            "note": transport.note,
            "takes_summaries": transport.takes_summaries,
            "fields": [
                {
                    "name": one.name, "label": one.label, "kind": one.kind, "required": one.required,
                    "secret": one.secret or one.kind == "headers", "default": one.default, "choices": list(one.choices),
                    "help": one.help,
                }
                for one in transport.fields
            ],
        }
        for kind, transport in transports.items()
    ]  # fmt: skip


def latest_of_alert(alert_id: UUID | str) -> Event | None:
    """Return the latest fact about an alert; None where there is none any more."""
    facts = Event.objects.filter(subject_kind="alert", subject_id=str(alert_id), seq__isnull=False)
    return facts.filter(name__startswith="alert.").order_by("-seq").first()


def recent_facts(limit: int = 20) -> list[Event]:
    """Return the latest alerts' facts, newest first, to try rules and templates on."""
    names = ("alert.opened", "alert.escalated", "alert.resolved", "alert.acknowledged")
    return list(Event.objects.filter(name__in=names, seq__isnull=False).order_by("-seq")[:limit])


def made_fact(
    *,
    event: str = "alert.opened",
    level: str = "critical",
    source: str = "endpoint",
    subject: Mapping[str, str] | None = None,
    tags: Iterable[str] = (),
    server_id: str = "",
    message: str = "",
    at: datetime | None = None,
) -> MadeFact:
    """Return a fact that never happened, from what a person says of it."""
    about = {"kind": "endpoint", "id": "example", "name": "example", **(subject or {})}
    is_alert = event.startswith("alert.")
    number = "example-alert" if is_alert else about["id"]
    data: dict[str, Any] = {"level": level, "message": message, "server_id": server_id or None}
    if is_alert:
        data |= {"source": source, "type": "", "value": None, "threshold": None, "note": None, "by": None}
        data |= {f"subject_{part}": about[part] for part in ("kind", "id", "name")}
    declared = catalogue.get(event)
    return MadeFact(
        name=event,
        subject_kind="alert" if is_alert else about["kind"],
        subject_id=number,
        subject_name=about["name"],
        level=level,
        tags=sorted(tags),
        data=data,
        audience={"permission": declared.permission if declared else "alerts:view"},
        at=at or timezone.now(),
        actor={"kind": "system", "id": "preview", "name": "preview"},
    )  # fmt: skip


def tried_words(fact: FactLike, *, title_template: str = "", body_template: str = "") -> dict[str, Any]:
    """Return title, message and what a template can name, as they would be for a fact. Writes nothing.

    Raises:
        Invalid: a template can't be used; names the line (422).
    """
    payload = payload_for_people(fact)
    values = values_of(payload)
    words = {"title": str(payload["title"]), "message": str(payload["message"])}
    for field, key, source, most in (
        ("title_template", "title", title_template, MOST_TITLE),
        ("body_template", "message", body_template, MOST_BODY),
    ):
        try:
            text = rendered(clean_template(source, field), values, most=most) if source else ""
        except BadTemplate as error:
            raise Invalid({field: str(error)}) from error
        words[key] = text or words[key]
    return {**words, "names": values}


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
