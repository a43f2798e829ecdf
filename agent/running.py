"""Runs commands and shells for the platform."""

import asyncio
import base64
import binascii
import contextlib
import fcntl
import logging
import os
import pwd
import signal
import sqlite3
import struct
import subprocess
import termios
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import psutil

from agent.store import Store
from apps.fleet.marks import MARK, has_processes, signal_session

log = logging.getLogger(__name__)

UNTAKEN_MOST = 256 * 1024  # bytes of output that the platform has not taken; then the command waits
PIECE = 32 * 1024
INPUT_MOST = 4 * 1024 * 1024
RUNS_MOST = 64
GRACE_S, LINGER_S = 2.0, 1.0
HUNTS_MOST = 5  # what forks while it is looked for is found the next time
#: What a command gets of this process's surroundings.
_PASSED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "SHELL")

Send = Callable[[dict], None]


class Run:
    """One command or shell, its output kept until it is taken."""

    def __init__(self, run_id: str, runs: "Runs", *, pty: bool) -> None:
        self.id, self._runs, self.is_pty = run_id, runs, pty
        self.total = 0  # bytes of output so far
        self.ending: dict[str, Any] | None = None
        self._untaken: deque[tuple[int, bytes]] = deque()
        self._untaken_bytes = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._out = self._in = -1
        self._input = bytearray()
        self._input_total = 0
        self._closes_input = False
        self._is_reading = False
        self._read_at = 0.0
        self._wish = ""
        self.error = ""
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()

    # --- beginning -------------------------------------------------------------------------------------------------

    def start(
        self, text: str, env: dict[str, str], stdin: bytes, size: tuple[int, int], *, more_input: bool = False
    ) -> None:
        """Start it in a session of its own.

        Args:
            more_input: `stdin` is only the beginning.

        Raises:
            OSError: it can't be started.
        """
        surroundings = {name: os.environ[name] for name in _PASSED if name in os.environ}
        surroundings.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        if self.is_pty:
            surroundings["TERM"] = "xterm-256color"
            self._start_on_terminal(text, {**surroundings, **env}, size)
        else:
            self._start_on_pipes(text, {**surroundings, **env, MARK: self.id})
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        self._resume_reading()
        self.write(stdin, is_last=not (self.is_pty or more_input))

    def _start_on_pipes(self, text: str, env: dict[str, str]) -> None:
        self._out, theirs = os.pipe()
        source, self._in = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", text], stdin=source, stdout=theirs, stderr=theirs, env=env, cwd="/",
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(theirs)
            os.close(source)

    def _start_on_terminal(self, text: str, env: dict[str, str], size: tuple[int, int]) -> None:
        entry = pwd.getpwuid(os.getuid())
        shell = entry.pw_shell if os.access(entry.pw_shell, os.X_OK) and "nologin" not in entry.pw_shell else "/bin/sh"
        arguments = [shell, "-c", text] if text else [shell, "-l"]
        self._out, theirs = os.openpty()
        self._in = os.dup(self._out)
        self.resize(*size)

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        try:
            self._process = subprocess.Popen(
                arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=env,
                cwd=entry.pw_dir if os.access(entry.pw_dir, os.X_OK) else "/", start_new_session=True,
                preexec_fn=take_terminal,
            )  # fmt: skip
        finally:
            os.close(theirs)

    @property
    def pid(self) -> int:
        """Return the pid of its first process, which names its session too."""
        return self._process.pid if self._process else 0

    # --- input -----------------------------------------------------------------------------------------------------

    def write(self, data: bytes, *, at: int | None = None, is_last: bool = False) -> None:
        """Hand input over; what is not read yet waits here, up to 4 MiB.

        Args:
            at: how much input came before; where a piece is missing the run ends, rather than take half of it.
        """
        if at is not None and at != self._input_total:
            self.error = "A part of its input was lost on the way."
            self.end("lost")
            return
        self._input_total += len(data)
        if self._in < 0:
            return
        self._closes_input = is_last
        self._input += data[: max(0, INPUT_MOST - len(self._input))]
        self._loop.remove_writer(self._in)
        self._loop.add_writer(self._in, self._write_on)

    def _write_on(self) -> None:
        try:
            if self._input:
                del self._input[: os.write(self._in, self._input[:PIECE])]
        except BlockingIOError:
            return
        except OSError:
            self._input.clear()
            self._closes_input = True
        if not self._input:
            self._loop.remove_writer(self._in)
            if self._closes_input:
                os.close(self._in)
                self._in = -1

    def resize(self, cols: int, rows: int) -> None:
        """Tell the terminal its size."""
        if self.is_pty:
            packed = struct.pack("HHHH", max(1, min(rows, 1000)), max(1, min(cols, 1000)), 0, 0)
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._out, termios.TIOCSWINSZ, packed)

    # --- output ----------------------------------------------------------------------------------------------------

    def taken(self, count: int) -> None:
        """The platform has taken so many bytes, from the beginning on."""
        while self._untaken and self._untaken[0][0] + len(self._untaken[0][1]) <= count:
            self._untaken_bytes -= len(self._untaken.popleft()[1])
        self._resume_reading()

    def repeat(self, count: int) -> None:
        """Send again what comes after the first so many bytes, and the end where it has ended."""
        self.taken(count)
        for at, data in self._untaken:
            self._send(at, data)
        if self.ending is not None:
            self._runs.send(self.ending)

    def _resume_reading(self) -> None:
        if not self._is_reading and self._out >= 0 and self._untaken_bytes < UNTAKEN_MOST:
            self._is_reading = True
            self._read_at = time.monotonic()
            self._loop.add_reader(self._out, self._read_on)

    def _pause_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._out)

    def _read_on(self) -> None:
        try:
            data = os.read(self._out, PIECE)
        except BlockingIOError:
            return
        except OSError:  # how a terminal says that its last user is gone
            data = b""
        if not data:
            self._close_output()
            return
        self._read_at = time.monotonic()
        self._untaken.append((self.total, data))
        self._untaken_bytes += len(data)
        self._send(self.total, data)
        self.total += len(data)
        if self._untaken_bytes >= UNTAKEN_MOST:
            self._pause_reading()

    def _send(self, at: int, data: bytes) -> None:
        self._runs.send({"type": "output", "id": self.id, "seq": at, "data": base64.b64encode(data).decode()})

    def _close_output(self) -> None:
        self._pause_reading()
        if self._out >= 0:
            os.close(self._out)
            self._out = -1

    # --- end -------------------------------------------------------------------------------------------------------

    def end(self, how: str) -> None:
        """Wish for its end: "cancelled" or "timed_out"."""
        self._wish = self._wish or how
        self._over.set()

    async def follow(self, timeout_s: float) -> None:
        """Wait for its end, and bring it about where it is wished for or the time is over."""
        assert self._process is not None
        deadline = time.monotonic() + timeout_s if timeout_s > 0 else float("inf")
        while self._process.poll() is None:
            if time.monotonic() >= deadline:
                self.end("timed_out")
            if self._wish:
                break
            # A child that ends says so by closing its output, as a rule; else it is noticed within a tenth of a second.
            self._over.clear()
            with contextlib.suppress(asyncio.TimeoutError):  # noqa: UP041
                await asyncio.wait_for(self._over.wait(), 0.02 if self._out < 0 else 0.1)
        if not self._wish:
            await self._read_rest(deadline)
        if self._wish:
            await self._bring_to_end()
            await self._read_rest(deadline)
        signal_session(self.pid, signal.SIGKILL)  # what it left behind in its session; a daemon has one of its own
        code = self._process.wait()
        self._close_output()
        if self._in >= 0:
            self._loop.remove_writer(self._in)
            os.close(self._in)
            self._in = -1
        self.ending = {"type": "exit", "id": self.id, "bytes": self.total, "ended": self._wish or "exited"}
        if self.error:
            self.ending["error"] = self.error
        if not self._wish:
            self.ending["exit_code"] = code if code >= 0 else None
            self.ending["signal"] = signal.Signals(-code).name[3:] if code < 0 else ""

    async def _bring_to_end(self) -> None:
        """End all that it started. Of a terminal only its session: what was to outlive a hang-up goes on."""
        assert self._process is not None
        mark = "" if self.is_pty else self.id
        in_thread = self._loop.run_in_executor  # a machine may have thousands of processes to look at
        await in_thread(None, signal_session, self.pid, signal.SIGHUP if self.is_pty else signal.SIGTERM, mark)
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until:
            await asyncio.sleep(0.05)
            if self._process.poll() is not None and not await in_thread(None, has_processes, self.pid, mark):
                return
        for _ in range(HUNTS_MOST):
            if not await in_thread(None, signal_session, self.pid, signal.SIGKILL, mark):
                return

    async def _read_rest(self, deadline: float) -> None:
        ended = time.monotonic()
        while self._out >= 0:
            if time.monotonic() >= deadline:
                self.end("timed_out")
            if self._wish and time.monotonic() - ended > LINGER_S:
                return
            # While the platform takes nothing it is not the command that is late.
            if self._is_reading and time.monotonic() - max(ended, self._read_at) > LINGER_S:
                return
            await asyncio.sleep(0.02)


class Runs:
    """All runs of this agent. An id that was seen in the last day is never begun again."""

    def __init__(self, store: Store, send: Send) -> None:
        self.store, self.send = store, send
        self.open: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def end_left_behind(self) -> None:
        """End what an agent before this one left running: nobody would learn how it ended."""
        for run_id, pid, started in self.store.open_runs():
            session = 0
            with contextlib.suppress(psutil.Error, OSError):
                if pid and started and abs(psutil.Process(pid).create_time() - started) < 1:
                    session = pid
            signal_session(session, signal.SIGKILL, run_id)
            self.store.end_run(run_id, {"type": "exit", "id": run_id, "bytes": 0, "ended": "lost"})

    def begin(self, frame: dict[str, Any]) -> None:
        """Begin what a `command` frame asks for."""
        run_id = str(frame["id"])
        try:
            if not self.store.begin_run(run_id):
                self.resume(run_id, 0)
                return
        except sqlite3.Error as error:
            self._refuse(run_id, f"The agent's disk takes nothing: {error}.")
            return
        if len(self.open) >= RUNS_MOST:
            self._refuse(run_id, f"{RUNS_MOST} commands run on this host already.")
            return
        run = Run(run_id, self, pty=bool(frame.get("pty")))
        env = {str(name): str(value) for name, value in (frame.get("env") or {}).items()}
        size = (int(frame.get("cols") or 80), int(frame.get("rows") or 24))
        try:
            stdin = base64.b64decode(frame.get("stdin") or "")
            run.start(str(frame.get("text") or ""), env, stdin, size, more_input=bool(frame.get("more_input")))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._refuse(run_id, f"It could not be started: {error}.")
            return
        self.open[run_id] = run
        started = 0.0
        with contextlib.suppress(psutil.Error):
            started = psutil.Process(run.pid).create_time()
        self.store.note_process(run_id, run.pid, started)
        task = asyncio.get_running_loop().create_task(self._follow(run, float(frame.get("timeout_s") or 0)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, run_id: str, sentence: str) -> None:
        ending = {"type": "exit", "id": run_id, "bytes": 0, "ended": "refused", "error": sentence}
        self.store.end_run(run_id, ending)
        self.send(ending)

    async def _follow(self, run: Run, timeout_s: float) -> None:
        try:
            await run.follow(timeout_s)
        except Exception as error:
            log.exception("a run could not be followed")
            run.ending = {"type": "exit", "id": run.id, "bytes": run.total, "ended": "lost", "error": str(error)}
        assert run.ending is not None
        self.store.end_run(run.id, run.ending)
        self.send(run.ending)

    def agree(self, known: list[dict[str, Any]]) -> None:
        """Compare with what the platform waits for: repeat what it has not got, end what it has given up."""
        wanted = {str(one["id"]): int(one.get("bytes") or 0) for one in known}
        for run_id, run in list(self.open.items()):
            if run_id not in wanted:
                run.end("cancelled")
                self.forget(run_id)
        for run_id, count in wanted.items():
            self.resume(run_id, count)

    def resume(self, run_id: str, count: int) -> None:
        """Send again what comes after the first `count` bytes of a run; say so where it is not known."""
        run = self.open.get(run_id)
        if run is not None:
            run.repeat(count)
            return
        ending = self.store.ending_of(run_id)
        self.send(ending or {"type": "exit", "id": run_id, "bytes": 0, "ended": "unknown"})

    def obey(self, kind: str, frame: dict[str, Any]) -> None:
        """Do what a frame about a run asks for; one that is over is left alone."""
        run = self.open.get(str(frame["id"]))
        if run is None:
            return
        if kind == "stdin":
            with contextlib.suppress(binascii.Error):
                data, at = base64.b64decode(frame.get("data") or ""), frame.get("at")
                run.write(data, at=at if isinstance(at, int) else None, is_last=bool(frame.get("last")))
        elif kind == "resize":
            run.resize(int(frame["cols"]), int(frame["rows"]))
        elif kind == "cancel":
            run.end("cancelled")
        elif kind == "credit":
            run.taken(int(frame["bytes"]))

    def forget(self, run_id: str) -> None:
        """The platform has all of a run, or has given it up."""
        self.open.pop(run_id, None)

    async def stop(self) -> None:
        """End all runs: the agent ends."""
        for run in self.open.values():
            run.error = run.error or "The agent was stopped."
            run.end("lost")
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=GRACE_S + LINGER_S + 1)
