"""What a schedule will do, and what runs say about it: in memory alone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.monitors.forecasts import clock_changes, coming, forecast
from apps.monitors.run_advice import find_offset, suggest
from apps.monitors.schedules import Schedule, is_calendar, normalised, normalised_calendar

BERLIN = "Europe/Berlin"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def warnings(schedule: Schedule, grace_s: int = 60) -> str:
    return " ".join(forecast(schedule, now=NOW, grace_seconds=grace_s).warnings)


# --- cron and calendars --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "days"),
    [
        ("0 9 L * *", ["11-30", "12-31", "01-31"]),
        ("0 9 LW * *", ["11-30", "12-31", "01-29"]),
        ("0 9 * * MON#1", ["12-07", "01-04", "02-01"]),
        ("0 9 * * 5L", ["11-27", "12-25", "01-29"]),
        ("0 9 1 JAN,MAR *", ["01-01", "03-01", "01-01"]),
        ("0 9 * * Fri-Sat", ["11-27", "11-28", "12-04"]),
    ],
)
def test_cron_knows_last_days_nth_weekdays_and_names(cron: str, days: list[str]) -> None:
    schedule = Schedule(cron=normalised(cron), timezone=BERLIN)
    runs = coming(schedule, NOW, 3)
    assert [f"{run.astimezone(ZoneInfo(BERLIN)):%m-%d}" for run in runs] == days


def test_calendar_runs_by_the_clock_of_its_zone() -> None:
    weekdays = Schedule(cron=normalised_calendar(" Mon..Fri  *-*-* 09:00 "), timezone=BERLIN)
    friday = datetime(2026, 3, 27, 7, tzinfo=UTC)  # the clocks change on Sunday
    assert coming(weekdays, friday, 2) == [
        datetime(2026, 3, 27, 8, tzinfo=UTC),
        datetime(2026, 3, 30, 7, tzinfo=UTC),
    ]
    assert weekdays.period_s(friday) == 86_400 - 3600 + 3600
    assert is_calendar("weekly")
    assert not is_calendar("0 9 * * 1")


def test_calendar_may_name_a_zone_of_its_own() -> None:
    schedule = Schedule(cron=normalised_calendar("*-*-* 09:00 Asia/Tokyo"), timezone=BERLIN)
    assert schedule.next_after(NOW) == datetime(2026, 11, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Mon..Foo", "day-of-week"), ("*-*-* 25:00", "hour"), ("2026-12-24 18:00", "fixed date"), ("", "fields"),
        ("0 1 * * *", "cron"), ("*-13-01", "month"),
    ],
)  # fmt: skip
def test_wrong_calendar_is_refused_and_the_part_named(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        normalised_calendar(text)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("30 2 * * 1-5", "At 02:30 on Monday through Friday, UTC"), ("0 9 * * MON#1", "At 09:00 on the first Monday"),
        ("0 4 31 * *", "the 31st day"), ("0 4 22 * *", "the 22nd day"), ("0 4 13 * *", "the 13th day"),
    ],
)  # fmt: skip
def test_expression_is_said_in_words(cron: str, words: str) -> None:
    assert words in Schedule(cron=cron).explained()


# --- warnings ------------------------------------------------------------------------------------------------------


def test_months_without_such_a_day_are_named() -> None:
    assert "does not run in February, April, June, September and November" in warnings(Schedule(cron="0 4 31 * *"))
    assert "does not run" not in warnings(Schedule(cron="0 4 28 * *"))
    assert "does not run" not in warnings(Schedule(cron="0 4 31 1,3 *"))  # the months were chosen
    assert "does not run in February" in warnings(Schedule(cron="*-*-30 04:00"))


def test_run_years_ahead_is_named() -> None:
    assert "only on 2028-02-29" in warnings(Schedule(cron="0 0 29 2 *"))


def test_clock_changes_are_explained() -> None:
    text = warnings(Schedule(cron="30 2 * * *", timezone=BERLIN))
    assert "On 2027-03-28 the clocks of Europe/Berlin jump from 02:00 to 03:00; 02:30 does not exist" in text
    assert "expected at 03:00" in text
    assert "On 2027-10-31 the clocks of Europe/Berlin go back from 03:00 to 02:00; 02:30 comes twice" in text
    assert "only the first is expected" in text
    assert warnings(Schedule(cron="30 4 * * *", timezone=BERLIN)) == ""
    assert warnings(Schedule(cron="30 2 * * *")) == ""


def test_steps_that_do_not_divide_the_hour_and_either_day_are_explained() -> None:
    assert "one step of 4 minutes" in warnings(Schedule(cron="*/7 * * * *"))
    assert warnings(Schedule(cron="*/15 * * * *")) == ""
    assert "either of them" in warnings(Schedule(cron="0 9 1 * MON"))


def test_grace_longer_than_the_period_is_named() -> None:
    assert "noticed only after the next one" in warnings(Schedule(300), grace_s=300)
    assert warnings(Schedule(300), grace_s=60) == ""


def test_clock_changes_of_a_zone_are_found_to_the_minute() -> None:
    found = list(
        clock_changes("Australia/Lord_Howe", datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    )
    assert [(at, after - before) for at, before, after in found] == [
        (datetime(2026, 4, 4, 15, tzinfo=UTC), timedelta(minutes=-30)),
        (datetime(2026, 10, 3, 15, 30, tzinfo=UTC), timedelta(minutes=30)),
    ]


def _walked(cron_hour: int, cron_minute: int, zone: ZoneInfo, start: datetime, days: int) -> Iterator[datetime]:
    """Yield the runs of a daily job by walking the clock of its zone minute by minute, as a cron daemon does."""
    at, ran = start, None
    for _ in range(days * 1440):
        before, at = at, at + timedelta(minutes=1)
        local, was = at.astimezone(zone), before.astimezone(zone)
        wanted = (cron_hour, cron_minute)
        jumped = (was.hour, was.minute) < wanted < (local.hour, local.minute) and local.date() == was.date()
        if ((local.hour, local.minute) == wanted or jumped) and ran != local.date():
            ran = local.date()
            yield at


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        (BERLIN, datetime(2026, 3, 27, tzinfo=UTC)), (BERLIN, datetime(2026, 10, 23, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 3, 6, 5, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 10, 30, 4, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 2, 13, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 1, 13, 30, tzinfo=UTC)),
    ],
)  # fmt: skip
@settings(max_examples=12, deadline=None)
@given(hour=st.integers(0, 4), minute=st.sampled_from([0, 15, 30, 59]))
def test_daily_job_on_days_of_a_clock_change_runs_as_a_cron_daemon_would(
    zone: str, day: datetime, hour: int, minute: int
) -> None:
    schedule = Schedule(cron=f"{minute} {hour} * * *", timezone=zone)
    walked = list(_walked(hour, minute, ZoneInfo(zone), day - timedelta(minutes=1), 4))
    assert coming(schedule, day - timedelta(minutes=1), len(walked)) == walked


# --- offsets -------------------------------------------------------------------------------------------------------

NIGHTLY = Schedule(cron="0 2 * * *", timezone=BERLIN)


def nights(zone: str, first: datetime, count: int, hour: int = 2, late_s: int = 20, minute: int = 0) -> list[datetime]:
    """Return when a job runs whose clock is in `zone`, newest first."""
    place = ZoneInfo(zone)
    days = [first + timedelta(days=n) for n in range(count)]
    return [
        (datetime(day.year, day.month, day.day, hour, minute, tzinfo=place) + timedelta(seconds=late_s)).astimezone(UTC)
        for day in reversed(days)
    ]


def test_job_with_a_clock_in_utc_is_recognised_after_three_runs() -> None:
    runs = nights("UTC", datetime(2026, 1, 10), 3)
    assert find_offset(NIGHTLY, runs[:2], period_s=86_400, are_starts=True) is None
    found = find_offset(NIGHTLY, runs, period_s=86_400, are_starts=True)
    assert found is not None
    assert (found.seconds, found.runs, found.zones[0]) == (3600, 3, "UTC")
    assert found.sentence.startswith("The last 3 runs came 1 h later than expected in Europe/Berlin. ")
    assert "probably that of UTC" in found.sentence


@pytest.mark.parametrize(
    ("actual", "seconds"),
    [("Asia/Kolkata", -16_200), ("America/New_York", 21_600), ("Asia/Kathmandu", -17_100), ("Asia/Tokyo", -28_800)],
)
def test_whole_half_and_quarter_hours_name_the_zone(actual: str, seconds: int) -> None:
    found = find_offset(NIGHTLY, nights(actual, datetime(2026, 1, 10), 4), period_s=86_400, are_starts=True)
    assert found is not None
    assert found.seconds == seconds
    assert actual in found.zones


def test_runs_on_both_sides_of_a_clock_change_tell_zones_apart() -> None:
    # Lagos has Berlin's winter clock all year; Berlin's own changes on 2026-03-29.
    schedule = Schedule(cron="0 4 * * *", timezone="UTC")
    runs = nights("Europe/Paris", datetime(2026, 3, 27), 6, hour=4)
    found = find_offset(schedule, runs, period_s=86_400, are_starts=True)
    assert found is not None
    assert found.runs == 6
    assert "Europe/Paris" in found.zones
    assert "Africa/Lagos" not in found.zones


def test_zones_of_other_heartbeats_come_first() -> None:
    runs = nights("Europe/Vienna", datetime(2026, 1, 10), 3)
    found = find_offset(
        Schedule(cron="0 2 * * *"), runs, period_s=86_400, likely=["Europe/Vienna"], are_starts=True
    )  # fmt: skip
    assert found is not None
    assert found.zones[0] == "Europe/Vienna"


def test_punctual_wandering_and_frequent_jobs_have_no_offset() -> None:
    punctual = nights(BERLIN, datetime(2026, 1, 10), 5)
    assert find_offset(NIGHTLY, punctual, period_s=86_400, are_starts=True) is None
    wandering = [at + timedelta(minutes=n * 23) for n, at in enumerate(nights("UTC", datetime(2026, 1, 10), 5))]
    assert find_offset(NIGHTLY, wandering, period_s=86_400, are_starts=True) is None
    often = Schedule(cron="*/10 * * * *")
    assert find_offset(often, punctual, period_s=600, are_starts=True) is None


def test_late_ends_alone_hint_at_a_long_run_too() -> None:
    found = find_offset(NIGHTLY, nights("UTC", datetime(2026, 1, 10), 3), period_s=86_400, are_starts=False)
    assert found is not None
    assert found.sentence.endswith("let it report its start too.")


@settings(max_examples=40, deadline=None)
@given(
    zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kolkata", "Australia/Sydney"]),
    day=st.dates(datetime(2025, 1, 1).date(), datetime(2026, 12, 1).date()),
    hour=st.integers(4, 23),
    late=st.integers(0, 300),
)
def test_advice_makes_the_runs_fit(zone: str, day: object, hour: int, late: int) -> None:
    schedule = Schedule(cron=f"0 {hour} * * *", timezone=BERLIN)
    first = datetime.fromisoformat(f"{day}")
    runs = nights(zone, first, 4, hour, late)
    found = find_offset(schedule, runs, period_s=86_400, are_starts=True)
    assert found is not None
    for name in found.zones:
        advised = Schedule(cron=schedule.cron, timezone=name)
        assert find_offset(advised, runs[: found.runs], period_s=86_400, are_starts=True) is None


# --- suggestions ---------------------------------------------------------------------------------------------------


def every(seconds: float, count: int, wobble: float = 0) -> list[datetime]:
    return [NOW - timedelta(seconds=n * seconds - (wobble if n % 3 else 0)) for n in range(count)]


def test_interval_is_suggested_where_the_job_has_another() -> None:
    found = suggest(Schedule(3600), every(600, 10, 20), grace_s=60, early_s=0, period_s=3600)
    assert found is not None
    assert (found.interval_seconds, found.grace_seconds) == (600, 120)
    assert "more often" in found.sentence


def test_grace_is_suggested_by_the_latest_run() -> None:
    runs = [*every(600, 6), NOW - timedelta(seconds=3600 + 300)]
    found = suggest(Schedule(600), runs, grace_s=60, early_s=0, period_s=600)
    assert found is not None
    assert (found.interval_seconds, found.grace_seconds) == (None, 600)
    assert "at most 5 min after" in found.sentence
    fitting = suggest(Schedule(600), every(600, 6), grace_s=60, early_s=0, period_s=600)
    assert fitting is not None
    assert fitting.grace_seconds is None
    assert suggest(Schedule(600), every(600, 3), grace_s=60, early_s=0, period_s=600) is None


def test_early_window_is_suggested_where_runs_come_before_their_time() -> None:
    runs = nights(BERLIN, datetime(2026, 1, 10), 5, late_s=-40)
    found = suggest(NIGHTLY, runs, grace_s=600, early_s=0, period_s=86_400)
    assert found is not None
    assert found.early_seconds == 120
    assert "up to 40 s before their time" in found.sentence
    assert suggest(NIGHTLY, runs, grace_s=600, early_s=60, period_s=86_400).early_seconds is None  # type: ignore[union-attr]
