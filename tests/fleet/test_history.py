"""Roll-ups and what is read of them: nothing counted twice, late rows counted, spikes kept."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.core import runtime_settings
from apps.core.models import Event
from apps.core.principals import system
from apps.core.registries import keeps
from apps.fleet import selectors
from apps.fleet.models import DirtyBucket, Rollup1d, Rollup1h, Rollup1m, Rollup5m, Sample, Server
from apps.fleet.retention import LEVELS, MINUTE, RAW, prune_level
from apps.fleet.services import delete_server, roll_up
from tests.factories.accounts import client_as
from tests.factories.fleet import iso, make_server, now_ms, push

pytestmark = pytest.mark.django_db
MIN, HOUR = 60_000, 3_600_000


def short(at: int, cpu: float, **more: Any) -> dict[str, Any]:
    return {"timestamp": iso(at), "cpu_percent": cpu, "memory_percent": 50, **more}


def hour_ago() -> int:
    """Return the beginning of an hour that is over."""
    return (now_ms() - 2 * HOUR) // HOUR * HOUR


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def test_minute_holds_count_sum_least_and_most() -> None:
    server, start = make_server(), hour_ago()
    push(server, *(short(start + n * 5000, cpu) for n, cpu in enumerate([10.0, 20.0, 90.0])))
    roll_up()
    row = Rollup1m.objects.get()
    assert (row.num, row.at, row.count) == (server.num, start, 3)
    assert (row.cpu_n, row.cpu_sum, row.cpu_min, row.cpu_max) == (3, 120.0, 10.0, 90.0)
    assert (row.temperature_n, row.temperature_sum) == (0, None)


def test_every_level_is_made_of_the_one_below() -> None:
    server, start = make_server(), (now_ms() - 3 * HOUR) // HOUR * HOUR
    push(server, *(short(start + n * 30_000, 10.0) for n in range(100)), short(start + 55 * MIN, 99.0))
    roll_up()
    assert Rollup1m.objects.count() == 51
    assert sum(row.count for row in Rollup5m.objects.all()) == 101
    hour = Rollup1h.objects.get()
    assert (hour.count, hour.cpu_n, hour.cpu_sum) == (101, 101, 1099.0)
    # A spike of one sample is still visible at the hour.
    assert (hour.cpu_min, hour.cpu_max) == (10.0, 99.0)
    roll_up(now_ms=now_ms() + 26 * HOUR)
    day = Rollup1d.objects.get()
    assert (day.count, day.cpu_max, day.at % 86_400_000) == (101, 99.0, 0)
    assert not DirtyBucket.objects.exists()


def test_late_and_repeated_rows_are_counted_once_each() -> None:
    server, start = make_server(), hour_ago()
    push(server, short(start, 10.0), short(start + 10_000, 20.0))
    roll_up()
    push(server, short(start + 5000, 60.0))
    push(server, short(start, 10.0))
    assert DirtyBucket.objects.filter(level=MIN).count() == 1
    roll_up()
    roll_up()
    minute, hour = Rollup1m.objects.get(), Rollup1h.objects.get()
    assert (minute.count, minute.cpu_sum, minute.cpu_max) == (3, 90.0, 60.0)
    assert (hour.count, hour.cpu_sum) == (3, 90.0)


def test_bucket_that_is_not_over_waits() -> None:
    server = make_server()
    now = now_ms()
    push(server, short(now, 10.0))
    roll_up(now_ms=now)
    assert not Rollup1m.objects.exists()
    roll_up(now_ms=now + 63_000)
    assert Rollup1m.objects.count() == 1


def test_history_shows_the_newest_minute_before_it_is_rolled_up() -> None:
    server, now = make_server("web"), now_ms()
    push(server, *(short(now - n * 5000, float(n)) for n in range(3)))
    body = client_as("viewer").get("/api/v1/history?agent_id=web").json()
    assert body["resolution"] == "1m" and body["agent_id"] == "web"
    assert sum(point["count"] for point in body["data"]) == 3
    cpu = [point["cpu"] for point in body["data"]]
    assert min(one["min"] for one in cpu) == 0.0 and max(one["max"] for one in cpu) == 2.0
    assert body["data"][0]["temperature"] is None and body["data"][0]["network"] == {"rx": None, "tx": None}


def test_history_of_rolled_up_and_fresh_minutes_has_no_gap_and_no_double() -> None:
    server, now = make_server(), now_ms()
    start = now // MIN * MIN - 30 * MIN
    push(server, *(short(start + n * 10_000, 10.0) for n in range(180)))
    roll_up()
    for resolution, width in (("1m", MIN), ("5m", 5 * MIN), ("1h", HOUR)):
        found = selectors.history(server, start=at(start), end=at(now + MIN), resolution=resolution)
        assert sum(point.count for point in found.points) == Sample.objects.count(), resolution
        stamps = [point.at for point in found.points]
        assert stamps == sorted(set(stamps)) and all(stamp % width == 0 for stamp in stamps)


def test_raw_history_has_three_times_the_same_value() -> None:
    server, now = make_server("web"), now_ms()
    push(server, short(now - 1000, 12.5))
    body = client_as("viewer").get("/api/v1/metrics/web/history?resolution=raw").json()
    assert body["data"][0]["cpu"] == {"avg": 12.5, "min": 12.5, "max": 12.5}
    assert {"start", "end", "resolution", "data", "server_id"} <= set(body)


def test_history_pages_fit_together() -> None:
    server, now = make_server("web"), now_ms()
    push(server, *(short(now - n * 1000, float(n)) for n in range(10)))
    client = client_as("viewer")
    url, seen = "/api/v1/metrics/web/history?resolution=raw&limit=4", []
    while url:
        answer = client.get(url)
        seen += [point["timestamp"] for point in answer.json()["data"]]
        url = answer.json()["next"]
        assert bool(url) == ("Link" in answer)
    assert len(seen) == 10 and seen == sorted(seen)


@pytest.mark.parametrize(
    ("span_h", "resolution"), [(0.25, "raw"), (1, "1m"), (12, "1m"), (24, "5m"), (24 * 30, "1h"), (24 * 365, "1d")]
)
def test_auto_goes_by_the_range(span_h: float, resolution: str) -> None:
    now = now_ms()
    assert selectors.pick_resolution("auto", now - int(span_h * HOUR), now) == resolution


def test_auto_takes_no_level_that_is_pruned_already() -> None:
    now = now_ms()
    week = 7 * 24 * HOUR
    assert selectors.pick_resolution("auto", now - week - HOUR, now - week) == "5m"


@pytest.mark.parametrize("query", ["from=nonsense", "resolution=2m", "from=2026-02-01&to=2026-01-01", "cursor=@@"])
def test_history_of_a_wrong_range_is_refused(query: str) -> None:
    make_server("web")
    assert client_as("viewer").get(f"/api/v1/history?agent_id=web&{query}").status_code == 422


def rows_of(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_export_streams_json_and_csv_and_is_audited() -> None:
    server, now = make_server("web"), now_ms()
    push(server, *(short(now - n * 1000, float(n)) for n in range(5)))
    client = client_as("viewer")
    answer = client.get("/api/v1/export/metrics?agent_id=web&resolution=raw")
    assert answer.streaming and answer["Content-Disposition"].startswith('attachment; filename="web-raw-')
    body = json.loads(rows_of(answer))
    assert body["agent_id"] == "web" and [point["cpu"]["avg"] for point in body["data"]] == [4.0, 3.0, 2.0, 1.0, 0.0]
    answer = client.get("/api/v1/export/metrics?agent_id=web&resolution=raw&format=csv")
    assert answer["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(rows_of(answer).decode())))
    assert [float(row["cpu_avg"]) for row in rows] == [4.0, 3.0, 2.0, 1.0, 0.0] and rows[0]["temperature_avg"] == ""
    events = list(Event.objects.filter(name="metrics.exported").order_by("id"))
    assert [event.data["format"] for event in events] == ["json", "csv"]
    assert client.get("/api/v1/export/metrics?agent_id=web&format=xlsx").status_code == 422


def test_export_goes_in_chunks_and_misses_nothing() -> None:
    server, now = make_server(), now_ms()
    push(server, *(short(now - n * 1000, float(n)) for n in range(25)))
    chunks = list(selectors.export_rows(server, start=at(now - HOUR), end=at(now + 1), resolution="raw", chunk=10))
    assert [len(chunk) for chunk in chunks] == [10, 10, 5]


def test_raw_samples_past_their_time_go_and_the_others_stay() -> None:
    server, now = make_server(), now_ms()
    push(server, short(now - 23 * HOUR, 1.0), short(now - HOUR, 2.0), short(now, 3.0))
    assert prune_level(RAW, 500, now + 2 * HOUR) == 1
    assert list(Sample.objects.order_by("at").values_list("cpu", flat=True)) == [2.0, 3.0]


def test_prune_goes_on_where_its_limit_stopped_it() -> None:
    now = now_ms()
    for _ in range(4):
        push(make_server(), *(short(now - 23 * HOUR + n, 1.0) for n in range(5)))
    gone = [prune_level(RAW, 8, now + 5 * HOUR) for _ in range(4)]
    assert gone == [8, 8, 4, 0]
    assert not Sample.objects.exists()


def test_samples_of_a_removed_server_go_with_the_next_pruning() -> None:
    kept, removed = make_server(), make_server()
    push(kept, short(now_ms(), 1.0))
    push(removed, short(now_ms(), 1.0))
    delete_server(actor=system("test"), server=removed)
    assert prune_level(RAW, 500, now_ms()) == 1
    assert Sample.objects.get().num == kept.num
    fresh = make_server()
    assert fresh.num > removed.num
    assert Server.objects.count() == 2


def test_every_level_has_a_keep_setting_and_is_telemetry() -> None:
    for level in LEVELS:
        keep = keeps[f"samples_{level.name}"]
        assert keep.telemetry and keep.setting in runtime_settings.declared
        assert keep.prune(10) == 0


def test_buckets_that_late_samples_may_still_dirty_are_not_pruned() -> None:
    runtime_settings.change_settings(
        values={"retention.samples_raw": "10d", "retention.samples_1m": "1d"}, actor=system("test")
    )
    runtime_settings.forget()
    server, now = make_server(), now_ms()
    push(server, short(now - 9 * 24 * HOUR, 1.0))
    roll_up()
    assert prune_level(MINUTE, 10, now) == 0
