"""Thresholds of an endpoint over its stored results.

The proposal: `endpoint`, and what is to be tried of `failure_threshold`, `recovery_threshold` and `degraded_over_ms`;
what is not named stays as it is.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apps.alerts.services.rehearsal.common import Budget, Firing, Report, really_opened, rehearsal
from apps.core.errors import Invalid
from apps.core.events import Subject
from apps.core.principals import Principal
from apps.monitors.models import CheckResult, Endpoint
from apps.monitors.states.endpoints import DEGRADED, DOWN, NAMES, UNKNOWN, UP

_PAGE = 5000


@rehearsal("endpoint", "endpoints:view")
def rehearse_endpoint(report: Report, proposal: Mapping[str, Any], actor: Principal, budget: Budget) -> None:
    """Count failures against proposed thresholds."""
    endpoint: Endpoint | None = proposal.get("endpoint")
    if endpoint is None:
        raise Invalid({"endpoint_id": "say which endpoint"})
    failures = _whole(proposal, "failure_threshold", endpoint.failure_threshold)
    recoveries = _whole(proposal, "recovery_threshold", endpoint.recovery_threshold)
    slow = proposal.get("degraded_over_ms")
    report.basis = "results of checks"
    past = _Past(endpoint, failures, recoveries, sorted(tag.name for tag in endpoint.tags.all()))
    first = int(report.since.timestamp() * 1000) - 100 * endpoint.interval_s * 1000  # what had begun by then is known
    last = int(report.until.timestamp() * 1000)
    oldest = CheckResult.objects.filter(num=endpoint.num).order_by("at").values_list("at", flat=True).first()
    if oldest is None or oldest > int(report.since.timestamp() * 1000):
        since = datetime.fromtimestamp((oldest or last) / 1000, UTC)
        report.notes.append(f"Results are kept since {since:%Y-%m-%d %H:%M} UTC.")
    while True:
        rows = CheckResult.objects.filter(num=endpoint.num, at__gte=first, at__lte=last, manual=False).order_by("at")
        page = list(rows.values_list("at", "status", "latency_ms", "error")[:_PAGE])
        budget.rows -= len(page)
        for at_ms, code, latency, error in page:
            status = NAMES[code]
            if slow is not None and status in (UP, DEGRADED) and latency is not None:
                status = DEGRADED if latency > slow else UP
            past.look(datetime.fromtimestamp(at_ms / 1000, UTC), status, latency, error)
        if len(page) < _PAGE:
            break
        first = page[-1][0] + 1
        if budget.is_spent:
            report.cut(datetime.fromtimestamp(page[-1][0] / 1000, UTC))
            break
    report.fired = past.fired
    report.real = really_opened(report, source="endpoint", subject_id=str(endpoint.id))


def _whole(proposal: Mapping[str, Any], name: str, default: int) -> int:
    value = proposal.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100:
        raise Invalid({name: "give a whole number, 1..100"})
    return value


class _Past:
    """An endpoint's past as the recording of results would have seen it."""

    def __init__(self, endpoint: Endpoint, failures: int, recoveries: int, tags: list[str]) -> None:
        self.endpoint, self.tags = endpoint, tags
        self.failure_threshold, self.recovery_threshold = failures, recoveries
        self.down = self.bad = self.good = 0
        self.open: Firing | None = None
        self.fired: list[Firing] = []

    def look(self, at: datetime, status: str, latency: float | None, error: str) -> None:
        """Take the next result, as `monitors.services.endpoint_results` takes it."""
        if status == UP:
            self.good += 1
            self.down = self.bad = 0
            if self.open is not None and self.good >= self.recovery_threshold:
                self.open.resolved_at, self.open = at, None
        elif status != UNKNOWN:
            self.good = 0
            self.bad += 1
            self.down = self.down + 1 if status == DOWN else 0
            if status == DOWN:
                if self.down >= self.failure_threshold and (self.open is None or self.open.level != "critical"):
                    self._tell(at, "critical", f"{self.endpoint.name} is down: {error}", latency)
            elif self.bad >= self.failure_threshold and self.open is None:
                words = f"it answered in {latency:.0f} ms" if latency is not None else error
                self._tell(at, "warning", f"{self.endpoint.name} is slow: {words}", latency)

    def _tell(self, at: datetime, level: str, message: str, value: float | None) -> None:
        if self.open is not None:
            self.open.level, self.open.escalated_at, self.open.message = level, at, message
            return
        self.open = Firing(
            source="endpoint",
            kind="availability",
            subject=Subject("endpoint", str(self.endpoint.id), self.endpoint.name),
            level=level,
            opened_at=at,
            message=message,
            value=value,
            tags=self.tags,
        )
        self.fired.append(self.open)
