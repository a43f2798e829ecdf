"""The executor while its agent is away, and how what came of a request is told."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.agents.link import executor, requests
from apps.agents.link.executor import AgentExecutor, executor_by_agent
from apps.agents.models import AgentRequest, HostAgentState
from apps.agents.services import connected, disconnected
from apps.core.errors import Conflict, DomainError
from apps.core.principals import system
from apps.fleet.commands import Command
from apps.fleet.executors import SshExecutor, executor_of
from apps.fleet.models import CommandRun, Server
from apps.fleet.services.commands import NotReached, run_command
from apps.fleet.ssh import SshFault
from tests.factories.agents import make_host_agent
from tests.factories.ssh import make_connection

pytestmark = pytest.mark.django_db(transaction=True)
ACTOR = system("test")


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("LOOK_EVERY_S", "POLL_S"):
        monkeypatch.setattr(executor, name, 0.05)
    found, _ = make_host_agent()
    connected(agent=found, owner="another process", token="t")
    return found


def _run(agent: Any, **values: Any) -> Any:
    given = {"on_output": lambda data: None, "cancelled": lambda: False, **values}
    return AgentExecutor(agent, ACTOR).run(Command("true", 20), **given)


def test_way_leads_over_the_agent_while_it_is_there_else_over_ssh(agent: Any) -> None:
    server = Server.objects.get(pk=agent.server_id)
    assert isinstance(executor_of(server, ACTOR), AgentExecutor)
    disconnected(agent_id=agent.pk, token="t")
    with pytest.raises(Conflict) as caught:
        executor_of(server, ACTOR)
    assert caught.value.code == "agent_offline"
    server.ssh_connection = make_connection()
    server.save()
    assert isinstance(executor_of(server, ACTOR), SshExecutor)
    # A process that died holds nothing, whatever it wrote.
    connected(agent=agent, owner="another process", token="t")
    assert isinstance(executor_by_agent(server, ACTOR), AgentExecutor)
    HostAgentState.objects.update(last_seen_at=timezone.now() - timedelta(seconds=requests.SILENT_S + 1))
    assert executor_by_agent(server, ACTOR) is None


def test_what_is_not_taken_in_time_is_never_sent(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "SEND_WITHIN_S", 0.3)
    server = Server.objects.get(pk=agent.server_id)
    with pytest.raises(NotReached, match="did not take it in time"):
        run_command(actor=ACTOR, executor=executor_of(server, ACTOR), command=Command("true", 20), server=server)
    assert CommandRun.objects.get().status == "failed"
    assert AgentRequest.objects.get().state == "failed" and requests.open_requests([agent.pk]) == []
    with pytest.raises(Conflict, match="did not answer"):
        AgentExecutor(agent, ACTOR).signal(5, "2026-01-01T00:00:00Z", 15)
    assert requests.open_requests([agent.pk]) == []
    outcome = _run(agent, cancelled=lambda: True)
    assert outcome.ended == "cancelled" and requests.open_requests([agent.pk]) == []


def _sent(agent: Any) -> None:
    for one in requests.open_requests([agent.pk]):
        assert requests.claim(one, "t") and not requests.claim(one, "t")


def test_agent_that_stays_away_loses_its_run(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "AWAY_S", 0.3)

    def cancelled() -> bool:
        if HostAgentState.objects.get().connection_token:
            _sent(agent)
            disconnected(agent_id=agent.pk, token="t")
        return False

    outcome = _run(agent, cancelled=cancelled)
    assert outcome.ended == "lost" and "away for too long" in outcome.error
    assert AgentRequest.objects.get().state == "lost" and requests.runs_of(agent.pk, "n") == []


def test_agent_that_does_not_end_a_command_is_not_waited_for(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "LATE_S", 0.3)
    asked: list[bool] = []

    def cancelled() -> bool:
        if not asked:
            _sent(agent)
        asked.append(True)
        return True

    outcome = _run(agent, cancelled=cancelled)
    assert outcome.ended == "cancelled" and "did not say" in outcome.error and len(asked) > 1
    assert AgentRequest.objects.get().cancel_asked_at is not None


def test_command_whose_time_is_over_is_not_called_cancelled(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "LATE_S", -20)  # the agent took it late: its own time is not over yet

    def cancelled() -> bool:
        waiting = requests.open_requests([agent.pk])
        _sent(agent)
        requests.store_output([], [(one.id, {"ended": "cancelled"}) for one in waiting])
        return False

    assert _run(agent, cancelled=cancelled).ended == "timed_out"


def test_input_is_sent_to_an_agent_that_comes_back_in_time(agent: Any) -> None:
    key = requests.ask(agent=agent, kind="command", body={}, within_s=9)
    executor._send_input(agent, key, b"x" * (executor.INPUT_PIECE + 1), at=0)
    border = timezone.now() + timedelta(seconds=executor.AWAY_S)
    assert AgentRequest.objects.filter(run_id=key, expires_at__gt=border).count() == 2


def test_bytes_of_a_run_are_counted_once_while_its_output_is_taken(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    key = requests.ask(agent=agent, kind="command", body={}, within_s=9)
    _sent(agent)
    requests.store_output([(key, 0, b"abc")], [])
    taken: list[bytes] = []

    def take() -> None:
        try:
            taken.append(requests.take_output(key))
        finally:
            connection.close()

    taker = threading.Thread(target=take)

    def meanwhile(execute: Any, sql: str, *arguments: Any) -> Any:
        found = execute(sql, *arguments)
        if "SUM(" in sql:  # the output is counted; who waits for it takes it before the rest is read
            taker.start()
            taker.join(0.5)
        return found

    with connection.execute_wrapper(meanwhile):
        found = requests.runs_of(agent.pk, "n")
    taker.join(10)
    assert found == [{"id": str(key), "bytes": 3}] and taken == [b"abc"]


@pytest.mark.parametrize(
    ("result", "ended"),
    [
        ({"ended": "exited", "exit_code": 0}, "exited"),
        ({"ended": "exited", "exit_code": "0"}, "lost"),
        ({"ended": "exited", "exit_code": 2**40}, "lost"),
        ({"ended": "exited", "exit_code": True}, "lost"),
        ({"ended": "timed_out"}, "timed_out"),
        ({"ended": "unknown"}, "lost"),
        ({}, "lost"),
    ],
)
def test_end_is_what_the_agent_says_and_nothing_more(agent: Any, result: dict[str, Any], ended: str) -> None:
    def cancelled() -> bool:
        waiting = requests.open_requests([agent.pk])
        _sent(agent)
        requests.store_output([], [(one.id, result) for one in waiting])
        return False

    assert _run(agent, cancelled=cancelled).ended == ended


def test_refusals_of_the_agent_are_told_as_such(agent: Any) -> None:
    standing = requests.Standing("done", {"ended": "refused", "error": "64 commands run on this host already."}, "")
    with pytest.raises(SshFault, match="64 commands"):
        executor._outcome_of(standing)
    for code, status in (("gone", 404), ("protected", 403), ("forbidden", 403), ("bad_signal", 422), ("failed", 409)):
        with pytest.raises(DomainError) as caught:
            executor._answer_of(requests.Standing("done", {"ok": False, "code": code, "message": "m"}, ""))
        assert caught.value.status == status


def test_pruning_keeps_what_somebody_waits_for(agent: Any) -> None:
    old = timezone.now() - 2 * requests.KEPT
    kept = requests.ask(agent=agent, kind="command", body={}, within_s=9)
    gone = requests.ask(agent=agent, kind="command", body={}, within_s=9)
    AgentRequest.objects.update(created_at=old)
    AgentRequest.objects.filter(pk=gone).update(lease_until=old)
    assert requests.prune(10) == 1 and AgentRequest.objects.get().pk == kept
