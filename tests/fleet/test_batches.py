"""Commands on many machines: turns, canaries, stopping, retries, cancelling, and what outlives a process."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.principals import principal_of_user
from apps.core import bell, crypto
from apps.core.errors import Conflict, Forbidden, Invalid
from apps.core.models import Event
from apps.core.principals import system
from apps.core.runner import runner
from apps.fleet.models import ChangeSlot, CommandBatch, CommandRun, Server
from apps.fleet.services import cancel_batch, drive_batches, end_lost_runs, find_targets, plan_for, retry_batch
from apps.fleet.services.background import LANE
from apps.fleet.services.batch_driving import wipe_inputs
from apps.fleet.ssh import pool
from apps.fleet.states import BatchStatus, RunStatus
from tests.factories.accounts import client_as, client_of, make_role, make_user, principal
from tests.factories.batches import make_batch, make_machines
from tests.factories.fleet import make_server
from tests.factories.secrets import make_secret
from tests.factories.ssh import make_connection
from tests.support.console import console_as
from tests.support.sshd import Sshd, make_key, sshd

ACTOR = system("test")
HOSTS = 5


@pytest.fixture(scope="module")
def key(tmp_path_factory: Any) -> Path:
    return make_key(tmp_path_factory.mktemp("keys"), "id")


@pytest.fixture(scope="module")
def target(tmp_path_factory: Any, key: Path) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd"), accepts=[key], more_ports=HOSTS - 1) as running:
        yield running


@pytest.fixture
def machines(target: Sshd, key: Path) -> Iterator[list[Server]]:
    yield make_machines(target, key)
    _until(lambda: runner().free(LANE, 1) == 1)
    pool.close()


def on(target: Sshd, *places: int, do: str) -> str:
    """Return a command that does something on some of the machines alone."""
    cases = "|".join(f"*' {target.ports[place]}'" for place in places)
    return f'case "$SSH_CONNECTION" in {cases}) {do};; esac'


def drive(batch: CommandBatch) -> CommandBatch:
    """Do what the sweep does until a batch is over."""
    until = time.monotonic() + 30
    while True:
        drive_batches()
        batch.refresh_from_db()
        if batch.status != BatchStatus.RUNNING:
            return batch
        assert time.monotonic() < until, (threading.enumerate(), list(batch.runs.values("target", "status", "error")))
        time.sleep(0.05)


def ends(batch: CommandBatch) -> list[str]:
    """Return how each run stands, in the order of their turns."""
    return [str(one) for one in batch.runs.order_by("position").values_list("status", flat=True)]


@pytest.mark.django_db(transaction=True)
def test_batch_runs_on_every_machine_of_a_tag_no_more_at_a_time_than_asked(
    machines: list[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live: list[dict[str, Any]] = []
    monkeypatch.setattr(bell, "live_is_followed", lambda: True)
    monkeypatch.setattr(bell, "publish_live", live.append)
    make_server("elsewhere")
    client = client_of(make_user("operator", username="ada"))
    trace = tmp_path / "trace"
    body = {
        "command": f"echo b >>{trace}; cat; echo on $NAME; sleep 0.15; echo e >>{trace}", "tags": ["web"],
        "parallel": "2", "env": {"NAME": "value"}, "stdin": "given ",
    }  # fmt: skip
    seen = client.post("/api/v1/commands", {**body, "dry_run": True}, format="json")
    assert (seen.status_code, seen.json()["count"], CommandRun.objects.count()) == (200, HOSTS, 0)
    made = client.post("/api/v1/commands", body, format="json")
    assert made.status_code == 202, made.content
    batch = drive(CommandBatch.objects.get(pk=made.json()["batch_id"]))
    assert (batch.status, batch.succeeded, batch.user) == (BatchStatus.SUCCEEDED, HOSTS, "ada")
    at_once = deepest = 0
    for line in trace.read_text().split():
        at_once += 1 if line == "b" else -1
        deepest = max(deepest, at_once)
    assert deepest == 2
    answer = client.get(f"/api/v1/command-batches/{batch.pk}?page_size=2").json()
    assert [run["target"] for run in answer["runs"]] == ["m0", "m1"] and answer["count"] == HOSTS and answer["next"]
    assert set(batch.runs.values_list("output", flat=True)) == {"given on value\n"}
    assert client.get(f"/api/v1/commands?batch_id={batch.pk}").json()["count"] == HOSTS
    created = Event.objects.get(name="command_batch.created")
    assert created.data["targets"] == ["m0", "m1", "m2", "m3", "m4"] and created.actor_name == "ada"
    finished = Event.objects.filter(name="command.finished", data__batch_id=str(batch.pk))
    assert finished.count() == HOSTS
    assert Event.objects.get(name="command_batch.finished").data["succeeded"] == HOSTS
    progress = [one["data"] for one in live if one["event"] == "command_batch.progress"]
    assert all(one["running"] <= 2 for one in progress) and progress[-1]["succeeded"] == HOSTS
    assert {one["data"]["command_id"] for one in live if one["event"] == "command.output"} == {
        str(one) for one in batch.runs.values_list("pk", flat=True)
    }
    assert not ChangeSlot.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_failing_canary_spares_the_rest(machines: list[Server], target: Sshd) -> None:
    batch = drive(make_batch(on(target, 1, do="exit 3"), servers=machines, canary="40%"))
    assert ends(batch) == ["succeeded", "failed", "skipped", "skipped", "skipped"]
    assert (batch.status, batch.skipped) == (BatchStatus.STOPPED, 3)
    assert "m1, which went first" in batch.stop_reason
    fine = drive(make_batch("true", servers=machines, canary=1))
    assert fine.status == BatchStatus.SUCCEEDED
    first, *rest = fine.runs.order_by("position")
    assert first.finished_at is not None and all(first.finished_at <= one.started_at for one in rest)


@pytest.mark.django_db(transaction=True)
def test_failures_stop_a_batch_and_a_retry_touches_those_alone(machines: list[Server], target: Sshd) -> None:
    command = on(target, 0, 2, do="exit 1")
    whole = drive(make_batch(command, servers=machines))
    assert ends(whole) == ["failed", "succeeded", "failed", "succeeded", "succeeded"]
    assert whole.status == BatchStatus.FAILED
    again = drive(retry_batch(actor=ACTOR, batch_id=whole.pk))
    assert list(again.runs.order_by("position").values_list("target", flat=True)) == ["m0", "m2"]
    assert again.retry_of_id == whole.pk
    stopped = drive(make_batch(command, servers=machines, parallel=1, stop_after_failures=2))
    assert ends(stopped) == ["failed", "succeeded", "failed", "skipped", "skipped"]
    assert (stopped.status, "2 of 5 machines" in stopped.stop_reason) == (BatchStatus.STOPPED, True)
    rest = retry_batch(actor=ACTOR, batch_id=stopped.pk, scope="unsuccessful")
    assert list(rest.runs.order_by("position").values_list("target", flat=True)) == ["m0", "m2", "m3", "m4"]
    drive(rest)


@pytest.mark.django_db(transaction=True)
def test_cancelled_batch_ends_what_runs_and_begins_nothing(machines: list[Server]) -> None:
    batch = make_batch("echo begun; sleep 60", servers=machines, parallel=2)
    drive_batches()
    _until(lambda: batch.runs.filter(output="begun\n").count() == 2)
    with pytest.raises(Conflict):
        retry_batch(actor=ACTOR, batch_id=batch.pk)
    assert client_as("viewer").post(f"/api/v1/command-batches/{batch.pk}/cancel").status_code == 403
    assert client_as("operator").post(f"/api/v1/command-batches/{batch.pk}/cancel").status_code == 200
    assert Event.objects.filter(name="command_batch.cancel_asked").count() == 1
    drive(batch)
    assert ends(batch) == ["cancelled"] * HOSTS and batch.status == BatchStatus.CANCELLED
    assert client_as("operator").post(f"/api/v1/command-batches/{batch.pk}/cancel").status_code == 409


@pytest.mark.django_db(transaction=True)
def test_batch_outlives_its_process_and_no_machine_has_two_turns(machines: list[Server], tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    batch = make_batch(f"echo $SSH_CONNECTION >>{trace}", servers=machines, env={"A": "b"})
    # A process that died took two turns and the batch's lease with it.
    past = timezone.now() - timedelta(seconds=1)
    dead = list(batch.runs.order_by("position")[:2])
    CommandRun.objects.filter(pk__in=[one.pk for one in dead]).update(
        status=RunStatus.RUNNING, lease_owner="gone", lease_until=past, output="so far", output_bytes=6
    )
    CommandBatch.objects.update(lease_owner="gone", lease_until=timezone.now() + timedelta(seconds=60))
    assert drive_batches() == 0
    CommandBatch.objects.update(lease_until=past)
    assert end_lost_runs() == 2
    drive(batch)
    assert ends(batch) == ["lost", "lost", "succeeded", "succeeded", "succeeded"]
    assert len(trace.read_text().splitlines()) == 3
    assert (batch.failed, batch.runs.get(position=0).output) == (2, "so far")
    # What was lost may have done its work: it is not repeated with what failed, only where somebody says so.
    page = console_as("operator").get(f"/admin/fleet/commandbatch/{batch.pk}/").content.decode()
    assert "Run again where it failed" not in page and "Run where it did not succeed" in page
    with pytest.raises(Conflict, match="may have done its work"):
        retry_batch(actor=ACTOR, batch_id=batch.pk)
    rest = drive(retry_batch(actor=ACTOR, batch_id=batch.pk, scope="unsuccessful"))
    assert ends(rest) == ["succeeded"] * 2


@pytest.mark.django_db(transaction=True)
def test_two_who_drive_begin_each_turn_once(machines: list[Server], tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    batch = make_batch(f"echo $SSH_CONNECTION >>{trace}", servers=machines)

    def look() -> None:
        drive_batches()
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    drive(batch)
    assert len(trace.read_text().splitlines()) == HOSTS


@pytest.mark.django_db
def test_single_turn_is_cancelled_before_it_comes() -> None:
    servers = [make_server(f"m{n}", ssh_connection_id=make_connection().pk) for n in range(2)]
    batch = make_batch("true", servers=servers)
    second = batch.runs.get(position=1)
    assert client_as("operator").post(f"/api/v1/commands/{second.pk}/cancel").json()["status"] == "cancelled"
    assert ends(batch) == ["waiting", "cancelled"]
    assert "before its turn" in batch.runs.get(position=1).error


@pytest.mark.django_db
def test_batch_stops_where_its_owner_may_no_more() -> None:
    owner = make_user("operator")
    make_server("m", ssh_connection_id=make_connection().pk)
    batch = make_batch("true", actor=principal_of_user(owner))
    owner.disabled = True
    owner.save()
    drive_batches()
    batch.refresh_from_db()
    assert (batch.status, ends(batch)) == (BatchStatus.STOPPED, ["skipped"])
    assert "disabled" in batch.stop_reason


@pytest.mark.django_db
def test_secrets_of_a_batch_are_for_who_may_name_them_at_a_retry_and_at_each_turn() -> None:
    make_secret("deploy token")
    make_server("m", ssh_connection_id=make_connection().pk)
    owner = make_user("admin")
    batch = make_batch("true", env_secrets={"TOKEN": "deploy token"}, actor=principal_of_user(owner))
    owner.roles.set([make_role("operator")])
    drive_batches()
    batch.refresh_from_db()
    assert (batch.status, ends(batch)) == (BatchStatus.STOPPED, ["skipped"])
    assert "secrets:view" in batch.stop_reason
    path, body = f"/api/v1/command-batches/{batch.pk}/retry", {"scope": "all"}
    assert client_as("operator").post(path, body, format="json").status_code == 403
    assert client_as("admin").post(path, body, format="json").status_code == 202


@pytest.mark.django_db
def test_batch_whose_variables_do_not_open_stops_and_names_the_key(settings: Any) -> None:
    make_server("m", ssh_connection_id=make_connection().pk)
    batch = make_batch("true", env={"A": "b"})
    key, settings.VAULT_KEY = settings.VAULT_KEY, crypto.generate_key()
    drive_batches()
    batch = CommandBatch.objects.get()
    assert (batch.status, ends(batch)) == (BatchStatus.STOPPED, ["skipped"])
    assert "do not open" in batch.stop_reason and "VAULT_KEYS_OLD" in batch.stop_reason
    path, body = f"/api/v1/command-batches/{batch.pk}/retry", {"scope": "all"}
    assert client_as("operator").post(path, body, format="json").status_code == 503
    settings.VAULT_KEY = key
    assert client_as("operator").post(path, body, format="json").status_code == 202


@pytest.mark.django_db
def test_machine_without_a_way_is_skipped_with_the_reason_and_alone_refused() -> None:
    near, far = make_server("near", ssh_connection_id=make_connection().pk), make_server("far")
    batch = make_batch("true", servers=[far, near])
    assert ends(batch) == ["skipped", "waiting"]
    assert "No way leads to far" in batch.runs.get(position=0).error
    with pytest.raises(Invalid):
        make_batch("true", servers=[far])
    with pytest.raises(Forbidden):
        make_batch("true", servers=[near], actor=principal("viewer"))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "servers"),
        ({"servers": ["m"], "everybody": True}, "servers"),
        ({"servers": ["none", "m"]}, "servers"),
        ({"tags": ["none"]}, "tags"),
    ],
)
def test_wrong_choice_of_machines_is_named(values: dict[str, Any], field: str) -> None:
    make_server("m")
    with pytest.raises(Invalid) as caught:
        find_targets(actor=ACTOR, **values)
    assert list(caught.value.problems) == [field]


def test_plan_takes_numbers_and_shares_and_names_what_is_neither() -> None:
    plan = plan_for(30, parallel="10%", canary="1", stop_after_failures="5%")
    assert (plan.parallel, plan.canary, plan.stop_after) == (3, 1, 2)
    assert (plan_for(3).parallel, plan_for(3, canary=9).canary, plan_for(900, parallel=900).parallel) == (10, 3, 200)
    with pytest.raises(Invalid) as caught:
        plan_for(10, parallel=0, canary="some", stop_after_failures="140%")
    assert list(caught.value.problems) == ["parallel", "canary", "stop_after_failures"]


@pytest.mark.django_db
def test_input_is_sealed_and_forgotten_a_day_after_the_end() -> None:
    make_server("m", ssh_connection_id=make_connection().pk)
    batch = make_batch("true", env={"A": "canary-of-a-batch"}, stdin="canary-of-input")
    with connection.cursor() as cursor:
        cursor.execute("SELECT inputs FROM fleet_commandbatch")
        assert "canary" not in str(cursor.fetchall())
    CommandBatch.objects.update(status=BatchStatus.FAILED, finished_at=timezone.now() - timedelta(hours=25))
    CommandRun.objects.update(status=RunStatus.FAILED)
    assert (wipe_inputs(), wipe_inputs()) == (1, 0)
    with pytest.raises(Conflict, match="not kept any more"):
        retry_batch(actor=ACTOR, batch_id=batch.pk)


@pytest.mark.django_db
def test_lists_take_the_same_queries_for_any_number() -> None:
    servers = [make_server(f"m{n}", ssh_connection_id=make_connection().pk) for n in range(3)]
    batches = [make_batch("true", servers=servers) for _ in range(3)]
    cancel_batch(actor=ACTOR, batch_id=batches[0].pk)
    client = client_as("viewer")
    client.get("/api/v1/command-batches")
    for url in ("/api/v1/command-batches", f"/api/v1/command-batches/{batches[1].pk}"):
        counts = []
        for limit in (1, 3):
            with CaptureQueriesContext(connection) as queries:
                assert client.get(f"{url}?limit={limit}").status_code == 200
            counts.append(len(queries))
        assert counts[0] == counts[1], url
    assert client.get("/api/v1/command-batches?status=running").json()["count"] == 3
    assert client.get("/api/v1/command-batches?status=odd").status_code == 422
    assert client.get("/api/v1/command-batches/odd").status_code == 404
    assert client.get(f"/api/v1/command-batches/{batches[1].pk}?run_status=lost").json()["count"] == 0


def _until(holds: Any) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until, list(CommandRun.objects.values("target", "status", "error"))
        time.sleep(0.05)
