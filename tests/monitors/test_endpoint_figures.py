"""Roll-ups, uptime, sparklines, response times, keeping."""

import random
import threading
from datetime import UTC, datetime, timedelta
from statistics import quantiles

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.core.principals import system
from apps.core.registries import keeps, metric_collectors, subjects
from apps.monitors import series
from apps.monitors.models import (
    CheckResult,
    CheckRollup1d,
    CheckRollup1h,
    CheckRollup5m,
    DirtyBucket,
    DroppedSeries,
    Endpoint,
)
from apps.monitors.selectors.endpoints import (
    WINDOWS,
    daily_uptime,
    latency_summary,
    response_times,
    sparklines,
    to_ms,
    uptime_24h,
    uptime_figures,
)
from apps.monitors.services.endpoint_retention import drop_series
from apps.monitors.services.endpoint_rollups import roll_up_results
from apps.monitors.services.endpoints import delete_endpoint
from apps.monitors.tasks.endpoints import drop_removed, roll_up
from tests.factories.monitors import insert_results, make_endpoint, record, record_all

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 17, 13, 47, 12, tzinfo=UTC)
Rows = list[tuple[int, str, float | None]]


def roll_up_all() -> None:
    for level in range(3):
        roll_up_results(level)


def random_results(seed: int, days: int, count: int) -> Rows:
    chance = random.Random(seed)
    end = to_ms(NOW)
    times = sorted({end - chance.randrange(days * 86_400_000) for _ in range(count)})
    rows: Rows = []
    for at in times:
        status = chance.choices(["up", "degraded", "down", "unknown"], [80, 8, 8, 4])[0]
        rows.append((at, status, round(chance.lognormvariate(4, 1), 2) if status in ("up", "degraded") else None))
    return rows


def percent(rows: Rows, start: int) -> float | None:
    counted = [status for at, status, _ in rows if at >= start and status != "unknown"]
    return round(100 * sum(status != "down" for status in counted) / len(counted), 4) if counted else None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_uptime_equals_the_count_over_all_results(seed: int) -> None:
    rows = random_results(seed, days=400, count=1500) + random_results(seed + 100, days=2, count=400)
    rows = list({row[0]: row for row in rows}.values())
    insert_results(1, rows)
    insert_results(2, [(rows[0][0], "down", None)])
    roll_up_all()
    figures = uptime_figures(1, NOW)
    end = to_ms(NOW)
    for name, (length, grain) in WINDOWS.items():
        start = (end - length) - (end - length) % grain
        assert figures[name] == percent(rows, start), name


def test_daily_uptime_equals_the_count_over_all_results() -> None:
    rows = random_results(7, days=30, count=600)
    insert_results(1, rows)
    roll_up_all()
    days = daily_uptime(1, 30, NOW)
    assert [day["date"] for day in days] == [NOW.date() - timedelta(days=back) for back in range(30)]
    for day in days:
        start = to_ms(datetime.combine(day["date"], datetime.min.time(), UTC))
        inside = [row for row in rows if start <= row[0] < start + 86_400_000]
        assert day["uptime_percent"] == percent(inside, 0)
        assert day["down"] == sum(row[1] == "down" for row in inside)
        assert day["checks"] == sum(row[1] != "unknown" for row in inside)


def test_daily_uptime_without_data_is_null_and_not_zero() -> None:
    insert_results(1, [(to_ms(NOW), "unknown", None)])
    roll_up_all()
    today, yesterday = daily_uptime(1, 2, NOW)
    assert today == {"date": NOW.date(), "uptime_percent": None, "checks": 0, "down": 0}
    assert yesterday["uptime_percent"] is None
    assert set(uptime_figures(1, NOW).values()) == {None}


def test_daily_uptime_just_after_midnight_splits_the_days() -> None:
    now = datetime(2026, 5, 17, 0, 20, tzinfo=UTC)
    minutes_ago = [(to_ms(now) - minutes * 60_000, minutes) for minutes in range(1, 60)]
    insert_results(1, [(at, "down" if minutes > 20 else "up", 5.0) for at, minutes in minutes_ago])
    roll_up_all()
    today, yesterday = daily_uptime(1, 2, now)
    assert (today["down"], yesterday["down"]) == (0, 39)


def test_late_result_is_counted_by_the_next_roll_up() -> None:
    at = to_ms(NOW) - 5 * 86_400_000
    insert_results(1, [(at, "up", 10.0)])
    roll_up_all()
    insert_results(1, [(at + 1000, "down", None)])
    roll_up_all()
    for model in (CheckRollup5m, CheckRollup1h, CheckRollup1d):
        row = model.objects.get(num=1)
        assert (row.up, row.down, row.latency_count, row.latency_sum) == (1, 1, 1, 10.0)
    assert not DirtyBucket.objects.exists()


def test_roll_up_repeated_changes_nothing() -> None:
    insert_results(1, random_results(9, days=3, count=200))
    roll_up_all()
    before = list(CheckRollup1d.objects.order_by("at").values())
    at = CheckRollup5m.objects.values_list("at", flat=True)
    DirtyBucket.objects.bulk_create([DirtyBucket(level=0, at=start, num=1) for start in at])
    roll_up_all()
    assert list(CheckRollup1d.objects.order_by("at").values()) == before


@pytest.mark.django_db(transaction=True)
def test_results_stored_while_a_roll_up_runs_are_not_lost() -> None:
    endpoint = make_endpoint()
    record(endpoint, "up", at=NOW)
    written, go_on = threading.Event(), threading.Event()

    def store() -> None:
        try:
            with transaction.atomic():
                record(endpoint, "down", at=NOW + timedelta(seconds=1))
                written.set()
                go_on.wait(10)
        finally:
            connection.close()

    def roll() -> None:
        try:
            roll_up_results(0)
        finally:
            connection.close()

    threads = [threading.Thread(target=store), threading.Thread(target=roll)]
    threads[0].start()
    assert written.wait(10)
    threads[1].start()
    threads[1].join(0.3)  # time to run into the open transaction
    go_on.set()
    for thread in threads:
        thread.join(30)
    roll_up_results(0)
    row = CheckRollup5m.objects.get(num=endpoint.num)
    assert (row.up, row.down) == (1, 1)


def test_manual_result_is_not_counted() -> None:
    insert_results(1, [(to_ms(NOW) - 1000, "up", 5.0)])
    CheckResult.objects.create(num=1, at=to_ms(NOW) - 500, status=3, manual=True)
    roll_up_all()
    assert uptime_figures(1, NOW)["1h"] == 100
    assert CheckRollup5m.objects.get().down == 0


def test_uptime_of_many_takes_two_queries(django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    for num in range(1, 6):
        hours_ago = [(to_ms(NOW) - hours * 3_600_000, hours) for hours in range(10)]
        insert_results(num, [(at, "down" if hours < num else "up", 5.0) for at, hours in hours_ago])
    roll_up_all()
    with django_assert_num_queries(2):
        assert uptime_24h(range(1, 7), NOW) == {1: 90, 2: 80, 3: 70, 4: 60, 5: 50}


# --- latencies ---------------------------------------------------------------------------------------------------


def test_percentiles_of_merged_buckets_are_exact_to_a_class() -> None:
    chance = random.Random(4)
    latencies = [round(chance.lognormvariate(4, 0.8), 2) for _ in range(2000)]
    start = to_ms(NOW) - 20 * 3_600_000
    insert_results(1, [(start + position * 30_000, "up", latency) for position, latency in enumerate(latencies)])
    roll_up_all()
    summary = latency_summary(1, NOW)
    exact = quantiles(latencies, n=100)
    for name, value in (("p50_ms", exact[49]), ("p95_ms", exact[94]), ("p99_ms", exact[98])):
        assert summary[name] == pytest.approx(value, rel=0.12)
    assert (summary["min_ms"], summary["max_ms"]) == (min(latencies), max(latencies))
    assert summary["mean_ms"] == pytest.approx(sum(latencies) / len(latencies), rel=0.001)


def test_spike_is_still_seen_in_the_coarsest_chart() -> None:
    rows: Rows = [(to_ms(NOW) - minutes * 60_000, "up", 20.0) for minutes in range(600)]
    rows[300] = (rows[300][0], "up", 9000.0)
    insert_results(1, rows)
    roll_up_all()
    point = response_times(1, "1y", NOW)[-1]
    assert (point["max_ms"], point["p50_ms"], point["checks"]) == (9000.0, pytest.approx(20, rel=0.1), 600)


def test_response_times_leave_empty_buckets_out() -> None:
    insert_results(1, [(to_ms(NOW) - 60_000, "up", 20.0), (to_ms(NOW) - 3_000_000, "down", None)])
    roll_up_all()
    chart = response_times(1, "1h", NOW)
    assert [(point["checks"], point["down"], point["mean_ms"]) for point in chart] == [(1, 1, None), (1, 0, 20.0)]


def test_histogram_survives_its_text_form() -> None:
    counts = {0: 3, 17: 1, 63: 2}
    assert series.load_histogram(series.dump_histogram(counts)) == counts
    assert series.merge_histograms([series.dump_histogram(counts)] * 2) == {0: 6, 17: 2, 63: 4}
    assert series.latency_class(0.01) == 0
    assert series.latency_class(10**9) == 63


def test_recent_results_survive_their_text_form() -> None:
    text = ""
    for status, latency in (("up", 12.34), ("down", None), ("degraded", 950.0), ("unknown", None)):
        text = series.add_recent(text, status, latency)
    assert series.recent(text) == [("up", 12.34), ("down", None), ("degraded", 950.0), ("unknown", None)]
    assert series.recent("") == []


def test_sparklines_show_the_last_checks_with_gaps() -> None:
    endpoint, silent = make_endpoint(), make_endpoint(name="silent")
    record_all(endpoint, "u" * 25 + "dug", step_s=10)
    lines = sparklines(Endpoint.objects.all())
    assert len(lines[str(endpoint.pk)]) == 20
    assert lines[str(endpoint.pk)][-3:] == [None, 20.0, 20.0]
    assert lines[str(silent.pk)] == []


def test_sparklines_of_a_range_are_means_at_even_distances() -> None:
    endpoint = make_endpoint()
    end = to_ms(NOW)
    insert_results(endpoint.num, [(end, "up", 10.0), (end - 1000, "up", 20.0), (end - 7_200_000, "up", 40.0)])
    roll_up_all()
    line = sparklines(Endpoint.objects.all(), "24h", NOW)[str(endpoint.pk)]
    assert (len(line), line[-1], line[-2], line[-3]) == (24, 15.0, None, 40.0)


# --- keeping -----------------------------------------------------------------------------------------------------


def test_old_results_go_in_portions_and_young_ones_stay() -> None:
    young, old = to_ms(timezone.now()), to_ms(timezone.now() - timedelta(days=8))
    insert_results(1, [(young, "up", 1.0), *((old + step, "up", 1.0) for step in range(12))])
    keep = keeps["checks"]
    assert [keep.prune(5), keep.prune(5), keep.prune(5), keep.prune(5)] == [5, 5, 2, 0]
    assert CheckResult.objects.values_list("at", flat=True).get() == young


def test_every_growing_table_has_a_keep_time() -> None:
    tables = {keep.table for _, keep in keeps.items()}
    assert {model._meta.db_table for model in (CheckResult, CheckRollup5m, CheckRollup1h, CheckRollup1d)} <= tables


def test_results_of_a_removed_endpoint_go_and_those_of_others_stay() -> None:
    gone, stays = make_endpoint(), make_endpoint(name="stays")
    for endpoint in (gone, stays):
        insert_results(endpoint.num, random_results(3, days=2, count=40))
    roll_up_all()
    delete_endpoint(endpoint=gone, actor=system("test"))
    assert drop_series(7) == 7
    drop_removed()
    for model in (CheckResult, CheckRollup5m, CheckRollup1h, CheckRollup1d):
        assert set(model.objects.values_list("num", flat=True)) == {stays.num}
    assert not DroppedSeries.objects.exists()


def test_roll_up_task_computes_every_level() -> None:
    insert_results(1, random_results(5, days=2, count=40))
    roll_up()
    assert CheckRollup1d.objects.exists()
    assert not DirtyBucket.objects.exists()


# --- registries --------------------------------------------------------------------------------------------------


def test_metrics_give_series_per_endpoint_only_where_asked() -> None:
    endpoint = make_endpoint(name="Shop")
    record_all(endpoint, "ud")
    make_endpoint(name="new")
    collect = metric_collectors["endpoints"]
    [total] = list(collect(False))
    assert {labels["status"]: value for labels, value in total[3]}["down"] == 1
    families = {name: samples for name, _, _, samples in collect(True)}
    assert families["watchkeeper_endpoint_up"] == [
        ({"endpoint_id": str(endpoint.pk), "name": "Shop", "type": "http"}, 0)
    ]


def test_subject_is_found_by_id_and_strangers_are_not() -> None:
    endpoint = make_endpoint(name="Shop")
    assert subjects["endpoint"].find(str(endpoint.pk)) == "Shop"
    assert subjects["endpoint"].find("no-uuid") is None
