"""Whether people are told of an alert now, and if not, why not. Nothing here changes anything."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from django.db.models import Q
from django.utils import timezone

from apps.alerts.models import Alert, Decision, Flap, Silence
from apps.core import bell, runtime_settings
from apps.monitors.services.dependencies import Thing, ancestors_of
from apps.monitors.services.maintenance import active_windows

runtime_settings.declare(
    "alerts", "dependency_wait_s", "duration", 30,
    "How long an alert of something with a parent waits whether the parent is down too, before people are told.",
    least=0, most=3600,
)  # fmt: skip

KEEP_COPY_S = 1.0

#: Open alerts that mean "it is down": figures of a server and certificates don't take down what runs on it.
DOWN = Q(level=Alert.Level.CRITICAL) & (~Q(source="server") | Q(kind="offline")) & ~Q(source="certificate")

Mute = Alert.Mute


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why nobody is told of an alert.

    Args:
        by: which kind of reason.
        reason: one sentence for people.
        review_at: when to ask again; None where an event will say so.
        cause: kind, id and name of the silence, window or parent.
    """

    by: str
    reason: str
    review_at: datetime | None = None
    cause: tuple[str, str, str] = ("", "", "")

    @property
    def is_silence(self) -> bool:
        """Return whether people wanted it so, by a silence or a maintenance window."""
        return self.by in (Mute.SILENCE, Mute.MAINTENANCE)

    @property
    def facts(self) -> dict[str, Any]:
        """Return ids and names for the stored decision."""
        kind, id, name = self.cause
        return {"kind": kind, "id": id, "name": name} if id else {}


def judge(
    alert: Alert,
    *,
    now: datetime,
    running: Iterable[Silence] | None = None,
    ancestors: Mapping[Thing, int] | None = None,
    flap: Flap | None = None,
) -> Verdict | None:
    """Return why people are not told of an alert now; None where nothing stands against it.

    Silences and maintenance mute what people know of too; flapping and parents only keep new alerts back.

    Args:
        running: the silences in force, where the caller has read them for many alerts.
        ancestors: what it depends on, where the caller knows.
        flap: the flap of its thing that runs now.
    """
    verdict = _by_silence(alert, now, running) or _by_maintenance(alert, now)
    if verdict is None and not alert.is_told:
        verdict = _by_flapping(alert, flap) or _by_parents(alert, now, ancestors)
    return verdict


def wanted_silent(alert: Alert, *, now: datetime, running: Iterable[Silence]) -> Verdict | None:
    """Return the silence or maintenance window over an alert, None where there is none."""
    return _by_silence(alert, now, running) or _by_maintenance(alert, now)


# --- silences in memory --------------------------------------------------------------------------------------------

_copy: list[Silence] | None = None
_copied_at = 0.0
_listening = False


def running_silences(at: datetime) -> list[Silence]:
    """Return the silences in force at a moment, from a copy that is a second old at most.

    Good for alerts that open: the moment of sending asks the table, and the sweep looks at what opened meanwhile.
    """
    global _copy, _copied_at, _listening
    if not _listening:
        _listening = True
        bell.listen(bell.SETTINGS, lambda *_: forget_silences())
    copy = _copy
    if copy is None or time.monotonic() - _copied_at > KEEP_COPY_S:
        _copied_at = time.monotonic()
        copy = _copy = list(Silence.objects.filter(ended_at__isnull=True, cancelled_at__isnull=True))
    return [one for one in copy if one.starts_at <= at < one.ends_at]


def forget_silences() -> None:
    """Drop this process's copy."""
    global _copy
    _copy = None


def matches(silence: Silence, alert: Alert) -> bool:
    """Return whether a silence's filters, all of them, match an alert."""
    return (
        (not silence.sources or alert.source in silence.sources)
        and (not silence.levels or alert.level in silence.levels)
        and (not silence.tags or not set(silence.tags).isdisjoint(alert.tags))
        and (not silence.entities or _is_named(silence.entities, alert))
    )


def _is_named(entities: Iterable[str], alert: Alert) -> bool:
    name = alert.subject_name.casefold()
    ids = {alert.subject_id, f"{alert.subject_kind}:{alert.subject_id}", str(alert.id)}
    if alert.server_id:
        ids |= {str(alert.server_id), f"server:{alert.server_id}"}
    return any(entity in ids or fnmatchcase(name, entity.casefold()) for entity in entities)


def _by_silence(alert: Alert, now: datetime, running: Iterable[Silence] | None) -> Verdict | None:
    rows = running_silences(now) if running is None else running
    found = max((one for one in rows if matches(one, alert)), key=lambda one: one.ends_at, default=None)
    if found is None:
        return None
    why = f": {found.reason}" if found.reason else ""
    return Verdict(
        Mute.SILENCE,
        f"Silenced by {found.created_by or 'somebody'} until {found.ends_at:%Y-%m-%d %H:%M} UTC{why}"[:300],
        found.ends_at,
        ("silence", str(found.id), str(found)[:255]),
    )


def _by_maintenance(alert: Alert, now: datetime) -> Verdict | None:
    windows = active_windows(alert.subject_kind, alert.subject_id, alert.tags, now)
    if not windows and alert.subject_kind == "external" and alert.server_id:
        windows = active_windows("server", alert.server_id, (), now)  # a window can name the machine alone
    if not windows:
        return None
    window = windows[0]
    return Verdict(
        Mute.MAINTENANCE,
        f"Under maintenance until {window.ends_at:%Y-%m-%d %H:%M} UTC: {window.title}"[:300],
        window.ends_at,
        ("maintenance", window.id, window.title[:255]),
    )


def _by_flapping(alert: Alert, flap: Flap | None) -> Verdict | None:
    if flap is None:
        return None
    return Verdict(
        Mute.FLAPPING,
        f"It flaps: {flap.flips} changes since {flap.began_at:%H:%M} UTC. It is told once it is stable.",
        None,
        ("flap", str(flap.id), alert.subject_name),
    )


def _by_parents(alert: Alert, now: datetime, known: Mapping[Thing, int] | None) -> Verdict | None:
    ancestors = ancestors_of(alert.subject_kind, alert.subject_id) if known is None else known
    if not ancestors:
        return None
    parent = down_among(ancestors)
    if parent is not None:
        return Verdict(
            Mute.DEPENDENCY,
            f"Because of {parent.subject_name}: {parent.message}"[:300],
            None,
            (parent.subject_kind, parent.subject_id, parent.subject_name),
        )
    wait_s = runtime_settings.get("alerts.dependency_wait_s")
    until = alert.opened_at + timedelta(seconds=wait_s)
    if until <= now:
        return None
    return Verdict(
        Mute.WAITING, f"Waits {wait_s:g} s whether something it depends on is down too.", until, ("", "", "")
    )


def down_among(ancestors: Mapping[Thing, int]) -> Alert | None:
    """Return the open alert of the parent that is down, the remotest first: it is the cause of the others."""
    rows = Alert.objects.unresolved().filter(DOWN, subject_id__in={id for _, id in ancestors})
    found = [row for row in rows if (row.subject_kind, row.subject_id) in ancestors]
    return max(found, key=lambda row: ancestors[row.subject_kind, row.subject_id], default=None)


def apply_verdict(alert: Alert, verdict: Verdict | None) -> None:
    """Put a verdict into an alert's fields; the caller saves `MUTE_FIELDS`."""
    if verdict is None:
        alert.muted_by, alert.muted_reason, alert.review_at = "", "", None
        alert.cause_kind, alert.cause_id, alert.cause_name = "", "", ""
    else:
        alert.muted_by, alert.muted_reason, alert.review_at = verdict.by, verdict.reason, verdict.review_at
        alert.cause_kind, alert.cause_id, alert.cause_name = verdict.cause
    alert.is_silenced = verdict is not None and verdict.is_silence


MUTE_FIELDS = (
    "muted_by", "muted_reason", "review_at", "cause_kind", "cause_id", "cause_name", "is_silenced", "is_told",
    "told_at", "owes_escalation", "updated_at",
)  # fmt: skip


def note(alert: Alert, *, about: str, verdict: Verdict | None, reason: str = "", at: datetime | None = None) -> None:
    """Keep why people were, or were not, told."""
    outcome = (
        Decision.Outcome.TOLD
        if verdict is None
        else Decision.Outcome.HELD
        if verdict.by == Mute.WAITING
        else Decision.Outcome.SUPPRESSED
    )
    Decision.objects.create(
        alert=alert,
        at=at or timezone.now(),
        about=about,
        outcome=outcome,
        by=verdict.by if verdict else "",
        reason=(reason or (verdict.reason if verdict else ""))[:500],
        facts=verdict.facts if verdict else {},
    )
