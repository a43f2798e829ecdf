"""Who is under maintenance, asked for every result and every alert: answered from a copy in memory.

Each process keeps the windows that are not over for at most a second, and drops the copy when the bell rings.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.core import bell
from apps.monitors.models import MaintenanceWindow
from apps.monitors.occurrences import Occurrence, Rule

log = logging.getLogger(__name__)

KEEP_COPY_S = 1.0

Tags = Iterable[str] | Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True)
class ActiveWindow:
    """A window that is open for a thing, and the occurrence that is running."""

    id: str
    title: str
    description: str
    starts_at: datetime
    ends_at: datetime


@dataclass(slots=True)
class _Watched:
    """A window in memory, with what was worked out last: `occurrence` (or none) holds in [since, until)."""

    id: str
    title: str
    description: str
    rule: Rule
    all_targets: bool
    tags: frozenset[str]
    targets: frozenset[tuple[str, str]]
    is_faulty: bool = False
    since: datetime | None = None
    until: datetime | None = None
    occurrence: Occurrence | None = field(default=None)

    def open_at(self, at: datetime) -> Occurrence | None:
        """Return the occurrence that covers `at`."""
        if self.is_faulty:
            return None
        if self.since is None or at < self.since or (self.until is not None and at >= self.until):
            try:
                self._work_out(at)
            except Exception as error:  # one window that can't be worked out must not stop the others
                log.error("maintenance window %s is passed over: %s", self.id, error)
                self.is_faulty = True
        return self.occurrence

    def _work_out(self, at: datetime) -> None:
        found = self.rule.covering(at)
        if found is not None:
            self.since, self.until, self.occurrence = found.starts_at, found.ends_at, found
            return
        coming = self.rule.next_after(at)
        self.since, self.until, self.occurrence = at, coming.starts_at if coming else None, None


_copy: list[_Watched] | None = None
_copied_at = 0.0
_lock = threading.Lock()
_listening = False


def active_windows(kind: str, id: object, tags: Tags = (), at: datetime | None = None) -> list[ActiveWindow]:
    """Return the maintenance windows that are open for a thing, the one that ends last first.

    Args:
        kind, id: as its events' subject: "endpoint", "heartbeat", "certificate", "server" and the id.
        tags: names of its tags, or what returns them; asked for only where an open window goes by tags.
        at: the moment; now if absent.
    """
    moment = at or timezone.now()
    found = []
    names: set[str] | None = None
    for window in _windows():
        occurrence = window.open_at(moment)
        if occurrence is None:
            continue
        hit = window.all_targets or (kind, str(id)) in window.targets
        if not hit and window.tags:
            if names is None:
                names = set(tags() if callable(tags) else tags)
            hit = not window.tags.isdisjoint(names)
        if hit:
            found.append(
                ActiveWindow(window.id, window.title, window.description, occurrence.starts_at, occurrence.ends_at)
            )
    return sorted(found, key=lambda one: one.ends_at, reverse=True)


def is_under_maintenance(kind: str, id: object, tags: Tags = (), at: datetime | None = None) -> bool:
    """Return whether a maintenance window is open for a thing; arguments as for `active_windows`."""
    return bool(active_windows(kind, id, tags, at))


def is_any_open(at: datetime | None = None) -> bool:
    """Return whether any window is open at all: the cheap question before the one for each thing."""
    moment = at or timezone.now()
    return any(window.open_at(moment) is not None for window in _windows())


def rule_of(window: MaintenanceWindow) -> Rule:
    """Return when a window is open.

    Raises:
        ValueError: its weekdays are none.
    """
    try:
        weekdays = frozenset(int(day) for day in window.weekdays or ())
    except (TypeError, ValueError):
        raise ValueError("its weekdays are none") from None
    return Rule(
        kind=window.kind,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        weekdays=weekdays,
        start_time=window.start_time,
        duration_s=window.duration_s or 0,
        cron=window.cron,
        timezone=window.timezone,
        cut_at=window.cut_at,
    )


def forget() -> None:
    """Drop this process's copy, so that the next question asks the database."""
    global _copy
    _copy = None


def _windows() -> list[_Watched]:
    global _copy, _copied_at, _listening
    if not _listening:
        _listening = True
        bell.listen(bell.SETTINGS, lambda *_: forget())
    copy = _copy
    if copy is None or time.monotonic() - _copied_at > KEEP_COPY_S:
        with _lock:
            known = {(one.id, one.rule, one.title): one for one in copy or ()}
            _copied_at = time.monotonic()
            rows = MaintenanceWindow.objects.filter(enabled=True, next_change_at__isnull=False).order_by("id")
            copy = _copy = [one for row in rows if (one := _watched(row, known)) is not None]
    return copy


def _watched(row: MaintenanceWindow, known: dict[Any, _Watched]) -> _Watched | None:
    try:
        rule = rule_of(row)
        one = _Watched(
            id=str(row.pk),
            title=row.title,
            description=row.description,
            rule=rule,
            all_targets=row.all_targets,
            tags=frozenset(str(name) for name in row.tags),
            targets=frozenset((str(kind), str(pk)) for kind, pk in row.targets),
        )
    except Exception as error:
        log.error("maintenance window %s is passed over: %s", row.pk, error)
        return None
    before = known.get((one.id, rule, one.title))
    if before is not None:  # what was worked out still holds
        one.since, one.until, one.occurrence, one.is_faulty = (
            before.since, before.until, before.occurrence, before.is_faulty,
        )  # fmt: skip
    return one
