"""Uptime over all windows equals a count over every single result, whatever they are and whenever they came."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.principals import system
from apps.core.registries import keeps
from apps.core.runtime_settings import change_settings
from apps.monitors.models import (
    CheckResult,
    CheckRollup1d,
    CheckRollup1h,
    CheckRollup5m,
    DirtyBucket,
    HeartbeatDay,
)
from apps.monitors.selectors.bars import daily_bars
from apps.monitors.selectors.endpoints import WINDOWS, daily_uptime, to_ms, uptime_24h, uptime_figures, uptime_tallies
from apps.monitors.selectors.uptime import heartbeat_tallies
from apps.monitors.services.endpoint_results import BUCKET_MS
from apps.monitors.services.endpoint_retention import results_bytes
from apps.monitors.services.endpoint_rollups import roll_up_results
from apps.monitors.states.endpoints import CODES
from tests.factories.accounts import client_as
from tests.factories.heartbeats import make_heartbeat
from tests.factories.monitors import make_endpoint

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 17, 13, 47, 12, 345000, tzinfo=UTC)
DAY_MS = 86_400_000
Row = tuple[int, str, bool]  # at, status, made under maintenance


def insert(num: int, rows: list[Row]) -> None:
    """Insert results and mark their buckets, as the writer does."""
    CheckResult.objects.bulk_create(
        [
            CheckResult(num=num, at=at, status=CODES[status], maintenance=excused, latency_ms=5.0)
            for at, status, excused in rows
        ],
        ignore_conflicts=True,
    )
    marks = {at - at % BUCKET_MS for at, _, _ in rows}
    DirtyBucket.objects.bulk_create([DirtyBucket(level=0, at=at, num=num) for at in marks], ignore_conflicts=True)


def roll_up() -> None:
    for level in range(3):
        roll_up_results(level)


def clear() -> None:
    for model in (CheckResult, CheckRollup5m, CheckRollup1h, CheckRollup1d, DirtyBucket):
        model.objects.all().delete()


def brute_force(rows: list[Row], begin: int) -> tuple[int, int, int, int]:
    """Return answered, down, unknown, maintenance by looking at each result."""
    inside = [(status, excused) for at, status, excused in rows if at >= begin]
    counted = [status for status, excused in inside if not excused]
    return (
        sum(status in ("up", "degraded") for status in counted),
        counted.count("down"),
        counted.count("unknown"),
        sum(excused for _, excused in inside),
    )


#: How long ago: near the edges of hours, days and windows as well as anywhere.
AGES = st.one_of(
    st.integers(0, 3 * 3_600_000),
    st.integers(0, 2 * DAY_MS),
    st.integers(0, 40 * DAY_MS),
    st.integers(0, 400 * DAY_MS),
    st.sampled_from([length + step for length, _ in WINDOWS.values() for step in (-1, 0, 1, 60_000, -60_000)]),
)
RESULTS = st.lists(
    st.tuples(AGES, st.sampled_from(["up", "up", "up", "degraded", "down", "unknown"]), st.booleans()), max_size=60
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=RESULTS, late=RESULTS, shift=st.integers(0, DAY_MS))
def test_uptime_equals_a_count_over_every_result_also_of_late_ones(first: Any, late: Any, shift: int) -> None:
    clear()
    now = NOW + timedelta(milliseconds=shift)
    end = to_ms(now)
    by_time: dict[int, Row] = {}
    for batch in (first, late):
        rows = [(end - age, status, excused) for age, status, excused in batch]
        fresh = {row[0]: row for row in rows if row[0] not in by_time}
        by_time |= fresh
        insert(1, list(fresh.values()))
        insert(2, [(row[0], "down", False) for row in fresh.values()])
        roll_up()
    everything = list(by_time.values())
    tallies = uptime_tallies(1, now)
    for name, (length, grain) in WINDOWS.items():
        begin = (end - length) - (end - length) % grain
        tally = tallies[name]
        expected = brute_force(everything, begin)
        assert (tally.answered, tally.down, tally.unknown, tally.maintenance) == expected, name
    days = daily_uptime(1, 30, now)
    bars = list(reversed(daily_bars("endpoint", [1], 30, now)[1]))
    for day, bar in zip(days, bars, strict=True):
        begin = to_ms(datetime.combine(day["date"], datetime.min.time(), UTC))
        inside = [row for row in everything if begin <= row[0] < begin + DAY_MS]
        answered, down, unknown, excused = brute_force(inside, 0)
        assert (day["checks"], day["down"]) == (answered + down, down)
        assert (bar.date, bar.up + bar.degraded, bar.down) == (day["date"], answered, down)
        assert (bar.unknown, bar.maintenance) == (unknown, excused)


def test_list_and_detail_agree_on_the_last_day() -> None:
    chance = random.Random(5)
    end = to_ms(NOW)
    rows = [
        (end - at, chance.choice(["up", "down", "unknown"]), chance.random() < 0.2)
        for at in range(0, DAY_MS - 3_600_000, 600_000)
    ]
    insert(1, rows)
    roll_up()
    assert uptime_24h([1], NOW)[1] == uptime_figures(1, NOW)["24h"]


def test_all_windows_take_four_queries(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(4):
        uptime_tallies(1, NOW)


# --- the budget --------------------------------------------------------------------------------------------------


def test_budget_lets_the_oldest_go_after_they_are_rolled_up_and_the_figures_stay(
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    now = datetime.now(UTC)
    end = to_ms(now)
    rows: list[Row] = [
        (end - minutes * 60_000 - 1000, "down" if minutes % 7 == 0 else "up", minutes % 11 == 0)
        for minutes in range(0, 36 * 60, 2)
    ]
    insert(1, rows)
    before = uptime_tallies(1, now)  # nothing is rolled up yet
    with django_capture_on_commit_callbacks(execute=True):
        change_settings(values={"retention.check_results_bytes": 1_000_000}, actor=system("test"))
    prune = keeps["checks"].prune
    assert results_bytes() > 100_000
    assert prune(500) == 0  # far below the budget
    insert(2, [(end - 40 * 3_600_000 + step, "up", False) for step in range(8000)])
    assert results_bytes() > 1_000_000
    assert prune(500) == 0  # over it, but nothing is rolled up
    roll_up()
    before = uptime_tallies(1, now)
    for _ in range(100):
        if prune(500) < 500:
            break
    assert results_bytes() <= 1_000_000
    oldest = CheckResult.objects.order_by("at").values_list("at", flat=True)[0]
    assert oldest > min(row[0] for row in rows) - 5 * 3_600_000
    assert uptime_tallies(1, now) == before
    assert uptime_tallies(2, now)["7d"].answered == 8000
    assert CheckResult.objects.filter(num=1, at__gte=end - 3 * 3_600_000).count() == 90


def test_percentiles_are_in_the_roll_ups_of_days() -> None:
    insert(1, [(to_ms(NOW) - step * 1000, "up", False) for step in range(100)])
    roll_up()
    day = CheckRollup1d.objects.get(num=1)
    assert (day.latency_count, day.latency_max, bool(day.histogram)) == (100, 5.0, True)


# --- the API -----------------------------------------------------------------------------------------------------


def test_uptime_of_an_endpoint_over_the_api() -> None:
    endpoint = make_endpoint()
    end = to_ms(datetime.now(UTC))
    insert(endpoint.num, [(end - 1000, "up", False), (end - 2000, "down", False), (end - 3000, "down", True)])
    viewer = client_as("viewer")
    body = viewer.get(f"/api/v1/endpoints/{endpoint.pk}/uptime").json()
    assert set(body) == set(WINDOWS)
    assert body["1h"] == {"uptime_percent": 50.0, "checks": 2, "down": 1, "unknown": 0, "maintenance": 1}
    assert viewer.get("/api/v1/endpoints/nonsense/uptime").status_code == 404


def test_uptime_of_a_heartbeat_over_the_api() -> None:
    heartbeat = make_heartbeat()
    today = int(datetime.now(UTC).timestamp() // 86400)
    HeartbeatDay.objects.create(num=heartbeat.num, day=today - 3, ok=9, failed=1, maintenance=5, unknown=2)
    body = client_as("viewer").get(f"/api/v1/heartbeats/{heartbeat.pk}/uptime").json()
    assert body["7d"] == {"uptime_percent": 90.0, "checks": 10, "down": 1, "unknown": 2, "maintenance": 5}
    assert body["today"]["uptime_percent"] is None
    assert heartbeat_tallies(heartbeat)["1y"].percent == 90.0


def test_sparklines_take_the_same_queries_for_many(django_assert_max_num_queries: Any) -> None:
    viewer = client_as("viewer")
    viewer.get("/api/v1/endpoints/sparklines")
    endpoints = [make_endpoint(name=f"shop {number}") for number in range(12)]
    with django_assert_max_num_queries(4):
        lines = viewer.get("/api/v1/endpoints/sparklines").json()
    assert set(lines) == {str(endpoint.pk) for endpoint in endpoints}
    with django_assert_max_num_queries(4):
        assert len(viewer.get("/api/v1/endpoints/sparklines?range=24h").json()) == 12
