"""`/ws/agent` with agents that are written by hand: what is refused, who is cut, and what counts once."""

import asyncio
import base64
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.agents.link import requests
from apps.agents.link import socket as agents_socket
from apps.agents.link.connection import STORED_MOST
from apps.agents.link.switchboard import switchboard
from apps.agents.models import AgentOutput, AgentRequest, HostAgent, HostAgentState
from apps.agents.services import delete_host_agent, revoke_agent
from apps.core import disk
from apps.core.principals import system
from apps.fleet.models import LogEntry, Sample
from apps.realtime.routing import sockets
from tests.factories.agents import Host, make_host_agent
from tests.factories.fleet import snapshot
from tests.support.sockets import AsgiSocket

pytestmark = pytest.mark.django_db(transaction=True)
ACTOR = system("test")


@pytest.fixture(autouse=True)
async def _board() -> Any:
    yield
    await switchboard.stop()


def _open() -> AsgiSocket:
    return AsgiSocket(sockets, "/ws/agent")


async def _hello(socket: AsgiSocket, host: Host, **values: Any) -> None:
    challenge = await socket.receive_until("challenge")
    signature = base64.b64encode(host.sign(base64.b64decode(challenge["nonce"]))).decode()
    await socket.send(
        {
            "type": "hello",
            "protocol": 1,
            "certificate": host.certificate,
            "signature": signature,
            "version": "1",
            **values,
        }
    )


async def _meet(socket: AsgiSocket, host: Host) -> dict[str, Any]:
    await _hello(socket, host)
    return await socket.receive_until("welcome")


async def _refusal(socket: AsgiSocket) -> tuple[str, int | None]:
    refused = await socket.receive_until("refused")
    assert refused["message"].endswith((".", ")."))
    while await socket.receive() is not None:
        pass
    return refused["code"], socket.close_code


_agent = sync_to_async(make_host_agent)


async def test_strangers_and_garbage_are_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    _, host = await _agent()
    for first in ("no json", "[]", '{"a": 1}', '{"type": "batch"}', "x" * 70_000, '{"type": "hello", "protocol": 9}'):
        async with _open() as socket:
            await socket.receive_until("challenge")
            await socket.send(first)
            assert await _refusal(socket) == ("bad_message", 4400)
    for values in ({"certificate": None}, {"signature": "%"}, {"signature": 7}):
        async with _open() as socket:
            await _hello(socket, host, **values)
            assert await _refusal(socket) == ("bad_message", 4400)
    async with _open() as socket:
        await _hello(socket, host, signature=base64.b64encode(b"x" * 64).decode())
        assert await _refusal(socket) == ("proof_failed", 4401)
    async with _open() as socket:
        await _hello(socket, host, certificate="nothing")
        assert await _refusal(socket) == ("certificate_unknown", 4401)
    monkeypatch.setattr(agents_socket, "HELLO_S", 0.05)
    async with _open() as socket:
        assert await _refusal(socket) == ("silent", 4408)


async def test_wrong_frames_end_a_connection_that_was_let_in() -> None:
    _, host = await _agent()
    for frame in (
        "no json",
        {"type": "hello"},
        {"type": "batch", "n": "x"},
        {"type": "output", "id": "x", "seq": 0, "data": ""},
        {"type": "exit"},
        " " * (1024 * 1024 + 1),
    ):
        async with _open() as socket:
            await _meet(socket, host)
            await socket.send(frame)
            assert await _refusal(socket) == ("bad_message", 4400)


async def test_batches_count_once_and_speak_for_their_own_server_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, host = await _agent()
    other, _ = await _agent()
    line = {
        "message": "m",
        "source": "file",
        "entry_id": "1",
        "agent_id": other.slug,
        "server_id": str(other.server_id),
    }
    batch = {"type": "batch", "n": 5, "samples": [snapshot(), {"timestamp": "never"}], "logs": [line, "no line"]}
    async with _open() as socket:
        welcome = await _meet(socket, host)
        assert (welcome["agent_id"], welcome["interval"], welcome["runs"]) == (agent.slug, 5, [])
        for _ in range(2):
            await socket.send(batch)
            ack = await socket.receive_until("ack")
            assert ack["n"] == 5
            assert [(one["part"], one["index"]) for one in ack["refused"]] == [("samples", 1), ("logs", 1)]
        monkeypatch.setattr(disk, "telemetry_allowed", lambda: False)
        await socket.send({**batch, "n": 6})
        assert (await socket.receive_until("wait"))["s"] == 10
    server = agent.server
    assert await sync_to_async(Sample.objects.filter(num=server.num).count)() == 1
    assert await sync_to_async(lambda: list(LogEntry.objects.values_list("num", flat=True)))() == [server.num]


async def test_newer_connection_wins_and_the_older_is_told() -> None:
    agent, host = await _agent()
    async with _open() as older, _open() as newer:
        await _meet(older, host)
        await _meet(newer, host)
        assert "taken its place" in (await older.receive_until("replaced"))["message"]
        assert await older.receive() is None and older.close_code == 4409
    async with _open() as here:
        await _meet(here, host)
        # As another process would write it.
        await sync_to_async(HostAgentState.objects.filter(agent=agent).update)(connection_token="elsewhere")
        await here.receive_until("replaced")


@pytest.mark.parametrize("end", [revoke_agent, delete_host_agent])
async def test_connection_ends_with_the_trust(end: Any) -> None:
    agent, host = await _agent()
    async with _open() as socket:
        await _meet(socket, host)
        await sync_to_async(end)(actor=ACTOR, agent=agent)
        assert await _refusal(socket) == ("agent_revoked", 4403)
    async with _open() as socket:
        await _hello(socket, host)
        assert (await _refusal(socket))[1] in (4401, 4403)


async def test_certificate_is_renewed_over_the_connection() -> None:
    _, host = await _agent()
    async with _open() as socket:
        await _meet(socket, host)
        await socket.send({"type": "renew", "csr": "nothing"})
        assert "not renewed" in (await socket.receive_until("error"))["message"]
        await socket.send({"type": "renew", "csr": host.csr})
        answer = await socket.receive_until("certificate")
        assert answer["pem"] != host.certificate and "BEGIN CERTIFICATE" in answer["ca"]
    host.certificate = answer["pem"]
    async with _open() as socket:
        await _meet(socket, host)


@sync_to_async
def _ask(agent: HostAgent, kind: str = "command", within_s: float = 10, **body: Any) -> Any:
    return requests.ask(agent=agent, kind=kind, body=body, within_s=within_s)


@sync_to_async
def _standing(key: Any) -> requests.Standing:
    found = requests.standing_of(key)
    assert found is not None
    return found


async def _state(key: Any, state: str) -> None:
    async with asyncio.timeout(20):
        while (await _standing(key)).state != state:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def _piece(key: Any, at: int, data: bytes) -> dict[str, Any]:
    return {"type": "output", "id": str(key), "seq": at, "data": base64.b64encode(data).decode()}


async def test_request_is_sent_once_and_goes_on_over_another_connection() -> None:
    agent, host = await _agent()
    late = await _ask(agent, within_s=-1)
    async with _open() as socket:
        await _meet(socket, host)
        key = await _ask(agent, text="secret")
        assert await sync_to_async(lambda: AgentRequest.objects.get(pk=key).body)() in ('{"text": "secret"}', "")
        sent = await socket.receive_until("command")
        assert (sent["id"], sent["text"]) == (str(key), "secret")
        await socket.send(_piece(key, 0, b"abc"))
        assert await socket.receive_until("credit") == {"type": "credit", "id": str(key), "bytes": 3}
    async with _open() as socket:
        assert (await _meet(socket, host))["runs"] == [{"id": str(key), "bytes": 3}]
        await socket.send(_piece(key, 0, b"abc"))  # a repeat
        await socket.send(_piece(key, 3, b"def"))
        await socket.receive_until("credit")
        assert await sync_to_async(requests.take_output)(key) == b"abcdef"
        await socket.send({"type": "exit", "id": str(key), "bytes": 6, "ended": "exited", "exit_code": 0})
        assert (await socket.receive_until("forget"))["id"] == str(key)
        standing = await sync_to_async(requests.standing_of)(key)
        assert standing is not None and (standing.state, standing.result["exit_code"]) == ("done", 0)
        # An agent that ended meanwhile knows the end, and not all that came before it.
        short = await _ask(agent, text="x")
        await socket.receive_until("command")
        await socket.send({"type": "exit", "id": str(short), "bytes": 9, "ended": "exited", "exit_code": 0})
        await socket.receive_until("forget")
        standing = await sync_to_async(requests.standing_of)(short)
        assert standing is not None and "part of its output was lost" in standing.result["error"]
        # A gap is no output: the agent begins again from what is here.
        other = await _ask(agent, text="x")
        await socket.receive_until("command")
        await socket.send(_piece(other, 5, b"far"))
        assert (await _refusal(socket))[0] == "bad_message"
    assert not await sync_to_async(AgentOutput.objects.exists)()
    assert await sync_to_async(lambda: AgentRequest.objects.get(pk=late).state)() == "waiting"


async def test_agent_speaks_of_what_it_was_asked_alone() -> None:
    agent, host = await _agent()
    other, other_host = await _agent()
    async with _open() as socket, _open() as theirs:
        await _meet(socket, host)
        await _meet(theirs, other_host)
        asked = [await _ask(other, text="x"), await _ask(other, "signal")]
        assert {(await theirs.receive_until(kind))["id"] for kind in ("command", "signal")} == set(map(str, asked))
        await socket.send({"type": "exit", "id": str(asked[0]), "bytes": 0, "ended": "exited", "exit_code": 0})
        await socket.send({"type": "result", "id": str(asked[1]), "ok": True})
        own = await _ask(agent, "signal")
        await socket.receive_until("signal")
        await socket.send({"type": "result", "id": str(own), "ok": True})
        await _state(own, "done")
        assert [(await _standing(one)).state for one in asked] == ["sent", "sent"]
        await theirs.send({"type": "result", "id": str(asked[1]), "ok": False, "code": "gone"})
        await _state(asked[1], "done")


async def test_what_no_database_takes_costs_nobody_an_end() -> None:
    agent, host = await _agent()
    async with _open() as socket:
        await _meet(socket, host)
        key = await _ask(agent, text="x")
        await socket.receive_until("command")
        frame = {"type": "exit", "id": str(key), "bytes": 0, "ended": "exited", "exit_code": 0}
        text = json.dumps({**frame, "error": "a\0b \ud800", "signal": {"deep": ["\0"]}, "more": 1})
        await socket.send(text.replace('"bytes": 0', '"bytes": NaN'))
        await socket.receive_until("forget")
        assert (await _standing(key)).result == {
            "ended": "exited", "exit_code": 0, "error": "a\ufffdb ?", "signal": {"deep": ["\ufffd"]}, "bytes": None,
        }  # fmt: skip


async def test_output_beyond_the_credit_is_refused() -> None:
    agent, host = await _agent()
    data = b"x" * 512 * 1024
    async with _open() as socket:
        await _meet(socket, host)
        key = await _ask(agent, text="x")
        await socket.receive_until("command")
        for number in range(STORED_MOST // len(data) + 4):
            await socket.send(_piece(key, number * len(data), data))
        assert await _refusal(socket) == ("bad_message", 4400)


async def test_question_is_sent_once_and_its_answer_is_kept_without_what_no_database_takes() -> None:
    agent, host = await _agent()
    answered = await _ask(agent, "container", action="logs", container="web")
    async with _open() as socket:
        await _meet(socket, host)
        asked = await socket.receive_until("container")
        assert (asked["id"], asked["action"], asked["container"]) == (str(answered), "logs", "web")
        lines = '["nul \\u0000", "half \\ud800", NaN, "whole"]'
        await socket.send(f'{{"type": "result", "id": "{answered}", "ok": true, "lines": {lines}, "more": 1}}')
        await _state(answered, "done")
        assert (await _standing(answered)).result == {"ok": True, "lines": ["nul \ufffd", "half ?", None, "whole"]}
        broken = await _ask(agent, "container", action="stop", container="web")
        await socket.receive_until("container")
    async with _open() as socket:
        # It may have been stopped: nobody asks for it a second time.
        assert (await _meet(socket, host))["runs"] == []
        standing = await _standing(broken)
        assert (standing.state, standing.result) == ("lost", {})


async def test_what_nobody_waits_for_is_ended_over_there() -> None:
    agent, host = await _agent()
    async with _open() as socket:
        await _meet(socket, host)
        key = await _ask(agent, text="x")
        await socket.receive_until("command")
        await sync_to_async(AgentRequest.objects.filter(pk=key).update)(lease_until="2001-01-01T00:00:00Z")
        assert (await socket.receive_until("cancel"))["id"] == str(key)
        await socket.receive_until("forget")
        await socket.send(_piece(key, 0, b"late"))
        await socket.receive_until("forget")
    assert await sync_to_async(lambda: AgentRequest.objects.get(pk=key).state)() == "lost"
    assert not await sync_to_async(AgentOutput.objects.exists)()


async def test_agent_gets_no_credit_while_its_output_is_not_taken() -> None:
    agent, host = await _agent()
    data = b"x" * 256 * 1024
    async with _open() as socket:
        await _meet(socket, host)
        key = await _ask(agent, text="x")
        await socket.receive_until("command")
        sent = given = 0
        while sent < STORED_MOST + len(data):
            await socket.send(_piece(key, sent, data))
            sent += len(data)
            if given < STORED_MOST:
                given = (await socket.receive_until("credit"))["bytes"]
        assert given == STORED_MOST
        await sync_to_async(requests.take_output)(key)
        assert (await socket.receive_until("credit"))["bytes"] > STORED_MOST


async def test_agent_is_told_of_new_settings() -> None:
    _, host = await _agent()
    async with _open() as socket:
        await _meet(socket, host)
        await sync_to_async(_set)({"metrics.interval_s": 9, "agents.follow_files": ["/var/log/x.log"]})
        told = await socket.receive_until("interval")
        assert told["s"] == 9 and told["logs"] == {"journal": True, "docker": True, "files": ["/var/log/x.log"]}


def _set(values: dict[str, Any]) -> None:
    from apps.core.runtime_settings import change_settings

    change_settings(values=values, actor=ACTOR)
