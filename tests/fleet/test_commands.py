"""Commands: running, limits, history, cancelling, and what is lost."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core import bell
from apps.core.errors import Conflict, Invalid
from apps.core.events import catalogue
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.command_keeping import prune
from apps.fleet.commands import Command, Outcome, Output
from apps.fleet.executors import LocalExecutor
from apps.fleet.models import CommandRun, Server
from apps.fleet.services import (
    background,
    cancel_run,
    cleaned_command,
    end_lost_runs,
    ensure_local_server,
    following,
    run_in_background,
)
from apps.fleet.services.commands import run_command, start_run
from apps.fleet.states import RunStatus
from tests.factories.accounts import client_as, principal
from tests.factories.fleet import make_server

pytestmark = pytest.mark.django_db
ACTOR = system("test")


@pytest.fixture
def local(settings: Any) -> Iterator[Server]:
    settings.LOCAL_COMMANDS = True
    yield ensure_local_server()


def post(server: Server, role: str = "admin", **body: Any) -> Any:
    """Run a command through the API."""
    return client_as(role).post(f"/api/v1/commands/{server.slug}", {"command": "true", **body}, format="json")


def local_run(text: str, timeout_s: float = 20, **more: Any) -> tuple[Any, str]:
    """Run a command on this host."""
    output = Output()
    outcome = LocalExecutor().run(Command(text, timeout_s, **more), on_output=output.feed, cancelled=lambda: False)
    output.finish()
    return outcome, output.text


def test_command_runs_and_leaves_a_row_and_facts(local: Server) -> None:
    answer = post(local, command="cat; echo $NAME >&2; exit 2", stdin="given ", env={"NAME": "value"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["output"], body["exit_code"], body["status"]) == ("given value\n", 2, "failed")
    assert body["duration_ms"] > 0 and body["server_id"] == str(local.pk)
    row = CommandRun.objects.get()
    assert (row.env_names, row.has_stdin, row.lease_until) == (["NAME"], True, None)
    started = Event.objects.get(name="command.started")
    assert started.data["command"] == "cat; echo $NAME >&2; exit 2" and started.audience["server_id"] == str(local.pk)
    assert Event.objects.get(name="command.finished").data["exit_code"] == 2
    assert client_as("viewer").get(f"/api/v1/commands/{row.pk}").json() == body


def test_time_out_is_504_with_the_output_so_far(local: Server) -> None:
    answer = post(local, command="echo so far; exec sleep 60", timeout=0.4)
    assert (answer.status_code, answer.json()["code"]) == (504, "timed_out")
    assert answer.json()["details"]["output"] == "so far\n"
    assert CommandRun.objects.get().status == RunStatus.TIMED_OUT


def test_local_commands_need_the_setting_and_the_permission(settings: Any) -> None:
    server = ensure_local_server()
    settings.LOCAL_COMMANDS = False
    assert post(server).json()["code"] == "local_commands_off"
    settings.LOCAL_COMMANDS = True
    assert post(server, role="operator").status_code == 403
    assert post(server, role="viewer").status_code == 403
    assert not CommandRun.objects.exists()


def test_server_without_a_way_says_what_to_do() -> None:
    answer = post(make_server("far"), role="operator")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_executor")
    assert "SSH connection" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"text": "  "}, "command"),
        ({"text": "x" * 70_000}, "command"),
        ({"text": "a\0b"}, "command"),
        ({"timeout_s": 0}, "timeout"),
        ({"timeout_s": float("nan")}, "timeout"),
        ({"timeout_s": 90_000}, "timeout"),
        ({"stdin": "x" * 1_100_000}, "stdin"),
        ({"env": {"A B": "x"}}, "env.A B"),
        ({"env": {"A": "x" * 70_000}}, "env"),
        ({"env": {"A": "漢" * 30_000}}, "env"),
        ({"env": {f"NAME_{n}": "" for n in range(10_000)}}, "env"),
        ({"sudo": True, "stdin": "x"}, "sudo"),
    ],
)
def test_wrong_part_of_a_command_is_named(values: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        cleaned_command(**{"text": "true", **values})
    assert list(caught.value.problems) == [field]


def test_sudo_on_the_own_host_is_refused(local: Server) -> None:
    assert post(local, sudo=True).status_code == 422


def test_local_command_sees_none_of_the_platforms_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_KEY", "canary-of-a-key")
    assert "canary-of-a-key" not in local_run("env")[1]


def test_local_command_is_ended_with_all_it_started() -> None:
    outcome, text = local_run("trap '' TERM; sleep 300 & echo $!; wait; sleep 300", timeout_s=0.4)
    assert outcome.ended == "timed_out"
    _until(lambda: _is_gone(int(text)))


def test_local_command_is_ended_with_what_went_to_another_session() -> None:
    stubborn = """setsid sh -c 'trap "" TERM; echo $$; sleep 300; sleep 300' &"""
    outcome, text = local_run(f"{stubborn} setsid env -i sleep 300 & echo $!; wait", timeout_s=1)
    assert outcome.ended == "timed_out" and len(text.split()) == 2
    for pid in text.split():
        _until(lambda pid=int(pid): _is_gone(pid))


def test_daemon_that_a_local_command_started_outlives_its_end() -> None:
    outcome, text = local_run("setsid sleep 300 >/dev/null 2>&1 & echo $!; sleep 0.5")
    try:
        assert (outcome.exit_code, _is_gone(int(text))) == (0, False)
    finally:
        os.kill(int(text), signal.SIGKILL)


def test_local_exits_signals_and_large_input() -> None:
    assert local_run("kill -9 $$")[0].signal == "KILL"
    data = b"x" * 3_000_000
    assert local_run("wc -c", stdin=data)[1].strip() == str(len(data))
    assert local_run("exit 0", stdin=data)[0].exit_code == 0
    assert local_run("exec >&- 2>&-; sleep 0.3; exit 5")[0].exit_code == 5


def test_command_that_is_ended_may_say_its_last_words() -> None:
    outcome, text = local_run("trap 'echo cleaned; exit 0' TERM; echo begun; sleep 300 & wait", timeout_s=0.5)
    assert (outcome.ended, text) == ("timed_out", "begun\ncleaned\n")
    outcome, text = local_run("exec >&- 2>&-; sleep 300", timeout_s=0.3)
    assert (outcome.ended, text) == ("timed_out", "")
    outcome, text = local_run("yes", timeout_s=0.3)
    assert outcome.ended == "timed_out" and text.startswith("y\ny\n")


def test_odd_ends_are_told_in_words() -> None:
    assert local_run("kill -40 $$")[0].signal == "40"
    outcome, _ = local_run("true", env={"A": "x" * 200_000})
    assert (outcome.ended, outcome.error) == ("failed", "This host did not start it: Argument list too long.")


def test_what_a_machine_says_of_its_end_fails_no_other_run() -> None:
    class Odd(LocalExecutor):
        def run(self, command: Command, **more: Any) -> Outcome:
            return Outcome("exited", None, "NO-SIGNAL@example.org", "null \0 character, half a pair \ud800")

    row = run_command(actor=ACTOR, executor=Odd(), command=Command("x", 20))
    assert (row.signal, row.error) == ("NO-SIGNAL@exampl", "null \N{REPLACEMENT CHARACTER} character, half a pair ?")


def test_letter_that_the_cut_divides_makes_no_text_binary() -> None:
    text = Output(keep_bytes=4)
    text.feed("aéé".encode())
    text.feed(b"rest")
    text.finish()
    assert (text.text, text.is_binary, text.is_cut) == ("aé", False, True)
    broken = Output(keep_bytes=4)
    broken.feed("aéé".encode()[:4])
    broken.finish()
    assert (broken.is_binary, broken.is_cut) == (True, False)


def test_lost_run_is_ended_with_its_output_and_never_by_two() -> None:
    executor = LocalExecutor("web")
    row, alive = (start_run(actor=ACTOR, executor=executor, command=Command("x", 10)) for _ in range(2))
    CommandRun.objects.filter(pk=row.pk).update(
        lease_until=timezone.now() - timedelta(seconds=1), output="so far", output_bytes=6
    )
    assert (end_lost_runs(), end_lost_runs()) == (1, 0)
    row.refresh_from_db()
    assert (row.status, row.output) == (RunStatus.LOST, "so far") and row.finished_at
    assert Event.objects.get(name="command.finished").data["status"] == "lost"
    alive.refresh_from_db()
    assert alive.status == RunStatus.RUNNING
    with pytest.raises(Conflict):
        cancel_run(actor=ACTOR, run_id=row.pk)


def test_output_is_published_live_in_pieces_that_fit_together(
    local: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[dict[str, Any]] = []

    def publish(message: dict[str, Any]) -> None:
        sent.append(message)
        (tmp_path / "seen").touch()

    monkeypatch.setattr(bell, "live_is_followed", lambda: True)
    monkeypatch.setattr(bell, "publish_live", publish)
    wait = f"until [ -e {tmp_path}/seen ]; do sleep 0.05; done"
    post(local, command=f"echo first; {wait}; yes x | head -c 40000")
    pieces = [one for one in sent if one["event"] == "command.output"]
    for one in pieces:
        jsonschema.validate(one["data"], catalogue["command.output"].schema())
        assert one["audience"] == {"permission": "commands:view", "server_id": str(local.pk)}
    text = "".join(one["data"]["text"] for one in pieces)
    assert text == CommandRun.objects.get().output and len(text) == 40_006 and len(pieces) > 3
    assert [one["data"]["at_char"] for one in pieces][:2] == [0, 6]


def test_database_that_is_away_for_a_moment_ends_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "STORE_EVERY_S", 0.0)
    monkeypatch.setattr(following, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(following, "CLOSE_PAUSES_S", (0.0,))
    reach, close, failed = CommandRun.objects.filter, following.close_followed, []

    def away(*args: Any, **values: Any) -> Any:
        if len(failed) < 4:
            failed.append("filter")
            raise OperationalError("the database is away")
        return reach(*args, **values)

    def away_once(ended: Any) -> None:
        if "close" not in failed:
            failed.append("close")
            raise OperationalError("the database is away")
        close(ended)

    monkeypatch.setattr(CommandRun.objects, "filter", away)
    monkeypatch.setattr(following, "close_followed", away_once)
    row = run_command(actor=ACTOR, executor=LocalExecutor(), command=Command("echo a; sleep 0.5; echo b", 20))
    assert (row.status, row.output, len(failed)) == (RunStatus.SUCCEEDED, "a\nb\n", 5)


def test_run_that_was_given_up_meanwhile_is_told_as_lost(local: Server) -> None:
    class Slow(LocalExecutor):
        def run(self, command: Command, **more: Any) -> Any:
            CommandRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
            assert end_lost_runs() == 1
            return super().run(command, **more)

    row = run_command(actor=ACTOR, executor=Slow(), command=Command("echo late", 20), server=local)
    assert (row.status, row.output) == (RunStatus.LOST, "") and row.finished_at is not None


@pytest.mark.django_db(transaction=True)
def test_run_in_the_background_shows_output_and_ends_when_asked() -> None:
    row = run_in_background(
        actor=ACTOR, executor=LocalExecutor("web"), command=Command("echo begun; exec sleep 120", 200)
    )
    _until(lambda: CommandRun.objects.get(pk=row.pk).output == "begun\n")
    assert CommandRun.objects.get(pk=row.pk).status == RunStatus.RUNNING
    cancelled = client_as("operator").post(f"/api/v1/commands/{row.pk}/cancel")
    assert cancelled.status_code == 403  # it runs on the platform's own host
    assert client_as("admin").post(f"/api/v1/commands/{row.pk}/cancel").status_code == 200
    _until(lambda: CommandRun.objects.get(pk=row.pk).status == RunStatus.CANCELLED)
    assert Event.objects.filter(name="command.cancel_asked").count() == 1
    assert Event.objects.get(name="command.finished").data["status"] == "cancelled"


@pytest.mark.django_db(transaction=True)
def test_end_is_written_once_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    finish, failed = following.finish_runs, []

    def away(rows: Any) -> None:
        if len(failed) < 7:  # the runner itself tries five times
            failed.append(rows)
            raise OperationalError("the database is away")
        finish(rows)

    monkeypatch.setattr(following, "finish_runs", away)
    monkeypatch.setattr(background, "STORE_AGAIN_S", 0.02)
    row = run_in_background(actor=ACTOR, executor=LocalExecutor("web"), command=Command("echo done", 20))
    _until(lambda: CommandRun.objects.get(pk=row.pk).status != RunStatus.RUNNING)
    row.refresh_from_db()
    assert (row.status, row.output, len(failed)) == (RunStatus.SUCCEEDED, "done\n", 7)


def test_history_is_filtered_and_takes_the_same_queries_for_any_number(local: Server) -> None:
    client = client_as("viewer")
    for name in ("ada", "bob", "bob"):
        who = principal("admin")
        row = start_run(actor=who, executor=LocalExecutor(), command=Command("x", 1), server=local)
        CommandRun.objects.filter(pk=row.pk).update(user=name)
    CommandRun.objects.filter(user="ada").update(status=RunStatus.LOST)
    for query, count in (
        ("", 3), ("?user=bob", 2), ("?status=lost", 1), (f"?server_id={local.slug}", 3), ("?server_id=none", 0),
    ):  # fmt: skip
        assert client.get(f"/api/v1/commands{query}").json()["count"] == count, query
    assert client.get("/api/v1/commands?status=odd").status_code == 422
    assert client.get("/api/v1/commands?ssh_connection_id=odd").status_code == 422
    assert "output" not in client.get("/api/v1/commands").json()["results"][0]
    with CaptureQueriesContext(connection) as all_rows:
        client.get("/api/v1/commands")
    with CaptureQueriesContext(connection) as one_row:
        client.get("/api/v1/commands?limit=1")
    assert len(all_rows) == len(one_row)


def test_old_runs_are_pruned_and_running_ones_are_not() -> None:
    rows = [start_run(actor=ACTOR, executor=LocalExecutor(), command=Command("x", 1)) for _ in range(3)]
    CommandRun.objects.update(started_at=timezone.now() - timedelta(days=400))
    CommandRun.objects.filter(pk__in=[row.pk for row in rows[:2]]).update(status=RunStatus.SUCCEEDED)
    assert (prune(1), prune(10), prune(10)) == (1, 1, 0)
    assert CommandRun.objects.get().pk == rows[2].pk


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _until(holds: Any) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until, threading.enumerate()
        time.sleep(0.05)
