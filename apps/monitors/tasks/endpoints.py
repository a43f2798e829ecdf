"""The sweep that checks endpoints, and their roll-ups."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from celery import shared_task
from django.db.models import F, Max
from django.utils import timezone

from apps.core import bell, leases
from apps.core.pulse import sweep
from apps.core.runner import runner
from apps.monitors.checks import CheckConfig, CheckOutcome, as_expected, run_check
from apps.monitors.connectivity import guard
from apps.monitors.models import Endpoint, EndpointState
from apps.monitors.pressure import LoopLag
from apps.monitors.services.endpoint_configs import configs_of
from apps.monitors.services.endpoint_results import CheckRun, record_results, release_checks
from apps.monitors.services.endpoint_retention import drop_series
from apps.monitors.services.endpoint_rollups import roll_up_results
from apps.monitors.states.endpoints import DOWN, UNKNOWN

LANE = "checks"
IN_FLIGHT = 400
EXCUSED_SHARE = 0.2  # of the time-out
LEASE_MARGIN_S = 15  # beyond the time-out: writing the result

lag = LoopLag()
_lease_s, _lease_read_at = 75.0, 0.0


@sweep("monitors.endpoints", every_s=1, on_ring=bell.WORK, shared=True)
def sweep_endpoints() -> int:
    """Claim the endpoints that are due, as many as the runner takes, and hand them over.

    Returns:
        How many were claimed.
    """
    free = runner().free(LANE, IN_FLIGHT)
    if not free:
        return 0
    due = EndpointState.objects.filter(next_check_at__lte=timezone.now()).order_by("next_check_at")
    due = due.annotate(revision=F("endpoint__revision")).only("endpoint_id", "num")
    if not due.exists():  # so that an idle installation writes nothing
        return 0
    claimed = leases.claim(due, limit=free, owner=leases.owner(), seconds=_lease_seconds())
    configs = configs_of((state.endpoint_id, state.revision) for state in claimed)  # type: ignore[attr-defined]
    for state in claimed:
        config = configs.get(state.endpoint_id)
        if config is not None:
            runner().submit(LANE, _check(config))
    return len(claimed)


def _check(config: CheckConfig) -> Callable[[], Coroutine[Any, Any, None]]:
    async def check() -> None:
        lag.start()
        started, began = timezone.now(), time.monotonic()
        try:
            outcome = await run_check(config)
        except asyncio.CancelledError:  # the worker stops
            runner().store(release_checks, config.num)
            raise
        outcome = excuse(config, outcome, lost_s=lag.lost_since(began))
        outcome = as_expected(config, await guard().judge(config, outcome))
        runner().store(record_results, CheckRun(config, started, outcome))

    return check


def excuse(config: CheckConfig, outcome: CheckOutcome, *, lost_s: float) -> CheckOutcome:
    """Turn "down" by a time-out into "unknown" where this process itself was held up for a good part of the time.

    Args:
        lost_s: seconds that the loop lost during the check.
    """
    if outcome.status == DOWN and outcome.is_timeout and lost_s > config.timeout_s * EXCUSED_SHARE:
        outcome.status = UNKNOWN
        outcome.error = f"The platform was held up for {lost_s:.1f} s during the check; nothing can be said."
    return outcome


def _lease_seconds() -> float:
    """Return how long a claim holds: longer than any check may take, so that only a dead worker's runs out."""
    global _lease_s, _lease_read_at
    if time.monotonic() - _lease_read_at > 30:
        longest = Endpoint.objects.aggregate(longest=Max("timeout_s"))["longest"]
        _lease_s, _lease_read_at = (longest or 60.0) + LEASE_MARGIN_S, time.monotonic()
    return _lease_s


@shared_task(name="monitors.roll_up")
def roll_up() -> None:
    """Roll up results: 5 minutes each time, hours and days every five minutes. One worker at a time."""
    if not leases.hold("monitors.roll_up", seconds=60):
        return
    try:
        roll_up_results(0, most=20_000)
        if leases.claim_turn("monitors.roll_up_long", every_s=300):
            roll_up_results(1, most=20_000)
            roll_up_results(2, most=20_000)
    finally:
        leases.release("monitors.roll_up")


@shared_task(name="monitors.drop_series")
def drop_removed() -> None:
    """Delete the results of removed endpoints, in short transactions, for at most 5 s."""
    end = timezone.now() + timedelta(seconds=5)
    while timezone.now() < end and drop_series(500):
        time.sleep(0.02)  # lets other writers in between
