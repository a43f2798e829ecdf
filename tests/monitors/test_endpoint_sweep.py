"""The sweep: claiming, checking in the runner, storing, all together against real servers."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core import leases
from apps.core import runner as runner_module
from apps.core.principals import system
from apps.core.runner import Runner
from apps.monitors.checks import CheckOutcome
from apps.monitors.models import CheckResult, EndpointState
from apps.monitors.pressure import STEP_S as LAG_STEP_S
from apps.monitors.pressure import LoopLag
from apps.monitors.services.endpoint_results import CheckRun
from apps.monitors.services.endpoints import pause_endpoint
from apps.monitors.tasks import endpoints as tasks
from tests.factories.monitors import facts, make_config, make_endpoint
from tests.support.servers import Reply, Request, hanging_server, http_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def own_runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """Give the test a runner of its own, stopped before the tables are emptied."""
    one = Runner(threads=2)
    monkeypatch.setattr(runner_module, "_runner", one)
    yield one
    one.stop()


def wait_until_stored(count: int) -> None:
    """Wait until so many results are stored (by the runner's writer, in another thread)."""
    end = time.monotonic() + 30
    while CheckResult.objects.count() < count:
        assert time.monotonic() < end, f"{CheckResult.objects.count()} of {count} results"
        time.sleep(0.02)


def make_due() -> None:
    EndpointState.objects.exclude(next_check_at=None).update(next_check_at=timezone.now(), lease_until=None)


def test_due_endpoints_are_checked_stored_and_due_again_on_their_grid() -> None:
    with http_server() as server:
        made = [make_endpoint(name=str(number), target=server.url, interval_s=30) for number in range(5)]
        assert tasks.sweep_endpoints() == 5
        assert tasks.sweep_endpoints() == 0  # claimed
        wait_until_stored(5)
    for state in EndpointState.objects.all():
        assert (state.status, state.lease_owner, state.lease_until) == ("up", "", None)
        assert state.next_check_at is not None and state.last_check_at is not None
        # More than nothing, however soon: an endpoint's place on the grid may come right after its first check.
        assert timedelta() < state.next_check_at - state.last_check_at <= timedelta(seconds=30.01)
    assert len(made) == 5


def test_target_that_stops_and_starts_again_is_told_twice() -> None:
    alive = True

    def handler(request: Request) -> Reply:
        return Reply(200 if alive else 503)

    with http_server(handler) as server:
        make_endpoint(target=server.url)
        for count, is_alive in enumerate((True, False, False, True), start=1):
            alive = is_alive
            make_due()
            tasks.sweep_endpoints()
            wait_until_stored(count)
    assert [alert.data["last_error"] for alert in facts("endpoint.alert")] == ["It answered 503 Service Unavailable."]
    assert len(facts("endpoint.recovery")) == 1


def test_hanging_targets_do_not_delay_the_others() -> None:
    with hanging_server() as hanging, http_server() as server:
        for number in range(50):
            make_endpoint(name=f"hangs {number}", target=f"http://127.0.0.1:{hanging.port}/", timeout_s=60)
        healthy = make_endpoint(name="healthy", target=server.url)
        make_due()
        assert tasks.sweep_endpoints() == 51
        for count in range(1, 4):
            wait_until_stored(count)
            EndpointState.objects.filter(num=healthy.num).update(next_check_at=timezone.now())
            tasks.sweep_endpoints()
        wait_until_stored(4)
    assert set(CheckResult.objects.values_list("num", "status")) == {(healthy.num, 1)}


def test_sweep_takes_no_more_than_the_runner_has_room_for(own_runner: Runner) -> None:
    with http_server() as server:
        for number in range(3):
            make_endpoint(name=str(number), target=server.url)
        own_runner._running[tasks.LANE] = tasks.IN_FLIGHT - 2
        assert tasks.sweep_endpoints() == 2
        wait_until_stored(2)
        own_runner._running[tasks.LANE] = tasks.IN_FLIGHT
        assert tasks.sweep_endpoints() == 0


def test_paused_endpoint_is_not_claimed() -> None:
    pause_endpoint(endpoint=make_endpoint(), actor=system("test"))
    assert tasks.sweep_endpoints() == 0


def test_claim_of_a_dead_worker_runs_out() -> None:
    with http_server() as server:
        make_endpoint(target=server.url)
        EndpointState.objects.update(lease_owner="dead", lease_until=timezone.now() + timedelta(minutes=1))
        assert tasks.sweep_endpoints() == 0
        EndpointState.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert tasks.sweep_endpoints() == 1
        wait_until_stored(1)


def test_checks_broken_off_by_a_stop_are_given_back(own_runner: Runner) -> None:
    with hanging_server() as hanging:
        make_endpoint(target=f"http://127.0.0.1:{hanging.port}/", timeout_s=60)
        assert tasks.sweep_endpoints() == 1
        assert EndpointState.objects.get().lease_owner == leases.owner()
        end = time.monotonic() + 30
        while not hanging.connections and time.monotonic() < end:
            time.sleep(0.02)
        own_runner.stop()
    state = EndpointState.objects.get()
    assert (state.lease_owner, state.lease_until, state.status) == ("", None, "unknown")
    assert not CheckResult.objects.exists()


def test_storage_error_loses_no_result_and_is_not_held_against_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = tasks.record_results, []

    def failing_once(runs: list[CheckRun]) -> int:
        calls.append(len(runs))
        if len(calls) == 1:
            raise OSError("disk full")
        return real(runs)

    monkeypatch.setattr(tasks, "record_results", failing_once)
    with http_server() as server:
        make_endpoint(target=server.url)
        tasks.sweep_endpoints()
        wait_until_stored(1)
    assert (calls, EndpointState.objects.get().status) == ([1, 1], "up")
    assert not facts("endpoint.alert")


def test_sweep_takes_the_same_queries_for_one_and_for_many() -> None:
    counts = []
    with http_server() as server:
        for number in (1, 12):
            for index in range(number):
                make_endpoint(name=f"{number}-{index}", target=server.url)
            make_due()
            tasks._lease_read_at = time.monotonic()
            with CaptureQueriesContext(connection) as context:
                tasks.sweep_endpoints()
            counts.append(len(context.captured_queries))
            wait_until_stored(CheckResult.objects.count() + 1)
    assert counts[0] == counts[1]


# --- a busy platform ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("is_timeout", "lost_s", "status"), [(True, 2.0, "unknown"), (True, 0.5, "down"), (False, 4.0, "down")]
)
def test_timeout_counts_only_where_the_platform_was_not_held_up(is_timeout: bool, lost_s: float, status: str) -> None:
    outcome = CheckOutcome("down", is_timeout=is_timeout, error="It did not answer within 5 s.")
    excused = tasks.excuse(make_config(timeout_s=5), outcome, lost_s=lost_s)
    assert excused.status == status
    assert ("held up for 2.0 s" in excused.error) == (status == "unknown")


def test_loop_lag_is_the_time_a_blocked_loop_lost() -> None:
    async def blocked() -> float:
        lag = LoopLag()
        lag.start()
        began = time.monotonic()
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251  that is what is measured
        await asyncio.sleep(LAG_STEP_S)
        return lag.lost_since(began)

    assert asyncio.run(blocked()) >= 0.3


def test_loop_lag_forgets_what_is_older_than_any_check() -> None:
    lag = LoopLag()
    lag.note(1000.0, 2.0)
    lag.note(1001.0, 0.05)
    assert lag.lost_since(999.0) == 2.0
    assert lag.lost_since(1000.5) == 0
    lag.note(1200.0, 1.0)
    assert lag.lost_since(0) == 1.0
