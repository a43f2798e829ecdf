"""Many deadlines missed at once: what `miss_many` writes is what `Beat.expire` would do to each."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from apps.core.models import Event, Tag
from apps.monitors.models import HeartbeatState
from apps.monitors.models.heartbeats import HeartbeatDay
from apps.monitors.services import heartbeat_misses, heartbeat_sweep
from apps.monitors.services.beat import Beat
from apps.monitors.services.heartbeat_misses import miss_many
from apps.monitors.services.heartbeat_sweep import _recover, expire_due
from apps.monitors.services.pings import read_beats
from tests.factories.heartbeats import make_heartbeat, ping, state_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 0, 20, tzinfo=UTC)
TODAY = int(NOW.timestamp() // 86400)
COLUMNS = (
    "status", "since", "last_ping_at", "next_due_at", "deadline", "run_deadline", "wake_at", "open_runs", "ping_count",
    "alerting", "down_since", "missed_until", "consecutive_failures", "day", "day_ok", "day_failed", "day_missed",
)  # fmt: skip


def silent(name: str, *, late_s: float = 60, **fields: Any) -> Any:
    """Return a job whose deadline passed `late_s` ago; `fields` beginning with s_ are its state's."""
    state = {key.removeprefix("s_"): fields.pop(key) for key in list(fields) if key.startswith("s_")}
    job = make_heartbeat(name=name, **fields)
    deadline = NOW - timedelta(seconds=late_s)
    due = deadline - timedelta(seconds=job.grace_seconds)
    values = {
        "status": "late", "since": due, "last_ping_at": due - timedelta(minutes=7, microseconds=5), "next_due_at": due,
        "deadline": deadline, "wake_at": deadline, "ping_count": 3, "day": TODAY, **state,
    }  # fmt: skip
    HeartbeatState.objects.filter(pk=job.pk).update(**values)
    return job


def expected(jobs: list[Any]) -> dict[int, Beat]:
    with transaction.atomic():
        beats = read_beats("h.id", [job.id for job in jobs])
    for beat in beats:
        _recover(beat, NOW)
        beat.expire(NOW)
    return {beat.num: beat for beat in beats}


def test_many_misses_are_written_as_each_alone_would_be() -> None:
    tagged = silent("back\\slash\ttab \"quoted\" 'x' ü ☃ {a}", interval_seconds=60, grace_seconds=30)
    tagged.tags.add(Tag.objects.create(name="night"), Tag.objects.create(name="eu\\1"))
    jobs = [
        tagged,
        silent("up still", interval_seconds=3600, grace_seconds=0, s_status="up", late_s=1.25),
        silent("never heard", interval_seconds=86_400, grace_seconds=5400, s_last_ping_at=None),
        silent("shown as unknown", interval_seconds=300, s_status="unknown", late_s=4000),
        silent("by cron", cron="*/5 * * * *", timezone_name="Europe/Berlin", grace_seconds=90),
        silent(
            "by calendar", cron="", on_calendar="Mon..Fri *-*-* 09:00", timezone_name="Asia/Kolkata", grace_seconds=600
        ),
        silent("long ago", interval_seconds=60, late_s=9000, s_day=TODAY - 1, s_day_ok=5, s_day_missed=1),
        silent("a day without any run", interval_seconds=60, s_day=TODAY - 3),
        silent("counted today", interval_seconds=60, s_day_ok=2, s_day_missed=4, s_consecutive_failures=2),
        silent("clock set back", interval_seconds=60, s_day=TODAY + 1, s_day_ok=1),
    ]
    wanted = expected(jobs)
    assert miss_many(NOW) == len(jobs)
    events = {event.subject_id: event for event in Event.objects.filter(name="heartbeat.deadline_missed")}
    for job in jobs:
        beat, state = wanted[job.num], state_of(job)
        assert {name: getattr(state, name) for name in COLUMNS} == {name: getattr(beat, name) for name in COLUMNS}
        (fact,) = beat.facts
        event = events[str(job.id)]
        assert event.data == {"heartbeat_id": str(job.id), "name": job.name, **fact.data}
        assert (event.level, event.subject_kind, event.subject_name) == (fact.level, "heartbeat", job.name)
        assert event.tags == (["eu\\1", "night"] if job is tagged else [])
        assert event.audience == {"permission": "heartbeats:view"}
        assert event.actor["id"] == "monitors"
        days = HeartbeatDay.objects.filter(num=job.num).values_list("day", "ok", "failed", "missed")
        assert list(days) == beat.days
    assert len(events) == len(jobs)
    assert miss_many(NOW) == 0


def test_what_is_not_plain_is_left_to_the_usual_way() -> None:
    jobs = [
        silent("running", interval_seconds=60, s_open_runs=1, s_status="started"),
        silent("down already", interval_seconds=60, s_status="down", s_alerting=True),
        silent("with rules", interval_seconds=60, failure_keywords=["error"]),
        silent("at fault", interval_seconds=60, s_status="unknown", s_fault="Its schedule can't be worked out."),
        silent("being changed", interval_seconds=60, s_config_revision=99),
        silent("not yet", interval_seconds=60, late_s=-5),
        silent("paused", interval_seconds=60, s_status="paused"),
    ]
    before = {job.num: state_of(job).status for job in jobs}
    assert miss_many(NOW) == 0
    assert {job.num: state_of(job).status for job in jobs} == before


def test_one_that_cannot_be_worked_out_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_misses, "AT_ONCE", {"sqlite": 2, "postgresql": 2})
    monkeypatch.setattr(heartbeat_sweep, "AT_ONCE", {"sqlite": 2, "postgresql": 2})
    broken = [silent(f"broken {n}", cron="*/5 * * * *", late_s=500) for n in range(2)]
    for job in broken:
        type(job).objects.filter(pk=job.pk).update(cron="61 * * * *")
    sound = [silent(f"sound {n}", interval_seconds=60) for n in range(5)]
    while expire_due(now=NOW):
        pass
    assert {state_of(job).status for job in broken} == {"unknown"}
    assert {state_of(job).status for job in sound} == {"down"}
    assert Event.objects.filter(name="heartbeat.deadline_missed").count() == 5


def test_many_misses_take_a_few_statements(django_assert_max_num_queries: Any) -> None:
    job = make_heartbeat(interval_seconds=60, grace_seconds=30)
    ping(job, at=NOW - timedelta(minutes=5))
    for n in range(30):
        silent(f"job {n}", interval_seconds=60)
    with django_assert_max_num_queries(16):
        assert expire_due(now=NOW) == 31
    assert HeartbeatState.objects.filter(status="down").count() == 31
