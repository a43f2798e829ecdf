"""Who would be told of a fact, by which rule, and why the others not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.accounts.models import User
from apps.core.events.catalogue import matches
from apps.core.principals import grants
from apps.core.registries import delivery_holds
from apps.notifications.models import Webhook
from apps.notifications.patterns import INBOX_DEFAULT
from apps.notifications.routing.facts import FactLike
from apps.notifications.routing.past import Past
from apps.notifications.routing.plans import Plan, asked_rules, plan_for
from apps.notifications.routing.routes import ChannelRoute, Routes, RuleRoute, current_routes

TOLD, HELD, SUPPRESSED, NOT_TOLD = "told", "held", "suppressed", "not told"


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of an explanation.

    Args:
        kind: "channel", "inbox", "webhook", or "rule" for one that does not take the fact.
        destination_id, destination: id and name; None and "" for a rule, the number of people for the inbox.
        rule_id, rule: by which; None and "" where no rule is needed.
        outcome: "told", "held" (until `until`, then in a summary), "suppressed" or "not told".
        reason: one sentence; "" where it is told at once.
    """

    kind: str
    destination_id: UUID | None
    destination: str
    rule_id: UUID | None
    rule: str
    outcome: str
    reason: str = ""
    until: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON speaks."""
        return {
            "kind": self.kind,
            "destination_id": str(self.destination_id) if self.destination_id else None,
            "destination": self.destination,
            "rule_id": str(self.rule_id) if self.rule_id else None,
            "rule": self.rule,
            "outcome": self.outcome,
            "reason": self.reason,
            "until": self.until.isoformat() if self.until else None,
        }


def held_back(facts: Iterable[FactLike]) -> Mapping[tuple[str, str, str], str]:
    """Return which facts nobody is told of now, as (event, subject kind, subject id), and why."""
    keys = {(fact.name, fact.subject_kind, fact.subject_id) for fact in facts}
    found: dict[tuple[str, str, str], str] = {}
    for _, ask in delivery_holds.items():
        found = {**ask(keys), **found}
    return found


def explain(fact: FactLike, *, at: datetime, routes: Routes | None = None) -> list[Answer]:
    """Return who would be told of a fact at `at`, and why the others not. Writes nothing.

    Args:
        routes: other ones than those in force, to try a rule.
    """
    routes = routes or current_routes()
    if not fact.audience.get("permission"):
        return []
    answers: list[Answer] = []
    if not fact.audience.get("owner_id"):
        past = Past([fact], routes, at=at)
        asked = asked_rules(routes.rules, fact, at)
        matched = [one for one, reason in asked if not reason]
        hold = held_back([fact]).get((fact.name, fact.subject_kind, fact.subject_id), "")
        plans = {route.channel.id: plan_for(route, fact, matched, past, at) for route in routes.channels}
        for one, reason in asked:
            answers += [_of_rule(one, reason)] if reason else _of_matched(one, routes, plans, hold)
        answers += _of_the_rest(routes, matched, plans, hold)
        answers.append(_of_inbox(fact, matched, hold))
    return answers + _of_webhooks(routes, fact)


def _of_rule(one: RuleRoute, reason: str) -> Answer:
    return Answer("rule", None, "", one.rule.id, one.rule.name, NOT_TOLD, reason)


def _of_matched(one: RuleRoute, routes: Routes, plans: Mapping[UUID, Plan | None], hold: str) -> list[Answer]:
    found = []
    for route in routes.channels:
        if route.channel.id not in one.channel_ids:
            continue
        plan = plans[route.channel.id]
        if plan is None:
            reason = "The channel is disabled, and no fallback stands in for it."
            found.append(
                Answer("channel", route.channel.id, route.channel.name, one.rule.id, one.rule.name, SUPPRESSED, reason)
            )
        elif plan.rule is not None and plan.rule.id != one.rule.id:
            reason = f"The rule “{plan.rule.name}” tells this channel already."
            found.append(
                Answer("channel", route.channel.id, route.channel.name, one.rule.id, one.rule.name, NOT_TOLD, reason)
            )
        else:
            found += _of_plan(route, plan, one, hold)
    if not one.channel_ids and not one.rule.inbox:
        found.append(_of_rule(one, "The rule takes it, but names no channel."))
    return found


def _of_plan(route: ChannelRoute, plan: Plan, one: RuleRoute | None, hold: str) -> list[Answer]:
    number, name = (one.rule.id, one.rule.name) if one else (None, "")
    outcome, reason = TOLD, hold or plan.reason
    if hold or plan.suppressed or plan.in_place:
        outcome = SUPPRESSED
        reason = reason or (plan.in_place[0] if plan.in_place else "")
    elif plan.until is not None:
        outcome = HELD
    found = [Answer("channel", route.channel.id, route.channel.name, number, name, outcome, reason, plan.until)]
    if plan.in_place and not hold:
        other = plan.in_place[1]
        found.append(
            Answer("channel", other.id, other.name, number, name, HELD if plan.until else TOLD,
                   f"In place of “{route.channel.name}”.", plan.until)
        )  # fmt: skip
    return found


def _of_the_rest(
    routes: Routes, matched: list[RuleRoute], plans: Mapping[UUID, Plan | None], hold: str
) -> list[Answer]:
    """Channels that no rule names, and those that follow what they were told before."""
    found: list[Answer] = []
    shown = {number for one in matched for number in one.channel_ids}
    for route in routes.channels:
        plan = plans[route.channel.id]
        if route.channel.id not in shown and plan is not None:
            found += _of_plan(route, plan, None, hold)
        elif route.is_default:
            enabled = "No rule names this channel; it is told when alerts open, get worse and end."
            reason = enabled if route.channel.enabled else "The channel is disabled."
            found.append(Answer("channel", route.channel.id, route.channel.name, None, "", NOT_TOLD, reason))
    return found


def _of_inbox(fact: FactLike, matched: list[RuleRoute], hold: str) -> Answer:
    rule = next((one.rule for one in matched if one.rule.inbox), None)
    if not matches(fact.name, INBOX_DEFAULT) and rule is None:
        return Answer("inbox", None, "", None, "", NOT_TOLD, "No rule with the inbox takes it.")
    users = User.objects.filter(disabled=False).prefetch_related("roles")
    count = sum(1 for user in users if grants(user.permission_codes(), fact.audience["permission"]))
    words = f"{count} people" if count != 1 else "1 person"
    if hold:
        return Answer("inbox", None, words, None, "", SUPPRESSED, hold)
    if matches(fact.name, INBOX_DEFAULT):
        return Answer("inbox", None, words, None, "", TOLD, "Everybody who may see it is told in the inbox.")
    assert rule is not None
    return Answer("inbox", None, words, rule.id, rule.name, TOLD)


def _of_webhooks(routes: Routes, fact: FactLike) -> list[Answer]:
    wanted = [number for number, events in routes.webhooks if matches(fact.name, events)]
    rows = Webhook.objects.filter(id__in=wanted, enabled=True).order_by("name", "id")
    return [Answer("webhook", row.id, row.name, None, "", TOLD) for row in rows]
