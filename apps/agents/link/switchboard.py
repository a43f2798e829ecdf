"""All connections of this process: looks once a second, or when rung, for what is asked of their agents and whether
they still count.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import UUID

from django.db import close_old_connections, connection

from apps.agents.link import requests
from apps.agents.link.connection import FORBIDDEN, REPLACED, RESTART, SILENT, Connection, RunOutput
from apps.agents.link.intake import intake
from apps.agents.link.settings import orders
from apps.agents.services import Figures, seen
from apps.core import bell

log = logging.getLogger(__name__)

LOOK_S, LEAST_S, EVENT_S = 0.9, 0.02, 0.2
SEEN_EVERY_S, ORDERS_EVERY_S = 5.0, 2.0
GATHER_S = 0.005
T = TypeVar("T")


class Switchboard:
    """One a process; its methods are called in the event loop."""

    def __init__(self) -> None:
        self.connections: dict[UUID, Connection] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pieces: list[tuple[UUID, int, bytes]] = []
        self._endings: list[tuple[UUID, dict[str, Any]]] = []
        self._storing: asyncio.Task[None] | None = None
        self._seen_at = self._ordered_at = self._looked_at = 0.0

    # --- life ------------------------------------------------------------------------------------------------------

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run what asks the database, in threads of its own: a storm of agents must not hold up others' requests."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(4, thread_name_prefix="agent-link")

        def call() -> T:
            close_old_connections()
            try:
                return function(*args)
            finally:
                connection.close()

        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def join(self, one: Connection) -> None:
        """Take a connection in. An older one of the same agent is told and ends."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._task is None or self._task.done():
            bell.unlisten(bell.AGENTS, self._on_ring)
            bell.unlisten(bell.EVENTS, self._on_event)
            self._loop, self._wake = loop, asyncio.Event()
            bell.listen(bell.AGENTS, self._on_ring)
            bell.listen(bell.EVENTS, self._on_event)
            self._task = loop.create_task(self._run())
        older = self.connections.get(one.agent.pk)
        if older is not None:
            _replace(older)
        self.connections[one.agent.pk] = one
        self._wake.set()

    def leave(self, one: Connection) -> None:
        """Forget a connection."""
        if self.connections.get(one.agent.pk) is one:
            del self.connections[one.agent.pk]

    async def stop(self) -> None:
        """End all connections; write what came."""
        bell.unlisten(bell.AGENTS, self._on_ring)
        bell.unlisten(bell.EVENTS, self._on_event)
        for one in list(self.connections.values()):
            one.cut(RESTART, "The platform restarts.")
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._storing is not None and not self._storing.done():
            await asyncio.gather(self._storing, return_exceptions=True)
        self._storing, self._loop = None, None
        await intake.drain()
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    def _on_ring(self, *_: object) -> None:
        loop, wake = self._loop, self._wake
        if loop is not None and self.connections:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(wake.set)

    def _on_event(self, *_: object) -> None:
        # A fact may be that an agent is trusted no more; there are many others.
        if time.monotonic() - self._looked_at > EVENT_S:
            self._on_ring()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_S)
            self._wake.clear()
            if not self.connections:
                continue
            try:
                await self._look()
            except Exception:
                log.exception("the agents' requests could not be looked at")
                await asyncio.sleep(LOOK_S)
            await asyncio.sleep(LEAST_S)

    # --- what is asked ---------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        now = self._looked_at = time.monotonic()
        mine = dict(self.connections)
        for one in mine.values():
            if now - one.heard_at > max(60.0, 3 * one.interval + 15):
                one.cut(SILENT, "The agent was silent for too long.")
        is_full = now - self._seen_at >= SEEN_EVERY_S
        if is_full:
            self._seen_at = now
        gone, asked = await self.in_thread(self._read, mine, is_full)
        for key in gone:
            if self.connections.get(key) is mine[key]:
                await self._cut_gone(mine[key])
        for request in asked:
            one_or_none = self.connections.get(request.agent_id)
            if one_or_none is not None and not one_or_none.close_code and request.agent_id not in gone:
                await self._serve(one_or_none, request)
        if now - self._ordered_at >= ORDERS_EVERY_S:
            self._ordered_at = now
            await self._give_orders()

    def _read(self, mine: dict[UUID, Connection], is_full: bool) -> tuple[set[UUID], list[requests.Open]]:
        tokens = {key: one.token for key, one in mine.items()}
        if is_full:
            loads = {key: Figures(*one.load) for key, one in mine.items() if one.load is not None}
            gone = seen(connections=tokens, figures=loads)
        else:
            gone = requests.not_counting(tokens)
        return gone, requests.open_requests([key for key in mine if key not in gone])

    async def _cut_gone(self, one: Connection) -> None:
        if await self.in_thread(requests.is_trusted, one.agent.pk):
            _replace(one)
        else:
            one.tell({"type": "refused", "status": FORBIDDEN, "code": "agent_revoked", "message": "It was revoked."})
            one.cut(FORBIDDEN, "This agent was revoked.")

    async def _give_orders(self) -> None:
        told = await self.in_thread(orders)
        for one in self.connections.values():
            if told != one.told:
                one.told, one.interval = told, told["interval"]
                one.tell({"type": "interval", "s": told["interval"], "logs": told["logs"]})

    async def _serve(self, one: Connection, request: requests.Open) -> None:
        key = request.id
        if request.state == "waiting":
            if request.is_left:
                await self.in_thread(requests.leave, key)
            elif await self.in_thread(requests.claim, request, one.token):
                self._send(one, request)
            return
        run = one.runs.get(key)
        if request.is_left:
            await self.in_thread(requests.leave, key)
            one.runs.pop(key, None)
            one.tell({"type": "cancel", "id": str(key)})
            one.tell({"type": "forget", "id": str(key)})
        elif run is not None:
            one.give_credit(key, taken=request.credit)
            if request.cancel_asked_at is not None and not run.is_ended:
                one.tell({"type": "cancel", "id": str(key)})

    def _send(self, one: Connection, request: requests.Open) -> None:
        frame = {"type": request.kind, **json.loads(request.body or "{}")}
        if request.kind in (requests.RUN, requests.SHELL):
            one.runs[request.id] = RunOutput()
            frame["type"] = "command"
        elif request.kind in requests.ANSWERED:
            one.asked.add(request.id)
        frame["id"] = str(request.run_id if request.kind not in requests.ANSWERED else request.id)
        one.tell(frame)

    # --- what comes back -------------------------------------------------------------------------------------------

    def store(self, key: UUID, at: int, data: bytes) -> None:
        """Have a piece of output written down."""
        self._pieces.append((key, at, data))
        self._store_soon()

    def end(self, one: Connection, key: UUID, ending: dict[str, Any]) -> None:
        """Have the end of a request written down. What the agent was not asked, or was told to forget, is not its."""
        run = one.runs.get(key)
        if run is not None:
            run.is_ended = True
        elif key not in one.asked:
            return
        one.asked.discard(key)
        self._endings.append((key, ending))
        self._store_soon()

    def _store_soon(self) -> None:
        if self._storing is None or self._storing.done():
            self._storing = asyncio.get_running_loop().create_task(self._store_all())

    async def _store_all(self) -> None:
        while self._pieces or self._endings:
            await asyncio.sleep(GATHER_S)
            # An end is written with what came before it, never sooner.
            pieces, self._pieces = self._pieces, []
            endings, self._endings = self._endings, []
            for attempt in range(8):
                try:
                    await self.in_thread(requests.store_output, pieces, endings)
                    break
                except Exception:
                    log.exception("storing what agents wrote failed")
                    await asyncio.sleep(0.2 * 2**attempt)
            else:
                # What is written down is all there is: they connect again and repeat the rest.
                lost = {key for key, _, _ in pieces} | {key for key, _ in endings}
                for one in self.connections.values():
                    if one.runs.keys() & lost:
                        one.cut(1011, "The platform could not write down what came.")
                continue
            written: dict[UUID, int] = {}
            for key, at, data in pieces:
                written[key] = at + len(data)
            for one in self.connections.values():
                for key in one.runs.keys() & written.keys():
                    one.give_credit(key, written=written[key])
                for key, _ in endings:
                    if one.runs.pop(key, None) is not None:
                        one.tell({"type": "forget", "id": str(key)})


def _replace(one: Connection) -> None:
    one.tell({"type": "replaced", "message": "Another connection of this agent has taken its place."})
    one.cut(REPLACED, "Another connection of this agent has taken its place.")


switchboard = Switchboard()
