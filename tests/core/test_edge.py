"""The edge: addresses, hosts, limits, headers."""

import asyncio
import ipaddress
import threading
import time
from typing import Any

import pytest
from django.test import override_settings

from apps.core import context, registries
from apps.core.asgi import Edge
from apps.core.asgi.edge import client_address
from apps.core.asgi.types import Message, Receive, Scope, Send

PROXY = [ipaddress.ip_network("10.0.0.0/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # an untrusted peer may claim what it likes
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # the left part is the client's own claim
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.7", "", "192.0.2.7"),
    ],
)
def test_client_address_behind_proxies_is_the_rightmost_untrusted_hop(peer: str, forwarded: str, expected: str) -> None:
    with override_settings(TRUSTED_PROXIES=PROXY):
        assert client_address(peer, forwarded) == expected


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{size} {context.current().address}".encode()})


async def _ask(
    path: str = "/api/v1/x",
    *,
    headers: list[tuple[bytes, bytes]] | None = None,
    chunks: list[bytes] | None = None,
    edge: Edge | None = None,
) -> dict[str, Any]:
    parts = list(chunks or [b""])
    sent: list[Message] = []

    async def receive() -> Message:
        body = parts.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(parts)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "path": path,
        "method": "POST",
        "query_string": b"",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "headers": headers if headers is not None else [(b"host", b"localhost")],
    }
    await (edge or Edge(_echo))(scope, receive, send)
    return {
        "status": sent[0]["status"],
        "headers": {name.decode(): value.decode() for name, value in sent[0]["headers"]},
        "body": b"".join(message.get("body", b"") for message in sent[1:]),
    }


async def test_request_with_unknown_host_is_refused() -> None:
    answer = await _ask(headers=[(b"host", b"evil.example")])
    assert answer["status"] == 400
    assert b"ALLOWED_HOSTS" in answer["body"]


async def test_body_over_limit_without_length_is_413() -> None:
    answer = await _ask("/ping/x", chunks=[b"x" * 600_000, b"x" * 600_000])
    assert answer["status"] == 413


async def test_body_with_length_over_limit_is_413_before_it_is_read() -> None:
    answer = await _ask("/ping/x", headers=[(b"host", b"localhost"), (b"content-length", b"1000001")])
    assert answer["status"] == 413


async def test_answer_carries_request_id_and_security_headers() -> None:
    answer = await _ask("/admin/", headers=[(b"host", b"localhost"), (b"x-request-id", b"abcdef1234567890")])
    assert answer["status"] == 200
    assert answer["headers"]["x-request-id"] == "abcdef1234567890"
    assert answer["headers"]["x-content-type-options"] == "nosniff"
    assert (
        "unsafe-inline" not in answer["headers"]["content-security-policy"].partition("script-src")[2].partition(";")[0]
    )


async def test_login_page_policy_has_no_eval() -> None:
    assert "unsafe-eval" not in (await _ask("/admin/login/"))["headers"]["content-security-policy"]
    assert "unsafe-eval" in (await _ask("/admin/"))["headers"]["content-security-policy"]


async def test_blocked_address_is_403(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registries.address_gates._items, "accounts", lambda address: address != "127.0.0.1")
    answer = await _ask()
    assert answer["status"] == 403


async def test_gates_are_asked_once_for_all_who_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    may_answer = threading.Event()

    def gate(address: str) -> bool:
        asked.append(address)
        return may_answer.wait(10)

    monkeypatch.setitem(registries.address_gates._items, "accounts", gate)
    edge = Edge(_echo)
    waiting = [asyncio.create_task(_ask(edge=edge)) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # who goes away takes the question from nobody
    may_answer.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [one["status"] for one in answers[1:] if isinstance(one, dict)] == [200] * 4
    assert asked == ["127.0.0.1"]


async def test_gates_of_a_busy_address_are_asked_again_before_their_answer_is_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter((True, False))
    monkeypatch.setitem(registries.address_gates._items, "accounts", lambda address: next(answers))
    monkeypatch.setattr("apps.core.asgi.edge.GATE_KEPT_S", 3600.0)
    edge = Edge(_echo)
    assert (await _ask(edge=edge))["status"] == 200
    assert edge.admit("127.0.0.1", [(b"host", b"localhost")])
    assert not edge._asking
    edge._gates["127.0.0.1"] = (True, time.perf_counter() - 1900)
    assert edge.admit("127.0.0.1", [(b"host", b"localhost")])
    await edge._asking["127.0.0.1"]
    assert edge.admit("127.0.0.1", [(b"host", b"localhost")]) is None  # refused on the usual way
    assert (await _ask(edge=edge))["status"] == 403
