"""A schedule over the recorded pings of a heartbeat.

The proposal: `heartbeat`, and what is to be tried of its schedule (`interval_seconds`, `cron`, `on_calendar`,
`timezone`, `grace_seconds`, `early_seconds`, `max_runtime_seconds`); what is not named stays as it is.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from apps.alerts.services.rehearsal.common import Budget, Firing, Report, really_opened, rehearsal
from apps.core.errors import Invalid
from apps.core.events import Subject
from apps.core.principals import Principal
from apps.monitors.models import Heartbeat, Ping
from apps.monitors.schedules import Schedule
from apps.monitors.services.beat import Beat
from apps.monitors.services.heartbeat_rules import merged
from apps.monitors.states.heartbeats import NEW

#: What is looked at before the span, at the least; a job that runs seldom needs more of it.
WARM_UP = timedelta(days=7)
_PAGE = 5000
_TRIED = (
    "interval_seconds",
    "cron",
    "on_calendar",
    "timezone",
    "grace_seconds",
    "early_seconds",
    "max_runtime_seconds",
)
#: More looks at the clock between two pings than this, and the rehearsal ends there.
LOOKS_MOST = 100_000


@rehearsal("schedule", "heartbeats:view")
def rehearse_schedule(report: Report, proposal: Mapping[str, Any], actor: Principal, budget: Budget) -> None:
    """Hold recorded pings against a proposed schedule."""
    heartbeat: Heartbeat | None = proposal.get("heartbeat")
    if heartbeat is None:
        raise Invalid({"heartbeat_id": "say which heartbeat"})
    values = merged(heartbeat, {name: proposal[name] for name in _TRIED if name in proposal})
    schedule = Schedule(values["interval_seconds"], values["cron"] or "", values["timezone"])
    period = timedelta(seconds=schedule.period_s(report.since))
    start = report.since - max(WARM_UP, 3 * period)
    report.basis = "recorded pings"
    if heartbeat.has_rules:
        report.notes.append("Expected numbers of pings and keywords are left out; pings count as they were recorded.")
    report.notes.append("Maintenance, and times in which the platform itself did not listen, are left out.")
    past = _Past(heartbeat, _beat(heartbeat, schedule, values, start))
    _replay(past, heartbeat, start, report, budget)
    report.fired = past.fired
    report.real = really_opened(report, source="heartbeat", subject_id=str(heartbeat.id))


def _replay(past: "_Past", heartbeat: Heartbeat, start: datetime, report: Report, budget: Budget) -> None:
    first, last = int(start.timestamp() * 1000), int(report.until.timestamp() * 1000)
    seen = 0
    key = (first, -1)
    while True:
        rows = Ping.objects.filter(num=heartbeat.num, at__gte=key[0], at__lte=last).order_by("at", "n")
        page = [
            row
            for row in rows.values_list("at", "n", "kind", "exit_code", "rid")[: _PAGE + 1]
            if (row[0], row[1]) > key
        ]
        budget.rows -= len(page)
        for at_ms, n, kind, exit_code, rid in page:
            at = datetime.fromtimestamp(at_ms / 1000, UTC)
            if not past.pass_until(at, budget):
                report.cut(past.now)
                return
            past.ping(at, n, kind, exit_code, rid)
        seen += len(page)
        if len(page) < _PAGE:
            break
        key = (page[-1][0], page[-1][1])
        if budget.is_spent:
            report.cut(datetime.fromtimestamp(key[0] / 1000, UTC))
            return
    if not seen:
        report.notes.append("No ping is recorded in this time, so nothing was expected either.")
    if not past.pass_until(report.until, budget):
        report.cut(past.now)


def _beat(heartbeat: Heartbeat, schedule: Schedule, values: Mapping[str, Any], start: datetime) -> Beat:
    """Return the heartbeat in memory as it would be, before its first ping."""
    return Beat(
        uuid=heartbeat.uuid,
        key=heartbeat.id,
        num=heartbeat.num,
        name=heartbeat.name,
        schedule=schedule,
        grace_seconds=values["grace_seconds"],
        early_seconds=values["early_seconds"],
        max_runtime_seconds=values["max_runtime_seconds"],
        resume_on_ping=heartbeat.resume_on_ping,
        revision=1,
        config_revision=1,
        status=NEW,
        since=start,
        last_ping_at=None,
        next_due_at=None,
        deadline=None,
        run_deadline=None,
        wake_at=None,
        last_start_at=None,
        open_runs=0,
        last_duration_ms=None,
        ping_count=0,
        last_exit_code=None,
        alerting=False,
        down_since=None,
        missed_until=None,
        consecutive_failures=0,
        log_minute=0,
        log_count=0,
        day=0,
        day_ok=0,
        day_failed=0,
        day_missed=0,
    )


class _Past:
    """A heartbeat's past as the pings and the sweep would have made it."""

    def __init__(self, heartbeat: Heartbeat, beat: Beat) -> None:
        self.heartbeat, self.beat = heartbeat, beat
        self.tags = sorted(tag.name for tag in heartbeat.tags.all())
        self.now = beat.since
        self.open: Firing | None = None
        self.fired: list[Firing] = []

    def pass_until(self, until: datetime, budget: Budget) -> bool:
        """Let time pass; returns False where there was too much to look at."""
        for _ in range(LOOKS_MOST):
            wake = self.beat.wake_at
            if wake is None or wake > until:
                return True
            if budget.is_spent:
                return False
            self.now = max(wake, self.now)
            self.beat.expire(self.now)
            self._follow(self.now)
            if self.beat.wake_at is not None and self.beat.wake_at <= wake:
                self.beat.wake_at = wake + timedelta(seconds=1)  # the sweep, too, looks again after a second
        return False

    def ping(self, at: datetime, n: int, kind: str, exit_code: int | None, rid: UUID | None) -> None:
        """Take a recorded ping, as `monitors.services.pings` takes it."""
        self.now = at
        self.beat.count(at)
        if kind == Ping.START:
            self.beat.start(at, n, rid)
        elif kind == Ping.FAIL:
            self.beat.fail(at, n, rid, 1 if exit_code is None else exit_code, True)
        elif kind != Ping.LOG:
            self.beat.succeed(at, n, rid, exit_code, True)
        self._follow(at)

    def _follow(self, at: datetime) -> None:
        for fact in self.beat.facts:
            if fact.name == "heartbeat.recovered":
                if self.open is not None:
                    self.open.resolved_at, self.open = at, None
            elif fact.name in ("heartbeat.deadline_missed", "heartbeat.failed"):
                if self.open is None:
                    self.open = Firing(
                        source="heartbeat",
                        kind="run",
                        subject=Subject("heartbeat", str(self.heartbeat.id), self.heartbeat.name),
                        level="critical",
                        opened_at=at,
                        message=fact.data["message"],
                        tags=self.tags,
                    )
                    self.fired.append(self.open)
                else:
                    self.open.message = fact.data["message"]
        self.beat.facts, self.beat.closed, self.beat.days = [], [], []
