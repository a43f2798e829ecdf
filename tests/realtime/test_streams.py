"""Server-sent events: what is sent, resume without a gap, the end of rights."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.accounts.models import Session
from apps.accounts.principals import principal_of_user
from apps.core.events import Subject, emit, publish_live
from apps.core.events.sequencer import last_seq, sequence_events
from apps.core.principals import Principal, system
from apps.realtime.hub import hub
from apps.realtime.streams import follow
from tests.factories.accounts import client_as, client_of, make_session, make_user
from tests.factories.fleet import make_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def _hub() -> Any:
    yield
    await hub.stop()


@sync_to_async
def _caller(role: str = "viewer") -> Principal:
    user = make_user(role)
    return principal_of_user(user, make_session(user))


@sync_to_async
def _alert(title: str) -> int:
    data = {"title": title, "message": "m", "level": "info"}
    emit("system.alert", subject=Subject("test", "1"), actor=system("test"), data=data)
    sequence_events()
    return last_seq()


async def _frames(stream: AsyncIterator[bytes], count: int) -> list[dict[str, str]]:
    """Return the next frames that carry an event, as field -> value."""
    found: list[dict[str, str]] = []
    async for chunk in stream:
        for block in chunk.decode().split("\n\n"):
            fields = dict(
                line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":")
            )
            if "event" in fields:
                found.append(fields)
        if len(found) >= count:
            break
    return found


async def test_stream_sends_facts_with_their_id_and_live_events_without() -> None:
    stream = follow(await _caller(), {"system.*", "heartbeat.pinged"})
    assert (await anext(stream)).startswith(b"retry:")
    seq = await _alert("one")
    (fact,) = await _frames(stream, 1)
    assert (fact["id"], fact["event"], json.loads(fact["data"])["title"]) == (str(seq), "system.alert", "one")
    data = {"heartbeat_id": "x", "name": "n", "kind": "success", "exit_code": None, "at": "now", "status": "up"}
    await sync_to_async(publish_live)("heartbeat.pinged", subject=Subject("heartbeat", "x"), data=data)
    (live,) = await _frames(stream, 1)
    assert live["event"] == "heartbeat.pinged"
    assert "id" not in live


async def test_stream_resumes_after_the_last_event_without_a_gap() -> None:
    start = await _alert("seen")
    missed = [await _alert(f"missed {number}") for number in range(3)]
    stream = follow(await _caller(), {"*"}, last_event_id=start)
    frames = [frame for frame in await _frames(stream, 3) if frame["event"] == "system.alert"]
    assert [int(frame["id"]) for frame in frames] == missed


async def test_stream_asked_for_what_is_kept_no_more_says_reset() -> None:
    stream = follow(await _caller(), {"*"}, last_event_id=10**9)
    (frame,) = await _frames(stream, 1)
    assert frame["event"] == "reset"


async def test_stream_ends_when_the_session_ends() -> None:
    stream = follow(await _caller(), {"*"})
    await anext(stream)
    await sync_to_async(Session.objects.all().delete)()
    rest = [chunk async for chunk in stream]
    assert not [chunk for chunk in rest if b"event:" in chunk]


def test_event_stream_of_unknown_types_is_422_and_needs_a_login() -> None:
    assert client_as("viewer").get("/api/v1/containers/events?types=no.such").status_code == 422
    assert client_as("anonymous").get("/api/v1/containers/events").status_code == 401


def test_metrics_stream_is_an_event_stream_of_a_server_one_may_see() -> None:
    server = make_server()
    client = client_of(make_user("viewer"))
    answer = client.get(f"/api/v1/stream?agent_id={server.slug}", HTTP_ACCEPT="text/event-stream")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
    assert client.get("/api/v1/stream?agent_id=nowhere").status_code == 404
