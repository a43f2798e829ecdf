"""When maintenance windows are open: once, weekly, by cron, and on the days on which the clocks change."""

from datetime import UTC, datetime, time, timedelta

import pytest

from apps.monitors.occurrences import Occurrence, Rule

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def first(rule: Rule, after: str) -> Occurrence:
    found = rule.next_after(at(after))
    assert found is not None
    return found


NIGHTLY = Rule("weekly", weekdays=frozenset(range(7)), start_time=time(1), duration_s=3 * 3600, timezone=BERLIN)


def test_window_of_three_hours_ends_at_the_same_wall_clock_on_every_day() -> None:
    ordinary = first(NIGHTLY, "2026-03-20T12:00")
    assert (ordinary.starts_at, ordinary.ends_at) == (at("2026-03-21T00:00"), at("2026-03-21T03:00"))
    # 29 March: 02:00 becomes 03:00, so 01:00 to 04:00 is two hours; 25 October: 03:00 becomes 02:00, four hours.
    spring = first(NIGHTLY, "2026-03-28T12:00")
    assert (spring.starts_at, spring.ends_at) == (at("2026-03-29T00:00"), at("2026-03-29T02:00"))
    autumn = first(NIGHTLY, "2026-10-24T12:00")
    assert (autumn.starts_at, autumn.ends_at) == (at("2026-10-24T23:00"), at("2026-10-25T03:00"))


def test_cron_window_across_both_changes() -> None:
    rule = Rule("cron", cron="0 1 * * *", duration_s=3 * 3600, timezone=BERLIN)
    for after in ("2026-03-20T12:00", "2026-03-28T12:00", "2026-10-24T12:00"):
        assert first(rule, after) == first(NIGHTLY, after)


def test_start_that_the_clocks_leave_out_comes_later_and_keeps_its_length() -> None:
    rule = Rule("weekly", weekdays=frozenset({6}), start_time=time(2, 30), duration_s=1800, timezone=BERLIN)
    found = first(rule, "2026-03-28T12:00")
    assert (found.starts_at, found.ends_at) == (at("2026-03-29T01:30"), at("2026-03-29T02:00"))


def test_start_that_comes_twice_opens_once() -> None:
    rule = Rule("weekly", weekdays=frozenset({6}), start_time=time(2, 30), duration_s=600, timezone=BERLIN)
    found = rule.occurrences(at("2026-10-24T12:00"))
    one, after = next(found), next(found)
    assert (one.starts_at, one.ends_at) == (at("2026-10-25T00:30"), at("2026-10-25T00:40"))
    assert after.starts_at == at("2026-11-01T01:30")


def test_window_over_midnight_belongs_to_the_day_it_began_on() -> None:
    rule = Rule("weekly", weekdays=frozenset({4}), start_time=time(22), duration_s=4 * 3600)  # Friday
    assert rule.covering(at("2026-05-16T01:59")) is not None  # Saturday
    assert rule.covering(at("2026-05-16T02:00")) is None
    assert rule.covering(at("2026-05-17T01:00")) is None


def test_the_end_is_not_part_of_the_window() -> None:
    rule = Rule("once", at("2026-05-16T10:00"), at("2026-05-16T11:00"))
    covered = [rule.covering(at(f"2026-05-16T{text}")) is not None for text in ("09:59", "10:00", "10:59", "11:00")]
    assert covered == [False, True, True, False]
    assert rule.next_after(at("2026-05-16T11:00")) is None


def test_recurring_window_keeps_within_its_first_and_last_moment() -> None:
    rule = Rule(
        "weekly", at("2026-05-11T12:00"), at("2026-05-13T09:30"),
        weekdays=frozenset(range(7)), start_time=time(9), duration_s=3600,
    )  # fmt: skip
    found = list(rule.occurrences(at("2026-01-01T00:00")))
    assert [(one.starts_at, one.ends_at) for one in found] == [
        (at("2026-05-12T09:00"), at("2026-05-12T10:00")),
        (at("2026-05-13T09:00"), at("2026-05-13T09:30")),
    ]


def test_occurrence_that_was_ended_early_stays_ended_and_the_next_one_comes() -> None:
    rule = Rule("cron", cron="0 9 * * *", duration_s=3600, cut_at=at("2026-05-12T09:20"))
    assert rule.covering(at("2026-05-12T09:10")) is not None
    assert rule.covering(at("2026-05-12T09:20")) is None
    assert rule.covering(at("2026-05-13T09:30")) is not None


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_each_minute_of_a_year_agrees_with_the_wall_clock(zone: str) -> None:
    from zoneinfo import ZoneInfo

    rule = Rule("weekly", weekdays=frozenset(range(7)), start_time=time(4), duration_s=2 * 3600, timezone=zone)
    moment = at("2026-01-01T00:00")
    while moment < at("2027-01-01T00:00"):
        local = moment.astimezone(ZoneInfo(zone))
        assert (rule.covering(moment) is not None) == (4 <= local.hour < 6), moment
        moment += timedelta(minutes=167)


@pytest.mark.parametrize(
    "rule",
    [
        Rule("once"),
        Rule("weekly", weekdays=frozenset({9}), start_time=time(1), duration_s=60),
        Rule("weekly", weekdays=frozenset({1}), duration_s=60),
        Rule("weekly", weekdays=frozenset({1}), start_time=time(1), duration_s=60, timezone="Mars/Olympus"),
        Rule("cron", cron="61 * * * *", duration_s=60),
        Rule("cron", cron="* * * * *"),
        Rule("cron", cron="0 1 * * *", duration_s=60, timezone="../../etc/passwd"),
    ],
)
def test_rule_that_cannot_be_worked_out_says_so(rule: Rule) -> None:
    with pytest.raises(ValueError, match="."):
        rule.covering(at("2026-05-16T01:59"))
