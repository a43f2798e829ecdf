"""The raw application of log lines: the same answers as its twin, and nothing that is not its own."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from apps.fleet import hot
from apps.fleet.hot import LogApplication
from apps.fleet.models import LogEntry, LogState, Server
from apps.fleet.services import logs as services
from tests.factories.accounts import make_api_key, make_user
from tests.factories.fleet import make_server, now_ms
from tests.fleet.test_hot import Answer, in_thread

pytestmark = pytest.mark.django_db(transaction=True)


async def call(
    application: LogApplication, body: Any, *, key: str = "", path: str = "/api/v1/logs", query: str = "", **more: Any
) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path, "query_string": query.encode()}
    scope |= {"headers": [(b"x-api-key", key.encode())], "state": {}, **more}
    await application(scope, receive, send)
    return Answer(sent, bool(scope["state"].get("pass")))


@pytest.fixture
def mine() -> tuple[Server, str]:
    server = make_server("mine")
    return server, make_api_key(make_user("operator"), server_id=str(server.id))[1]


async def test_pushes_of_one_moment_are_stored_together_and_each_is_answered(mine: tuple[Server, str]) -> None:
    _, key = mine
    open_key = (await in_thread(lambda: make_api_key(make_user("operator"), role="operator")))[1]
    viewer_key = (await in_thread(lambda: make_api_key(make_user("viewer"), role="viewer")))[1]
    application = LogApplication()
    answers = await asyncio.gather(
        *(call(application, [{"message": f"{n}-{m}"} for m in range(60)], key=key) for n in range(10)),
        call(application, [{"message": "named"}, {}], key=open_key, query="agent_id=mine", path="/api/v1/logs/"),
        call(application, [{"message": "nowhere"}], key=open_key, query="agent_id=other"),
        call(application, b"{", key=key),
        call(application, [], key="wk_unknown0_xyz"),
        call(application, [{"message": "x"}], key="wk_unknown0_xyz"),
        call(application, [{"message": "x"}], key=viewer_key),
    )
    await application.drain()
    assert [answer.status for answer in answers] == [202] * 12 + [400, 401, 401, 403]
    assert [answer.body["accepted"] for answer in answers[:12]] == [60] * 10 + [1, 0]
    assert answers[10].body["refused"][0]["index"] == 1
    assert await in_thread(LogEntry.objects.count) == 601
    state = await in_thread(LogState.objects.get)
    assert state.lines == 601


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/api/v1/logs/stream", {}),
        ("/api/v1/logs", {"method": "GET"}),
        ("/api/v1/logs", {"headers": []}),
        ("/api/v1/logs", {"headers": [(b"authorization", b"Bearer ey.jwt.x")]}),
    ],
)
async def test_what_is_no_push_with_one_key_goes_to_django(path: str, more: dict[str, Any]) -> None:
    answer = await call(LogApplication(), [], key="wk_a", path=path, **more)
    assert answer.passed and answer.status == 0


async def test_part_that_can_not_be_stored_is_named_and_the_rest_is_kept(
    mine: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, parts = services._store, []

    def store(items: Any, *rest: Any) -> None:
        parts.append(len(items))
        if len(parts) == 2:
            raise OSError("the disk is away")
        real(items, *rest)

    monkeypatch.setattr(services, "_store", store)
    monkeypatch.setattr(services, "ROWS_A_TRANSACTION", {connection.vendor: 10})
    application = LogApplication()
    answer = await call(application, [{"message": str(n)} for n in range(25)], key=mine[1])
    assert answer.status == 202 and answer.body["accepted"] == 15
    assert [one["index"] for one in answer.body["refused"]] == list(range(10, 20))
    assert await in_thread(LogEntry.objects.count) == 15
    await application.drain()


async def test_sender_is_told_to_wait_while_too_much_waits(
    mine: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot, "LOGS", replace(hot.LOGS, waiting=-1))
    assert (await call(LogApplication(), [{"message": "x"}], key=mine[1])).status == 503


async def test_numbers_of_two_processes_that_meet_lose_no_line(
    mine: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Same:
        def take(self, count: int) -> int:
            return 7

    monkeypatch.setattr(services, "_numbers", Same())
    application, at = LogApplication(), now_ms()
    for _ in range(3):
        line = {"message": "x", "timestamp": at}
        assert (await call(application, [line, line], key=mine[1])).body["accepted"] == 2
    await application.drain()
    assert await in_thread(LogEntry.objects.count) == 6
