"""When a limit is breached, has lasted long enough, and is over: in memory alone.

The sweep asks this of the latest figures and writes down what follows; a rehearsal asks it of stored ones. So both say
the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from apps.alerts.states import RANK

#: Where a threshold names no clear value: this share of the limit on the good side, so that 80.1/79.9 is one alert.
HYSTERESIS = 0.05

BEGIN, DROP, TELL, END = "begin", "drop", "tell", "end"


class Limit(Protocol):
    """What is asked of a threshold."""

    comparison: str
    value: float
    level: str
    for_s: int
    clear_value: float | None


@dataclass(slots=True)
class Held:
    """A level that is breached now: since when, and whether an alert was opened for it."""

    since: datetime
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What follows for one instance and level.

    Args:
        what: BEGIN (breached now), DROP (over before it had lasted), TELL (open an alert), END (over).
        value: the figure; None where the instance is gone.
        clears: no other level of the instance is left, so its alert is over.
    """

    what: str
    instance: str
    level: str
    value: float | None = None
    clears: bool = False


def is_breached(comparison: str, value: float, limit: float) -> bool:
    """Return whether `value` is on the bad side of `limit`."""
    if comparison == "gt":
        return value > limit
    if comparison == "gte":
        return value >= limit
    if comparison == "lt":
        return value < limit
    return value <= limit


def has_cleared(limit: Limit, value: float) -> bool:
    """Return whether a breached limit is over: the value has passed its clear value."""
    clear = limit.clear_value
    if clear is None:
        margin = abs(limit.value) * HYSTERESIS
        clear = limit.value - margin if limit.comparison in ("gt", "gte") else limit.value + margin
    return (
        not is_breached(limit.comparison, value, clear)
        if limit.comparison in ("gt", "lt")
        else (value < clear if limit.comparison == "gte" else value > clear)
    )


def instances(values: Mapping[str, float]) -> dict[str, float]:
    """Return the figures that are held against limits: each mount by itself, not the worst of them once more."""
    per_mount = {instance.partition(":")[0] for instance in values if ":" in instance}
    return {instance: value for instance, value in values.items() if instance not in per_mount}


def moves(
    values: Mapping[str, float],
    limits: Mapping[tuple[str, str], Limit],
    held: dict[tuple[str, str], Held],
    now: datetime,
) -> list[Move]:
    """Return what follows from one server's figures, in order, and bring `held` up to date.

    Args:
        values: instance ("cpu", "disk:/var") -> figure; see `instances`.
        limits: (metric, level) -> limit.
        held: (instance, level) -> what is breached; changed in place.
    """
    found: list[Move] = []
    for instance, value in values.items():
        for level in RANK:
            key = (instance, level)
            limit = limits.get((instance.partition(":")[0], level))
            breach = held.get(key)
            if breach is None:
                if limit is None or not is_breached(limit.comparison, value, limit.value):
                    continue
                breach = held[key] = Held(now)
                found.append(Move(BEGIN, instance, level, value))
            elif limit is None or has_cleared(limit, value):
                found.append(_end(held, key, value))
                continue
            if breach.is_told:
                continue
            # A value between clear and limit neither counts as breached nor restarts the clock of a told breach.
            if not is_breached(limit.comparison, value, limit.value):
                del held[key]
                found.append(Move(DROP, instance, level, value))
            elif breach.since <= now - timedelta(seconds=limit.for_s):
                breach.is_told = True
                found.append(Move(TELL, instance, level, value))
    for key in [key for key in held if key[0] not in values]:
        found.append(_end(held, key, None))  # e.g. a disk that was unmounted: it is no longer there to be full
    return found


def _end(held: dict[tuple[str, str], Held], key: tuple[str, str], value: float | None) -> Move:
    del held[key]
    return Move(END, *key, value, clears=not any(other[0] == key[0] for other in held))
