"""Request id, client address, host check, IP rules, body limit, security headers and access log, for everything
behind it.
"""

import asyncio
import ipaddress
import json
import logging
import random
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http.request import validate_host

from apps.core import context, registries
from apps.core.api.exceptions import body_of
from apps.core.asgi.types import Application, Message, Receive, Scope, Send

access_log = logging.getLogger("access")

BODY_LIMIT = 10 * 1024 * 1024
BODY_LIMITS: Mapping[str, int] = {"/ping/": 1_000_000, "/alerts/in": 1024 * 1024, "/api/v1/metrics/": 4 * 1024 * 1024}
GATE_KEPT_S = 1.0

_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}$")
# What identifies by itself must not stand in a log.
_MASKED_PATH = re.compile(r"^(/ping/k/|/ping/|/alerts/in/|/badge/|/api/v1/hooks/|/api/v1/push/|/admin/reset/)[^/]+")
_MASKED_QUERY = re.compile(r"((?:^|&)(?:token|ticket|key|secret|signature|password)=)[^&]*", re.IGNORECASE)

#: What machines send all day; where it is taken, that is no news.
_ROUTINE = ("/api/v1/metrics/", "/api/v1/logs")
#: Paths that never show a page and so need no nonce.
_NO_PAGES = ("/ping/", "/alerts/in", "/api/v1/", "/static/")
_COMMON_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
]
# The strict pages run no evaluated code; the rest of the console needs it for the theme's Alpine.
_STRICT = re.compile(r"^/(?:admin/(?:login|logout|mfa|reset)|status)(?:/|$)")


def content_security_policy(path: str, nonce: str) -> str:
    """Return the policy of a page."""
    scripts = f"'self' 'nonce-{nonce}'" + ("" if _STRICT.match(path) else " 'unsafe-eval'")
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def client_address(peer: str, forwarded_for: str) -> str:
    """Return the client's address: the peer's, or where the peer is a trusted proxy the rightmost untrusted hop.

    Args:
        peer: address of the socket; "" on a unix socket.
        forwarded_for: the X-Forwarded-For headers, joined with commas.
    """
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    current = peer
    while hops and _is_trusted(current):
        hop = hops.pop()
        candidate = hop[1:].partition("]")[0] if hop.startswith("[") else hop
        if candidate.count(":") == 1:
            candidate = candidate.partition(":")[0]
        try:
            current = str(ipaddress.ip_address(candidate))
        except ValueError:
            break
    return _plain(current)


@lru_cache(4096)
def _plain(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)


def _is_trusted(address: str) -> bool:
    if not settings.TRUSTED_PROXIES:
        return False
    if address == "":
        return True  # a unix socket: whoever can open it is the proxy
    try:
        parsed = ipaddress.ip_address(_plain(address))
    except ValueError:
        return False
    return any(parsed in network for network in settings.TRUSTED_PROXIES)


class Edge:
    """Wraps the application; see the module.

    Args:
        quick: (prefix, application) pairs for the short way of `core.asgi.quick`.
    """

    def __init__(self, app: Application, *, quick: Sequence[tuple[bytes, Any]] = ()) -> None:
        self.app = app
        self.quick = tuple(quick)
        self._gates: dict[str, tuple[bool, float]] = {}
        self._asking: dict[str, asyncio.Task[bool]] = {}

    def admit(self, peer: str, raw_headers: Sequence[tuple[bytes, bytes]]) -> context.RequestContext | None:
        """Return the facts of a request that may come in at once, None if it has to take the usual way."""
        headers, forwarded = _read_headers(raw_headers)
        facts = _facts(peer, headers, forwarded)
        kept = self._gates.get(facts.address)
        age = time.perf_counter() - kept[1] if kept else 0.0
        if kept is None or age > GATE_KEPT_S or self._refusal(headers, kept[0], 0):
            return None
        if age > GATE_KEPT_S / 2 and facts.address not in self._asking:
            self._ask_again(facts.address)  # in good time: else all who come at once would have to wait for it
        return facts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        path: str = scope["path"]
        headers, forwarded = _read_headers(scope["headers"])
        peer = (scope.get("client") or ("", 0))[0]
        facts = _facts(peer, headers, forwarded)
        address, request_id = facts.address, facts.request_id
        if forwarded and _is_trusted(peer):
            proto = headers.get(b"x-forwarded-proto", b"").decode("latin-1").rpartition(",")[2].strip()
            if proto in ("http", "https"):
                secure = proto == "https"
                scope["scheme"] = ("wss" if secure else "ws") if scope["type"] == "websocket" else proto
        nonce = "" if path.startswith(_NO_PAGES) else secrets.token_urlsafe(12)
        scope["client"] = (address, (scope.get("client") or ("", 0))[1])
        scope["state"] = {**scope.get("state", {}), "wk": facts, "csp_nonce": nonce}
        context.enter(facts)

        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._headers(path, list(message.get("headers", [])), request_id, nonce)
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        kept = self._gates.get(address)
        is_allowed = kept[0] if kept and began - kept[1] <= GATE_KEPT_S else await self._ask_gates(address)
        limit = self._limit(path)
        refusal = self._refusal(headers, is_allowed, limit)
        try:
            if refusal:
                await self._refuse(scope, receive, send_on, *refusal)
            else:
                limited = _Limited(receive, limit) if scope["type"] == "http" else None
                await self.app(scope, limited or receive, send_on)
        except _BodyTooLarge as error:
            if not status:
                await self._refuse(scope, receive, send_on, 413, body_of(str(error), "too_large"))
        finally:
            if not path.startswith(("/ping/", "/static/")):
                self._log(scope, path, status, began, facts)

    @staticmethod
    def _refusal(headers: Mapping[bytes, bytes], is_allowed: bool, limit: int) -> tuple[int, dict[str, Any]] | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if host and not _host_is_allowed(host, tuple(settings.ALLOWED_HOSTS)):
            return 400, body_of("This host name is not one of ours; add it to ALLOWED_HOSTS.", "bad_host")
        if not is_allowed:
            return 403, body_of("This address is not allowed.", "address_blocked")
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            return 413, body_of(f"The body is over the limit of {limit} bytes.", "too_large")
        return None

    @staticmethod
    def _limit(path: str) -> int:
        for prefix, limit in BODY_LIMITS.items():
            if path.startswith(prefix):
                return limit
        return BODY_LIMIT

    async def _ask_gates(self, address: str) -> bool:
        # Asked once for all who wait; one who goes away takes the question from nobody.
        return await asyncio.shield(self._asking.get(address) or self._ask_again(address))

    def _ask_again(self, address: str) -> asyncio.Task[bool]:
        task = self._asking[address] = asyncio.get_running_loop().create_task(self._renew(address))
        return task

    async def _renew(self, address: str) -> bool:
        now = time.perf_counter()
        try:
            is_allowed: bool = await sync_to_async(_ask_gates, thread_sensitive=False)(address)
        finally:
            del self._asking[address]
        if len(self._gates) > 10_000:
            self._gates.clear()
        self._gates[address] = (is_allowed, now)
        return is_allowed

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, body: dict[str, Any]) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403, "reason": body["detail"][:100]})
            return
        content = json.dumps(body).encode()
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": content})

    @staticmethod
    def _headers(
        path: str, headers: list[tuple[bytes, bytes]], request_id: str, nonce: str
    ) -> list[tuple[bytes, bytes]]:
        headers.append((b"x-request-id", request_id.encode()))
        if path.startswith("/ping/"):
            return headers
        headers += _COMMON_HEADERS
        if settings.SECURE:
            headers.append((b"strict-transport-security", b"max-age=31536000"))
        if not path.startswith(("/api/v1/", "/static/")) or path.rstrip("/").endswith("/docs"):
            headers.append((b"content-security-policy", content_security_policy(path, nonce).encode()))
        return headers

    @staticmethod
    def _log(scope: Scope, path: str, status: int, began: float, facts: context.RequestContext) -> None:
        level = logging.INFO
        if status < 300 and scope.get("method") == "POST" and path.startswith(_ROUTINE):
            level = logging.DEBUG
        if not access_log.isEnabledFor(level):
            return
        query = scope.get("query_string", b"").decode("latin-1")
        access_log.log(
            level,
            "request",
            extra={
                "facts": {
                    "method": scope.get("method", "WEBSOCKET"),
                    "path": _MASKED_PATH.sub(r"\1***", path),
                    "query": _MASKED_QUERY.sub(r"\1***", query),
                    "status": status,
                    "ms": round((time.perf_counter() - began) * 1000, 1),
                    "address": facts.address,
                }
            },
        )


def _read_headers(raw: Sequence[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], list[str]]:
    """Return the headers, the last one of each name, and all of X-Forwarded-For."""
    headers: dict[bytes, bytes] = {}
    forwarded: list[str] = []
    for name, value in raw:
        if name == b"x-forwarded-for":
            forwarded.append(value.decode("latin-1"))
        headers[name] = value
    return headers, forwarded


def _facts(peer: str, headers: Mapping[bytes, bytes], forwarded: Sequence[str]) -> context.RequestContext:
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    # Names a request in logs; nothing trusts it, so it needs no strong randomness.
    request_id = given if given and _REQUEST_ID.match(given) else f"{random.getrandbits(64):016x}"
    address = client_address(peer, ",".join(forwarded)) if forwarded else _plain(peer)
    return context.RequestContext(request_id, address, headers.get(b"user-agent", b"").decode("latin-1")[:300])


@lru_cache(1024)
def _host_is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    return validate_host(f"[{name}]" if ":" in name else name, allowed) or name == "testserver" and settings.TESTING


def _ask_gates(address: str) -> bool:
    from django.db import close_old_connections

    try:
        return all(gate(address) for _, gate in registries.address_gates.items())
    except Exception:
        logging.getLogger(__name__).exception("the IP rules can't be read")
        return True  # a storage fault must not lock everybody out; credentials still count
    finally:
        close_old_connections()


class _BodyTooLarge(Exception):
    pass


class _Limited:
    """A receive that counts the body and stops at the limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.receive, self.limit, self.seen = receive, limit, 0

    async def __call__(self) -> Message:
        message = await self.receive()
        self.seen += len(message.get("body", b""))
        if self.seen > self.limit:
            raise _BodyTooLarge(f"The body is over the limit of {self.limit} bytes.")
        return message
