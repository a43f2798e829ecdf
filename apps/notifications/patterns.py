"""Which facts a rule or a webhook names: "alert.opened", "task.*", "*"."""

import re
from collections.abc import Iterable
from typing import Any

from apps.core.errors import Invalid
from apps.core.events.catalogue import LIVE, catalogue, known_pattern

MOST = 50
_PATTERN = re.compile(r"\*|[a-z][a-z0-9_]*(\.[a-z0-9_]+)*(\.\*)?\Z")

#: Names the API promises whatever parts are installed: a subscription made early works once its part is there.
PROMISED = frozenset({
    "agent.status", "alert.opened", "alert.escalated", "alert.acknowledged", "alert.silenced", "alert.resolved",
    "certificate.alert", "certificate.recovery", "container.state_changed", "container.health_changed",
    "container.restart_alert", "endpoint.alert", "endpoint.recovery", "heartbeat.deadline_missed", "message.new",
    "notification", "resource.alert", "resource.recovery", "system.alert", "task.created", "task.updated",
    "task.completed", "task.failed", "update.scan_started", "update.scan_completed", "update.detected",
    "update.pinned", "update.unpinned", "worker.online", "worker.offline",
})  # fmt: skip

#: Facts that go to the channels they were made for (`services.direct`), never by rules or the inbox's default.
TOLD_DIRECTLY = ("alert.step_reached", "alert.reminded")
#: What a channel without any rule is told.
CHANNEL_DEFAULT = (
    "alert.opened", "alert.escalated", "alert.unsilenced", "alert.resolved", "alert.flapping", "alert.settled",
    "system.alert", "secret.expiring", "secret.expired",
)  # fmt: skip
#: What people are told in their inbox, rules or not.
INBOX_DEFAULT = ("alert.*", "system.alert", "secret.expiring", "secret.expired")


def clean_patterns(value: Any, *, field: str = "events") -> list[str]:
    """Return the patterns, each once, in the order given.

    Raises:
        Invalid: not a list of texts, empty, too many, or a pattern that no fact can match (422).
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, Iterable) or isinstance(value, dict):
        raise Invalid({field: 'give a list of event names, such as ["alert.*"]'})
    patterns = list(dict.fromkeys(value))
    if not patterns:
        raise Invalid({field: 'name at least one event; "*" means all'})
    if len(patterns) > MOST:
        raise Invalid({field: f"at most {MOST} patterns"})
    for pattern in patterns:
        if not isinstance(pattern, str) or not _PATTERN.match(pattern):
            raise Invalid({field: f'“{pattern}” is not an event name; write it like "alert.opened", "alert.*" or "*"'})
        declared = catalogue.get(pattern)
        if declared is not None and declared.kind == LIVE:
            raise Invalid({field: f"“{pattern}” is a live event: follow it on /ws, it is never delivered"})
        if not known_pattern(pattern) and not _is_promised(pattern):
            raise Invalid({field: f"there is no event “{pattern}”; docs/events.md lists them"})
    return patterns


def _is_promised(pattern: str) -> bool:
    if pattern.endswith(".*"):
        return any(name.startswith(pattern[:-1]) for name in PROMISED)
    return pattern in PROMISED
