"""Thresholds: what people set, and the sweep that holds the latest snapshots against it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.alerts.limits import BEGIN, DROP, TELL, Held, instances, is_breached, moves
from apps.alerts.models import Breach, Threshold
from apps.alerts.services.alerts import clear_alert, open_alert
from apps.alerts.states import RANK
from apps.core.errors import Conflict, Invalid, NotFound, PreconditionFailed
from apps.core.events import Subject, emit
from apps.core.principals import Principal, system
from apps.fleet import selectors as fleet
from apps.fleet.models import Server

#: The six limits that `/alerts/config` shows.
CONFIG_METRICS = ("cpu", "memory", "disk")
CONFIG_LEVELS = ("warning", "critical")
FIELDS = ("server", "metric", "comparison", "value", "level", "for_s", "clear_value", "enabled")
_UNITS = {"load_per_core": "", "temperature": " °C"}
_LABELS = {
    "cpu": "CPU",
    "memory": "Memory",
    "swap": "Swap",
    "disk": "Disk",
    "inodes": "Inodes",
    "load_per_core": "Load per core",
    "temperature": "Temperature",
}


# --- what people set -----------------------------------------------------------------------------------------------


def create_threshold(*, actor: Principal, values: Mapping[str, Any]) -> Threshold:
    """Add a threshold.

    Args:
        values: the fields of `Threshold` that people set; `server` a Server or None for all.

    Raises:
        Invalid: a value is out of range (422).
        Conflict: there is one for this server, metric and level (409).

    Emits: threshold.created.
    """
    threshold = Threshold(**{name: values[name] for name in FIELDS if name in values})
    check_threshold(threshold)
    try:
        with transaction.atomic():
            threshold.save(force_insert=True)
            _emit("threshold.created", threshold, actor, after=_facts(threshold))
    except IntegrityError as error:
        raise Conflict(
            "There is a threshold for this server, metric and level already; change that one.", code="duplicate"
        ) from error
    return threshold


def update_threshold(
    *, threshold_id: UUID | str, actor: Principal, values: Mapping[str, Any], expected_revision: int | None = None
) -> Threshold:
    """Change a threshold; fields that are not named stay.

    Raises:
        NotFound: no such threshold (404).
        PreconditionFailed: it was changed since it was read (412).
        Invalid, Conflict: as `create_threshold`.

    Emits: threshold.updated.
    """
    try:
        with transaction.atomic():
            threshold = _locked(threshold_id, actor)
            if expected_revision is not None and threshold.revision != expected_revision:
                raise PreconditionFailed("Somebody changed this threshold since you read it.")
            before = _facts(threshold)
            for name in FIELDS:
                if name in values:
                    setattr(threshold, name, values[name])
            check_threshold(threshold)
            threshold.revision += 1
            threshold.save()
            _emit("threshold.updated", threshold, actor, before=before, after=_facts(threshold))
    except IntegrityError as error:
        raise Conflict("There is a threshold for this server, metric and level already.", code="duplicate") from error
    return threshold


def delete_threshold(*, threshold_id: UUID | str, actor: Principal) -> None:
    """Remove a threshold; what it had opened clears with the next sweep.

    Raises:
        NotFound: no such threshold (404).

    Emits: threshold.deleted.
    """
    with transaction.atomic():
        threshold = _locked(threshold_id, actor)
        _emit("threshold.deleted", threshold, actor, before=_facts(threshold))
        threshold.delete()


def change_config(*, actor: Principal, values: Mapping[str, Any]) -> None:
    """Set the six global limits, all of them or none.

    Args:
        values: {"cpu": {"warning": 80, "critical": 95}, ...}; metrics and levels that are not named stay.

    Raises:
        Invalid: an unknown metric or level, not 0 < warning < critical <= 100 (422).

    Source: contract row POST /alerts/config.
    """
    if not isinstance(values, Mapping) or not values:
        raise Invalid({"": "name cpu, memory or disk, each with warning and critical"})
    problems = {name: "is not one of cpu, memory, disk" for name in values if name not in CONFIG_METRICS}
    with transaction.atomic():
        rows = {
            (row.metric, row.level): row
            for row in Threshold.objects.select_for_update().filter(
                server__isnull=True, metric__in=CONFIG_METRICS, level__in=CONFIG_LEVELS
            )
        }
        wanted: dict[tuple[str, str], float] = {}
        for metric in CONFIG_METRICS:
            given = values.get(metric, {})
            if not isinstance(given, Mapping):
                problems[metric] = "give an object with warning and critical"
                continue
            problems |= {
                f"{metric}.{level}": "is not warning or critical" for level in given if level not in CONFIG_LEVELS
            }
            limits = {
                level: given.get(level, rows[metric, level].value if (metric, level) in rows else None)
                for level in CONFIG_LEVELS
            }
            if not all(
                isinstance(limit, int | float) and not isinstance(limit, bool) and 0 < limit <= 100
                for limit in limits.values()
            ):
                problems[metric] = "limits are percent, above 0 and at most 100"
            elif limits["warning"] >= limits["critical"]:
                problems[metric] = "warning must be under critical"
            else:
                wanted |= {(metric, level): float(limit) for level, limit in limits.items()}
        if problems:
            raise Invalid(problems)
        for (metric, level), limit in wanted.items():
            row = rows.get((metric, level))
            if row is None:
                create_threshold(actor=actor, values={"metric": metric, "level": level, "value": limit})
            elif row.value != limit:
                changed: dict[str, Any] = {"value": limit}
                if row.clear_value is not None:
                    changed["clear_value"] = None  # it belonged to the former limit
                update_threshold(threshold_id=row.id, actor=actor, values=changed)


def _locked(threshold_id: UUID | str, actor: Principal) -> Threshold:
    threshold = Threshold.objects.select_for_update(of=("self",)).visible_to(actor).filter(id=threshold_id).first()
    if threshold is None:
        raise NotFound("There is no such threshold, or you may not see it.")
    return threshold


def check_threshold(threshold: Threshold) -> None:
    """Refuse a threshold whose values are wrong.

    Raises:
        Invalid: a value is out of range (422).
    """
    problems: dict[str, str] = {}
    if threshold.metric not in Threshold.Metric.values:
        problems["metric_type"] = f"must be one of {', '.join(Threshold.Metric.values)}"
    if threshold.comparison not in Threshold.Comparison.values:
        problems["comparison"] = "must be gt, gte, lt or lte"
    if threshold.level not in RANK:
        problems["level"] = f"must be one of {', '.join(RANK)}"
    if threshold.metric in ("cpu", "memory", "swap", "disk", "inodes") and not 0 <= threshold.value <= 100:
        problems["threshold_value"] = "is a percentage, 0..100"
    if not 0 <= threshold.for_s <= 86400:
        problems["for"] = "must lie in 0..86400 seconds"
    if (
        threshold.clear_value is not None
        and not problems
        and is_breached(threshold.comparison, threshold.clear_value, threshold.value)
    ):
        problems["clear_value"] = "must lie on the good side of the threshold"
    if problems:
        raise Invalid(problems)


def _facts(threshold: Threshold) -> dict[str, Any]:
    return {name: getattr(threshold, name) for name in FIELDS if name != "server"} | {
        "server": threshold.server.slug if threshold.server else None
    }


def _emit(name: str, threshold: Threshold, actor: Principal, **audit: Mapping[str, Any]) -> None:
    emit(
        name,
        subject=Subject("threshold", str(threshold.id), str(threshold)),
        actor=actor,
        server_id=threshold.server_id,
        data={
            "threshold_id": str(threshold.id),
            "metric": threshold.metric,
            "level": threshold.level,
            "server_id": str(threshold.server_id) if threshold.server_id else None,
        },
        before=audit.get("before"),
        after=audit.get("after"),
    )


# --- the sweep -----------------------------------------------------------------------------------------------------


def evaluate_thresholds(*, now: datetime | None = None) -> int:
    """Hold the latest snapshots against the thresholds; open, escalate and clear alerts.

    A server that is offline is passed over: it tells nothing, so nothing recovers. Three queries for any number of
    servers, and a transaction only for what changes.

    Args:
        now: the moment to evaluate at; now where none is given.

    Returns:
        How many breaches began, matured or cleared.
    """
    moment = now or timezone.now()
    by_server: dict[Any, dict[tuple[str, str], Threshold]] = {}
    for threshold in Threshold.objects.filter(enabled=True):
        by_server.setdefault(threshold.server_id, {})[threshold.metric, threshold.level] = threshold
    own_disabled = set(
        Threshold.objects.filter(enabled=False, server__isnull=False).values_list("server_id", "metric", "level")
    )
    breaches: dict[Any, dict[tuple[str, str], Breach]] = {}
    for breach in Breach.objects.all():
        breaches.setdefault(breach.server_id, {})[breach.instance, breach.level] = breach
    changes = 0
    for server in fleet.latest_values():
        if not server.is_online:
            continue
        limits = by_server.get(None, {}) | by_server.get(server.server_id, {})
        if own_disabled:
            limits = {key: limit for key, limit in limits.items() if (server.server_id, *key) not in own_disabled}
        changes += _evaluate_server(server, limits, breaches.get(server.server_id, {}), moment)
    return changes


def _evaluate_server(
    server: fleet.LatestValues,
    limits: Mapping[tuple[str, str], Threshold],
    open_breaches: dict[tuple[str, str], Breach],
    now: datetime,
) -> int:
    held = {key: Held(breach.since, breach.is_told) for key, breach in open_breaches.items()}
    found = moves(instances(server.values), limits, held, now)
    for move in found:
        key = (move.instance, move.level)
        if move.what == BEGIN:
            with transaction.atomic():
                open_breaches[key], _ = Breach.objects.get_or_create(
                    server_id=server.server_id, instance=move.instance, level=move.level, defaults={"since": now}
                )
        elif move.what == DROP:
            open_breaches.pop(key).delete()
        elif move.what == TELL:
            assert move.value is not None
            limit = limits[move.instance.partition(":")[0], move.level]
            _tell(server, open_breaches[key], limit, move.instance, move.value)
        else:
            _end(server, open_breaches.pop(key), is_last=move.clears)
    return len({move.instance for move in found})


def _tell(server: fleet.LatestValues, breach: Breach, threshold: Threshold, instance: str, value: float) -> None:
    with transaction.atomic():
        if not Breach.objects.filter(id=breach.id, is_told=False).update(is_told=True):
            return  # another worker's sweep was first
        breach.is_told = True
        open_alert(
            source="server",
            kind=instance,
            subject=Subject("server", str(server.server_id), server.name),
            level=threshold.level,
            message=message_of(server.name, threshold, instance, value),
            value=value,
            threshold=threshold.value,
            server_id=server.server_id,
            evidence=_evidence(server, instance, threshold),
            actor=system("alerts"),
        )


def _end(server: fleet.LatestValues, breach: Breach, *, is_last: bool) -> None:
    with transaction.atomic():
        breach.delete()
        if is_last:
            clear_alert(
                source="server",
                kind=breach.instance,
                subject_id=str(server.server_id),
                actor=system("alerts"),
                note="Back within its limits.",
            )


def message_of(server_name: str, threshold: Threshold, instance: str, value: float) -> str:
    """Return what an alert says of a breach."""
    metric, _, mount = instance.partition(":")
    unit = _UNITS.get(metric, " %")
    what = f"{_LABELS.get(metric, metric)}{f' {mount}' if mount else ''}"
    lasting = f" for {threshold.for_s} s" if threshold.for_s else ""
    limit = f"{threshold.get_comparison_display()} {threshold.value:g}{unit}{lasting}"
    return f"{what} on {server_name} is {value:.1f}{unit} ({limit})"


def _evidence(server: fleet.LatestValues, instance: str, threshold: Threshold) -> dict[str, Any]:
    row = Server.objects.get(id=server.server_id)
    return {
        "metric": instance,
        "comparison": threshold.comparison,
        "threshold": threshold.value,
        "for_s": threshold.for_s,
        "values": fleet.recent_values(row, instance, minutes=15),
        "top_processes": fleet.top_processes(row, n=5),
    }
