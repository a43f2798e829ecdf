"""Own the children: read what they say, start again what dies, end them all in time."""

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from config.supervisor.launcher import Process, StillAliveError
from config.supervisor.output import RotatingLog, Stream
from config.supervisor.refusal import StartRefused

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
PROVEN_AFTER_S = 10.0
"""A child that lived this long starts its back-off anew."""
KILL_AFTER_S, KILL_LAST_AFTER_S = 8.0, 9.0
"""Seconds from the request to stop to the KILL of what still lives; in all it may take 10."""
DEATHS_BEFORE_READY = 3
"""A child that dies this often while the product starts will not get better by itself."""


class StopRequestedError(Exception):
    """Ctrl-C, SIGTERM or SIGHUP arrived."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a child is."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    restart: bool = True
    stop_last: bool = False
    """Whether the others need it while they end."""
    on_terminal: bool = True
    """Whether its warnings are shown on the terminal."""
    secret_answer: bool = False
    """Whether its standard output is for the supervisor alone: neither shown nor written to a file."""
    first_pause_s: float = FIRST_PAUSE_S


class Child:
    """A child over all of its lives."""

    def __init__(self, spec: Spec, *, log: RotatingLog, terminal: Callable[[str], None]) -> None:
        self.spec, self.log = spec, log
        show = terminal if spec.on_terminal else None
        kept = not spec.secret_answer
        self.out = Stream(name=spec.name, log=log if kept else None, terminal=show if kept else None)
        self.err = Stream(name=spec.name, log=log, terminal=show)
        self.process: Process | None = None
        self.started_at = 0.0
        self.start_due: float | None = None
        self.pause_s = spec.first_pause_s
        self.deaths = 0
        self.exit_code: int | None = None
        """Of its last life; None while it runs."""

    def last_words(self) -> str:
        """Return the last line it said, for the sentence that reports its end."""
        for stream in (self.err, self.out):
            if stream.last:
                return stream.last[-1]
        return "it said nothing"


class Supervisor:
    """The children, one selector, and the signals. Not thread-safe: one thread drives it with `pump`."""

    def __init__(
        self,
        *,
        run_dir: Path,
        log_dir: Path,
        terminal: Callable[[str], None],
        longest_pause_s: float = LONGEST_PAUSE_S,
        kill_after_s: tuple[float, float] = (KILL_AFTER_S, KILL_LAST_AFTER_S),
    ) -> None:
        self._longest_pause_s, self._kill_after_s = longest_pause_s, kill_after_s
        self._run_dir, self._log_dir, self._terminal = run_dir, log_dir, terminal
        self._children: dict[str, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._ready = self._stopping = False
        self._stops_requested = 0
        # Signals only write to this pipe: a death or a Ctrl-C ends the wait at once, and no handler does work.
        self._woken, wake = _nonblocking_pipe()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._request_stop)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def _request_stop(self, number: int, frame: object) -> None:
        self._stops_requested += 1

    def start(self, spec: Spec) -> Child:
        """Start a child; unless its spec says otherwise it is started again whenever it ends.

        Raises:
            StartRefused: the system can't start it.
        """
        log = RotatingLog(self._log_dir / f"{spec.name}.log")
        child = self._children[spec.name] = Child(spec, log=log, terminal=self._terminal)
        try:
            self._launch(child)
        except OSError as error:
            raise StartRefused(f"The {spec.name} process can't be started: {error.strerror}.") from None
        return child

    def _launch(self, child: Child) -> None:
        spec = child.spec
        try:
            process = Process(name=spec.name, argv=spec.argv, env=spec.env, cwd=spec.cwd, run_dir=self._run_dir)
        except StillAliveError:
            child.start_due = time.monotonic() + 0.1
            return
        child.process, child.started_at, child.start_due, child.exit_code = process, time.monotonic(), None, None
        self._selector.register(process.stdout, selectors.EVENT_READ, (child.out, process.stdout))
        self._selector.register(process.stderr, selectors.EVENT_READ, (child.err, process.stderr))

    def pump(self, timeout_s: float) -> None:
        """Wait for at most `timeout_s`, then do what is due: output, deaths, restarts.

        Raises:
            StopRequestedError: somebody asked for the end, and it has not begun.
        """
        for key, _ in self._selector.select(max(0.0, min(timeout_s, self._until_due()))):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    while os.read(self._woken, 512):
                        pass
            else:
                self._read(*key.data)
        for child in self._children.values():
            if child.process is not None and child.process.has_ended():
                self._bury(child)
        if self._stops_requested and not self._stopping:
            raise StopRequestedError
        if not self._stopping:
            self._start_due()

    def _until_due(self) -> float:
        due = [child.start_due for child in self._children.values() if child.start_due is not None]
        return min(due) - time.monotonic() if due and not self._stopping else 60.0

    def _start_due(self) -> None:
        for child in self._children.values():
            if child.start_due is not None and child.start_due <= time.monotonic():
                try:
                    self._launch(child)
                except OSError as error:
                    self._plan_restart(child, f"{child.spec.name} can't be started ({error.strerror})")

    def _read(self, stream: Stream, source: IO[bytes]) -> bool:
        try:
            data = os.read(source.fileno(), 65536)
        except BlockingIOError:
            return False
        if data:
            stream.feed(data)
            return True
        with contextlib.suppress(KeyError):
            self._selector.unregister(source)
        return False

    def _bury(self, child: Child) -> None:
        process = child.process
        assert process is not None
        # Everybody who could still write must be gone before the last read, or a chatty grandchild would keep us here.
        process.signal_group(signal.SIGKILL)
        for stream, source in ((child.out, process.stdout), (child.err, process.stderr)):
            while self._read(stream, source):
                pass
            stream.finish()
            with contextlib.suppress(KeyError):
                self._selector.unregister(source)
        child.exit_code = process.reap()
        child.process = None
        child.deaths += 1
        if child.spec.restart and not self._stopping and not self._stops_requested:
            if not self._ready and child.deaths >= DEATHS_BEFORE_READY:
                raise StartRefused(
                    f"The {child.spec.name} process ends as soon as it starts: {child.last_words()}"
                    f" (see {self._log_dir / child.spec.name}.log)."
                )
            if time.monotonic() - child.started_at >= PROVEN_AFTER_S:
                child.pause_s = child.spec.first_pause_s
            self._plan_restart(child, f"{child.spec.name} ended ({describe_exit(child.exit_code)})")

    def _plan_restart(self, child: Child, what: str) -> None:
        self._terminal(f"{what}; starting it again in {child.pause_s:g} s.")
        child.start_due = time.monotonic() + child.pause_s
        child.pause_s = min(child.pause_s * 2, self._longest_pause_s)

    def wait_until(self, reached: Callable[[], bool], *, timeout_s: float, otherwise: Callable[[], str]) -> None:
        """Drive the children until `reached()`.

        Raises:
            StartRefused: not within `timeout_s`; says what `otherwise` returns.
            StopRequestedError: somebody asked for the end.
        """
        deadline = time.monotonic() + timeout_s
        while not reached():
            if time.monotonic() > deadline:
                raise StartRefused(otherwise())
            self.pump(0.05)

    def declare_ready(self) -> None:
        """From now on a child is started again however often it dies."""
        self._ready = True

    def run(self) -> None:
        """Drive the children until somebody asks for the end.

        Raises:
            StopRequestedError: always.
        """
        while True:
            self.pump(60.0)

    def stop(self) -> None:
        """End every child: TERM, and KILL for what still lives after 8 s; a second Ctrl-C kills at once."""
        self._stopping = True
        asked_before = self._stops_requested
        begun = time.monotonic()
        # Whoever the others need while they end goes last, and gets what is left of the time.
        for last, kill_at in zip((False, True), self._kill_after_s, strict=True):
            group = [child for child in self._children.values() if child.spec.stop_last is last]
            self._signal(group, signal.SIGTERM)
            killed = False
            while any(child.process is not None for child in group):
                elapsed = time.monotonic() - begun
                if not killed and (elapsed >= kill_at or self._stops_requested > asked_before):
                    self._signal(group, signal.SIGKILL)
                    killed = True
                if elapsed >= kill_at + 1:
                    # Not even KILL ends a process that hangs in the kernel; the next start waits for it.
                    break
                self.pump(0.05)
        for child in self._children.values():
            child.log.close()

    @staticmethod
    def _signal(children: Sequence[Child], number: signal.Signals) -> None:
        for child in children:
            if child.process is not None:
                child.process.signal_group(number)


def _nonblocking_pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


def describe_exit(code: int) -> str:
    """Return a child's exit code in words."""
    if code > 128:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(code - 128).name}"
    return f"exit code {code}"
