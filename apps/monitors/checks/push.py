"""Results that are sent in: a job or another monitor says how it is; silence is down."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from apps.core.models import Condition, Lease
from apps.core.watchdog import AWAY, DEAF_AFTER_S, LISTENING
from apps.monitors.checks.base import CheckConfig, CheckOutcome, CheckType, in_thread, register
from apps.monitors.states.endpoints import DOWN, UNKNOWN

BLIND = "blind"  # name of the condition that `connectivity` keeps


@register("push")
class PushCheck(CheckType):
    """Nothing is asked here; `run` is called when nothing has come for longer than interval and time-out."""

    label = "Results sent in (push)"
    target_help = ""
    takes_results = True
    minds_latency = False

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong: a target would mislead."""
        return {"target": "results are sent in; there is nothing to reach"} if values["target"] else {}

    def address(self, target: str) -> tuple[str, int]:
        """Return nothing: no certificate is ever seen here."""
        return "", 0

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Say what it means that nothing has come."""
        return await in_thread(judge_silence, config, timezone.now())


def judge_silence(config: CheckConfig, now: datetime) -> CheckOutcome:
    """Return `down`, or `unknown` where nothing could come: silence says something only while somebody listens."""
    wait_s = config.interval_s + config.timeout_s
    away = _away_until(now)
    if away is not None and away > now - timedelta(seconds=wait_s):
        return CheckOutcome(UNKNOWN, error="The platform could not be reached meanwhile; a result is waited for anew.")
    return CheckOutcome(DOWN, error=f"No result has been sent in for more than {wait_s:g} s.")


def _away_until(now: datetime) -> datetime | None:
    """Return up to when no result could come: now, where none can; None where that never was."""
    blind = Condition.objects.filter(name=BLIND).first()
    rows = {row.name: row for row in Lease.objects.filter(name__in=(LISTENING, AWAY))}
    listened = rows[LISTENING].last_run_at if LISTENING in rows else None
    if blind is not None and blind.ended_at is None:
        return now
    if listened is not None and (now - listened).total_seconds() > DEAF_AFTER_S:
        return now
    ends = [blind.ended_at if blind else None, rows[AWAY].last_run_at if AWAY in rows else None]
    return max((end for end in ends if end is not None), default=None)
