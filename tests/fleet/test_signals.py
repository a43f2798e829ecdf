"""Signals to processes: here, over SSH, and what is never signalled."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.core.errors import Conflict, Forbidden, NotFound
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet import signalling
from apps.fleet.commands import Outcome
from apps.fleet.executors import SshExecutor
from apps.fleet.models import Server
from apps.fleet.sampler.processes import read_process
from apps.fleet.services import ensure_local_server
from apps.fleet.signalling import check_target, own_processes, parse_stat, signal_here, signal_over_shell
from apps.fleet.ssh import pool
from tests.factories.accounts import client_as
from tests.factories.batches import make_machines
from tests.factories.fleet import make_server, push, snapshot
from tests.factories.ssh import make_connection
from tests.support.processes import wait_for
from tests.support.sshd import make_key, sshd

pytestmark = pytest.mark.django_db
ACTOR = system("test")


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    # A session of its own, as everything has that Watchkeeper did not start for itself.
    process = subprocess.Popen(["/bin/sleep", "300"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine may take its time to stop a process.
    monkeypatch.setattr(signalling, "SETTLE_S", 30)


@pytest.fixture
def local(settings: Any) -> Server:
    settings.LOCAL_COMMANDS = settings.EMBEDDED = True
    return ensure_local_server()


def post(pid: int, role: str = "admin", **body: Any) -> Any:
    return client_as(role).post(f"/api/v1/processes/{pid}/signal", {"signal": 15, **body}, format="json")


def state_of(pid: int) -> str:
    return parse_stat(Path(f"/proc/{pid}/stat").read_text()).state


def test_process_is_stopped_goes_on_and_ends(local: Server, victim: subprocess.Popen[bytes]) -> None:
    stopped = post(victim.pid, signal=19)
    assert stopped.status_code == 200, stopped.content
    assert (stopped.json()["state"], stopped.json()["is_running"]) == ("T", True)
    assert post(victim.pid, signal=18).json()["state"] in ("R", "S")
    ended = post(victim.pid, start_time=stopped.json()["startTime"]).json()
    assert (ended["is_running"], ended["state"], ended["name"]) == (False, None, "sleep")
    assert victim.wait(30) == -15
    told = [event.data["signal"] for event in Event.objects.filter(name="process.signalled").order_by("id")]
    assert told == [19, 18, 15]
    asked = [event.data["signal"] for event in Event.objects.filter(name="process.signal_asked").order_by("id")]
    assert asked == [19, 18, 15]
    assert Event.objects.filter(name="process.signalled")[0].subject_id == str(local.pk)
    assert post(victim.pid).status_code == 404


def test_platform_and_first_process_are_never_signalled(local: Server) -> None:
    for pid in (0, 1, os.getpid(), os.getppid()):
        answer = post(pid, signal=9)
        assert (answer.status_code, answer.json()["code"]) == (403, "protected_process"), pid


def test_processes_the_supervisor_has_written_down_are_the_platforms(
    victim: subprocess.Popen[bytes], settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    assert victim.pid not in own_processes()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "redis.pid").write_text(f"{victim.pid}\n")
    (tmp_path / "run" / "web.pid").write_text("odd")
    assert victim.pid in own_processes()


def test_thread_of_the_kernel_is_never_signalled() -> None:
    # A name may hold anything; the line is that of a real thread of the kernel.
    fields = "S 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 34 0 0"
    with pytest.raises(Forbidden):
        check_target(parse_stat(f"45 (odd) ) R 1 (name) {fields}"), is_own=False)
    with pytest.raises(ValueError, match="stat"):
        parse_stat("garbage")


def test_another_process_of_the_same_number_is_not_hit(local: Server, victim: subprocess.Popen[bytes]) -> None:
    answer = post(victim.pid, start_time="2020-01-01T00:00:00Z")
    assert (answer.status_code, answer.json()["code"]) == (409, "process_replaced")
    with pytest.raises(Conflict):
        signal_here(victim.pid, "2020-01-01T00:00:00Z", 9)
    assert victim.poll() is None


def test_wrong_signal_and_people_who_may_not_are_refused(local: Server, victim: subprocess.Popen[bytes]) -> None:
    assert post(victim.pid, signal=11).status_code == 422
    assert post(victim.pid, role="viewer").status_code == 403
    assert post(victim.pid, role="operator").status_code == 403  # this host is for who may run commands on it
    for odd in ("odd", "²"):  # a digit, and no number
        refused = client_as("admin").post(f"/api/v1/processes/{odd}/signal", {"signal": 15}, format="json")
        assert refused.status_code == client_as("admin").get(f"/api/v1/processes/{odd}").status_code == 404
    assert victim.poll() is None


def test_signal_goes_over_ssh_to_the_process_of_the_table(
    tmp_path: Path, victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(tmp_path, "id")
    with sshd(tmp_path / "sshd", accepts=[key]) as target:
        try:
            (server,) = make_machines(target, key)
            started = (read_process(victim.pid) or {})["startTime"]
            listed = [
                {"pid": pid, "name": "sleep", "user": "app", "cpu": 0.0, "memory": 0.1, "startTime": when}
                for pid, when in ((victim.pid, started), (os.getpid(), (read_process(os.getpid()) or {})["startTime"]))
            ]
            push(server, snapshot(processes={"total": 2, "topByCpu": listed, "topByMemory": []}))
            assert post(victim.pid, role="operator", signal=19, agent_id=server.slug).status_code == 200
            wait_for(lambda: state_of(victim.pid) == "T", what="it is stopped")
            # The same machine: our own process is known there too.
            mine = post(os.getpid(), role="operator", signal=19, agent_id=server.slug)
            assert (mine.status_code, mine.json()["code"]) == (403, "protected_process")
            assert post(victim.pid, role="operator", signal=9, agent_id=server.slug).json()["is_running"] is False
            assert victim.wait(30) == -9
            again = post(victim.pid, role="operator", agent_id=server.slug)
            assert (again.status_code, again.json()["code"]) == (404, "process_gone")
        finally:
            pool.close()


def test_server_without_a_way_or_without_times_of_start_says_so(local: Server) -> None:
    far = make_server("far")
    assert post(77, agent_id="far").json()["code"] == "no_executor"
    assert post(77, agent_id="none").status_code == 404
    assert far.pk != local.pk


def test_machine_that_gives_no_answer_in_time_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    server = make_server("slow", ssh_connection_id=make_connection("slow way").pk)
    listed = [{"pid": 77, "name": "app", "cpu": 0.0, "memory": 0.1, "startTime": "2026-01-01T00:00:00Z"}]
    push(server, snapshot(processes={"total": 1, "topByCpu": listed, "topByMemory": []}))
    monkeypatch.setattr(SshExecutor, "run", lambda self, command, **more: Outcome("timed_out"))
    answer = post(77, agent_id="slow")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_reached")
    assert "slow way gave no answer within 15 s" in answer.json()["detail"]
    # It may have been sent, so that it was asked for stands in the audit trail.
    fact = Event.objects.get(name__startswith="process.")
    assert (fact.name, fact.data["pid"], fact.data["signal"]) == ("process.signal_asked", 77, 15)


def test_answers_of_odd_machines_are_refused_in_words() -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with pytest.raises(Conflict, match="/proc"):
        signal_over_shell(lambda line: (0, "CYGWIN\n"), 77, now, 15)
    with pytest.raises(NotFound):
        signal_over_shell(lambda line: (3, ""), 77, now, 15)
