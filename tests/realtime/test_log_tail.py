"""The live tail: what is sent while somebody follows, and what a slow reader is told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.accounts.principals import principal_of_user
from apps.core.principals import Principal
from apps.fleet.logs.words import parse_words
from apps.fleet.models import LogFollower, Server
from apps.fleet.selectors.logs import LogQuery, search_logs
from apps.fleet.services import logs as services
from apps.realtime import log_tail
from apps.realtime.followers import frame_of_live
from apps.realtime.hub import hub
from apps.realtime.log_tail import LogTail, follow_log
from tests.factories.accounts import client_as, make_session, make_user
from tests.factories.fleet import make_server
from tests.factories.logs import write_log

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def _hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(services, "_followed", (0.0, False))
    monkeypatch.setattr(log_tail, "SETTLE_S", 0.0)
    yield
    await hub.stop()


@sync_to_async
def _caller() -> Principal:
    user = make_user("viewer")
    return principal_of_user(user, make_session(user))


_server = sync_to_async(make_server)
_write = sync_to_async(write_log)


async def _lines(stream: AsyncIterator[bytes], count: int) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    while len(found) < count:
        for block in (await asyncio.wait_for(anext(stream), 10)).decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "event" in fields:
                body = json.loads(fields["data"])
                found.append((fields["event"], body.get("message", body.get("count"))))
    return found


async def test_lines_that_match_come_as_they_are_written_and_only_while_followed() -> None:
    web, other = await _server("web"), await _server("other")
    stream = follow_log(await _caller(), LogQuery(server=web, terms=parse_words("error")))
    assert (await anext(stream)).startswith(b"retry:")
    assert await sync_to_async(LogFollower.objects.count)() == 1
    await _write(other, "error elsewhere")
    await _write(web, "all is well", "error one", "error two")
    assert await _lines(stream, 2) == [("log", "error one"), ("log", "error two")]
    await stream.aclose()  # type: ignore[attr-defined]
    assert await sync_to_async(LogFollower.objects.count)() == 0


async def test_stream_goes_on_after_the_last_line_seen() -> None:
    web, caller = await _server("web"), await _caller()
    await _write(web, "one", "two", "three")
    page = await sync_to_async(search_logs)(LogQuery(), caller, limit=3)
    stream = follow_log(caller, LogQuery(), after=int(page.entries[2]["id"]))
    assert await _lines(stream, 2) == [("log", "two"), ("log", "three")]
    await stream.aclose()  # type: ignore[attr-defined]


def _frame(server: Server, *messages: str, number: int = 0) -> Any:
    lines = [
        {
            "id": str(number + n), "timestamp": "", "server_id": str(server.id), "agent_id": server.slug,
            "source": "file", "source_name": "", "level": "info", "message": message, "fields": {},
        }
        for n, message in enumerate(messages)
    ]  # fmt: skip
    return frame_of_live(
        {
            "event": "server.logs",
            "subject": {"kind": "server", "id": str(server.id), "name": server.name},
            "at": "",
            "data": {"server_id": str(server.id), "slug": server.slug, "lines": lines},
            "audience": {"permission": "logs:view", "server_id": str(server.id)},
        }
    )


async def test_slow_reader_is_told_how_many_lines_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "LINES_MOST", 10)
    tail, web = LogTail(await _caller(), LogQuery()), await _server("web")
    for start in range(0, 30, 5):
        tail.offer(_frame(web, *(f"line {start + n}" for n in range(5))))
    text = tail.take().decode()
    assert text.startswith('event: missed\ndata: {"count":20}') and text.count("event: log") == 10
    assert '"line 20"' in text and '"line 29"' in text and '"line 19"' not in text
    assert tail.take() == b"" and tail.waiting_bytes == 0


async def test_reader_without_the_right_gets_nothing() -> None:
    web = await _server("web")
    tail = LogTail(Principal(kind="user", id="1", name="x"), LogQuery())
    tail.offer(_frame(web, "secret of others"))
    bound = Principal(
        kind="api_key", id="2", name="y", permissions=frozenset({"logs:view"}), bound_kind="server", bound_id="else"
    )
    another = LogTail(bound, LogQuery())
    another.offer(_frame(web, "secret of others"))
    assert tail.take() == another.take() == b""


def test_nothing_is_published_while_nobody_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[str] = []
    monkeypatch.setattr(services, "publish_live", lambda name, **_: published.append(name))
    monkeypatch.setattr("apps.core.bell.live_is_followed", lambda: True)
    web = make_server("web")
    write_log(web, "alone")
    services.follow_logs(follower=web.id)
    monkeypatch.setattr(services, "_followed", (time.monotonic() - 1, False))
    write_log(web, "seen")
    assert published == ["server.logs"]


def test_filters_of_the_stream_are_those_of_the_list() -> None:
    client = client_as("viewer")
    assert client.get("/api/v1/logs/stream", {"level": "loud"}).status_code == 422
    assert client.get("/api/v1/logs/stream", {"agent_id": "nobody"}).status_code == 404
    assert client_as("anonymous").get("/api/v1/logs/stream").status_code == 401
