"""`/ws/servers/{id}/terminal`: a shell on a server. What the frames mean stands in docs/terminal.md.

Binary frames are the terminal's bytes, in both directions; text frames are JSON about it. The shell lives in threads of
its own (`apps.fleet.terminal.live`); a socket that broke off may come back to it.
"""

import asyncio
import contextlib
import contextvars
import json
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from apps.core.asgi.types import Receive, Scope, Send
from apps.core.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Unauthenticated
from apps.core.json_text import parse_json
from apps.core.principals import Principal
from apps.fleet.models import TerminalSession
from apps.fleet.selectors import find_server
from apps.fleet.states import TerminalStatus
from apps.fleet.terminal import opening
from apps.fleet.terminal.live import Live
from apps.fleet.terminal.shells import Size
from apps.realtime.followers import Caller
from apps.realtime.hub import hub
from apps.realtime.sockets import AUTH_WAIT_S, BAD_MESSAGE, FORBIDDEN, UNAUTHENTICATED, authenticate, authenticate_text

log = logging.getLogger(__name__)

RESTART = 1012
_CODES = {400: FORBIDDEN, 401: UNAUTHENTICATED, 403: FORBIDDEN, 422: BAD_MESSAGE}
SEND_BYTES = 32 * 1024
#: What a client that broke off sent and got meanwhile is told within this time, and the end likewise.
FAREWELL_S = 5.0
RIGHTS_S = 0.1
COLS, ROWS = (2, 1000), (1, 500)
_HOW = (
    "Send the terminal's bytes as binary frames, or text such as "
    '{"type": "resize", "cols": 120, "rows": 40}; known are '
    "input, resize, ack, ping and close."
)

T = TypeVar("T")


async def terminal_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve `/ws/servers/{id}/terminal`."""
    await TerminalSocket(scope, receive, send).run()


async def end_terminals() -> None:
    """End all shells of this process, which ends itself."""
    await _in_own_thread(opening.stop_all)


class TerminalSocket:
    """One connection of somebody to a shell."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self._first: dict[str, Any] | None = None  # a message that came while the shell was being opened
        self.news = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Serve the connection to its end."""
        message = await self._receive()
        if message["type"] != "websocket.connect":
            return
        await self._send({"type": "websocket.accept"})
        ref = self.scope["url_route"]["kwargs"]["id"]
        query = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        try:
            principal = await self._authenticate(ref, query)
            if principal is None:
                return
            resume = (query.get("resume") or [""])[0]
            if resume:
                live, position = await _in_thread(_resumed)(principal, ref, resume), _number(query, "after", 0)
            else:
                size = _size(_number(query, "cols", 80), _number(query, "rows", 24))
                live, position = await self._open(principal, ref, size), 0
        except DomainError as error:
            await self._refuse(error)
            return
        except _Gone:
            return
        await self._serve(live, await _hold(live, principal), position)

    # --- coming in -----------------------------------------------------------------------------------------------

    async def _authenticate(self, ref: str, query: dict[str, list[str]]) -> Principal | None:
        headers = dict(self.scope["headers"])
        path = f"/ws/servers/{ref}/terminal"
        principal: Principal | None = await _in_thread(authenticate)(headers, query, path)
        if principal is None:
            try:
                message = await asyncio.wait_for(self._receive(), AUTH_WAIT_S)
            except TimeoutError:
                raise Unauthenticated("No credential came within 10 s.") from None
            if message["type"] != "websocket.receive":
                return None
            body = _json_of(message.get("text"))
            token = str(body.get("token") or body.get("api_key") or "")
            if not token:
                raise Unauthenticated('Send {"type": "auth", "token": "<access token>"} first.')
            principal = await _in_thread(authenticate_text)(token)
        return principal

    async def _open(self, principal: Principal, ref: str, size: Size) -> Live:
        """Open the shell, and give up where the client goes away meanwhile."""
        facts = self.scope.get("state", {}).get("wk")
        address = facts.address if facts else (self.scope.get("client") or ("",))[0]
        given_up = threading.Event()
        work = asyncio.ensure_future(
            _in_own_thread(
                lambda: opening.open_terminal(
                    actor=principal,
                    server_ref=ref,
                    size=size,
                    address=address,
                    user_agent=facts.user_agent if facts else "",
                    cancelled=given_up.is_set,
                )
            )
        )
        reading = asyncio.ensure_future(self._receive())
        await asyncio.wait({work, reading}, return_when=asyncio.FIRST_COMPLETED)
        if reading.done() and reading.result()["type"] == "websocket.disconnect":
            given_up.set()
            with contextlib.suppress(DomainError):
                live = await work
                live.end(TerminalStatus.CLOSED, "It was closed before the shell was there.")
            raise _Gone
        try:
            live = await work
        except BaseException:
            reading.cancel()
            raise
        # What came meanwhile, or what comes first: nothing is lost.
        self._pending = reading
        return live

    async def _refuse(self, error: DomainError) -> None:
        code = _CODES.get(error.status, 4000 + error.status)
        sentence = str(error) if isinstance(error, Invalid) else error.detail
        body = {"code": code, "reason": error.code, "message": sentence}
        with contextlib.suppress(RuntimeError, OSError):
            await self._tell("error", body)
            await self._close(code, sentence)

    # --- sitting at it -------------------------------------------------------------------------------------------

    _pending: "asyncio.Future[Any] | None" = None

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone
            self.loop.call_soon_threadsafe(self.news.set)

    async def _serve(self, live: Live, held: "_Held", position: int) -> None:
        ring = self._ring
        live.attach(ring)
        tasks: list[asyncio.Task[Any]] = []
        try:
            begin, _ = live.take(position, 0)
            await self._tell_ready(live, begin)
            writing = asyncio.create_task(self._write(live, ring, begin))
            reading = asyncio.create_task(self._read(live))
            tasks = [writing, reading, asyncio.create_task(held.settled.wait())]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            code, reason = held.code
            if code:  # rights ended: at once, whatever still waits
                writing.cancel()
                await self._leave(code, reason)
            elif writing.done() and writing.exception():  # the peer is gone; how, is read
                await asyncio.wait({reading}, timeout=1.0)
            elif live.over.is_set() or writing.done():
                with contextlib.suppress(TimeoutError, RuntimeError, OSError):
                    await asyncio.wait_for(asyncio.shield(writing), FAREWELL_S)
                await self._farewell(live, ring)
        except OSError:
            log.debug("the peer went away first")
        finally:
            live.detach(ring)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell_ready(self, live: Live, begin: int) -> None:
        size = live.size
        await self._tell(
            "ready",
            {
                "id": str(live.id),
                "server": live.row.target,
                "position": begin,
                "cols": size.cols,
                "rows": size.rows,
                "recorded_input": live.row.has_input,
            },
        )

    async def _write(self, live: Live, ring: Callable[[], None], position: int) -> None:
        while True:
            self.news.clear()
            over = live.over.is_set()  # asked before the rest is taken, so that nothing is left behind
            if not live.has(ring):
                return
            for sentence in live.notices():
                await self._tell("notice", {"message": sentence})
            begin, data = live.take(position, SEND_BYTES)
            if data:
                await self._send({"type": "websocket.send", "bytes": data})
                position = begin + len(data)
                live.sent(position)
            elif over:
                return
            else:
                await self.news.wait()

    async def _read(self, live: Live) -> None:
        while True:
            if self._pending is not None:
                message, self._pending = await self._pending, None
            else:
                message = await self._receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code")
                if code == 1000:
                    live.end(TerminalStatus.CLOSED, "It was closed.")
                elif code == RESTART:
                    live.end(TerminalStatus.LOST, "Watchkeeper was started anew, which ended the shell.")
                return
            if message["type"] == "websocket.receive":
                await self._obey(live, message)

    async def _obey(self, live: Live, message: dict[str, Any]) -> None:
        data = message.get("bytes")
        if data is None:
            body = _json_of(message.get("text"))
            kind = body.get("type")
            if kind == "input" and isinstance(body.get("data"), str):
                data = body["data"].encode("utf-8", "replace")
            elif kind == "resize":
                try:
                    live.resize(_size(body.get("cols"), body.get("rows")))
                except Invalid as error:
                    await self._tell("error", {"code": BAD_MESSAGE, "message": str(error)})
                return
            elif kind == "ack" and isinstance(body.get("position"), int):
                live.confirm(body["position"])
                return
            elif kind == "close":
                live.end(TerminalStatus.CLOSED, "It was closed.")
                return
            elif kind == "ping":
                await self._tell("pong", {})
                return
            else:
                await self._tell("error", {"code": BAD_MESSAGE, "message": _HOW})
                return
        if data and not live.type(data):
            await self._tell("notice", {"message": f"The shell takes no input: {len(data)} bytes were not sent."})

    async def _farewell(self, live: Live, ring: Callable[[], None]) -> None:
        if not live.over.is_set():
            if not live.has(ring):
                await self._leave(4409, "This terminal was continued elsewhere.")
            return
        row = live.row
        body = {
            "id": str(row.pk),
            "status": str(row.status),
            "reason": row.reason,
            "exit_code": row.exit_code,
            "signal": row.signal,
        }
        with contextlib.suppress(RuntimeError, OSError, TimeoutError):
            await asyncio.wait_for(self._tell("exit", body), FAREWELL_S)
            await self._close(RESTART if row.status == TerminalStatus.LOST else 1000, row.reason)

    async def _leave(self, code: int, reason: str) -> None:
        with contextlib.suppress(RuntimeError, OSError, TimeoutError):
            await asyncio.wait_for(self._tell("error", {"code": code, "message": reason}), FAREWELL_S)
            await self._close(code, reason)

    async def _tell(self, kind: str, data: dict[str, Any]) -> None:
        await self._send({"type": "websocket.send", "text": json.dumps({"type": kind, "data": data})})

    async def _close(self, code: int, reason: str) -> None:
        short = reason.encode()[:100].decode("utf-8", "ignore")  # a close frame holds no more
        await asyncio.wait_for(self._send({"type": "websocket.close", "code": code, "reason": short}), FAREWELL_S)


# --- what this process holds ---------------------------------------------------------------------------------------


class _Held:
    """A shell with the rights of whoever sits at it, also while that one is away."""

    def __init__(self, live: Live, caller: Caller) -> None:
        self.live, self.caller = live, caller
        self.code: tuple[int, str] = (0, "")
        self.settled = asyncio.Event()  # it is over, or the rights of whoever sits at it are
        self.task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        try:
            while not self.live.over.is_set():
                code, reason = self._refusal()
                if code:
                    self.code = (code, reason)
                    is_restart = code == RESTART
                    self.live.end(TerminalStatus.LOST if is_restart else TerminalStatus.REVOKED, reason)
                    self.settled.set()
                await asyncio.sleep(RIGHTS_S)
        finally:
            self.settled.set()
            hub.remove(self.caller)
            _held.pop(self.live.id, None)

    def _refusal(self) -> tuple[int, str]:
        if self.caller.end_code:
            return self.caller.end_code, f"The rights ended: {self.caller.end_reason}."
        try:
            opening.check_rights(self.caller.principal, is_local=self.live.row.executor == "local")
        except Forbidden as error:
            return FORBIDDEN, error.detail
        return 0, ""


_held: dict[UUID, _Held] = {}


async def _hold(live: Live, principal: Principal) -> _Held:
    """Watch the rights of whoever sits at it from now on, until it is over."""
    caller = Caller(principal)
    await hub.watch(caller)
    held = _held.get(live.id)
    if held is None:
        held = _held[live.id] = _Held(live, caller)
    else:
        former, held.caller = held.caller, caller
        hub.remove(former)
    return held


def _resumed(principal: Principal, ref: str, session_id: str) -> Live:
    """Return the shell to which somebody comes back.

    Raises:
        NotFound: there is no such session of this person. Conflict: it is over, or another process holds it.
    """
    opening.check_rights(principal, is_local=False)
    server = find_server(ref, principal)
    try:
        row = TerminalSession.objects.filter(pk=UUID(session_id), server=server, user_id=principal.user_id).first()
    except ValueError:
        row = None
    if row is None:
        raise NotFound("There is no such terminal of yours.")
    if row.status != TerminalStatus.OPEN:
        raise Conflict(f"This terminal is over. {row.reason}", code="over")
    live = opening.find_live(row.pk)
    if live is None or live.over.is_set():
        raise Conflict("Another process holds this terminal; try again.", code="elsewhere")
    opening.check_rights(principal, is_local=row.executor == "local")
    return live


class _Gone(Exception):
    """The client went away."""


def _size(cols: Any, rows: Any) -> Size:
    problems = {}
    for name, value, (least, most) in (("cols", cols, COLS), ("rows", rows, ROWS)):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            problems[name] = f"must be a whole number from {least} to {most}"
    if problems:
        raise Invalid(problems)
    return Size(cols, rows)


def _number(query: dict[str, list[str]], name: str, default: int) -> int:
    text = (query.get(name) or [""])[0]
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Invalid({name: "must be a whole number"})
    return int(text)


def _json_of(text: str | None) -> dict[str, Any]:
    try:
        body = parse_json(text or "")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _in_thread(function: Callable[..., T]) -> Callable[..., Any]:
    def call(*args: Any) -> T:
        close_old_connections()
        try:
            return function(*args)
        finally:
            close_old_connections()

    return sync_to_async(call, thread_sensitive=False)


async def _in_own_thread(function: Callable[[], T]) -> T:
    """Run what may take long in a thread of its own: the shared ones are few and are waited for."""
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    done: asyncio.Future[T] = loop.create_future()

    def tell(setter: Callable[..., None], value: Any) -> None:
        if not done.done():
            setter(value)

    def work() -> None:
        try:
            result = context.run(function)
        except BaseException as error:
            report: tuple[Callable[..., None], Any] = (done.set_exception, error)
        else:
            report = (done.set_result, result)
        finally:
            close_old_connections()
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, *report)

    threading.Thread(target=work, name="terminal-open", daemon=True).start()
    return await done
