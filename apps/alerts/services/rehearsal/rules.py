"""A notification rule over what happened.

The proposal: the fields of a rule (`events`, `levels`, `sources`, `tags`, `subjects`, `servers`, `hours`,
`channel_ids`, `throttle_s`, `quiet_hours` ...) and `rule_id`, the one it would replace.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from apps.alerts.services.rehearsal.common import Budget, Firing, Report, rehearsal
from apps.core.events import Subject
from apps.core.events.audience import may_see
from apps.core.events.catalogue import FACT, catalogue, matches
from apps.core.models import Event
from apps.core.principals import Principal
from apps.notifications import quiet
from apps.notifications.models import Delivery, Rule
from apps.notifications.patterns import TOLD_DIRECTLY
from apps.notifications.routing import read_routes
from apps.notifications.routing.facts import level_of, source_of, thing_of
from apps.notifications.routing.plans import asked_rules
from apps.notifications.services import proposed_route

FACTS_MOST = 20_000
_OPENING = ("alert.opened", "alert.escalated", "alert.unsilenced")


@rehearsal("rule", "rules:view")
def rehearse_rule(report: Report, proposal: Mapping[str, Any], actor: Principal, budget: Budget) -> None:
    """Ask a proposed rule, in its place among the others, of everything that happened."""
    values = {name: value for name, value in proposal.items() if name != "rule_id"}
    route = proposed_route({"enabled": True, **values}, rule_id=proposal.get("rule_id"))
    routes = read_routes().with_rule(route)
    channels = {one.channel.id: one.channel.name for one in routes.channels if one.channel.id in route.channel_ids}
    names = [
        name
        for name, one in catalogue.items()
        if one.kind == FACT and name not in TOLD_DIRECTLY and matches(name, route.rule.events)
    ]
    past = _Past(report, route.rule, [channels[number] for number in sorted(channels, key=str)])
    report.basis = "events that are kept"
    rows = Event.objects.filter(name__in=names, at__gte=report.since, at__lt=report.until, seq__isnull=False)
    count = 0
    for fact in rows.order_by("at", "seq")[:FACTS_MOST].iterator(chunk_size=1000):
        count += 1
        if budget.is_spent:
            report.cut(fact.at)
            break
        if fact.audience.get("owner_id") or not fact.audience.get("permission") or not may_see(actor, fact.audience):
            continue
        asked = next((reason for one, reason in asked_rules(routes.rules, fact, fact.at) if one is route), "")
        if not asked or past.knows(fact):
            past.look(fact)
        else:
            past.pass_by(fact)
    if count == FACTS_MOST:
        report.cut(past.last or report.until)
    if proposal.get("rule_id"):
        told = Delivery.objects.filter(
            rule_id=proposal["rule_id"], event_at__gte=report.since, event_at__lt=report.until
        )
        report.real = told.exclude(state=Delivery.State.SUPPRESSED).values("event_seq").distinct().count()


class _Past:
    """What a rule would have told: throttled as it says, held over its quiet hours, ends only of what was told."""

    def __init__(self, report: Report, rule: Rule, channels: list[str]) -> None:
        self.report, self.rule, self.channels = report, rule, channels
        self.told_at: dict[tuple[str, str], datetime] = {}
        self.openings: dict[str, bool] = {}
        self.last: datetime | None = None

    def look(self, fact: Event) -> None:
        """Take a fact that passes the rule's filters."""
        self.last = fact.at
        outcome, reason = self._outcome(fact)
        if fact.name in _OPENING:
            self.openings[fact.subject_id] = self.openings.get(fact.subject_id, False) or outcome != "suppressed"
        names = [("channel", name) for name in self.channels]
        if self.rule.inbox:
            names.append(("inbox", "everybody who may see it"))
        rows = []
        for kind, name in names:
            result = outcome if kind == "channel" else "told"
            rows.append(
                {"kind": kind, "destination": name, "rule": self.rule.name, "outcome": result, "reason": reason}
            )
            self.report.told[kind, name, result] += 1
        if outcome != "suppressed":
            self.report.fired.append(_firing(fact, rows))

    def knows(self, fact: Event) -> bool:
        """Return whether it is the end of an alert that was told: that is told whatever the filters say."""
        return fact.name == "alert.resolved" and self.openings.get(fact.subject_id, False)

    def pass_by(self, fact: Event) -> None:
        """Remember that the rule said nothing of an opening."""
        if fact.name in _OPENING:
            self.openings.setdefault(fact.subject_id, False)

    def _outcome(self, fact: Event) -> tuple[str, str]:
        if fact.name == "alert.resolved" and self.openings.get(fact.subject_id) is False:
            return "suppressed", "It was never told that this alert opened."
        key = (thing_of(fact), fact.name)
        before = self.told_at.get(key)
        if before and self.rule.throttle_s and before > fact.at - timedelta(seconds=self.rule.throttle_s):
            return "suppressed", f"Throttled: at most one in {self.rule.throttle_s} s."
        self.told_at[key] = fact.at
        until = quiet.held_until(self.rule.quiet_hours, level_of(fact), fact.at)
        if until is not None and until > fact.at:
            return "held", f"Waits for the end of the quiet hours, {until:%Y-%m-%d %H:%M %Z}."
        return "told", ""


def _firing(fact: Event, told: list[dict[str, Any]]) -> Firing:
    data = fact.data
    is_alert = fact.name.startswith("alert.")
    subject = Subject(
        str(data.get("subject_kind") or fact.subject_kind) if is_alert else fact.subject_kind,
        str(data.get("subject_id") or fact.subject_id) if is_alert else fact.subject_id,
        str(data.get("subject_name") or fact.subject_name) if is_alert else fact.subject_name,
    )
    return Firing(
        source=source_of(fact),
        kind=fact.name,
        subject=subject,
        level=level_of(fact),
        opened_at=fact.at,
        resolved_at=fact.at,
        message=str(data.get("message") or ""),
        tags=list(fact.tags),
        told=told,
    )
