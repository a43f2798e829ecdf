"""The addresses that jobs call, by both ways in: the raw application and its twin in the API."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.test import Client

from apps.core.context import RequestContext
from apps.monitors.hot import PingApplication
from apps.monitors.models import Heartbeat, Ping
from apps.monitors.services.pings import PING_BODY_LIMIT
from tests.factories.heartbeats import make_heartbeat, state_of

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


Call = Callable[..., Reply]


async def call_raw(app: PingApplication, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
    """Send one request to the raw application."""
    path, _, query = path.partition("?")
    sent: list[dict[str, Any]] = []
    chunks = [body[start : start + 65_536] for start in range(0, len(body), 65_536)] or [b""]
    messages = [
        {"type": "http.request", "body": chunk, "more_body": n < len(chunks) - 1} for n, chunk in enumerate(chunks)
    ]
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(), "client": ("192.0.2.9", 1),
        "headers": [(b"content-length", str(len(body)).encode()), (b"user-agent", b"curl/8")]
        + [(name.encode(), value.encode()) for name, value in headers.items()],
        "state": {"wk": RequestContext("r", "192.0.2.7", "curl/8")},
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return Reply(
        sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}, sent[1]["body"]
    )


def raw(path: str, method: str = "GET", body: bytes = b"") -> Reply:
    async def run() -> Reply:
        app = PingApplication()
        try:
            return await call_raw(app, path, method, body)
        finally:
            await app.drain()

    return async_to_sync(run)()


def twin(path: str, method: str = "GET", body: bytes = b"") -> Reply:
    response = Client().generic(
        method, path, body, content_type="application/octet-stream", REMOTE_ADDR="192.0.2.7", HTTP_USER_AGENT="curl/8",
        HTTP_ACCEPT="text/plain", HTTP_AUTHORIZATION="Bearer of nothing",
    )  # fmt: skip
    return Reply(response.status_code, {name.lower(): value for name, value in response.items()}, response.content)


@pytest.fixture(params=[raw, twin], ids=["raw", "twin"])
def call(request: pytest.FixtureRequest) -> Iterator[Call]:
    yield request.param


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_plain_ping_is_accepted_by_every_method(call: Call, method: str, slash: str) -> None:
    heartbeat = make_heartbeat()
    reply = call(f"/ping/{heartbeat.uuid}{slash}", method)
    assert (reply.status, reply.body) == (200, b"" if method == "HEAD" else b"OK")
    assert reply.headers["content-type"].startswith("text/plain")
    assert reply.headers["ping-body-limit"] == str(PING_BODY_LIMIT)
    row = Ping.objects.get(num=heartbeat.num)
    assert (row.kind, row.method, row.remote_addr, row.user_agent) == ("success", method, "192.0.2.7", "curl/8")
    assert state_of(heartbeat).status == "up"


@pytest.mark.parametrize(
    ("word", "kind", "code", "status"),
    [
        ("start", "start", None, "started"), ("start/", "start", None, "started"), ("0", "success", 0, "up"),
        ("1", "fail", 1, "down"), ("255", "fail", 255, "down"), ("fail", "fail", 1, "down"),
        ("log", "log", None, "new"),
    ],
)  # fmt: skip
def test_signal_sets_the_state(call: Call, word: str, kind: str, code: int | None, status: str) -> None:
    heartbeat = make_heartbeat()
    assert call(f"/ping/{heartbeat.uuid}/{word}").status == 200
    row = Ping.objects.get(num=heartbeat.num)
    assert (row.kind, row.exit_code, state_of(heartbeat).status) == (kind, code, status)


@pytest.mark.parametrize("word", ["256", "-1", "done", "1e1", "0x1", "²", "start?rid=nonsense", "1?rid=nonsense"])
def test_anything_else_is_400_and_leaves_no_trace(call: Call, word: str) -> None:
    heartbeat = make_heartbeat()
    assert call(f"/ping/{heartbeat.uuid}/{word}").status == 400
    assert state_of(heartbeat).ping_count == 0


@pytest.mark.parametrize("address", ["nonsense", str(UUID(int=7)), "1"])
def test_unknown_address_is_404(call: Call, address: str) -> None:
    reply = call(f"/ping/{address}")
    assert reply.status == 404
    assert b'"not_found"' in reply.body


def test_run_id_pairs_start_and_end(call: Call) -> None:
    heartbeat, rid = make_heartbeat(), uuid4()
    call(f"/ping/{heartbeat.uuid}/start?rid={rid}")
    call(f"/ping/{heartbeat.uuid}/start?rid={uuid4()}")
    call(f"/ping/{heartbeat.uuid}/0?rid={rid}")
    assert state_of(heartbeat).open_runs == 1
    assert {row.rid for row in Ping.objects.filter(num=heartbeat.num, kind="success")} == {rid}


def test_body_is_kept_up_to_its_limit(call: Call) -> None:
    heartbeat = make_heartbeat()
    assert call(f"/ping/{heartbeat.uuid}/3", "POST", b"z" * (PING_BODY_LIMIT + 50_000)).status == 200
    assert Ping.objects.get(num=heartbeat.num).body == "z" * PING_BODY_LIMIT


def test_body_over_a_megabyte_is_413(call: Call) -> None:
    heartbeat = make_heartbeat()
    assert call(f"/ping/{heartbeat.uuid}", "POST", b"z" * 1_000_001).status == 413
    assert state_of(heartbeat).ping_count == 0


def test_other_methods_are_405(call: Call) -> None:
    reply = call(f"/ping/{make_heartbeat().uuid}", "DELETE")
    assert reply.status == 405
    assert "POST" in reply.headers["allow"]


def test_scanner_is_told_to_wait(call: Call) -> None:
    heartbeat = make_heartbeat()
    statuses = [call(f"/ping/{UUID(int=n)}").status for n in range(62)]
    assert statuses[:60] == [404] * 60
    assert statuses[60:] == [429] * 2
    assert call(f"/ping/{heartbeat.uuid}").status == 200


async def _burst(heartbeat: Heartbeat, count: int, act: Callable[[PingApplication], Awaitable[None]]) -> list[int]:
    app = PingApplication()
    calls = [asyncio.ensure_future(call_raw(app, f"/ping/{heartbeat.uuid}")) for _ in range(count)]
    await act(app)
    replies = await asyncio.gather(*calls)
    await app.drain()
    return [reply.status for reply in replies]


def test_burst_on_one_heartbeat_is_answered_counted_and_thinned() -> None:
    heartbeat = make_heartbeat()

    async def act(app: PingApplication) -> None:
        await asyncio.sleep(0)

    assert set(async_to_sync(_burst)(heartbeat, 1000, act)) == {200}
    assert state_of(heartbeat).ping_count == 1000
    assert 60 <= Ping.objects.filter(num=heartbeat.num).count() <= 120  # the burst may lie across a minute's end


def test_pings_waiting_at_shutdown_are_written_and_answered() -> None:
    heartbeat = make_heartbeat()

    async def act(app: PingApplication) -> None:
        await asyncio.sleep(0)
        await app.drain()

    assert async_to_sync(_burst)(heartbeat, 40, act) == [200] * 40
    assert state_of(heartbeat).ping_count == 40


def test_accepted_ping_is_committed_before_its_answer() -> None:
    heartbeat = make_heartbeat()
    seen: list[int] = []

    async def run() -> None:
        app = PingApplication()
        reply = await call_raw(app, f"/ping/{heartbeat.uuid}")
        assert reply.status == 200
        # Another connection than the writer's: it sees what is committed and nothing else.
        seen.append(await sync_to_async(lambda: state_of(heartbeat).ping_count)())
        await app.drain()

    async_to_sync(run)()
    assert seen == [1]
