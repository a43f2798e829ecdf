"""Schedules of heartbeats: cron in time zones, DST, early windows, refusals."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.monitors.schedules import Schedule, default_early_s, default_grace_s, duration_words, normalised

BERLIN = "Europe/Berlin"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def slots(schedule: Schedule, base: datetime, n: int) -> list[datetime]:
    found = [schedule.next_after(base)]
    while len(found) < n:
        found.append(schedule.next_after(found[-1]))
    return found


def test_cron_in_a_zone_follows_its_wall_clock() -> None:
    daily = Schedule(cron="0 10 * * *", timezone=BERLIN)
    assert daily.next_after(utc(2026, 1, 15, 12)) == utc(2026, 1, 16, 9)
    assert daily.next_after(utc(2026, 7, 15, 12)) == utc(2026, 7, 16, 8)


def test_cron_slot_in_the_spring_gap_runs_right_after_it() -> None:
    # 2026-03-29 in Berlin: 02:00 becomes 03:00. Cron runs the skipped 02:30 job at 03:00.
    daily = Schedule(cron="30 2 * * *", timezone=BERLIN)
    assert slots(daily, utc(2026, 3, 28, 0), 3) == [
        utc(2026, 3, 28, 1, 30),
        utc(2026, 3, 29, 1),
        utc(2026, 3, 30, 0, 30),
    ]


def test_fixed_cron_slot_in_the_autumn_fold_runs_once() -> None:
    # 2026-10-25 in Berlin: 03:00 becomes 02:00, so 02:30 comes twice; cron runs the job at the first.
    daily = Schedule(cron="30 2 * * *", timezone=BERLIN)
    assert slots(daily, utc(2026, 10, 24, 0, 30), 2) == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]


def test_fixed_cron_slot_asked_for_within_the_second_pass_is_the_next_day() -> None:
    daily = Schedule(cron="45 2 * * *", timezone=BERLIN)
    assert daily.next_after(utc(2026, 10, 25, 1, 10)) == utc(2026, 10, 26, 1, 45)


def test_wildcard_cron_runs_in_both_passes_of_the_fold_and_skips_the_gap() -> None:
    hourly = Schedule(cron="0 * * * *", timezone=BERLIN)
    for base in (utc(2026, 10, 24, 23), utc(2026, 3, 28, 23)):
        assert all(b - a == timedelta(hours=1) for a, b in pairwise([base, *slots(hourly, base, 5)]))


@given(
    st.datetimes(min_value=datetime(2025, 1, 1), max_value=datetime(2027, 1, 1)),
    st.sampled_from(
        ["* * * * *", "*/15 * * * *", "30 2 * * *", "0 0 L * *", "0 9 * * MON-FRI", "15 3 * * 1#2", "5 1-3 * * *"]
    ),
    st.sampled_from(["UTC", BERLIN, "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_next_slot_lies_after_its_base_and_moves_on(base: datetime, cron: str, zone: str) -> None:
    schedule = Schedule(cron=cron, timezone=zone)
    aware = base.replace(tzinfo=UTC)
    first = schedule.next_after(aware)
    assert first > aware
    assert schedule.next_after(first) > first
    assert schedule.next_after(first - timedelta(seconds=1)) == first


def test_ping_within_the_early_window_counts_for_the_coming_slot() -> None:
    hourly = Schedule(cron="0 * * * *")
    assert hourly.due_after(utc(2026, 1, 1, 9, 59), 300) == utc(2026, 1, 1, 11)
    assert hourly.due_after(utc(2026, 1, 1, 9, 55), 300) == utc(2026, 1, 1, 11)
    assert hourly.due_after(utc(2026, 1, 1, 9, 54, 59), 300) == utc(2026, 1, 1, 10)


def test_interval_counts_from_the_ping_and_knows_no_early_window() -> None:
    assert Schedule(600).due_after(utc(2026, 1, 1), 300) == utc(2026, 1, 1, 0, 10)


@pytest.mark.parametrize(
    ("given_text", "fields"), [("@daily", "0 0 * * *"), ("@HOURLY", "0 * * * *"), (" 5  4 * * sun ", "5 4 * * sun")]
)
def test_nicknames_and_spaces_are_normalised(given_text: str, fields: str) -> None:
    assert normalised(given_text) == fields


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("61 * * * *", 'minute field "61"'),
        ("0 25 * * *", 'hour field "25"'),
        ("0 0 32 * *", 'day-of-month field "32"'),
        ("0 0 * 13 *", 'month field "13"'),
        ("0 0 * * 8", 'day-of-week field "8"'),
        ("* * * * * *", "five fields"),
        ("0 0", "not 2"),
        ("", "not 0"),
        ("@reboot", "@reboot"),
        ("0 0 30 2 *", 'day-of-month field "30"'),
    ],
)
def test_wrong_cron_is_refused_and_the_field_named(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named.replace("(", r"\(")):
        normalised(text)


def test_defaults_follow_the_period() -> None:
    assert (default_grace_s(60), default_grace_s(3600), default_grace_s(86400)) == (60, 720, 3600)
    assert (default_early_s(60), default_early_s(3600)) == (6, 300)
    assert Schedule(cron="0 9,10 * * *").period_s(utc(2026, 1, 1)) == 3600


def test_durations_read_as_people_say_them() -> None:
    assert [duration_words(s) for s in (45, 90, 60, 300, 5400, 172800)] == [
        "45 s",
        "90 s",
        "1 min",
        "5 min",
        "1 h 30 min",
        "2 d",
    ]
