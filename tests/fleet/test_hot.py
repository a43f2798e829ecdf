"""The raw application of samples: the same answers as its twin, and nothing that is not its own."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from apps.accounts.models import ApiKey
from apps.core import runtime_settings
from apps.core.principals import system
from apps.fleet.hot import SampleApplication
from apps.fleet.models import Sample, Server
from apps.fleet.services.samples import byte_budget
from tests.factories.accounts import make_api_key, make_user
from tests.factories.fleet import make_server, now_ms, snapshot

pytestmark = pytest.mark.django_db(transaction=True)


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run `function` in a thread and give its connection back, so that the test database can be dropped."""

    def run() -> Any:
        try:
            return function(*args)
        finally:
            connection.close()

    return await sync_to_async(run)()


class Answer:
    """What the application sent."""

    def __init__(self, messages: list[dict[str, Any]], passed: bool) -> None:
        self.passed = passed
        self.status = messages[0]["status"] if messages else 0
        self.headers = dict(messages[0]["headers"]) if messages else {}
        self.body: Any = json.loads(messages[1]["body"]) if messages else None


async def call(
    application: SampleApplication,
    path: str,
    body: Any,
    *,
    key: str = "",
    method: str = "POST",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    parts = [raw[:100], raw[100:]]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "state": {},
        "headers": headers if headers is not None else [(b"x-api-key", key.encode())],
    }
    await application(scope, receive, send)
    return Answer(sent, bool(scope["state"].get("pass")))


@pytest.fixture
def mine() -> tuple[Server, ApiKey, str]:
    server = make_server("mine")
    key, secret = make_api_key(make_user("operator"), server_id=str(server.id))
    return server, key, secret


@pytest.fixture(autouse=True)
def _fresh_budget() -> Iterator[None]:
    byte_budget.__init__()  # type: ignore[misc]
    yield


async def test_pushes_of_one_moment_are_all_answered_and_stored(mine: tuple[Server, ApiKey, str]) -> None:
    _, _, secret = mine
    application, at = SampleApplication(), now_ms()
    answers = await asyncio.gather(
        *(call(application, "/api/v1/metrics/mine", snapshot(at - n * 1000), key=secret) for n in range(20)),
        call(application, "/api/v1/metrics/mine/", [snapshot(at - 1), {"x": 1}], key=secret),
        call(application, "/api/v1/metrics/other", snapshot(), key=secret),
        call(application, "/api/v1/metrics/mine", b"{", key=secret),
        call(application, "/api/v1/metrics/mine", snapshot(), key="wk_unknown0_xyz"),
    )
    await application.drain()
    assert [answer.status for answer in answers] == [202] * 21 + [403, 400, 401]
    assert answers[20].body["accepted"] == 1 and answers[20].body["refused"][0]["index"] == 1
    assert answers[23].body["error"]["code"] == "bad_api_key" and b"www-authenticate" in answers[23].headers
    assert await in_thread(Sample.objects.count) == 21


async def test_key_revoked_is_refused_from_the_next_push_on(mine: tuple[Server, ApiKey, str]) -> None:
    _, key, secret = mine
    application = SampleApplication()
    bearer = [(b"authorization", f"Bearer {secret}".encode())]
    assert (await call(application, "/api/v1/metrics/mine", snapshot(), headers=bearer)).status == 202
    await in_thread(key.delete)
    assert (await call(application, "/api/v1/metrics/mine", snapshot(), headers=bearer)).status == 401
    await application.drain()


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/api/v1/metrics/mine", [(b"x-api-key", b"wk_a")]),
        ("POST", "/api/v1/metrics/mine/history", [(b"x-api-key", b"wk_a")]),
        ("POST", "/api/v1/metrics/mine", []),
        ("POST", "/api/v1/metrics/mine", [(b"authorization", b"Bearer ey.jwt.x")]),
        ("POST", "/api/v1/metrics/mine", [(b"x-api-key", b"wk_a"), (b"authorization", b"Bearer wk_b")]),
        ("POST", "/api/v1/metrics/mine", [(b"x-api-key", b"wk_a"), (b"content-encoding", b"gzip")]),
    ],
)
async def test_what_is_no_push_with_one_key_goes_to_django(
    method: str, path: str, headers: list[tuple[bytes, bytes]]
) -> None:
    answer = await call(SampleApplication(), path, {}, method=method, headers=headers)
    assert answer.passed and answer.status == 0


async def test_key_that_sends_too_many_bytes_is_told_to_wait(mine: tuple[Server, ApiKey, str]) -> None:
    _, _, secret = mine
    change = {"limits.sample_bytes_per_minute": 4096}
    await in_thread(lambda: runtime_settings.change_settings(values=change, actor=system("test")))
    runtime_settings.forget()
    application = SampleApplication()
    statuses = [(await call(application, "/api/v1/metrics/mine", snapshot(), key=secret)).status for _ in range(3)]
    await application.drain()
    assert statuses[0] == 202 and statuses[-1] == 429
