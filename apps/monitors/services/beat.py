"""What a ping, or the passing of time, does to a heartbeat: in memory alone.

`services.pings` and the sweep read heartbeats into `Beat`s, let this module change them, and write them back. Nothing
here touches the database, so that a batch of pings costs a few statements and the rules can be tested without any.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from apps.monitors.schedules import Schedule, duration_words
from apps.monitors.services.ping_rules import Rules
from apps.monitors.states.heartbeats import (
    DOWN,
    FAILURE,
    HEARTBEAT,
    LATE,
    NEW,
    PAUSED,
    RUNNING,
    STARTED,
    SUCCESS,
    TIMEOUT,
    UP,
)

#: An open run without a time limit is closed quietly after this: a start whose end was lost must not stay for good.
ORPHAN_AFTER_S = 7 * 86400
#: More open runs of one heartbeat than this, and the oldest counts as never ended.
OPEN_RUNS_MOST = 100
#: A heartbeat that is down is looked at this often to count the runs that still don't come.
RECOUNT = timedelta(hours=1)


@dataclass(slots=True)
class OpenRun:
    """An execution; `fresh` while its row is not in the database yet."""

    num: int
    at: datetime
    n: int
    rid: UUID | None = None
    fresh: bool = False
    finished_at: datetime | None = None
    end_n: int | None = None
    duration_ms: int | None = None
    exit_code: int | None = None
    result: str = RUNNING
    is_logged: bool = True

    def close(
        self, result: str, *, at: datetime | None = None, end_n: int | None = None, exit_code: int | None = None
    ) -> None:
        """End it; a run that never ended has no end and no duration."""
        self.result, self.finished_at, self.end_n, self.exit_code = result, at, end_n, exit_code
        if at is not None:
            self.duration_ms = max(0, round((at - self.at).total_seconds() * 1000))


@dataclass(frozen=True, slots=True)
class Fact:
    """An event to emit about a heartbeat; `data` lacks only its id and name."""

    name: str
    data: Mapping[str, Any]
    level: str


@dataclass(slots=True)
class Beat:
    """A heartbeat's configuration and state while they are worked on; the state's fields are named as its columns.

    Args:
        uuid, key: of its address and of its row, as the database gives them; most pings need neither as a UUID.
    """

    uuid: Any
    key: Any
    num: int
    name: str
    schedule: Schedule
    grace_seconds: int
    early_seconds: int
    max_runtime_seconds: int | None
    resume_on_ping: bool
    revision: int
    config_revision: int
    status: str
    since: datetime
    last_ping_at: datetime | None
    next_due_at: datetime | None
    deadline: datetime | None
    run_deadline: datetime | None
    wake_at: datetime | None
    last_start_at: datetime | None
    open_runs: int
    last_duration_ms: int | None
    ping_count: int
    last_exit_code: int | None
    alerting: bool
    down_since: datetime | None
    missed_until: datetime | None
    consecutive_failures: int
    log_minute: int
    log_count: int
    day: int
    day_ok: int
    day_failed: int
    day_missed: int
    # What the work yields beside the state.
    runs: list[OpenRun] = field(default_factory=list)  # open ones, oldest first, as far as they were needed
    closed: list[OpenRun] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    days: list[tuple[int, int, int, int]] = field(default_factory=list)  # finished: day, ok, failed, missed
    rules: Rules | None = None  # None for most
    as_read: tuple[Any, ...] = ()  # the columns that few pings change, to see whether they must be written
    wake_as_read: datetime | None = None

    @property
    def id(self) -> UUID:
        """Return the heartbeat's id."""
        return self.key if isinstance(self.key, UUID) else UUID(self.key)

    # --- pings ---------------------------------------------------------------------------------------------------

    def count(self, at: datetime) -> int:
        """Count an accepted ping; returns its number."""
        self.ping_count += 1
        if self.last_ping_at is None or at > self.last_ping_at:
            self.last_ping_at = at
        self._enter_day(at)
        return self.ping_count

    def takes_log(self, at: datetime, per_minute: int) -> bool:
        """Return whether this ping is written to the log; a flood is thinned to `per_minute`."""
        minute = int(at.timestamp() // 60)
        if minute > self.log_minute:
            self.log_minute, self.log_count = minute, 0
        self.log_count += 1
        return self.log_count <= per_minute

    def is_deaf(self) -> bool:
        """Return whether pings are only counted and logged: paused, and not to be woken by them."""
        return self.status == PAUSED and not self.resume_on_ping

    def wake_up(self) -> None:
        """Resume a paused heartbeat that is configured to resume by a ping."""
        if self.status == PAUSED:
            self.facts.append(Fact("heartbeat.resumed", {}, "info"))

    def start(self, at: datetime, n: int, rid: UUID | None) -> None:
        """A run began.

        It also shows that the job came on time, so the deadline moves on; but not while an earlier run is open: a job
        that only ever starts must not look alive.
        """
        self.wake_up()
        if rid is not None and any(run.rid == rid for run in self.runs):
            return  # the same signal again
        was_open = bool(self.runs)
        if rid is None:
            for run in [run for run in self.runs if run.rid is None]:
                self._end(run, TIMEOUT)
        if len(self.runs) >= OPEN_RUNS_MOST:
            self._end(self.runs[0], TIMEOUT)
        self.runs.append(OpenRun(self.num, at, n, rid, fresh=True))
        self.last_start_at = at
        is_idle = self.deadline is None or self.status in (DOWN, PAUSED, NEW)
        if not self._expects_several() and (not was_open or is_idle) or self._waits_for_nothing():
            self._count_missed_until(at)
            self._expect_after(at)
        self._become(STARTED, at)
        self.settle()

    def succeed(self, at: datetime, n: int, rid: UUID | None, exit_code: int | None, is_logged: bool) -> None:
        """A run ended well, or a job without start signals reported."""
        self.wake_up()
        run = self._finish(SUCCESS, at, n, rid, exit_code, is_logged)
        self._count_missed_until(at)
        self._expect_after(at, run)
        self.last_exit_code = exit_code
        self.consecutive_failures = 0
        self.day_ok += 1
        if self.alerting:
            downtime = (at - self.down_since).total_seconds() if self.down_since else 0.0
            self.facts.append(Fact("heartbeat.recovered", {"downtime_s": round(max(0.0, downtime), 1)}, "info"))
            self.alerting, self.down_since = False, None
        self._become(UP, at)
        self.settle()

    def succeed_as(
        self, source: str, at: datetime, n: int, rid: UUID | None, exit_code: int | None, is_logged: bool
    ) -> None:
        """One of several sources reported a success; the run is complete when all that are expected have come."""
        assert self.rules is not None
        if not self._expects_several() or self._completes_run(source, at):
            self.succeed(at, n, rid, exit_code, is_logged)
            return
        self.wake_up()
        self._finish(SUCCESS, at, n, rid, exit_code, is_logged)
        if self._waits_for_nothing():
            self._expect_after(at)
        if self.alerting:
            self._become(DOWN, at)
        elif self.runs:
            self._become(STARTED, at)
        elif self.status != LATE:
            self._become(UP, at)
        self.settle()

    def fail(
        self,
        at: datetime,
        n: int,
        rid: UUID | None,
        exit_code: int,
        is_logged: bool,
        *,
        source: str = "",
        why: str = "",
    ) -> None:
        """A run reported a failure: down at once, not after the grace.

        Args:
            source: who of several.
            why: what made a failure of a reported success.
        """
        self.wake_up()
        run = self._finish(FAILURE, at, n, rid, exit_code, is_logged)
        if self._expects_several() and self.rules is not None:
            self.rules.drop(source)
        if not self._expects_several() or self._waits_for_nothing():
            self._count_missed_until(at)
            self._expect_after(at, run)
        self.last_exit_code = exit_code
        self.consecutive_failures += 1
        self.day_failed += 1
        if not self.alerting:
            who = f"{source} of {self.name}" if source and self._expects_several() else self.name
            message = f"{who} reported a failure (exit code {exit_code}) at {moment(at)}."
            if why:
                message = f"{who} reported a success at {moment(at)}, but {why}."
            self._alarm("heartbeat.failed", {"exit_code": exit_code, "message": message}, at)
        self._become(DOWN, at)
        self.settle()

    def _finish(
        self, result: str, at: datetime, n: int, rid: UUID | None, exit_code: int | None, is_logged: bool
    ) -> OpenRun | None:
        run = next((run for run in reversed(self.runs) if run.rid == rid), None)
        if run is None:
            return None
        run.is_logged = is_logged
        self._end(run, result, at=at, end_n=n, exit_code=exit_code)
        self.last_duration_ms = run.duration_ms
        return run

    def _end(self, run: OpenRun, result: str, **end: Any) -> None:
        run.close(result, **end)
        self.runs.remove(run)
        self.closed.append(run)

    # --- the passing of time -------------------------------------------------------------------------------------

    def expire(self, now: datetime) -> None:
        """Apply what has fallen due: late, down, over its time, or just one more run that did not come."""
        if self.status in (PAUSED, NEW):
            self.wake_at = None
            return
        self._enter_day(now)
        if self.run_deadline is not None and self.run_deadline <= now:
            self._expire_runs(now)
        if self.deadline is not None and self.deadline <= now:
            self._miss(now)
        elif self.status == UP and self.next_due_at is not None and self.next_due_at <= now:
            self._become(LATE, now)
        elif self.deadline is None and self.status == DOWN:
            self._count_missed_until(now, covers_last=False)
        self.settle()

    def _expire_runs(self, now: datetime) -> None:
        limit = timedelta(seconds=self.max_runtime_seconds or ORPHAN_AFTER_S)
        over = [run for run in self.runs if run.at + limit <= now]
        for run in over:
            self._end(run, TIMEOUT)
        if not over or self.max_runtime_seconds is None:
            return
        self.consecutive_failures += 1
        self.day_failed += 1
        due = over[0].at + limit
        message = (
            f"{self.name} started at {moment(over[0].at)} and has not finished; "
            f"it may run for {duration_words(self.max_runtime_seconds)}."
        )
        self._alarm("heartbeat.deadline_missed", self._missed(due, 0, message), now)
        self._become(DOWN, now)

    def _miss(self, now: datetime) -> None:
        due = self.next_due_at or now
        how = (
            f"{self.schedule.words()}, {duration_words(self.grace_seconds)} grace"
            if self.grace_seconds
            else self.schedule.words()
        )
        last = f"last ping {moment(self.last_ping_at, near=due)}" if self.last_ping_at else "no ping yet"
        latest = f", at the latest {moment(self.deadline, near=due)}" if self.deadline and self.grace_seconds else ""
        message = f"{self.name} was expected at {moment(due)}{latest} ({how}); {last}."
        if self._expects_several() and self.rules is not None:
            message = f"{message[:-1]}; {self.rules.tally()}."
            if not self.schedule.cron:
                self.rules.clear()  # without slots, what came too early can't be told from what comes too late
        if self.runs:
            message = f"{message[:-1]}; the run that started at {moment(self.runs[0].at, near=due)} has not finished."
        for run in list(self.runs):
            self._end(run, TIMEOUT)
        self.consecutive_failures += 1
        self.day_missed += 1
        self.missed_until, self.deadline = due, None
        self._alarm("heartbeat.deadline_missed", self._missed(due, self.grace_seconds, message), now)
        self._become(DOWN, now)

    def _missed(self, due: datetime, grace_s: int, message: str) -> dict[str, Any]:
        return {
            "due_at": due.isoformat(),
            "grace_seconds": grace_s,
            "last_ping_at": self.last_ping_at.isoformat() if self.last_ping_at else None,
            "message": message,
        }

    # --- what both share -----------------------------------------------------------------------------------------

    def _expects_several(self) -> bool:
        return self.rules is not None and self.rules.expected > 0

    def _waits_for_nothing(self) -> bool:
        """Return whether no run is expected and none was missed: new, paused, or just woken."""
        return self.deadline is None and self.missed_until is None

    def _completes_run(self, source: str, at: datetime) -> bool:
        """Count a success of `source` for the run that is collected; returns whether it completes that run.

        By cron a run is collected from the early window before its slot to that before the next; who comes in between,
        after the run was complete, counts for none.
        """
        assert self.rules is not None
        self.rules.note(source, at)
        if self.schedule.cron:
            if self.next_due_at is None:
                return False  # the first ping starts the clock; the coming slot is the first run to be collected
            latest = at + timedelta(seconds=self.early_seconds)
            if latest < self.next_due_at:
                return False
            slot = self.schedule.next_after(self.next_due_at)
            if slot <= latest:  # nothing of that run comes any more
                while slot <= latest:
                    self.next_due_at, slot = slot, self.schedule.next_after(slot)
                self.rules.clear()
                if self.deadline is not None:
                    self.deadline = self.next_due_at + timedelta(seconds=self.grace_seconds)
        if not self.rules.add(source):
            return False
        self.rules.clear()
        return True

    def expect_afresh(self, at: datetime) -> None:
        """Wait for the next run from now on (a resumed or newly configured heartbeat)."""
        self.missed_until = None
        if self.rules is not None:
            self.rules.clear()
        self._expect_after(at)
        self.settle()

    def _expect_after(self, at: datetime, run: OpenRun | None = None) -> None:
        due = self.schedule.due_after(at, self.early_seconds)
        if run is not None and self.schedule.cron:
            # A long run served the slot it began in; the one after that is due, if it can still come.
            after_start = self.schedule.due_after(run.at, self.early_seconds)
            if after_start + timedelta(seconds=self.grace_seconds) > at:
                due = after_start
            else:
                due = self.schedule.next_after(at)
        self.next_due_at = due
        self.deadline = due + timedelta(seconds=self.grace_seconds)
        self.missed_until = None

    def _count_missed_until(self, at: datetime, *, covers_last: bool = True) -> None:
        """Count the runs that did not come since the missed one; the last slot before a ping is the ping's own."""
        if self.missed_until is None:
            return
        slots = self.schedule.slots_between(self.missed_until, at)
        if slots:
            self.day_missed += max(0, slots - 1) if covers_last else slots
            interval = self.schedule.interval_seconds
            cron = bool(self.schedule.cron)
            self.missed_until = at if cron else self.missed_until + timedelta(seconds=slots * (interval or 0))

    def _alarm(self, name: str, data: Mapping[str, Any], at: datetime) -> None:
        self.facts.append(Fact(name, data, "critical"))
        if not self.alerting:
            self.alerting, self.down_since = True, at

    def _become(self, status: str, at: datetime) -> None:
        if status != self.status:
            assert HEARTBEAT.allows(self.status, status), f"{self.status} -> {status}"
            self.status, self.since = status, at

    def settle(self) -> None:
        """Derive what follows from the rest: open runs, the runs' deadline, and when to look again."""
        self.open_runs = len(self.runs)
        limit = timedelta(seconds=self.max_runtime_seconds or ORPHAN_AFTER_S)
        self.run_deadline = min(run.at for run in self.runs) + limit if self.runs else None
        times = [time for time in (self.deadline, self.run_deadline) if time is not None]
        if self.status == UP and self.next_due_at is not None:
            times.append(self.next_due_at)
        if self.status == DOWN and self.deadline is None and self.missed_until is not None:
            next_slot = self.schedule.next_after(self.missed_until)
            midnight = datetime.fromtimestamp((self.day + 1) * 86400 - 1, UTC)
            times.append(max(next_slot, min(self.missed_until + RECOUNT, max(midnight, self.missed_until))))
        self.wake_at = min(times) if times else None

    def _enter_day(self, at: datetime) -> None:
        day = int(at.timestamp() // 86400)
        if day <= self.day:
            return
        if self.day_ok or self.day_failed or self.day_missed:
            self.days.append((self.day, self.day_ok, self.day_failed, self.day_missed))
        self.day, self.day_ok, self.day_failed, self.day_missed = day, 0, 0, 0


def moment(at: datetime, *, near: datetime | None = None) -> str:
    """Return a time in UTC as a sentence has it; the date is left out where it is that of `near`."""
    at = at.astimezone(UTC)
    seconds = ":%S" if at.second else ""
    if near is not None and near.astimezone(UTC).date() == at.date():
        return at.strftime(f"%H:%M{seconds} UTC")
    return at.strftime(f"%Y-%m-%d %H:%M{seconds} UTC")
