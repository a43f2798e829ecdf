"""What becomes of a fact at one channel."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.core.events.catalogue import matches
from apps.notifications import digests, quiet
from apps.notifications.models import Channel, Delivery, Rule
from apps.notifications.patterns import CHANNEL_DEFAULT
from apps.notifications.routing.facts import FactLike, lane_of, level_of
from apps.notifications.routing.matching import why_not
from apps.notifications.routing.past import Past, Row
from apps.notifications.routing.routes import ChannelRoute, RuleRoute
from apps.notifications.transports import transports

Wait = Delivery.Wait


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a fact at one channel.

    Args:
        rule: by which; None for a channel that no rule names.
        suppressed: why it is not told; "" where it is.
        until, waits_for: held until then, for that; told at once where None.
        in_place: why another channel is told instead, with that channel.
        drops_held: why what the channel was to be told of the same subject after quiet hours is dropped.
    """

    channel: Channel
    rule: Rule | None = None
    suppressed: str = ""
    until: datetime | None = None
    waits_for: str = ""
    in_place: tuple[str, Channel] | None = None
    drops_held: str = ""

    @property
    def reason(self) -> str:
        """Return in one sentence why the message is not sent at once; "" where it is."""
        if self.suppressed:
            return self.suppressed
        if self.until is None:
            return ""
        if self.waits_for == Wait.QUIET:
            return f"Waits for the end of the quiet hours, {self.until:%Y-%m-%d %H:%M %Z}."
        if self.waits_for == Wait.DIGEST:
            return f"Waits for the digest of {self.until:%Y-%m-%d %H:%M %Z}."
        most = f"{self.channel.most_messages} messages in {self.channel.most_per_s} s"
        return f"The channel takes {most}; the others are told together, {self.until:%Y-%m-%d %H:%M:%S %Z}."


def asked_rules(rules: Sequence[RuleRoute], fact: FactLike, at: datetime) -> list[tuple[RuleRoute, str]]:
    """Return every rule with why it does not take the fact ("" where it does), in order."""
    found: list[tuple[RuleRoute, str]] = []
    stopped = ""
    for one in rules:
        reason = stopped or why_not(one.rule, fact, at)
        found.append((one, reason))
        if not reason and one.rule.stop:
            stopped = f"The rule “{one.rule.name}” before it says that no other is asked."
    return found


def plan_for(
    route: ChannelRoute, fact: FactLike, matched: Sequence[RuleRoute], past: Past, now: datetime
) -> Plan | None:
    """Return what becomes of a fact at a channel; None where the channel has nothing to do with it.

    Args:
        matched: the rules that take the fact, of all channels.
    """
    channel = route.channel
    if not channel.enabled and route.fallback is None:
        return None
    rules: list[Rule | None] = [one.rule for one in matched if channel.id in one.channel_ids]
    if route.is_default:
        rules = [None] if matches(fact.name, CHANNEL_DEFAULT) else []
    if not rules and not any(matches(fact.name, rule.events) for rule in route.rules):
        lane = lane_of(channel.id, fact.subject_kind, fact.subject_id)
        if fact.name != "alert.resolved" or not past.was_told_directly(lane):
            return None
    if fact.name == "alert.resolved":
        return _plan_of_end(route, fact, rules, past, now)
    if not rules:
        return None
    plan = _soonest(route, fact, rules, past, now)
    if fact.name.startswith("alert.") and not plan.suppressed:
        return _with(plan, drops_held=f"Overtaken by {fact.name} before the quiet hours ended.")
    return plan


def _plan_of_end(
    route: ChannelRoute, fact: FactLike, rules: Sequence[Rule | None], past: Past, now: datetime
) -> Plan | None:
    """A channel that was told of an alert is told of its end, whatever its filters say; one that was not, is not."""
    channel = route.channel
    openings = past.openings(lane_of(channel.id, fact.subject_kind, fact.subject_id))
    told = [row for row in openings if row.is_told]
    if told and all(row.waits_for == Wait.QUIET for row in told):
        reason = "Opened and resolved within the quiet hours."
        return Plan(channel, None, suppressed=reason, drops_held=reason)
    if told:
        plan = _in_place(route, _after_openings(route, fact, rules, told, past, now))
        return _with(plan, drops_held="Resolved before the quiet hours ended.")
    if past.stand_ins(openings) and route.fallback is not None:
        reason = f"The fallback “{route.fallback.name}” was told that this alert opened, and is told of its end."
        return Plan(channel, rules[0] if rules else None, suppressed=reason, in_place=(reason, route.fallback))
    if not rules:
        return None
    asks_for_openings = route.is_default or any(matches("alert.opened", rule.events) for rule in route.rules)
    if asks_for_openings:
        return Plan(channel, rules[0], suppressed="The channel was never told that this alert opened.")
    return _soonest(route, fact, rules, past, now)


def _after_openings(
    route: ChannelRoute, fact: FactLike, rules: Sequence[Rule | None], told: Sequence[Row], past: Past, now: datetime
) -> Plan:
    own = [rule for rule in route.rules if matches(fact.name, rule.events)]
    rule = rules[0] if rules else own[0] if own and not route.is_default else None
    if all(row.waits_for for row in told):  # the opening will be told in a summary: so is the end
        last = max(told, key=lambda row: row.until or now)
        return Plan(route.channel, rule, until=last.until, waits_for=last.waits_for)
    plans = [_held(route, one, fact, past, now) for one in (rules or own or [None])]
    return min(plans, key=lambda plan: plan.until or now)


def _soonest(route: ChannelRoute, fact: FactLike, rules: Sequence[Rule | None], past: Past, now: datetime) -> Plan:
    """Return the plan of the rule by which the channel is told soonest."""
    best: Plan | None = None
    throttled: Plan | None = None
    for rule in rules:
        if rule is not None and rule.throttle_s and past.was_told(route.channel.id, rule.id, fact, rule.throttle_s):
            reason = f"Throttled by the rule “{rule.name}”: at most one in {rule.throttle_s} s."
            throttled = throttled or Plan(route.channel, rule, suppressed=reason)
            continue
        plan = _held(route, rule, fact, past, now)
        if best is None or (plan.until or now) < (best.until or now):
            best = plan
        if plan.until is None:
            break
    found = best or throttled
    assert found is not None
    return _in_place(route, found)


def _in_place(route: ChannelRoute, plan: Plan) -> Plan:
    if route.channel.enabled or plan.suppressed or route.fallback is None:
        return plan
    reason = f"The channel is disabled; the fallback “{route.fallback.name}” is told in its place."
    return _with(plan, in_place=(reason, route.fallback))


def _held(route: ChannelRoute, rule: Rule | None, fact: FactLike, past: Past, now: datetime) -> Plan:
    """Return the plan by one rule: at once, or held for digest, quiet hours or the channel's limit."""
    channel, level = route.channel, level_of(fact)
    transport = transports.get(channel.type)
    takes_summaries = transport is None or transport.takes_summaries
    digest = (rule.digest if rule is not None else None) or channel.digest
    due = digests.due_after(digest, level, now) if takes_summaries else None
    awake = _awake(channel, rule, level, due or now)
    if due is not None:
        return Plan(channel, rule, until=max(due, awake), waits_for=Wait.DIGEST)
    if awake > now:
        return Plan(channel, rule, until=awake, waits_for=Wait.QUIET)
    if channel.most_messages and takes_summaries and channel.enabled:
        room = past.room_after(channel.id, channel.most_messages, channel.most_per_s, now)
        if room is not None:
            return Plan(channel, rule, until=max(room, now), waits_for=Wait.LIMIT)
    return Plan(channel, rule)


def _awake(channel: Channel, rule: Rule | None, level: str, at: datetime) -> datetime:
    """Return when neither the rule's nor the channel's quiet hours run any more."""
    hours = [channel.quiet_hours, rule.quiet_hours if rule is not None else None]
    for _ in range(4):  # the end of the one may lie within the other
        ends = [end for one in hours if (end := quiet.held_until(one, level, at)) and end > at]
        if not ends:
            break
        at = max(ends)
    return at


def _with(plan: Plan, **changes: object) -> Plan:
    values = {name: getattr(plan, name) for name in Plan.__slots__}
    return Plan(**{**values, **changes})
