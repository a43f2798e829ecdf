"""The routes in force: read once, kept by each process until their version changes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from django.db.models import Prefetch

from apps.notifications.models import Channel, RoutesVersion, Rule, Webhook


@dataclass(frozen=True, slots=True)
class RuleRoute:
    """A rule with the channels it tells."""

    rule: Rule
    channel_ids: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class ChannelRoute:
    """A channel as routing sees it, without its configuration.

    Args:
        is_default: no rule names it, and it stands in for no other: it is told what channels are told without rules.
        fallback: who is told in its place now; None where there is nobody.
    """

    channel: Channel
    rules: tuple[Rule, ...]
    is_default: bool
    fallback: Channel | None = None


@dataclass(frozen=True, slots=True)
class Routes:
    """Everything that decides who is told. Rules in the order in which they are asked."""

    token: UUID | None
    rules: tuple[RuleRoute, ...]
    channels: tuple[ChannelRoute, ...]
    webhooks: tuple[tuple[UUID, tuple[str, ...]], ...]

    def with_rule(self, proposed: RuleRoute) -> "Routes":
        """Return the routes as they would be with this rule, in place of the one of the same id."""
        others = [one for one in self.rules if one.rule.id != proposed.rule.id]
        rules = sorted([*others, proposed], key=lambda one: (one.rule.order, one.rule.name, str(one.rule.id)))
        channels = {one.channel.id: one.channel for one in self.channels}
        return replace(self, rules=tuple(rules), channels=_channel_routes(rules, channels))


_FIELDS = (
    "id", "name", "type", "enabled", "disabled_reason", "fallback_id", "most_messages", "most_per_s", "quiet_hours",
    "digest", "title_template", "body_template", "template_error",
)  # fmt: skip
_kept: Routes | None = None


def current_routes() -> Routes:
    """Return rules, channels and webhooks; read again where their version has changed. One query where it has not."""
    global _kept
    token = RoutesVersion.objects.filter(id=1).values_list("token", flat=True).first()
    if _kept is None or _kept.token != token or token is None:
        _kept = read_routes(token)
    return _kept


def read_routes(token: UUID | None = None) -> Routes:
    """Read the routes from the database."""
    rows = Rule.objects.prefetch_related(Prefetch("channels", Channel.objects.only("id")))
    rules = [
        RuleRoute(rule, frozenset(channel.id for channel in rule.channels.all()))
        for rule in rows.order_by("order", "name", "id")
    ]
    channels = Channel.objects.only(*_FIELDS).order_by("id").in_bulk()
    webhooks = Webhook.objects.filter(enabled=True).order_by("id").values_list("id", "events")
    return Routes(
        token,
        tuple(rules),
        _channel_routes(rules, channels),
        tuple((number, tuple(events)) for number, events in webhooks),
    )


def stand_in(channel_id: UUID | None, channels: Mapping[UUID, Channel]) -> Channel | None:
    """Return the first channel of a chain of fallbacks that is switched on; None where there is none."""
    seen: set[UUID] = set()
    while channel_id is not None and channel_id not in seen:
        seen.add(channel_id)
        channel = channels.get(channel_id)
        if channel is None or channel.enabled:
            return channel
        channel_id = channel.fallback_id
    return None


def _channel_routes(rules: list[RuleRoute], channels: Mapping[UUID, Channel]) -> tuple[ChannelRoute, ...]:
    # A rule that is switched off still says that its channels are not told of everything.
    named = {number for one in rules for number in one.channel_ids}
    standing_in = {channel.fallback_id for channel in channels.values()}
    found = []
    for channel in channels.values():
        fallback = stand_in(channel.fallback_id, channels)
        own = tuple(one.rule for one in rules if one.rule.enabled and channel.id in one.channel_ids)
        is_default = channel.id not in named and channel.id not in standing_in
        found.append(ChannelRoute(channel, own, is_default, fallback))
    return tuple(found)
