"""Maintenance windows: what people set, and the sweep that tells when one opens and closes."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core import bell, errors
from apps.core.events import Subject, emit
from apps.core.principals import Principal, system
from apps.core.registries import subjects
from apps.core.runtime_settings import parse_duration
from apps.monitors.models import MaintenanceWindow
from apps.monitors.occurrences import LENGTH_MOST_S, Occurrence
from apps.monitors.schedules import is_zone, normalised
from apps.monitors.services.maintenance import forget, rule_of

FIELDS = (
    "title", "description", "kind", "starts_at", "ends_at", "weekdays", "start_time", "duration_s", "cron", "timezone",
    "all_targets", "tags", "targets", "enabled",
)  # fmt: skip
_FORBIDDEN = {
    "once": ("weekdays", "start_time", "duration_s", "cron"),
    "weekly": ("cron",),
    "cron": ("weekdays", "start_time"),
}
_NOTHING: dict[str, Any] = {"weekdays": [], "start_time": None, "duration_s": None, "cron": ""}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ONCE_MOST = timedelta(days=366)
TARGETS_MOST = 500
_LENGTH_LEAST_S = 60
_FAULT_RETRY = timedelta(hours=1)
_PORTION = 100


def create_window(*, actor: Principal, values: Mapping[str, Any]) -> MaintenanceWindow:
    """Add a maintenance window.

    Args:
        values: fields of the model; `duration_s` in seconds or as "2h", weekdays as 0..6 (0 is Monday) or names,
            targets as [(kind, id), ...].

    Raises:
        Invalid: some values are wrong (422).

    Emits: maintenance.created; maintenance.started where it is open at once.
    """
    with transaction.atomic():
        window = MaintenanceWindow()
        _fill(window, values)
        if window.kind == "once" and window.ends_at is not None and window.ends_at <= timezone.now():
            raise errors.Invalid({"ends_at": "lies in the past; results that were recorded stay as they are"})
        window.save(force_insert=True)
        _emit("maintenance.created", window, actor, after=_facts(window))
        _look(window, timezone.now(), actor)
        _announce_after_commit()
    return window


def update_window(
    *, window_id: UUID | str, actor: Principal, values: Mapping[str, Any], expected_revision: int | None = None
) -> MaintenanceWindow:
    """Change a window; fields that are not named stay. Results that were recorded stay as they are.

    Raises:
        NotFound: no such window (404).
        PreconditionFailed: it was changed since it was read (412).
        Invalid: some values are wrong (422).

    Emits: maintenance.updated; maintenance.started, maintenance.ended where it opens or closes by the change.
    """
    with transaction.atomic():
        window = _locked(window_id, actor)
        if expected_revision is not None and window.revision != expected_revision:
            raise errors.PreconditionFailed(
                "Somebody changed this since you read it; read it again and repeat your change."
            )
        before = _facts(window)
        if values.get("kind", window.kind) != window.kind:
            for name in _FORBIDDEN.get(values["kind"], ()):
                values = {name: None, **values}
        _fill(window, values)
        after = _facts(window)
        changed = {name for name in after if after[name] != before[name]}
        if changed:
            if changed & {"kind", "starts_at", "ends_at", "weekdays", "start_time", "duration_s", "cron", "timezone"}:
                window.cut_at = None
            window.revision += 1
            window.save()
            _emit(
                "maintenance.updated", window, actor,
                before={name: before[name] for name in changed}, after={name: after[name] for name in changed},
            )  # fmt: skip
            _look(window, timezone.now(), actor)
            _announce_after_commit()
    return window


def end_window(*, window_id: UUID | str, actor: Principal) -> MaintenanceWindow:
    """End the occurrence that is open now; a recurring window opens again at its next time.

    Raises:
        NotFound: no such window (404).
        Conflict: it is not open (409).

    Emits: maintenance.ended.
    """
    now = timezone.now()
    with transaction.atomic():
        window = _locked(window_id, actor)
        if not window.enabled or _covering(window, now) is None:
            raise errors.Conflict("This window is not open now.", code="wrong_state")
        _look(window, now, actor)  # the sweep may not have told yet that it opened
        window.cut_at = now
        window.revision += 1
        window.save(update_fields=["cut_at", "revision", "updated_at"])
        _look(window, now, actor)
        _announce_after_commit()
    return window


def delete_window(*, window_id: UUID | str, actor: Principal) -> None:
    """Remove a window. Results that were recorded while it was open stay out of the uptime.

    Raises:
        NotFound: no such window (404).

    Emits: maintenance.ended where it was open; maintenance.deleted.
    """
    with transaction.atomic():
        window = _locked(window_id, actor)
        window.enabled = False
        _look(window, timezone.now(), actor)
        _emit("maintenance.deleted", window, actor, before=_facts(window))
        window.delete()
        _announce_after_commit()


def sweep_windows(*, now: datetime, limit: int = _PORTION) -> int:
    """Tell which windows have opened and closed since the last look.

    Returns:
        How many were looked at; call again while it is `limit`.

    Emits: maintenance.started, maintenance.ended.
    """
    if not MaintenanceWindow.objects.filter(next_change_at__lte=now).exists():
        return 0
    actor = system("maintenance")
    with transaction.atomic():
        due = MaintenanceWindow.objects.filter(next_change_at__lte=now).order_by("next_change_at")
        windows = list(due.select_for_update(skip_locked=True)[:limit])
        for window in windows:
            _look(window, now, actor)
        _announce_after_commit()
    return len(windows)


def next_occurrences(window: MaintenanceWindow, count: int = 5, now: datetime | None = None) -> list[Occurrence]:
    """Return the occurrence that is open and those that follow, at most `count`; none where it is off or faulty."""
    if not window.enabled:
        return []
    try:
        return list(islice(rule_of(window).occurrences(now or timezone.now()), count))
    except ValueError:
        return []


# --- looking -----------------------------------------------------------------------------------------------------


def _covering(window: MaintenanceWindow, now: datetime) -> Occurrence | None:
    try:
        return rule_of(window).covering(now)
    except Exception:  # a row that can't be worked out is never open; `_look` says why
        return None


def _look(window: MaintenanceWindow, now: datetime, actor: Principal) -> None:
    """Bring a locked window's state up to date and tell what changed."""
    fault, found, coming = "", None, None
    if window.enabled:
        try:
            rule = rule_of(window)
            found, coming = rule.covering(now), rule.next_after(now)
        except Exception as error:  # one window that can't be worked out must not stop the others
            fault = f"It never opens: {error}."[:300]
    if window.running_since is not None and (found is None or found.starts_at != window.running_since):
        ended = min(now, window.running_until or now)
        _emit("maintenance.ended", window, actor, Occurrence(window.running_since, ended))
        window.running_since = window.running_until = None
    if found is not None:
        if window.running_since is None:
            _emit("maintenance.started", window, actor, found)
        window.running_since, window.running_until = found.starts_at, found.ends_at
    window.fault = fault
    window.next_change_at = (
        found.ends_at if found is not None else coming.starts_at if coming is not None
        else now + _FAULT_RETRY if fault else None
    )  # fmt: skip
    MaintenanceWindow.objects.filter(pk=window.pk).update(
        running_since=window.running_since,
        running_until=window.running_until,
        next_change_at=window.next_change_at,
        fault=window.fault,
    )


def _announce_after_commit() -> None:
    forget()  # what this transaction asks next
    transaction.on_commit(_announce)


def _announce() -> None:
    forget()
    bell.ring(bell.SETTINGS)


# --- values ------------------------------------------------------------------------------------------------------


def _locked(window_id: UUID | str, actor: Principal) -> MaintenanceWindow:
    window: MaintenanceWindow | None = (
        MaintenanceWindow.objects.select_for_update().visible_to(actor).filter(pk=window_id).first()
    )
    if window is None:
        raise errors.NotFound("There is no such maintenance window, or you may not see it.")
    return window


def _fill(window: MaintenanceWindow, values: Mapping[str, Any]) -> None:
    """Set the values and check the whole.

    Raises:
        Invalid: some values are wrong (422).
    """
    problems: dict[str, str] = {}
    for name in FIELDS:
        if name in values:
            try:
                setattr(window, name, _cleaned(name, values[name]))
            except ValueError as error:
                problems[name] = str(error)
    if not problems:
        for name in _FORBIDDEN.get(window.kind, ()):
            if values.get(name) not in (None, "", [], ()):
                problems[name] = f"has no meaning for a window of the kind {window.kind}"
            else:
                setattr(window, name, _NOTHING[name])
        problems |= _time_problems(window)
    if not (window.all_targets or window.tags or window.targets):
        problems.setdefault("targets", "name what it is for: all, tags, or single things")
    for index, (kind, pk) in enumerate(window.targets if "targets" not in problems else ()):
        known = subjects.get(kind)
        if known is None:
            problems[f"targets.{index}"] = f'"{kind}" is not one of {", ".join(subjects)}'
        elif "targets" in values and known.find(pk) is None:
            problems[f"targets.{index}"] = f"there is no such {kind}"
    if problems:
        raise errors.Invalid(problems)


def _cleaned(name: str, value: Any) -> Any:
    if name == "title":
        text = str(value or "").strip()
        if not text or len(text) > 255:
            raise ValueError("give a title of at most 255 letters")
        return text
    if name in ("description", "cron", "timezone"):
        text = str(value or "").strip()
        if name == "cron" and text:
            return normalised(text)
        if name == "timezone" and not is_zone(text or "UTC"):
            raise ValueError(f'"{text}" is not an IANA time zone such as Europe/Berlin')
        return text or ("UTC" if name == "timezone" else "")
    if name == "kind" and value not in MaintenanceWindow.Kind.values:
        raise ValueError(f"must be one of {', '.join(MaintenanceWindow.Kind.values)}")
    if name == "weekdays":
        return sorted({_weekday(day) for day in value or ()})
    if name == "start_time" and isinstance(value, str):
        try:
            return time.fromisoformat(value) if value else None
        except ValueError:
            raise ValueError(f'"{value}" is not a time such as 02:30') from None
    if name == "duration_s":
        return None if value in (None, "") else int(parse_duration(value))
    if name == "tags":
        return sorted({str(word).strip() for word in value or () if str(word).strip()})
    if name == "targets":
        return _pairs(value or ())
    return value


def _weekday(day: Any) -> int:
    if isinstance(day, str) and not day.isdigit():
        for number, word in enumerate(WEEKDAYS):
            if len(day) >= 2 and word.startswith(day.lower()):
                return number
    elif not isinstance(day, bool) and str(day).isdigit() and 0 <= int(day) <= 6:
        return int(day)
    raise ValueError(f'"{day}" is neither 0 (Monday) to 6 (Sunday) nor a weekday\'s name')


def _pairs(value: Any) -> list[list[str]]:
    pairs: list[list[str]] = []
    for one in value:
        kind, pk = (one.get("kind"), one.get("id")) if isinstance(one, Mapping) else one
        known = subjects.get(str(kind))
        found = known.resolve(str(pk)) if known is not None and known.resolve is not None else None
        if [str(kind), found or str(pk)] not in pairs:
            pairs.append([str(kind), found or str(pk)])
    if len(pairs) > TARGETS_MOST:
        raise ValueError(f"at most {TARGETS_MOST} single things; give them a tag and name that")
    return pairs


def _time_problems(window: MaintenanceWindow) -> dict[str, str]:
    starts, ends = window.starts_at, window.ends_at
    if starts is not None and ends is not None and ends <= starts:
        return {"ends_at": "must come after starts_at"}
    if window.kind == "once":
        missing = [name for name, value in (("starts_at", starts), ("ends_at", ends)) if value is None]
        if missing:
            return dict.fromkeys(missing, "is needed for a window that comes once")
        assert starts is not None and ends is not None
        if ends - starts > ONCE_MOST:
            return {"ends_at": "lies more than a year after starts_at; pause what is out of use for so long"}
        return {}
    problems: dict[str, str] = {}
    if window.kind == "weekly":
        if not window.weekdays:
            problems["weekdays"] = "choose at least one weekday"
        if window.start_time is None:
            problems["start_time"] = "is needed for a weekly window"
    elif not window.cron:
        problems["cron"] = "is needed for a window by cron"
    if not window.duration_s or not _LENGTH_LEAST_S <= window.duration_s <= LENGTH_MOST_S:
        problems["duration_s"] = "must lie in 60 s..7 d"
    if problems:
        return problems
    try:
        coming = list(islice(rule_of(window).occurrences(timezone.now()), 10))
    except ValueError as error:
        return {"cron" if window.kind == "cron" else "weekdays": str(error)}
    for one, after in zip(coming, coming[1:], strict=False):
        if after.starts_at < one.ends_at:
            return {"duration_s": "it would still be open when it opens again; make it shorter, or the times rarer"}
    return {}


def _facts(window: MaintenanceWindow) -> dict[str, Any]:
    facts = {name: getattr(window, name) for name in FIELDS}
    for name in ("starts_at", "ends_at", "start_time"):
        facts[name] = facts[name].isoformat() if facts[name] is not None else None
    return facts


def _emit(
    name: str,
    window: MaintenanceWindow,
    actor: Principal,
    occurrence: Occurrence | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    data: dict[str, Any] = {"maintenance_id": str(window.pk), "title": window.title}
    if occurrence is not None:
        data |= {"starts_at": occurrence.starts_at.isoformat(), "ends_at": occurrence.ends_at.isoformat()}
    emit(
        name,
        subject=Subject("maintenance", str(window.pk), window.title),
        actor=actor,
        data=data,
        before=before,
        after=after,
    )
