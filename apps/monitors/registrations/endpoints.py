"""Endpoint monitors in the core's registries: what they are called, how long results are kept, figures, health."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db.models import Count
from django.utils import timezone

from apps.core import runtime_settings
from apps.core.registries import Health, Keep, SubjectKind, health_parts, keeps, metric_collectors, subjects
from apps.monitors.models import CheckResult, CheckRollup1d, CheckRollup1h, CheckRollup5m, Endpoint, EndpointState
from apps.monitors.services.endpoint_retention import DAY_S, prune_results, prune_series
from apps.monitors.states.endpoints import DEGRADED, DOWN, STATUSES, UP

LATE_S = 60

# --- keeping -----------------------------------------------------------------------------------------------------
for _key, _model, _days, _most, _what in (
    ("checks", CheckResult, 7, 400, "single results of endpoint checks"),
    ("checks_5m", CheckRollup5m, 30, 400, "results of endpoint checks in buckets of five minutes"),
    ("checks_1h", CheckRollup1h, 400, 3660, "results of endpoint checks in buckets of an hour"),
    ("checks_1d", CheckRollup1d, 1830, 3660, "results of endpoint checks in buckets of a day"),
):
    _setting = runtime_settings.declare(
        "retention", _key, "duration", _days * DAY_S, f"How long {_what} are kept.", least=DAY_S, most=_most * DAY_S
    )
    _prune = (
        partial(prune_results, _setting.name) if _model is CheckResult else partial(prune_series, _model, _setting.name)
    )
    keeps.register(_key, Keep(_model._meta.db_table, _setting.name, _prune, telemetry=True))


# --- subjects ----------------------------------------------------------------------------------------------------
def _name(pk: str) -> str | None:
    try:
        name: str | None = Endpoint.objects.filter(pk=pk).values_list("name", flat=True).first()
    except ValueError:
        return None
    except Exception as error:  # django.core.exceptions.ValidationError of a malformed uuid
        if type(error).__name__ == "ValidationError":
            return None
        raise
    return name


def _url(pk: str) -> str:
    return f"/admin/monitors/endpoint/{pk}/"


subjects.register("endpoint", SubjectKind(find=_name, url=_url))


# --- health ------------------------------------------------------------------------------------------------------
def _health() -> Health:
    late = EndpointState.objects.filter(next_check_at__lt=timezone.now() - timedelta(seconds=LATE_S)).count()
    if late:
        return Health("degraded", f"{late} endpoints were due more than {LATE_S} s ago and have not been checked.")
    return Health("ok", "Every endpoint is checked in time.")


health_parts.register("endpoint checks", _health)


# --- figures -----------------------------------------------------------------------------------------------------
def _metrics(per_object: bool) -> Iterator[Any]:
    counted = dict(EndpointState.objects.values_list("status").annotate(count=Count("num")).order_by())
    yield (
        "watchkeeper_endpoints",
        "gauge",
        "Endpoint monitors by status.",
        [({"status": status}, counted.get(status, 0)) for status in STATUSES],
    )
    if not per_object:
        return
    rows = list(
        EndpointState.objects.order_by("num").values_list(
            "endpoint_id", "endpoint__name", "endpoint__endpoint_type", "status", "last_response_time_ms",
            "last_check_at", "certificate",
        )
    )  # fmt: skip
    labelled = [({"endpoint_id": str(row[0]), "name": row[1], "type": row[2]}, *row[3:]) for row in rows]
    told = {UP: 1, DEGRADED: 1, DOWN: 0}
    yield (
        "watchkeeper_endpoint_up",
        "gauge",
        "1 where the last check found the endpoint up or degraded, 0 where down; absent where unknown or paused.",
        [(labels, told[status]) for labels, status, *_ in labelled if status in told],
    )
    yield (
        "watchkeeper_endpoint_response_seconds",
        "gauge",
        "Time that the last check took.",
        [(labels, latency / 1000) for labels, _, latency, *_ in labelled if latency is not None],
    )
    yield (
        "watchkeeper_endpoint_last_check_timestamp_seconds",
        "gauge",
        "When the endpoint was checked last.",
        [(labels, at.timestamp()) for labels, _, _, at, _ in labelled if at is not None],
    )
    yield (
        "watchkeeper_endpoint_certificate_not_after_timestamp_seconds",
        "gauge",
        "When the certificate that the last check met ends.",
        [
            (labels, datetime.fromisoformat(facts["not_after"]).timestamp())
            for labels, *_, facts in labelled
            if facts and facts.get("not_after")
        ],
    )


metric_collectors.register("endpoints", _metrics)
