"""What pings and time do to a heartbeat, in memory."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from apps.monitors.schedules import Schedule
from apps.monitors.services.beat import Beat
from apps.monitors.states.heartbeats import DOWN, LATE, PAUSED, STARTED, TIMEOUT, UP
from tests.factories.heartbeats import make_beat

T0 = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
HOURLY = Schedule(3600)


def after(**delta: float) -> datetime:
    return T0 + timedelta(**delta)


def succeed(beat: Beat, at: datetime, rid: object = None, code: int | None = None) -> None:
    beat.succeed(at, beat.count(at), rid, code, True)  # type: ignore[arg-type]


def start(beat: Beat, at: datetime, rid: object = None) -> None:
    beat.start(at, beat.count(at), rid)  # type: ignore[arg-type]


def fail(beat: Beat, at: datetime, rid: object = None, code: int = 3) -> None:
    beat.fail(at, beat.count(at), rid, code, True)  # type: ignore[arg-type]


def names(beat: Beat) -> list[str]:
    return [fact.name for fact in beat.facts]


def test_new_heartbeat_waits_for_nothing() -> None:
    beat = make_beat(HOURLY)
    beat.expire(after(days=9))
    assert (beat.status, beat.wake_at, beat.facts) == ("new", None, [])


def test_silence_makes_it_late_then_down_at_the_exact_second() -> None:
    beat = make_beat(HOURLY)
    succeed(beat, T0)
    beat.expire(after(seconds=3599))
    assert beat.status == UP
    beat.expire(after(seconds=3600))
    assert (beat.status, beat.wake_at, beat.facts) == (LATE, after(seconds=3900), [])
    beat.expire(after(seconds=3899))
    assert beat.status == LATE
    beat.expire(after(seconds=3900))
    assert (beat.status, beat.alerting, names(beat)) == (DOWN, True, ["heartbeat.deadline_missed"])


def test_missed_deadline_explains_itself() -> None:
    beat = make_beat(Schedule(cron="0 10 * * *", timezone="Europe/Berlin"))
    succeed(beat, datetime(2026, 1, 5, 6, 4, tzinfo=UTC))
    beat.expire(datetime(2026, 1, 5, 9, 5, tzinfo=UTC))
    assert beat.facts[0].data["message"] == (
        "backup was expected at 2026-01-05 09:00 UTC, at the latest 09:05 UTC "
        "(cron 0 10 * * *, Europe/Berlin, 5 min grace); last ping 06:04 UTC."
    )


def test_failure_is_down_at_once_and_told_once_and_success_recovers() -> None:
    beat = make_beat(HOURLY)
    succeed(beat, T0)
    fail(beat, after(minutes=1))
    fail(beat, after(minutes=2))
    assert (beat.status, beat.consecutive_failures, beat.last_exit_code) == (DOWN, 2, 3)
    succeed(beat, after(minutes=4), code=0)
    assert (beat.status, beat.consecutive_failures, beat.alerting) == (UP, 0, False)
    assert names(beat) == ["heartbeat.failed", "heartbeat.recovered"]
    assert beat.facts[1].data["downtime_s"] == 180.0


def test_start_and_end_give_the_duration() -> None:
    beat = make_beat(HOURLY)
    start(beat, T0)
    assert (beat.status, beat.open_runs) == (STARTED, 1)
    succeed(beat, after(seconds=90, milliseconds=250))
    assert (beat.status, beat.open_runs, beat.last_duration_ms) == (UP, 0, 90_250)


def test_overlapping_runs_with_ids_each_get_their_own_duration() -> None:
    beat, one, two = make_beat(HOURLY), uuid4(), uuid4()
    start(beat, T0, one)
    start(beat, after(minutes=10), two)
    succeed(beat, after(minutes=15), two)
    assert (beat.last_duration_ms, beat.open_runs) == (300_000, 1)
    succeed(beat, after(minutes=20), one)
    assert (beat.last_duration_ms, beat.open_runs) == (1_200_000, 0)


def test_repeated_start_of_a_run_keeps_its_first_time() -> None:
    beat, one = make_beat(HOURLY), uuid4()
    start(beat, T0, one)
    start(beat, after(seconds=5), one)
    succeed(beat, after(seconds=10), one)
    assert [run.duration_ms for run in beat.closed] == [10_000]


def test_second_start_without_id_ends_the_open_run_as_timeout() -> None:
    beat = make_beat(HOURLY)
    start(beat, T0)
    start(beat, after(minutes=10))
    assert [run.result for run in beat.closed] == [TIMEOUT]
    assert beat.open_runs == 1


def test_job_that_only_starts_does_not_look_alive() -> None:
    beat = make_beat(HOURLY)
    for hour in range(3):
        start(beat, after(hours=hour / 2))
    beat.expire(after(hours=1, minutes=5))
    assert beat.status == DOWN
    assert "has not finished" in beat.facts[0].data["message"]


def test_run_over_its_limit_is_down() -> None:
    beat = make_beat(HOURLY, max_runtime_seconds=600)
    start(beat, T0)
    assert beat.wake_at == after(minutes=10)
    beat.expire(after(minutes=10))
    assert (beat.status, beat.open_runs, [run.result for run in beat.closed]) == (DOWN, 0, [TIMEOUT])
    assert beat.facts[0].data["message"] == (
        "backup started at 2026-01-05 09:00 UTC and has not finished; it may run for 10 min."
    )


def test_open_run_without_limit_leaves_quietly() -> None:
    beat, lost = make_beat(HOURLY), uuid4()
    start(beat, T0, lost)
    for hour in range(1, 7 * 24 + 1):
        succeed(beat, after(hours=hour))
    beat.expire(after(days=7))
    assert (beat.open_runs, beat.facts) == (0, [])


def test_end_of_a_long_cron_run_counts_for_the_slot_it_began_in() -> None:
    beat = make_beat(Schedule(cron="0 * * * *"), early_seconds=300)
    start(beat, T0)
    succeed(beat, after(minutes=58))
    assert beat.next_due_at == after(hours=1)


def test_cron_run_that_outlasts_the_next_slot_waits_for_the_one_after() -> None:
    beat = make_beat(Schedule(cron="0 * * * *"))
    start(beat, T0)
    succeed(beat, after(minutes=70))
    assert beat.next_due_at == after(hours=2)


def test_paused_heartbeat_is_deaf_unless_a_ping_may_resume_it() -> None:
    assert make_beat(HOURLY, status=PAUSED).is_deaf()
    beat = make_beat(HOURLY, status=PAUSED, resume_on_ping=True)
    assert not beat.is_deaf()
    succeed(beat, T0)
    assert (beat.status, names(beat)) == (UP, ["heartbeat.resumed"])


def test_paused_heartbeat_never_expires() -> None:
    beat = make_beat(HOURLY, status=PAUSED, deadline=T0)
    beat.expire(after(days=1))
    assert (beat.status, beat.facts) == (PAUSED, [])


def test_runs_that_never_come_are_counted_while_it_is_down_and_told_once() -> None:
    beat = make_beat(HOURLY, grace_seconds=0)
    succeed(beat, T0)
    looks = 0
    while beat.wake_at is not None and beat.wake_at <= after(hours=10):
        beat.expire(beat.wake_at)
        looks += 1
    assert names(beat) == ["heartbeat.deadline_missed"]
    assert (beat.day_ok, beat.day_missed) == (1, 10)
    assert looks <= 12


def test_dead_fast_heartbeat_is_looked_at_hourly_only() -> None:
    beat = make_beat(Schedule(10), grace_seconds=0)
    succeed(beat, T0)
    looks = 0
    while beat.wake_at is not None and beat.wake_at <= after(hours=10):
        beat.expire(beat.wake_at)
        looks += 1
    assert looks <= 13
    assert beat.day_missed >= 9 * 360  # what the last look found


def test_day_ends_with_its_figures() -> None:
    beat = make_beat(HOURLY)
    succeed(beat, T0)
    fail(beat, after(minutes=1))
    succeed(beat, after(days=1))
    assert beat.days == [(int(T0.timestamp() // 86400), 1, 1, 0)]
    assert beat.day_ok == 1


def test_log_of_a_flood_is_thinned_by_the_minute() -> None:
    beat = make_beat(HOURLY)
    taken = [beat.takes_log(after(milliseconds=n), 60) for n in range(1000)]
    assert sum(taken) == 60
    assert beat.takes_log(after(minutes=1), 60)
