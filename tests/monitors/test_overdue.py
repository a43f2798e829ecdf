"""No silent monitor: what the worker has not looked at is unknown and told, by another process than the worker."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.core import leases
from apps.core.models import Condition, Lease
from apps.core.pulse import sweeps
from apps.core.registries import Overdue, Watch, watches
from apps.core.watchdog import OVERDUE, look
from apps.monitors.models import EndpointState, HeartbeatState
from apps.monitors.services.heartbeat_sweep import expire_due
from apps.monitors.services.maintenance_windows import sweep_windows
from tests.factories.heartbeats import make_heartbeat, ping, state_of
from tests.factories.maintenance import make_window
from tests.factories.monitors import facts, make_endpoint, record

pytestmark = pytest.mark.django_db


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def alerts() -> list[tuple[str, str]]:
    return [(fact.data["title"], fact.data["message"]) for fact in facts("system.alert")]


def test_silent_worker_is_told_once_its_monitors_are_unknown_and_its_return_is_told() -> None:
    now = timezone.now()
    endpoint, checked, paused = (make_endpoint(name=name, interval_s=60) for name in ("shop", "blog", "old"))
    record(endpoint, "up", at=now - seconds(130))
    record(checked, "up", at=now)
    EndpointState.objects.filter(num=paused.num).update(status="paused", next_check_at=None)
    EndpointState.objects.filter(num=endpoint.num).update(next_check_at=now - seconds(70))
    EndpointState.objects.filter(num=checked.num).update(next_check_at=now + seconds(50))
    heartbeat = make_heartbeat(interval_seconds=60, grace_seconds=30)
    ping(heartbeat, at=now - seconds(120))
    seen = look(now)
    assert seen == {"endpoints", "heartbeats"}
    assert alerts() == []  # once may be a hiccup
    for later in (2, 4, 6):
        seen = look(now + seconds(later), seen)
    [(title, message)] = alerts()
    assert title == "Monitors are silent"
    assert "1 endpoint since" in message and "1 heartbeat since" in message
    statuses = dict(EndpointState.objects.values_list("num", "status"))
    assert statuses == {endpoint.num: "unknown", checked.num: "up", paused.num: "paused"}
    assert "has not checked it in time" in EndpointState.objects.get(num=endpoint.num).last_error
    assert (state_of(heartbeat).status, bool(state_of(heartbeat).fault)) == ("unknown", True)
    # The worker is back.
    state = record(endpoint, "up", at=now + seconds(8))
    assert (state.status, state.alert_level) == ("up", "")
    while expire_due(now=now + seconds(8)):
        pass
    assert (state_of(heartbeat).status, state_of(heartbeat).fault) == ("down", "")
    assert look(now + seconds(9), seen) == set()
    assert [title for title, _ in alerts()] == ["Monitors are silent", "Monitors are heard again"]
    assert Condition.objects.get(name=OVERDUE).ended_at is not None


def test_counts_and_alerts_go_on_from_where_they_were() -> None:
    now = timezone.now()
    endpoint = make_endpoint(failure_threshold=2)
    record(endpoint, "down", at=now - seconds(100))
    EndpointState.objects.update(next_check_at=now - seconds(60))
    look(now, look(now))
    assert EndpointState.objects.get().status == "unknown"
    state = record(endpoint, "down", at=now)
    assert (state.status, state.consecutive_failures, len(facts("endpoint.alert"))) == ("down", 2, 1)


def test_check_that_runs_is_not_overdue_before_its_time_out_is() -> None:
    now = timezone.now()
    make_endpoint(interval_s=60, timeout_s=10)
    EndpointState.objects.update(next_check_at=now - seconds(35), lease_owner="x", lease_until=now + seconds(1))
    assert look(now) == set()
    assert look(now + seconds(6)) == {"endpoints"}


def test_short_intervals_are_overdue_within_two_of_them() -> None:
    now = timezone.now()
    make_endpoint(interval_s=10, timeout_s=5)
    EndpointState.objects.update(next_check_at=now)
    assert look(now + seconds(4)) == set()
    assert look(now + seconds(6)) == {"endpoints"}


def test_ping_brings_an_unknown_heartbeat_back() -> None:
    now = timezone.now()
    heartbeat = make_heartbeat(interval_seconds=60, grace_seconds=30)
    ping(heartbeat, at=now - seconds(120))
    look(now, look(now))
    assert state_of(heartbeat).status == "unknown"
    ping(heartbeat, at=now)
    assert state_of(heartbeat).status == "up"


def test_heartbeat_that_was_told_as_down_stays_down() -> None:
    now = timezone.now()
    heartbeat = make_heartbeat()
    HeartbeatState.objects.filter(heartbeat=heartbeat).update(status="down", alerting=True, wake_at=now - seconds(60))
    look(now, look(now))
    assert state_of(heartbeat).status == "down"


def test_maintenance_window_that_nobody_opens_is_overdue() -> None:
    window = make_window(starts_at=timezone.now() + timedelta(hours=1), ends_at=timezone.now() + timedelta(hours=2))
    assert look(window.starts_at + seconds(10)) == set()
    assert look(window.starts_at + seconds(20)) == {"maintenance"}
    sweep_windows(now=window.starts_at + seconds(21))
    assert look(window.starts_at + seconds(22)) == set()


def test_every_sweep_that_ran_before_and_does_not_any_more_is_overdue() -> None:
    now = timezone.now()
    for name, one in sweeps.items():
        Lease.objects.create(name=f"ran:{name}", owner="w", until=now, last_run_at=now - seconds(2 * one.every_s + 5))
    assert look(now) == set()
    Lease.objects.filter(name="ran:monitors.maintenance").update(last_run_at=now - seconds(60))
    overdue = watches["sweeps"].find(now)
    assert overdue is not None and overdue.what == "1 of its sweeps (monitors.maintenance)"


def test_worker_notes_which_sweeps_ran_in_one_statement(django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    leases.note_run(["ran:one", "ran:two"])
    assert set(leases.last_runs("ran:")) == {"one", "two"}
    with django_assert_num_queries(1):
        leases.note_run(["ran:one", "ran:two"])


def test_kind_that_cannot_be_asked_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()

    def broken(_: object) -> Overdue | None:
        raise RuntimeError("no")

    monkeypatch.setitem(watches._items, "broken", Watch(broken))
    make_endpoint()
    EndpointState.objects.update(next_check_at=now - timedelta(hours=1))
    assert look(now) == {"endpoints"}
