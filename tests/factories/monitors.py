"""Endpoint monitors and their results for tests."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from apps.core.ids import new_id
from apps.core.models import Event
from apps.core.principals import system
from apps.monitors.checks import CertificateSeen, CheckConfig, CheckOutcome, check_types
from apps.monitors.models import CheckResult, DirtyBucket, Endpoint, EndpointState
from apps.monitors.services.endpoint_configs import config_of
from apps.monitors.services.endpoint_results import BUCKET_MS, CheckRun, record_results
from apps.monitors.services.endpoints import create_endpoint
from apps.monitors.states.endpoints import CODES, DEGRADED, DOWN, UNKNOWN, UP


def make_endpoint(**values: Any) -> Endpoint:
    """Return an endpoint, added by its service; fields as the service takes them."""
    given = {"name": "Shop", "endpoint_type": "http", "target": "http://127.0.0.1:9/health", **values}
    return create_endpoint(actor=system("test"), values=given)


def make_config(**values: Any) -> CheckConfig:
    """Return a check's configuration without a row; `options` as they are stored, secrets in plain text."""
    given: dict[str, Any] = {
        "endpoint_id": new_id(), "num": 1, "revision": 1, "name": "Shop", "endpoint_type": "http",
        "target": "http://127.0.0.1:9/", "interval_s": 60, "timeout_s": 5.0, **values,
    }  # fmt: skip
    if given["endpoint_type"] in check_types:
        given["options"] = check_types[given["endpoint_type"]].ready_options(given.get("options", {}))
    return CheckConfig(**given)


def record(
    endpoint: Endpoint,
    status: str,
    *,
    at: datetime | None = None,
    latency_ms: float | None = 20.0,
    error: str = "",
    certificate: CertificateSeen | None = None,
) -> EndpointState:
    """Record one result as the runner does, and return the state after it."""
    endpoint = Endpoint.objects.get(pk=endpoint.pk)
    outcome = CheckOutcome(
        status=status,
        latency_ms=latency_ms if status in (UP, DEGRADED) else None,
        error=error or ("" if status == UP else f"it is {status}"),
        certificate=certificate,
    )
    record_results([CheckRun(config_of(endpoint), at or timezone.now(), outcome)])
    return EndpointState.objects.get(num=endpoint.num)


def record_all(
    endpoint: Endpoint, statuses: str, *, start: datetime | None = None, step_s: float = 60
) -> EndpointState:
    """Record results given as letters: u(p), g (degraded), d(own), n (unknown)."""
    names = {"u": UP, "g": DEGRADED, "d": DOWN, "n": UNKNOWN}
    begin = start or timezone.now() - timedelta(seconds=step_s * len(statuses))
    for position, letter in enumerate(statuses):
        state = record(endpoint, names[letter], at=begin + timedelta(seconds=step_s * position))
    return state


def insert_results(num: int, results: Sequence[tuple[int, str, float | None]]) -> None:
    """Insert results (at in epoch ms, status, latency) and their marks, without moving a state."""
    CheckResult.objects.bulk_create(
        [CheckResult(num=num, at=at, status=CODES[status], latency_ms=latency) for at, status, latency in results]
    )
    marks = {at - at % BUCKET_MS for at, _, _ in results}
    DirtyBucket.objects.bulk_create([DirtyBucket(level=0, at=at, num=num) for at in marks], ignore_conflicts=True)


def facts(name: str) -> list[Event]:
    """Return the facts of that name, in order."""
    return list(Event.objects.filter(name=name).order_by("id"))
