"""Random histories of a heartbeat against oracles that are too simple to be wrong."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.utils import timezone as clock

from apps.core.principals import system
from apps.monitors.models import Heartbeat
from apps.monitors.services import heartbeats as services
from apps.monitors.services.heartbeat_sweep import expire_due
from tests.factories.heartbeats import make_heartbeat, ping, state_of

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 1, 5, 9, 0, 0, tzinfo=UTC)
ACTOR = system("tests")


@dataclass
class Oracle:
    """What an operator would say: when is it due, is it late, is it down."""

    interval: int
    grace: int
    hourly_early: int | None = None  # by cron on the hour with this early window, else by interval
    status: str = "new"
    due: datetime | None = None
    deadline: datetime | None = None
    alerting: bool = False
    is_open: bool = False
    last: datetime | None = None
    count: int = 0

    def expect_after(self, at: datetime) -> None:
        if self.hourly_early is None:
            self.due = at + timedelta(seconds=self.interval)
        else:
            self.due = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            if (self.due - at).total_seconds() <= self.hourly_early:
                self.due += timedelta(hours=1)
        self.deadline = self.due + timedelta(seconds=self.grace)

    def ping(self, kind: str, at: datetime) -> None:
        self.count += 1
        self.last = at
        if self.status == "paused" or kind == "log":
            return
        if kind == "start":
            if not self.is_open or self.deadline is None or self.status in ("down", "new"):
                self.expect_after(at)
            self.is_open, self.status = True, "started"
            return
        # A long run by cron serves the slot it began in; these runs are shorter than an hour's early window.
        self.expect_after(at)
        self.is_open = False
        self.status, self.alerting = ("up", False) if kind == "success" else ("down", True)

    def tick(self, now: datetime) -> None:
        if self.status in ("new", "paused"):
            return
        if self.deadline is not None and self.deadline <= now:
            self.status, self.alerting, self.deadline, self.is_open = "down", True, None, False
        elif self.status == "up" and self.due is not None and self.due <= now:
            self.status = "late"

    def pause(self) -> None:
        self.status, self.alerting, self.due, self.deadline = "paused", False, None, None

    def resume(self, now: datetime) -> None:
        self.status = "up" if self.last else "new"
        if self.last:
            self.expect_after(now)

    def change(self, now: datetime, *, interval: int, grace: int) -> None:
        self.interval, self.grace = interval, grace
        if self.status in ("new", "paused") or self.deadline is None:
            return
        self.expect_after(self.last or now)
        if self.deadline <= now:
            self.expect_after(now)
        if self.status == "late" and self.due is not None and self.due > now:
            self.status = "up"


def _agree(heartbeat: Heartbeat, oracle: Oracle, said: list[str]) -> None:
    state = state_of(heartbeat)
    assert (state.status, state.deadline, state.alerting, state.ping_count) == (
        oracle.status, oracle.deadline, oracle.alerting, oracle.count,
    ), said  # fmt: skip
    if oracle.deadline is not None:
        assert state.next_due_at == oracle.due, said


@pytest.mark.parametrize("cron", [False, True], ids=["interval", "cron"])
@pytest.mark.parametrize("seed", range(12))
def test_pings_time_and_changes_leave_the_state_that_the_oracle_says(
    seed: int, cron: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    now = T0 + timedelta(seconds=random.randrange(3600))
    monkeypatch.setattr(clock, "now", lambda: now)
    values: dict[str, Any] = {"cron": "0 * * * *", "early_seconds": 120} if cron else {"interval_seconds": 600}
    heartbeat = make_heartbeat(grace_seconds=60, **values)
    oracle = Oracle(600, 60, 120 if cron else None)
    said: list[str] = []
    for _ in range(70):
        now += timedelta(seconds=random.choice([1, 20, 59, 60, 300, 541, 600, 1500, 3600]))
        act = random.choices(
            ["success", "fail", "start", "log", "wait", "pause", "resume", "change"], [8, 2, 3, 1, 8, 1, 3, 2]
        )[0]
        expire_due(now=now)
        oracle.tick(now)
        said.append(f"{now:%H:%M:%S} {act}")
        if act in ("success", "fail", "start", "log"):
            if cron and act in ("success", "fail") and oracle.is_open:
                act = "log"  # which slot a long run serves is told by tests of its own
            ping(heartbeat, act, now, 1 if act == "fail" else None)
            oracle.ping(act, now)
        elif act == "pause" and oracle.status != "paused":
            services.pause_heartbeat(heartbeat_id=heartbeat.id, actor=ACTOR)
            oracle.pause()
        elif act == "resume" and oracle.status == "paused":
            services.resume_heartbeat(heartbeat_id=heartbeat.id, actor=ACTOR)
            oracle.resume(now)
        elif act == "change":
            interval, grace = random.choice([60, 600, 1800]), random.choice([0, 60, 900])
            if (interval, grace) != (oracle.interval, oracle.grace):
                given = {"grace_seconds": grace} if cron else {"interval_seconds": interval, "grace_seconds": grace}
                if not cron or grace != oracle.grace:
                    services.update_heartbeat(heartbeat_id=heartbeat.id, actor=ACTOR, changes=given)
                    oracle.change(now, interval=interval, grace=grace)
        _agree(heartbeat, oracle, said)


EARLY, GRACE = timedelta(seconds=60), timedelta(seconds=900)


def _several(history: list[tuple[datetime, str]], names: set[str], now: datetime) -> str:
    """Return the status of an hourly job on several machines from all that was ever heard."""
    first = history[0][0]
    slot = (first + EARLY).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    is_down = False
    while slot <= now + EARLY:
        opens, closes = slot - EARLY, slot + timedelta(hours=1) - EARLY
        missing, done = set(names), None
        for at, name in history:
            if opens <= at < closes and at <= now:
                missing.discard(name)
                if not missing and done is None:
                    done = at
        if now < closes:
            if done is not None:
                return "up"
            if now >= slot + GRACE or is_down:
                return "down"
            return "late" if now >= slot else "up"
        is_down = done is None
        slot += timedelta(hours=1)
    return "down" if is_down else "up"


@pytest.mark.parametrize("seed", range(8))
def test_job_on_several_machines_stands_as_all_that_was_heard_says(seed: int) -> None:
    random = Random(seed)
    names = ["a", "b", "c"]
    heartbeat = make_heartbeat(
        cron="0 * * * *", early_seconds=60, grace_seconds=900, expected_sources=names, expected_pings=3
    )
    now = T0 + timedelta(minutes=7)
    history: list[tuple[datetime, str]] = []
    for step in range(160):
        expire_due(now=now)
        # Mostly near the hour, as jobs do.
        if step == 0 or random.random() < (0.8 if now.minute < 20 or now.minute > 57 else 0.15):
            name = random.choice([*names, "other"])
            ping(heartbeat, at=now, source=name)
            history.append((now, name))
        assert state_of(heartbeat).status == _several(history, set(names), now), (now, history[-12:])
        now += timedelta(seconds=random.choice([30, 60, 240, 400, 900]))
