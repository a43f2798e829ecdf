"""The real agent program against the real socket: samples, logs, commands, signals, shells, and every kind of break."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.agents.link.executor import AgentExecutor, executor_by_agent
from apps.agents.link.requests import is_there
from apps.agents.models import AgentCertificate, AgentOutput, AgentRequest, HostAgent, HostAgentState
from apps.agents.services import renew, revoke_agent
from apps.core import runtime_settings
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound
from apps.core.principals import system
from apps.fleet.commands import Command, Outcome
from apps.fleet.executors import executor_of
from apps.fleet.models import LogEntry, ProcessTable, Sample, Server
from apps.fleet.sampler.processes import read_process
from apps.fleet.services.commands import run_command
from apps.fleet.terminal.shells import Size
from tests.factories.agents import make_host_agent
from tests.support.agents import AgentProgram, ServedSockets, served_sockets
from tests.support.processes import is_alive, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
ACTOR = system("test")
PATIENCE_S = 30


@pytest.fixture
def served() -> Iterator[ServedSockets]:
    with served_sockets() as found:
        yield found


class Pair:
    """An agent of the platform, and its program."""

    def __init__(self, served: ServedSockets, folder: Path, **settings: Any) -> None:
        self.served = served
        self.agent, self.host = make_host_agent()
        quiet = {"logs": {"journal": False, "docker": False, "files": []}}
        self.program = AgentProgram(folder).admit(self.host, served.url, **{**quiet, **settings})

    def start(self) -> "Pair":
        self.program.start()
        self.wait_until_there()
        return self

    def wait_until_there(self) -> None:
        try:
            wait_for(lambda: is_there(self.agent.pk), what="the agent", patience_s=PATIENCE_S)
        except AssertionError as error:
            raise AssertionError(self.program.said()) from error

    def run(self, text: str, *, cancel_after: str = "", timeout_s: float = 20, **values: Any) -> tuple[Outcome, bytes]:
        """Run a command; cancel it once its output holds a text."""
        output = bytearray()
        executor = AgentExecutor(self.agent, ACTOR)
        outcome = executor.run(
            Command(text, timeout_s, **values),
            on_output=output.extend,
            cancelled=lambda: bool(cancel_after) and cancel_after.encode() in output,
        )
        return outcome, bytes(output)


@pytest.fixture
def pair(served: ServedSockets, tmp_path: Path) -> Iterator[Pair]:
    found = Pair(served, tmp_path / "state")
    with found.program:
        found.wait_until_there()
        yield found


def test_commands_run_with_all_that_belongs_to_them(pair: Pair) -> None:
    assert isinstance(executor_of(Server.objects.get(pk=pair.agent.server_id), ACTOR), AgentExecutor)
    outcome, output = pair.run("echo out; echo $GREETING >&2; cat; exit 7", env={"GREETING": "hello"}, stdin=b"in\n")
    assert (outcome.ended, outcome.exit_code, output) == ("exited", 7, b"out\nhello\nin\n")
    outcome, output = pair.run("kill -9 $$")
    assert (outcome.ended, outcome.exit_code, outcome.signal) == ("exited", None, "KILL")
    outcome, output = pair.run("sleep 60 & wait", timeout_s=0.3)
    assert (outcome.ended, output) == ("timed_out", b"")
    # More than the agent keeps untaken, and more input than fits one frame, whole and in order.
    outcome, output = pair.run("cat; head -c 3000000 /dev/zero", stdin=b"x" * 900_000)
    assert outcome.exit_code == 0 and output == b"x" * 900_000 + b"\0" * 3_000_000
    assert not AgentOutput.objects.exists() and not AgentRequest.objects.exists()
    # And the whole way, with its row.
    server = Server.objects.get(pk=pair.agent.server_id)
    row = run_command(
        actor=ACTOR, executor=executor_of(server, ACTOR), command=Command("echo $((6*7))", 20), server=server
    )
    assert (row.executor, row.status, row.output) == ("agent", "succeeded", "42\n")


def test_cancelled_command_leaves_nothing_behind(pair: Pair, tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    outcome, output = pair.run(
        f"sleep 999 & echo $! > {mark}; (trap '' TERM; sleep 997) & echo $! >> {mark}; echo go; wait", cancel_after="go"
    )
    assert outcome.ended == "cancelled" and output == b"go\n"
    pids = [int(one) for one in mark.read_text().split()]
    assert len(pids) == 2
    wait_for(lambda: not any(is_alive(pid) for pid in pids), what="the end of the children", patience_s=10)


def test_what_went_into_another_session_ends_with_a_command_that_is_ended(pair: Pair, tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    child = f"echo $$ >> {mark}; trap '' TERM; while :; do sleep 1; done"
    away = f'setsid sh -c "{child.replace("$", chr(92) + "$")}"'
    both = f"until [ $(wc -l < {mark}) = 2 ]; do sleep 0.1; done"

    def pids() -> list[int]:
        return [int(one) for one in mark.read_text().split()]

    for ended, values, text in (
        ("cancelled", {"cancel_after": "go"}, f"{away} & ({away} &); {both}; echo go; wait; sleep 60"),
        ("timed_out", {"timeout_s": 5}, f"{away} & ({away} &); {both}; sleep 60"),
        # The command itself is over, and what it left writes on: its time is over some day too.
        ("timed_out", {"timeout_s": 5}, f"({away.replace('sleep 1', 'echo x; sleep 0.2')} &); ({away} &); {both}"),
    ):
        mark.write_text("")
        outcome, _ = pair.run(text, **values)
        assert outcome.ended == ended and len(pids()) == 2
        wait_for(lambda: not any(is_alive(pid) for pid in pids()), what="the end of the children", patience_s=10)
    # A daemon stays: to start one is what many commands are for.
    mark.write_text("")
    outcome, _ = pair.run(f"({away} >/dev/null 2>&1 &); while ! [ -s {mark} ]; do sleep 0.1; done")
    assert outcome.exit_code == 0 and is_alive(pids()[0])
    os.kill(pids()[0], signal.SIGKILL)


def _waiting_since(pair: Pair, at: float) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{pair.program.folder}/agent.db?mode=ro", uri=True)) as db:
        count: int = db.execute("SELECT COUNT(*) FROM part WHERE kind = 0 AND wall > ?", (at / 1000,)).fetchone()[0]
        return count


def test_samples_logs_and_processes_arrive_and_a_break_leaves_neither_gap_nor_double(
    served: ServedSockets, tmp_path: Path
) -> None:
    runtime_settings.change_settings(values={"metrics.interval_s": 1}, actor=ACTOR)
    logs = tmp_path / "app.log"
    logs.write_text("history\n")
    pair = Pair(served, tmp_path / "state", logs={"files": [str(tmp_path / "app*.log")]})
    server = Server.objects.get(pk=pair.agent.server_id)
    with pair.program:
        pair.wait_until_there()
        samples = Sample.objects.filter(num=server.num)
        wait_for(lambda: samples.count() >= 2, what="samples", patience_s=PATIENCE_S)
        with logs.open("a") as file:
            file.write("ERROR password=hunter2 first\n")
        messages = LogEntry.objects.filter(num=server.num).values_list("message", flat=True)
        wait_for(lambda: len(messages.all()) == 1, what="the line", patience_s=PATIENCE_S)
        served.stop()
        logs.rename(tmp_path / "app.log.1")
        with (tmp_path / "app.log.1").open("a") as file:
            file.write("late in the old file\n")
        logs.write_text("new file\n")
        broke = time.time() * 1000
        wait_for(lambda: _waiting_since(pair, broke) >= 2, what="samples in the break", patience_s=PATIENCE_S)
        back = time.time() * 1000
        served.start()
        pair.wait_until_there()
        wait_for(lambda: len(messages.all()) == 3, what="the lines of the break", patience_s=PATIENCE_S)
        behind = time.time() * 1000
        wait_for(lambda: samples.filter(at__gt=behind).exists(), what="a newer sample", patience_s=PATIENCE_S)
    assert sorted(messages.all()) == ["ERROR password=*** first", "late in the old file", "new file"]
    assert ProcessTable.objects.filter(server=server).exists()
    assert samples.filter(at__gt=broke, at__lt=back).count() >= 2
    state = HostAgentState.objects.get(agent=pair.agent)
    assert state.connection_token == "" and HostAgent.objects.get().version


def test_run_goes_on_through_a_cut_and_is_lost_with_its_agent(pair: Pair, tmp_path: Path) -> None:
    count = tmp_path / "count"
    found: list[tuple[Outcome, bytes]] = []

    def work(text: str) -> threading.Thread:
        def call() -> None:
            try:
                found.append(pair.run(text))
            finally:
                connection.close()

        thread = threading.Thread(target=call)
        thread.start()
        return thread

    thread = work(f"echo x >> {count}; echo one; sleep 2; echo two")
    wait_for(count.exists, what="the command", patience_s=PATIENCE_S)
    pair.served.cut()
    thread.join(PATIENCE_S)
    assert [(one.ended, one.exit_code, output) for one, output in found] == [("exited", 0, b"one\ntwo\n")]
    assert count.read_text() == "x\n"

    thread = work(f"echo $$ >> {count}; sleep 60")
    wait_for(lambda: len(count.read_text().split()) == 2, what="the command", patience_s=PATIENCE_S)
    pair.program.kill9()
    pair.program.start()
    thread.join(PATIENCE_S)
    assert found[1][0].ended == "lost" and "not known" in found[1][0].error
    assert len(count.read_text().split()) == 2
    wait_for(lambda: not is_alive(int(count.read_text().split()[1])), what="the end of it", patience_s=10)

    pair.wait_until_there()
    thread = work(f"echo $$ >> {count}; sleep 60")
    wait_for(lambda: len(count.read_text().split()) == 3, what="the command", patience_s=PATIENCE_S)
    assert "another agent runs" in pair.program.command("run").stderr
    assert pair.program.stop() == 0 and not is_alive(int(count.read_text().split()[2]))
    pair.program.start()
    thread.join(PATIENCE_S)
    assert (found[2][0].ended, found[2][0].error) == ("lost", "The agent was stopped.")


def test_signals_reach_the_process_that_is_meant_alone(pair: Pair) -> None:
    executor = AgentExecutor(pair.agent, ACTOR)
    child = subprocess.Popen(["sleep", "60"])
    try:
        known = read_process(child.pid)
        assert known is not None
        with pytest.raises(NotFound):
            executor.signal(child.pid, "2001-01-01T00:00:00Z", 15)
        with pytest.raises(Invalid):
            executor.signal(child.pid, known["startTime"], 11)
        for pid in (0, 1, pair.program.pid):
            with pytest.raises(Forbidden):
                executor.signal(pid, known["startTime"], 15)
        assert executor.signal(child.pid, known["startTime"], 19) is not None
        wait_for(lambda: (read_process(child.pid) or {})["state"] == "T", what="it is stopped")
        executor.signal(child.pid, known["startTime"], 9)
        assert child.wait(10) == -9
    finally:
        child.kill()
        child.wait()


def test_shell_is_a_terminal_with_a_size_and_an_end(pair: Pair) -> None:
    shell = AgentExecutor(pair.agent, ACTOR).shell(Size(100, 30), cancelled=lambda: False)
    output = bytearray()

    def read_until(text: bytes) -> None:
        until = time.monotonic() + PATIENCE_S
        while text not in output:
            assert time.monotonic() < until, bytes(output)
            output.extend(shell.read(0.5) or b"")

    for line in (b"stty size\n", b"echo a$((6*7))b\n"):
        assert shell.write(line, 5) == len(line)
    read_until(b"a42b")
    assert b"30 100" in output
    shell.resize(Size(90, 20))
    shell.write(b"stty size; exit 3\n", 5)
    read_until(b"20 90")
    while shell.read(1) != b"":
        pass
    assert (shell.end().exit_code, shell.end().error) == (3, "")
    shell.close()


def test_host_that_was_away_for_longer_than_its_certificate_comes_back_by_its_key(
    served: ServedSockets, tmp_path: Path
) -> None:
    pair = Pair(served, tmp_path / "state")
    now = timezone.now()
    AgentCertificate.objects.update(not_before=now - timedelta(days=8), not_after=now - timedelta(days=1))
    with pair.program:
        pair.wait_until_there()
        assert AgentCertificate.objects.count() == 2
    assert (pair.program.folder / "certificate.pem").read_text() != pair.host.certificate


def test_host_whose_certificate_is_not_known_any_more_comes_back_by_its_key(
    served: ServedSockets, tmp_path: Path
) -> None:
    # As after a backup was restored that is older than the certificate.
    pair = Pair(served, tmp_path / "state")
    pair.host.certificate, _ = renew(agent=pair.agent, csr=pair.host.csr)
    AgentCertificate.objects.filter(pem=pair.host.certificate).delete()
    with pair.program.admit(pair.host, served.url):
        pair.wait_until_there()
    assert (pair.program.folder / "certificate.pem").read_text() != pair.host.certificate


def test_certificate_is_renewed_in_its_last_third(served: ServedSockets, tmp_path: Path) -> None:
    runtime_settings.change_settings(values={"agents.certificate_life": 3600}, actor=ACTOR)
    pair = Pair(served, tmp_path / "state")
    now = time.time()
    times = {"certificate_times": [str(now - 3000), str(now + 600)]}
    with pair.program.admit(pair.host, served.url, **times):
        wait_for(lambda: AgentCertificate.objects.count() == 2, what="a renewal", patience_s=PATIENCE_S)
        wait_for(lambda: "was renewed" in pair.program.said(), what="the certificate", patience_s=PATIENCE_S)
    assert (pair.program.folder / "certificate.pem").read_text() != pair.host.certificate


def test_revoked_agent_is_cut_at_once_and_refused(pair: Pair) -> None:
    revoke_agent(actor=ACTOR, agent=pair.agent)
    begun = time.monotonic()
    state = HostAgentState.objects.filter(agent=pair.agent, connection_token="")
    wait_for(lambda: state.exists() and "refuses" in pair.program.said(), what="the cut", patience_s=PATIENCE_S)
    assert time.monotonic() - begun < 10
    with pytest.raises(Conflict):
        executor_of(Server.objects.get(pk=pair.agent.server_id), ACTOR)
    assert executor_by_agent(Server.objects.get(pk=pair.agent.server_id), ACTOR) is None
