"""`/ws`: everything that happens, for those who may see it.

A raw ASGI application: Channels' consumers hop to a thread for every message, which costs two thirds of the throughput.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections

from apps.accounts.authentication import (
    BROWSER_SESSION_ID,
    principal_of_api_key,
    principal_of_bearer,
    principal_of_session,
    spend_ticket,
)
from apps.core.asgi.frames import send_frames
from apps.core.asgi.types import Receive, Scope, Send
from apps.core.errors import DomainError, Unauthenticated
from apps.core.events.catalogue import known_pattern
from apps.core.json_text import parse_json
from apps.core.principals import Principal
from apps.realtime.followers import Follower
from apps.realtime.hub import hub

log = logging.getLogger(__name__)

AUTH_WAIT_S = 10
PATTERNS_MOST = 100
MESSAGE_BYTES_MOST = 64 * 1024

UNAUTHENTICATED, FORBIDDEN, BAD_MESSAGE = 4401, 4403, 4400


def _of_cookie(headers: Mapping[bytes, bytes]) -> Principal | None:
    """Return the principal of the console's cookie, None where there is no such cookie.

    Raises:
        DomainError: the Origin is not ours, or the session has ended.
    """
    try:
        cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return None
    morsel = cookies.get(settings.SESSION_COOKIE_NAME)
    if morsel is None:
        return None
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin != settings.PUBLIC_ORIGIN and origin not in _origins_of_host(headers):
        raise DomainError(
            "This page's origin is not PUBLIC_URL's; the console's cookie does not count here.", code="bad_origin"
        )
    store = import_module(settings.SESSION_ENGINE).SessionStore(morsel.value)
    session_id = store.get(BROWSER_SESSION_ID)
    if not session_id:
        raise Unauthenticated("Log in first.")
    return principal_of_session(session_id)


def _origins_of_host(headers: Mapping[bytes, bytes]) -> set[str]:
    # A loopback installation is reached as 127.0.0.1 and as localhost; elsewhere PUBLIC_URL alone counts.
    if not settings.KEYS_MAY_BE_MADE:
        return set()
    return {f"http://{name}:{settings.PORT}" for name in ("127.0.0.1", "localhost", "[::1]")}


def authenticate(headers: Mapping[bytes, bytes], query: Mapping[str, list[str]], path: str) -> Principal | None:
    """Return who opens a socket; None where the credential is to come in the first message.

    Raises:
        DomainError: the credential is wrong, or there are two.
    """
    close_old_connections()
    try:
        bearer = headers.get(b"authorization", b"").decode("latin-1")
        key = headers.get(b"x-api-key", b"").decode("latin-1")
        token = (query.get("token") or [""])[0]
        ticket = (query.get("ticket") or [""])[0]
        if sum(map(bool, (bearer, key, token, ticket))) > 1:
            raise Unauthenticated("Send one credential, not two.")
        if ticket:
            return spend_ticket(ticket, path)
        if token:
            return principal_of_bearer(token)
        if key:
            return principal_of_api_key(key)
        if bearer:
            value = bearer.partition(" ")[2].strip()
            return principal_of_api_key(value) if value.startswith("wk_") else principal_of_bearer(value)
        return _of_cookie(headers)
    finally:
        close_old_connections()


def authenticate_text(token: str) -> Principal:
    """Return the caller of an access token or API key that came in a message.

    Raises:
        DomainError: it is wrong.
    """
    close_old_connections()
    try:
        return principal_of_api_key(token) if token.startswith("wk_") else principal_of_bearer(token)
    finally:
        close_old_connections()


class EventSocket:
    """One connection to `/ws`."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send = scope, receive, send

    async def run(self) -> None:
        """Serve the connection to its end."""
        message = await self.receive()
        if message["type"] != "websocket.connect":
            return
        headers = dict(self.scope["headers"])
        query = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        await self.send({"type": "websocket.accept"})
        try:
            principal = await sync_to_async(authenticate, thread_sensitive=False)(headers, query, "/ws")
            if principal is None:
                principal = await self._first_message()
        except DomainError as error:
            await self._close(UNAUTHENTICATED if error.status == 401 else FORBIDDEN, error.detail)
            return
        if principal is None:
            return
        follower = Follower(principal)
        await hub.join(follower)
        follower.tell({"type": "ready", "data": {"id": follower.position, "user": principal.name}})
        reader = asyncio.create_task(self._read(follower))
        try:
            await self._write(follower)
        finally:
            hub.remove(follower)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _first_message(self) -> Principal | None:
        try:
            message = await asyncio.wait_for(self.receive(), AUTH_WAIT_S)
        except TimeoutError:
            raise Unauthenticated("No credential came within 10 s.") from None
        if message["type"] != "websocket.receive":
            return None
        try:
            body = parse_json(message.get("text") or "{}")
            token = body.get("token") or body.get("api_key") or ""
        except (ValueError, AttributeError):
            token = ""
        if not token:
            raise Unauthenticated('Send {"type": "auth", "token": "<access token>"} first.')
        return await sync_to_async(authenticate_text, thread_sensitive=False)(str(token))

    async def _write(self, follower: Follower) -> None:
        while frames := await follower.next_frames():
            await send_frames(self.scope, self.send, frames)
        if follower.end_code != -1:
            await self._close(follower.end_code, follower.end_reason)

    async def _close(self, code: int, reason: str) -> None:
        try:
            await self.send(
                {
                    "type": "websocket.send",
                    "text": json.dumps({"type": "error", "data": {"code": code, "message": reason}}),
                }
            )
            await self.send({"type": "websocket.close", "code": code, "reason": reason[:100]})
        except (RuntimeError, OSError):
            log.debug("the peer went away first")

    async def _read(self, follower: Follower) -> None:
        while True:
            message = await self.receive()
            if message["type"] == "websocket.disconnect":
                follower.end(-1, "")
                return
            if message["type"] != "websocket.receive":
                continue
            text = message.get("text")
            if not text or len(text) > MESSAGE_BYTES_MOST:
                follower.tell(_error("Send one JSON object of at most 64 kB as text."))
                continue
            try:
                body = parse_json(text)
                if not isinstance(body, dict):
                    raise ValueError
            except ValueError:
                follower.tell(_error("This is not a JSON object."))
                continue
            await self._obey(follower, body)

    async def _obey(self, follower: Follower, body: dict[str, Any]) -> None:
        kind = body.get("type")
        if kind == "ping":
            follower.tell({"type": "pong"})
        elif kind in ("subscribe", "unsubscribe"):
            self._change_subscription(follower, kind, body)
        elif kind == "resume":
            after = body.get("after")
            if not isinstance(after, int) or isinstance(after, bool) or after < 0:
                follower.tell(_error('Send {"type": "resume", "after": <id of the last event you have>}.'))
                return
            if follower.is_replaying:
                follower.tell(_error("A resume is under way."))
                return
            answer, last = await hub.replay(follower, after)
            follower.tell({"type": answer, "data": {"id": last}})
        elif kind == "auth":
            follower.tell(_error("You are signed in already."))
        else:
            follower.tell(_error("Unknown type; known are ping, subscribe, unsubscribe and resume."))

    @staticmethod
    def _change_subscription(follower: Follower, kind: str, body: dict[str, Any]) -> None:
        wanted = body.get("events", body.get("event"))
        patterns = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(patterns, list) or not patterns or not all(isinstance(one, str) for one in patterns):
            follower.tell(_error('Name the event: {"type": "subscribe", "event": "alert.*"}.'))
            return
        for pattern in patterns:
            if kind == "unsubscribe":
                follower.patterns -= {pattern}
                follower.tell({"type": "unsubscribed", "data": {"event": pattern}})
            elif not known_pattern(pattern):
                follower.tell(_error(f"There is no event {pattern!r} in the catalogue."))
            elif len(follower.patterns) >= PATTERNS_MOST:
                follower.tell(_error(f"At most {PATTERNS_MOST} subscriptions a socket."))
            else:
                follower.patterns |= {pattern}
                follower.tell({"type": "subscribed", "data": {"event": pattern}})


def _error(message: str) -> dict[str, Any]:
    return {"type": "error", "data": {"code": BAD_MESSAGE, "message": message}}


async def event_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve `/ws`."""
    await EventSocket(scope, receive, send).run()


async def unknown_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a socket on any other path."""
    await receive()
    await send({"type": "websocket.close", "code": 4404, "reason": "there is no socket on this path"})
