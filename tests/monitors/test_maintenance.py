"""Maintenance windows: what people set, who is under maintenance, what is told and what is not counted."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from apps.core.errors import Invalid
from apps.core.principals import system
from apps.monitors.models import CheckResult, CheckRollup1d, HeartbeatDay, HeartbeatState, MaintenanceWindow
from apps.monitors.selectors.bars import daily_bars
from apps.monitors.selectors.endpoints import to_ms, uptime_tallies
from apps.monitors.services import maintenance
from apps.monitors.services.endpoint_rollups import roll_up_results
from apps.monitors.services.heartbeat_sweep import expire_due
from apps.monitors.services.maintenance import active_windows, is_under_maintenance
from apps.monitors.services.maintenance_windows import (
    delete_window,
    end_window,
    sweep_windows,
    update_window,
)
from tests.factories.accounts import client_as, make_user
from tests.factories.heartbeats import make_heartbeat, ping
from tests.factories.maintenance import make_window
from tests.factories.monitors import facts, make_endpoint, record
from tests.support.console import console_of

pytestmark = pytest.mark.django_db

ACTOR = system("test")


def problems(**values: Any) -> dict[str, Any]:
    with pytest.raises(Invalid) as refusal:
        make_window(**values)
    return dict(refusal.value.problems)


# --- who ---------------------------------------------------------------------------------------------------------


def test_window_holds_for_everything_for_tags_or_for_single_things() -> None:
    endpoint = make_endpoint(tags=["database"])
    heartbeat = make_heartbeat()
    assert not is_under_maintenance("endpoint", endpoint.pk, ["database"])
    window = make_window(all_targets=False, tags=["database"])
    assert is_under_maintenance("endpoint", endpoint.pk, ["web", "database"])
    assert is_under_maintenance("server", "7", lambda: ["database"])
    assert not is_under_maintenance("endpoint", endpoint.pk, ["web"])
    update_window(window_id=window.pk, actor=ACTOR, values={"tags": [], "targets": [("heartbeat", str(heartbeat.pk))]})
    assert is_under_maintenance("heartbeat", heartbeat.pk)
    assert not is_under_maintenance("endpoint", endpoint.pk, ["database"])
    update_window(window_id=window.pk, actor=ACTOR, values={"all_targets": True})
    [active] = active_windows("certificate", "anything")
    assert (active.id, active.title, active.ends_at) == (str(window.pk), "Upgrade", window.ends_at)
    delete_window(window_id=window.pk, actor=ACTOR)
    assert active_windows("certificate", "anything") == []


def test_tags_are_asked_for_only_where_a_window_goes_by_them() -> None:
    def never() -> list[str]:
        raise AssertionError("asked")

    assert active_windows("endpoint", "1", never) == []
    make_window()
    assert len(active_windows("endpoint", "1", never)) == 1


def test_the_copy_in_memory_spares_the_database(django_assert_num_queries: Any) -> None:
    make_window(all_targets=False, tags=["database"])
    with django_assert_num_queries(1):
        for _ in range(100):
            active_windows("endpoint", "1", ["database"])


def test_window_that_is_off_is_never_open() -> None:
    window = make_window(enabled=False)
    assert not is_under_maintenance("endpoint", "1")
    assert facts("maintenance.started") == []
    update_window(window_id=window.pk, actor=ACTOR, values={"enabled": True})
    assert is_under_maintenance("endpoint", "1")


def test_poisoned_window_is_passed_over_and_says_why() -> None:
    broken = make_window(kind="cron", starts_at=None, ends_at=None, cron="0 1 * * *", duration_s=3600)
    zone = make_window(
        kind="weekly", starts_at=None, ends_at=None, weekdays=[0], start_time="01:00", duration_s=3600
    )  # fmt: skip
    targets = make_window()
    MaintenanceWindow.objects.filter(pk=broken.pk).update(cron="0 25 * *", next_change_at=timezone.now())
    MaintenanceWindow.objects.filter(pk=zone.pk).update(timezone="Mars/Olympus", next_change_at=timezone.now())
    MaintenanceWindow.objects.filter(pk=targets.pk).update(targets="nonsense")
    good = make_window(title="Good", starts_at=timezone.now() + timedelta(hours=1), ends_at=None, kind="cron",
                       cron="* * * * *", duration_s=60)  # fmt: skip
    maintenance.forget()
    later = timezone.now() + timedelta(hours=2)
    assert [one.title for one in active_windows("endpoint", "1", (), later)] == ["Good"]
    sweep_windows(now=timezone.now() + timedelta(seconds=1))
    assert "cron" in MaintenanceWindow.objects.get(pk=broken.pk).fault
    assert "Mars/Olympus" in MaintenanceWindow.objects.get(pk=zone.pk).fault
    sweep_windows(now=later)
    assert MaintenanceWindow.objects.get(pk=good.pk).running_since is not None


# --- what is told ------------------------------------------------------------------------------------------------


def test_opening_and_closing_are_told_once_each() -> None:
    start = timezone.now() + timedelta(hours=1)
    window = make_window(starts_at=start, ends_at=start + timedelta(hours=1))
    for minutes in (-1, 1, 2, 59, 61, 62):
        sweep_windows(now=start + timedelta(minutes=minutes))
    [opened], [closed] = facts("maintenance.started"), facts("maintenance.ended")
    assert opened.data["starts_at"] == start.isoformat()
    assert closed.data["ends_at"] == (start + timedelta(hours=1)).isoformat()
    window.refresh_from_db()
    assert (window.running_since, window.next_change_at) == (None, None)


def test_ended_early_it_closes_at_once_and_a_recurring_one_opens_again() -> None:
    begin = timezone.now() - timedelta(minutes=5)
    window = make_window(
        kind="cron", starts_at=None, ends_at=None, cron=f"{begin.minute} {begin.hour} * * *", duration_s="2h"
    )
    assert is_under_maintenance("endpoint", "1")
    end_window(window_id=window.pk, actor=ACTOR)
    assert not is_under_maintenance("endpoint", "1")
    assert len(facts("maintenance.ended")) == 1
    tomorrow = timezone.now() + timedelta(days=1)
    assert is_under_maintenance("endpoint", "1", (), tomorrow)
    sweep_windows(now=tomorrow)
    assert len(facts("maintenance.started")) == 2


def test_changes_are_told() -> None:
    window = make_window(starts_at=timezone.now() + timedelta(hours=1), ends_at=timezone.now() + timedelta(hours=2))
    update_window(window_id=window.pk, actor=ACTOR, values={"title": "Longer upgrade"})
    delete_window(window_id=window.pk, actor=ACTOR)
    [changed] = facts("maintenance.updated")
    assert (changed.audit["before"], changed.audit["after"]) == ({"title": "Upgrade"}, {"title": "Longer upgrade"})
    assert len(facts("maintenance.created")) == len(facts("maintenance.deleted")) == 1


# --- what counts -------------------------------------------------------------------------------------------------


def test_results_in_a_window_count_as_maintenance_and_not_for_the_uptime() -> None:
    endpoint = make_endpoint(tags=["database"])
    now = timezone.now()
    record(endpoint, "up", at=now - timedelta(minutes=30))
    record(endpoint, "down", at=now - timedelta(minutes=20))
    make_window(all_targets=False, tags=["database"])
    for minutes in (9, 8, 7):
        record(endpoint, "down", at=now - timedelta(minutes=minutes))
    record(endpoint, "up", at=now - timedelta(minutes=6))
    assert list(CheckResult.objects.order_by("at").values_list("maintenance", flat=True)) == [False] * 2 + [True] * 4
    for level in range(3):
        roll_up_results(level)
    assert list(CheckRollup1d.objects.values_list("maintenance", flat=True))[-1] >= 1
    for name, tally in uptime_tallies(endpoint.num).items():
        assert (tally.answered, tally.down, tally.maintenance, tally.percent) == (1, 1, 4, 50.0), name


def test_job_that_misses_in_a_window_is_recorded_but_its_uptime_is_not_touched() -> None:
    make_window()
    excused, blamed = make_heartbeat(name="excused"), make_heartbeat(name="blamed")
    window = MaintenanceWindow.objects.get()
    update_window(
        window_id=window.pk,
        actor=ACTOR,
        values={"all_targets": False, "targets": [{"kind": "heartbeat", "id": str(excused.pk)}]},
    )
    past = timezone.now() - timedelta(minutes=1)
    HeartbeatState.objects.update(
        status="late", next_due_at=past, deadline=past, wake_at=past, day=int(past.timestamp() // 86400)
    )
    while expire_due(now=timezone.now()):
        pass
    assert {fact.subject_name for fact in facts("heartbeat.deadline_missed")} == {"excused", "blamed"}
    assert set(HeartbeatState.objects.values_list("status", flat=True)) == {"down"}
    bars = daily_bars("heartbeat", [excused.num, blamed.num], days=2)
    assert (bars[excused.num][-1].status, bars[excused.num][-1].maintenance) == ("maintenance", 1)
    assert (bars[blamed.num][-1].status, bars[blamed.num][-1].uptime_percent) == ("down", 0)
    assert HeartbeatDay.objects.get(num=excused.num).maintenance == 1


def test_runs_that_a_ping_finds_missing_are_excused_as_well() -> None:
    make_window(starts_at=timezone.now() - timedelta(hours=1))
    heartbeat = make_heartbeat(interval_seconds=60, grace_seconds=30)
    now = timezone.now()
    ping(heartbeat, at=now - timedelta(minutes=10))
    for _ in range(3):
        expire_due(now=now - timedelta(minutes=8))
    ping(heartbeat, at=now)
    bar = daily_bars("heartbeat", [heartbeat.num], days=2)[heartbeat.num]
    assert sum(day.down for day in bar) == 0
    assert sum(day.maintenance for day in bar) >= 8
    assert sum(day.up for day in bar) == 2


# --- what is refused ---------------------------------------------------------------------------------------------


def test_wrong_values_are_refused_at_their_place() -> None:
    now = timezone.now()
    assert set(problems(title=" ")) == {"title"}
    assert set(problems(ends_at=now - timedelta(hours=2))) == {"ends_at"}
    assert set(problems(starts_at=now - timedelta(hours=3), ends_at=now - timedelta(hours=2))) == {"ends_at"}
    assert set(problems(ends_at=None)) == {"ends_at"}
    assert set(problems(all_targets=False)) == {"targets"}
    assert set(problems(kind="daily")) == {"kind"}
    assert set(problems(timezone="Mars/Olympus")) == {"timezone"}
    assert set(problems(cron="0 1 * * *")) == {"cron"}
    assert set(problems(all_targets=False, targets=[("endpoint", "0190f3e2-7c1e-7b4a-9d0e-2f6a8c1b5d3e")])) == {
        "targets.0"
    }
    assert set(problems(all_targets=False, targets=[("planet", "1")])) == {"targets.0"}
    recurring = {"starts_at": None, "ends_at": None}
    assert set(problems(kind="weekly", **recurring)) == {"weekdays", "start_time", "duration_s"}
    assert set(problems(kind="weekly", weekdays=["someday"], start_time="25:00", duration_s="x", **recurring)) == {
        "weekdays", "start_time", "duration_s",
    }  # fmt: skip
    assert "minute" in str(problems(kind="cron", cron="61 * * * *", duration_s=60, **recurring)["cron"])
    assert set(problems(kind="cron", cron="*/5 * * * *", duration_s=600, **recurring)) == {"duration_s"}


# --- the API -----------------------------------------------------------------------------------------------------


def test_windows_over_the_api() -> None:
    operator = client_as("operator")
    body = {
        "title": "Patch night",
        "kind": "weekly",
        "weekdays": ["sunday", 2],
        "start_time": "02:00",
        "duration_s": "3h",
        "timezone": "Europe/Berlin",
        "all_targets": True,
    }
    made = operator.post("/api/v1/maintenance", body)
    assert made.status_code == 201, made.content
    shown = made.json()
    assert (shown["weekdays"], shown["duration_s"], len(shown["occurrences"])) == ([2, 6], 10800, 5)
    assert shown["state"] in ("upcoming", "active")
    path = f"/api/v1/maintenance/{shown['id']}"
    now = datetime.now(UTC)
    changed = operator.put(
        path,
        {
            "kind": "once",
            "starts_at": (now - timedelta(hours=1)).isoformat(),
            "ends_at": (now + timedelta(hours=1)).isoformat(),
        },
        headers={"If-Match": made["ETag"]},
    )
    assert (changed.status_code, changed.json()["state"], changed.json()["weekdays"]) == (200, "active", [])
    assert operator.put(path, {"title": "late"}, headers={"If-Match": made["ETag"]}).status_code == 412
    viewer = client_as("viewer")
    assert [row["id"] for row in viewer.get("/api/v1/maintenance?state=active").json()["results"]] == [shown["id"]]
    assert viewer.get("/api/v1/maintenance?state=upcoming").json()["results"] == []
    assert viewer.post(f"{path}/end").status_code == 403
    assert operator.post(f"{path}/end").json()["state"] == "completed"
    assert operator.post(f"{path}/end").status_code == 409
    assert viewer.get("/api/v1/maintenance?state=completed").json()["results"][0]["occurrences"] == []
    assert viewer.get("/api/v1/maintenance?state=broken").status_code == 422
    assert operator.delete(path).status_code == 204
    assert viewer.get(path).status_code == 404


def test_list_takes_the_same_queries_for_many(django_assert_max_num_queries: Any) -> None:
    viewer = client_as("viewer")
    viewer.get("/api/v1/maintenance")
    for number in range(20):
        make_window(title=f"window {number}")
    with django_assert_max_num_queries(5):
        assert viewer.get("/api/v1/maintenance").json()["count"] == 20


def test_days_are_told_apart() -> None:
    endpoint = make_endpoint()
    day = to_ms(datetime(2026, 5, 10, tzinfo=UTC))
    kinds = [{"up": 10}, {"up": 97, "down": 3}, {"down": 5, "up": 1}, {"unknown": 4}, {"maintenance": 4}, {},
             {"up": 10, "degraded": 5}]  # fmt: skip
    for position, counts in enumerate(kinds):
        if counts:
            CheckRollup1d.objects.create(num=endpoint.num, at=day + position * 86_400_000, **counts)
    bars = daily_bars("endpoint", [endpoint.num, 999], days=9, now=datetime(2026, 5, 18, 12, tzinfo=UTC))
    expected = ["up", "degraded", "down", "unknown", "maintenance", "none", "degraded", "none", "none"]
    assert [bar.status for bar in bars[endpoint.num]] == expected
    assert {bar.status for bar in bars[999]} == {"none"}
    assert bars[endpoint.num][1].words == "2026-05-11: 97 % up"


def test_bars_of_many_take_the_same_queries_as_of_one(django_assert_num_queries: Any) -> None:
    for kind, count in (("endpoint", 3), ("heartbeat", 2)):
        with django_assert_num_queries(count):
            daily_bars(kind, range(1, 200))


# --- the console -------------------------------------------------------------------------------------------------


def test_window_is_planned_shown_and_ended_in_the_console() -> None:
    endpoint = make_endpoint(name="Shop")
    client = console_of(make_user("operator"))
    now = datetime.now(ZoneInfo("Europe/Berlin"))
    form = {
        "title": "Move to new racks",
        "description": "",
        "enabled": "on",
        "kind": "once",
        "timezone": "Europe/Berlin",
        "starts_at": (now - timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M"),
        "ends_at": (now + timedelta(minutes=90)).strftime("%Y-%m-%dT%H:%M"),
        "start_time": "",
        "cron": "",
        "duration_s": "",
        "tags": "",
        "targets": [f"endpoint:{endpoint.pk}"],
    }
    assert client.post("/admin/monitors/maintenancewindow/add/", form).status_code == 302
    window = MaintenanceWindow.objects.get()
    assert window.targets == [["endpoint", str(endpoint.pk)]]
    assert window.starts_at is not None
    assert abs((window.starts_at - now).total_seconds() + 1800) < 61
    page = client.get(f"/admin/monitors/maintenancewindow/{window.pk}/").content.decode()
    assert "Open now" in page and "(Europe/Berlin)" in page
    assert "Under maintenance until" in client.get(f"/admin/monitors/endpoint/{endpoint.pk}/").content.decode()
    assert "Maintenance</span>" in client.get("/admin/monitors/endpoint/").content.decode()
    change = f"/admin/monitors/maintenancewindow/{window.pk}/change/"
    assert f'value="{form["starts_at"]}"' in client.get(change).content.decode()
    weekly = {**form, "kind": "weekly", "starts_at": "", "ends_at": "", "weekdays": ["6"], "start_time": "02:00"}
    refused = client.post(change, weekly)
    assert (refused.status_code, "Must lie in 60 s..7 d" in refused.content.decode()) == (422, True)
    assert client.post(f"/admin/monitors/maintenancewindow/{window.pk}/do/end/").status_code == 302
    window.refresh_from_db()
    assert window.running_since is None
    assert client.post(change, {**weekly, "duration_s": "3h"}).status_code == 302
    page = client.get(f"/admin/monitors/maintenancewindow/{window.pk}/").content.decode()
    assert page.count("02:00 to 05:00 (Europe/Berlin)") == 5
