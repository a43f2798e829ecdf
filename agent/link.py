"""The one connection to the platform: proves who this is, sends what waits, does what is asked."""

import asyncio
import base64
import contextlib
import itertools
import json
import logging
import random
import sqlite3
import subprocess
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import websockets
from websockets.exceptions import ConnectionClosed, WebSocketException

from agent.clock import Clock
from agent.engine import Engine
from agent.identity import Folder, Refused, about_this_host, ask_to_be_let_in, tls_of
from agent.running import Runs
from agent.signals import signal_process
from agent.store import Store

log = logging.getLogger(__name__)

FRAME_MOST = 4 * 1024 * 1024  # a command with its variables and the beginning of its input
IN_FLIGHT_MOST = 4  # batches without an answer
TABLE_MOST = 500_000  # characters of a process table, which goes into a frame with samples and lines
ANSWER_S = 10.0
FIRST_PAUSE_S, PAUSE_MOST_S, REFUSED_PAUSE_S = 0.5, 5.0, 60.0
#: After so many tries without success it is not in a hurry.
HURRIED_TRIES, LATER_PAUSE_S = 40, 15.0
#: A connection that lasted for so long was a good one; after a shorter one the next pause is longer.
STEADY_S = 10.0
FAULT_PAUSE_S = 30.0
#: Words for certificates that do not count; the key may. The platform says so of one that ended, and of one that is
#: newer than the backup it was restored from.
_COME_BACK = ("certificate_ended", "certificate_unknown")
RENEW_LOOK_S = 600.0
#: Close codes after which an agent does not come back at once: not known, not trusted, another one took its place.
_FINAL = (4401, 4403, 4409)


def seconds_of(stamp: str) -> float:
    """Return the epoch seconds of an ISO 8601 time of the platform."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def fitting(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of a process table what fits into a frame, the busiest first."""
    size = len(json.dumps(table, separators=(",", ":")))
    return table if size <= TABLE_MOST else table[: len(table) * TABLE_MOST // size]


class Link:
    """Keeps a connection as long as the agent runs; `changed` is set when something new waits in the store."""

    def __init__(
        self, folder: Folder, store: Store, clock: Clock, version: str, on_welcome: Callable[[dict[str, Any]], None]
    ) -> None:
        self.folder, self.store, self.clock, self.version = folder, store, clock, version
        self._on_welcome = on_welcome
        self.changed = asyncio.Event()
        self.runs = Runs(store, self._queue)
        self.engine = Engine()
        self.engine_used = asyncio.Event()  # something was done to a container: the list is old
        self.is_connected = self.was_welcome = False
        self.table: tuple[int, list[dict[str, Any]]] | None = None  # the newest process table and its sample's number
        self.containers: dict[str, Any] = {"available": False}  # the newest list, for the newest sample alone
        self.newest_sample = 0
        self._socket: Any = None
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sent = 0
        self._in_flight: dict[int, bool] = {}  # batches as they were sent; true: taken before an earlier one
        self._why_away = ""
        self._held_until = 0.0
        self._ignored: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def _queue(self, frame: dict[str, Any]) -> None:
        # While there is no connection nothing is queued: runs repeat what the platform lacks when it is back.
        if self.is_connected:
            self._outbox.put_nowait(frame)

    # --- life ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        loop = asyncio.get_running_loop()
        failures, told, is_back = 0, "", False
        while True:
            pause, begun = 0.0, loop.time()
            try:
                await self._serve()
                told = ""
            except Refused as error:
                told = self._tell(told, f"the platform refuses this agent: {error}")
                is_back = not is_back and error.code in _COME_BACK and await self._come_back()
                pause = (1 if is_back else REFUSED_PAUSE_S) * random.uniform(0.8, 1.2)
            except (OSError, WebSocketException, ConnectionClosed, asyncio.TimeoutError, ValueError) as error:  # noqa: UP041
                told = self._tell(told, f"no connection: {error or type(error).__name__}")
            except Exception as error:
                sentence = f"the connection ended by a fault: {type(error).__name__}: {error}"
                if sentence != told:
                    log.exception("the trace of what comes next")
                told = self._tell(told, sentence)
            if not pause:
                if self.was_welcome and loop.time() - begun >= STEADY_S:
                    failures = 0
                # Spread widely from the first try on: all agents lose a platform that restarts at the same moment.
                longest = PAUSE_MOST_S if failures < HURRIED_TRIES else LATER_PAUSE_S
                most = min(longest, FIRST_PAUSE_S * 2 ** min(failures, 10))
                pause = random.uniform(most / 4, most)
                failures += 1
            await asyncio.sleep(pause)

    async def _come_back(self) -> bool:
        """Ask for another certificate with the same key, after this host was away for longer than its own counts."""
        known = self.folder.settings
        ask = partial(ask_to_be_let_in, self.folder, url=known["url"], token="", ca_file=known.get("ca_file", ""))
        try:
            return await asyncio.get_running_loop().run_in_executor(None, ask)
        except (Refused, OSError, ValueError) as error:
            self._why_away = self._tell(self._why_away, f"no new certificate: {error}")
            return False

    def _tell(self, told: str, sentence: str) -> str:
        if sentence != told:
            log.warning("%s", sentence)
        return sentence

    async def _serve(self) -> None:
        known = self.folder.settings
        url = f"{known['url']}/ws/agent"
        tls: dict[str, Any] = {"ssl": tls_of(known.get("ca_file", ""))} if url.startswith("https:") else {}
        self.was_welcome = False
        async with websockets.connect(
            url.replace("http", "ws", 1), max_size=FRAME_MOST, compression=None, open_timeout=ANSWER_S,
            close_timeout=2, ping_interval=20, ping_timeout=20, **tls,
        ) as socket:  # fmt: skip
            self._socket = socket
            await self._prove(socket)
            self.is_connected = self.was_welcome = True
            writer = asyncio.ensure_future(self._write(socket))
            sender = asyncio.ensure_future(self._send_parts())
            renewer = asyncio.ensure_future(self._renew())
            try:
                async for text in socket:
                    self._take(text)
            except ConnectionClosed:
                if getattr(socket, "close_code", None) not in _FINAL:
                    raise
            finally:
                self.is_connected = False
                for task in (writer, sender, renewer):
                    task.cancel()
                await asyncio.gather(writer, sender, renewer, return_exceptions=True)
                self._outbox = asyncio.Queue()
            code = getattr(socket, "close_code", None)
            if code in _FINAL:
                raise Refused(code, str(getattr(socket, "close_reason", "") or "it ended the connection"))

    async def _answer(self, socket: Any) -> dict[str, Any]:
        frame = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_S))
        if not isinstance(frame, dict):
            raise ValueError("the platform speaks another language")
        if frame.get("type") == "refused":
            raise Refused(int(frame.get("status") or 4403), str(frame.get("message")), str(frame.get("code")))
        return frame

    async def _prove(self, socket: Any) -> None:
        challenge = await self._answer(socket)
        self.clock.learn(seconds_of(challenge["server_time"]))
        nonce = base64.b64decode(challenge["nonce"])
        signature = await asyncio.get_running_loop().run_in_executor(None, self.folder.sign, nonce)
        hello = {
            "type": "hello", "protocol": 1, "version": self.version, "certificate": self.folder.read("certificate.pem"),
            "signature": base64.b64encode(signature).decode(),
            **about_this_host(),
        }  # fmt: skip
        await socket.send(json.dumps(hello))
        welcome = await self._answer(socket)
        if welcome.get("type") != "welcome":
            raise ValueError("the platform gave no welcome")
        shift = self.clock.shift_ms()
        if shift:
            log.warning(
                "this machine's clock is %.1f s %s; times are corrected",
                abs(shift) / 1000,
                "slow" if shift > 0 else "fast",
            )
        self.store.settle()
        log.info("connected as %s", welcome.get("agent_id"))
        self.is_connected = True
        self._in_flight, self._sent, self._held_until = {}, 0, 0.0
        self._on_welcome(welcome)
        self.runs.agree([one for one in welcome.get("runs") or [] if isinstance(one, dict) and "id" in one])
        self.changed.set()

    # --- outwards --------------------------------------------------------------------------------------------------

    async def _write(self, socket: Any) -> None:
        while True:
            frame = await self._outbox.get()
            await socket.send(json.dumps(frame, separators=(",", ":")))

    async def _send_parts(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.changed.wait()
            if loop.time() < self._held_until:
                await asyncio.sleep(self._held_until - loop.time())
            if len(self._in_flight) >= IN_FLIGHT_MOST:
                self.changed.clear()
                continue  # an answer wakes it
            try:
                n, samples, lines = self.store.next(self._sent)
            except sqlite3.Error as error:
                log.warning("what waits can't be read: %s", error)
                await asyncio.sleep(FAULT_PAUSE_S)
                continue
            if n == self._sent:
                self.changed.clear()
                continue
            if samples and self.table and self._sent < self.table[0] <= n and "processes" in samples[-1]:
                samples[-1]["processes"]["all"] = fitting(self.table[1])
                self.table = None
            if samples and self._sent < self.newest_sample <= n:
                samples[-1]["docker"] = self.containers
            self._sent = n
            self._in_flight[n] = False
            frame = {"type": "batch", "n": n, "samples": samples, "logs": lines}
            if self.store.dropped:
                frame["dropped"], self.store.dropped = self.store.dropped, 0
            self._outbox.put_nowait(frame)
            await asyncio.sleep(0)

    async def _renew(self) -> None:
        while True:
            try:
                begin, end = await asyncio.get_running_loop().run_in_executor(None, self.folder.certificate_times)
                if end - self.clock.now() < (end - begin) / 3:
                    ask = self.folder.request_for_certificate
                    self._queue({"type": "renew", "csr": await asyncio.get_running_loop().run_in_executor(None, ask)})
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                log.warning("the certificate could not be renewed now: %s", error)
            await asyncio.sleep(RENEW_LOOK_S * random.uniform(0.8, 1.2))

    # --- inwards ---------------------------------------------------------------------------------------------------

    def _take(self, text: Any) -> None:
        """Take a frame. Whatever it holds, this program goes on."""
        kind = ""
        try:
            frame = json.loads(text)
            kind = str(frame["type"])
            if not self._obey(kind, frame) and kind not in self._ignored and len(self._ignored) < 20:
                self._ignored.add(kind)
                log.warning("the platform sends %.40r, which this version does not know", kind)
        except Exception as error:
            if "!" not in self._ignored:
                self._ignored.add("!")
                log.warning("a frame (%.40r) could not be followed: %s: %s", kind, type(error).__name__, error)

    def _obey(self, kind: str, frame: dict[str, Any]) -> bool:
        if kind == "ack":
            n = int(frame["n"])
            if "server_time" in frame:
                self.clock.learn(seconds_of(frame["server_time"]))
            self._drop_taken(n)
            self.changed.set()
        elif kind == "wait":
            self._held_until = asyncio.get_running_loop().time() + min(300.0, max(1.0, float(frame["s"])))
            self._in_flight, self._sent = {}, 0
            self.changed.set()
        elif kind == "command":
            self.runs.begin(frame)
        elif kind in ("stdin", "resize", "cancel", "credit"):
            self.runs.obey(kind, frame)
        elif kind == "forget":
            self.runs.forget(str(frame["id"]))
        elif kind == "signal":
            self._background(self._signal(frame))
        elif kind == "container":
            self._background(self._ask_engine(frame))
        elif kind in ("interval", "logs"):
            self._on_welcome(frame)
        elif kind == "certificate":
            self._background(self._take_certificate(str(frame["pem"]), str(frame.get("ca") or "")))
        elif kind in ("refused", "replaced", "error"):
            log.warning("the platform says: %s", frame.get("message"))
        else:
            return False
        return True

    def _drop_taken(self, n: int) -> None:
        """Drop what was taken up to the first batch without an answer; an answer to an earlier sending is none."""
        if n in self._in_flight:
            self._in_flight[n] = True
        taken = list(itertools.takewhile(self._in_flight.__getitem__, self._in_flight))
        for one in taken:
            del self._in_flight[one]
        if taken:
            self.store.drop(taken[-1])

    def _background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_certificate(self, pem: str, authority: str) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(None, self.folder.take_certificate, pem, authority)
            log.info("the certificate was renewed")
        except (ValueError, OSError) as error:
            log.warning("the new certificate could not be kept: %s", error)

    async def _signal(self, frame: dict[str, Any]) -> None:
        arguments = (int(frame["pid"]), str(frame["start_time"]), int(frame["number"]))
        answer = await asyncio.get_running_loop().run_in_executor(None, signal_process, *arguments)
        self._queue({"type": "result", "id": frame["id"], **answer})

    async def _ask_engine(self, frame: dict[str, Any]) -> None:
        answer = await self.engine.answer(frame)
        self._queue({"type": "result", "id": frame["id"], **answer})
        if frame.get("action") != "logs":
            self.engine_used.set()

    async def close(self) -> None:
        """Say goodbye."""
        await self.runs.stop()
        if self._socket is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._socket.close(), 2)
