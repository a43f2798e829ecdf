"""The passing of time over rows: late, down, facts, batches, pruning."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from apps.core.events.readers import Reader, read_once
from apps.core.events.sequencer import sequence_events
from apps.core.models import Event
from apps.core.principals import system
from apps.core.registries import keeps
from apps.monitors.models import HeartbeatState, Ping, Run
from apps.monitors.models.heartbeats import to_ms
from apps.monitors.services.heartbeat_sweep import expire_due
from apps.monitors.services.heartbeats import pause_heartbeat, resume_heartbeat
from apps.monitors.tasks.heartbeats import sweep_heartbeats
from tests.factories.heartbeats import make_heartbeat, ping, state_of

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def sweep(at: datetime) -> int:
    total = 0
    while changed := expire_due(now=at):
        total += changed
    return total


def test_silent_heartbeat_becomes_late_then_down_and_is_told_once() -> None:
    heartbeat = make_heartbeat(interval_seconds=60, grace_seconds=30)
    ping(heartbeat, at=T0)
    assert sweep(T0 + timedelta(seconds=59)) == 0
    assert sweep(T0 + timedelta(seconds=60)) == 1
    state = state_of(heartbeat)
    assert (state.status, state.since) == ("late", T0 + timedelta(seconds=60))
    sweep(T0 + timedelta(seconds=90))
    sweep(T0 + timedelta(seconds=91))
    assert state_of(heartbeat).status == "down"
    event = Event.objects.get(name="heartbeat.deadline_missed")
    assert event.data["due_at"] == (T0 + timedelta(seconds=60)).isoformat()
    assert (event.data["grace_seconds"], event.data["last_ping_at"]) == (30, T0.isoformat())
    assert (event.subject_kind, event.subject_id, event.level) == ("heartbeat", str(heartbeat.id), "critical")


def test_ping_after_a_missed_deadline_recovers() -> None:
    heartbeat = make_heartbeat(interval_seconds=60, grace_seconds=30)
    ping(heartbeat, at=T0)
    sweep(T0 + timedelta(seconds=100))
    ping(heartbeat, at=T0 + timedelta(seconds=160))
    assert state_of(heartbeat).status == "up"
    assert Event.objects.get(name="heartbeat.recovered").data["downtime_s"] == 60.0


def test_new_and_paused_heartbeats_never_alert() -> None:
    make_heartbeat()
    paused = make_heartbeat()
    ping(paused, at=T0)
    pause_heartbeat(heartbeat_id=paused.id, actor=system("tests"))
    assert sweep(T0 + timedelta(days=30)) == 0
    assert not Event.objects.filter(name="heartbeat.deadline_missed").exists()


def test_ping_on_a_paused_heartbeat_is_logged_and_resumes_only_where_configured() -> None:
    deaf, waking = make_heartbeat(), make_heartbeat(resume_on_ping=True)
    for heartbeat in (deaf, waking):
        ping(heartbeat, at=T0)
        pause_heartbeat(heartbeat_id=heartbeat.id, actor=system("tests"))
        ping(heartbeat, at=T0 + timedelta(hours=1))
    assert (state_of(deaf).status, state_of(deaf).ping_count) == ("paused", 2)
    assert state_of(deaf).wake_at is None
    assert Ping.objects.filter(num=deaf.num).count() == 2
    assert state_of(waking).status == "up"
    assert Event.objects.filter(name="heartbeat.resumed", subject_id=str(waking.id)).count() == 1


def test_resume_gives_a_fresh_deadline() -> None:
    heartbeat = make_heartbeat(interval_seconds=3600)
    ping(heartbeat, at=T0)
    pause_heartbeat(heartbeat_id=heartbeat.id, actor=system("tests"))
    resume_heartbeat(heartbeat_id=heartbeat.id, actor=system("tests"))
    state = state_of(heartbeat)
    assert state.status == "up"
    assert state.next_due_at is not None
    assert abs(state.next_due_at - timezone.now() - timedelta(hours=1)) < timedelta(minutes=1)


def test_run_over_its_limit_is_closed_and_told() -> None:
    heartbeat = make_heartbeat(interval_seconds=3600, max_runtime_seconds=60)
    ping(heartbeat, "start", T0)
    sweep(T0 + timedelta(seconds=60))
    assert (state_of(heartbeat).status, state_of(heartbeat).open_runs) == ("down", 0)
    assert Run.objects.get(num=heartbeat.num).result == "timeout"
    assert "may run for 1 min" in Event.objects.get(name="heartbeat.deadline_missed").data["message"]


def test_many_due_heartbeats_are_all_found_in_batches() -> None:
    heartbeats = [make_heartbeat(interval_seconds=60, grace_seconds=0) for _ in range(130)]
    for heartbeat in heartbeats:
        ping(heartbeat, at=T0)
    assert sweep(T0 + timedelta(seconds=61)) == 130
    assert HeartbeatState.objects.filter(status="down", alerting=True).count() == 130
    assert Event.objects.filter(name="heartbeat.deadline_missed").count() == 130


def test_facts_of_the_sweep_reach_a_reader() -> None:
    heartbeat = make_heartbeat()
    ping(heartbeat, at=T0)
    sweep_heartbeats()
    sequence_events()
    seen: list[str] = []
    read_once(Reader("tests.heartbeats", ("heartbeat.deadline_missed",), lambda event: seen.append(event.subject_id)))
    assert seen == [str(heartbeat.id)]


def test_old_pings_and_ended_runs_are_pruned_and_open_runs_stay() -> None:
    heartbeat = make_heartbeat()
    old = datetime.now(UTC) - timedelta(days=200)
    ping(heartbeat, "start", old)
    ping(heartbeat, "success", old)
    ping(heartbeat, "start", old)
    ping(heartbeat, "log")
    assert keeps["pings"].prune(2) == 2
    assert keeps["pings"].prune(500) == 1
    assert keeps["runs"].prune(500) == 1
    assert Ping.objects.get(num=heartbeat.num).at > to_ms(old)
    assert Run.objects.get(num=heartbeat.num).result == "running"


def test_frequent_pings_leave_the_time_to_look_and_the_sweep_still_judges_by_the_real_one() -> None:
    heartbeat = make_heartbeat(interval_seconds=3600, grace_seconds=60)
    first = timezone.now() - timedelta(seconds=20)
    ping(heartbeat, at=first)
    ping(heartbeat, at=first + timedelta(seconds=3))
    state = state_of(heartbeat)
    assert (state.wake_at, state.next_due_at) == (first + timedelta(hours=1), first + timedelta(seconds=3603))
    ping(heartbeat, at=first + timedelta(seconds=9))
    assert state_of(heartbeat).wake_at == first + timedelta(seconds=3609), "more than a little is made good"
    ping(heartbeat, at=first + timedelta(seconds=12))
    assert sweep(first + timedelta(seconds=3610)) == 1
    state = state_of(heartbeat)
    assert (state.status, state.wake_at) == ("up", first + timedelta(seconds=3612))
    sweep(first + timedelta(seconds=3612))
    assert state_of(heartbeat).status == "late"
