"""An open terminal: two threads between its shell and whoever sits at it, with bounds on everything that waits.

The reading thread owns the session: it reads the shell only while there is room for what it writes, records it, keeps
the row's lease, looks for reasons to end, and writes down the end. A socket attaches to it and takes the output from a
position on; one that broke off may come back for a while and go on where it was.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from apps.core import disk, runtime_settings
from apps.fleet.models import TerminalSession
from apps.fleet.services.terminals import Wish, finish_terminal, look_at_terminal, renew_terminal
from apps.fleet.states import TerminalStatus
from apps.fleet.terminal.casts import CastFile, CastWriter, head_of
from apps.fleet.terminal.shells import Shell, ShellEnd, Size

log = logging.getLogger(__name__)

#: Output that was sent and not yet taken; then the shell is read no more until it is.
WINDOW = 256 * 1024
#: Output that is kept for somebody who comes back; what a socket may have lost on the way is less.
KEPT = 2 * WINDOW
INPUT_MOST = 4 * 1024 * 1024
#: A shell that writes without end is read no faster: the process has other work.
RATE, BURST = 4 * 1024 * 1024, 1024 * 1024
READ_S, HELD_S, WRITE_S, PAUSE_S = 0.2, 0.03, 0.2, 0.02
RECORD_EVERY_S, RECORD_BYTES = 1.0, 512 * 1024
LOOK_EVERY_S, RENEW_EVERY_S = 0.7, 5.0
#: How long one who broke off may stay away.
AWAY_S = 30.0
WARN_S = 60.0
OUTPUT_MOST = 1024 * 1024 * 1024
FREE_LEAST = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a session lasts and how large its recording may grow."""

    idle_s: float
    longest_s: float
    recording_bytes: int

    @classmethod
    def now(cls) -> "Limits":
        """Return those of the settings."""
        get = runtime_settings.get
        return cls(get("terminal.idle"), get("terminal.longest"), get("terminal.recording_mib") << 20)


class Live:
    """See the module. `over` is set once the end is written down; `row` then says how it ended."""

    def __init__(
        self,
        row: TerminalSession,
        shell: Shell,
        file: CastFile,
        limits: Limits,
        *,
        on_over: Callable[["Live"], None] = lambda live: None,
    ) -> None:
        self.row, self.shell, self.limits, self._on_over = row, shell, limits, on_over
        self.id: UUID = row.pk
        self.over = threading.Event()
        self.ended = ShellEnd()
        self._size = Size(row.cols, row.rows)
        self._new_size: Size | None = None  # not told to the shell yet
        self._file, self._cast = file, CastWriter(shell.masker, with_input=row.has_input)
        self._lock = threading.Condition()
        self._wanted: tuple[str, str] | None = None  # status and reason of an end
        # Output: positions count bytes from the beginning of the session.
        self._out = bytearray()
        self._out_from = 0
        self._sent = self._confirmed = 0
        self._confirms = False
        # Input
        self._in: deque[bytes] = deque()
        self._in_waiting = 0
        self._input_bytes = 0
        # Who sits at it
        self._news: Callable[[], None] | None = None
        self._notices: list[str] = []
        now = time.monotonic()
        self._begun = self._typed_at = self._renewed_at = self._looked_at = self._recorded_at = now
        self._away_since: float | None = now
        self._warned = False

    # --- for whoever sits at it; any thread ----------------------------------------------------------------------

    def start(self) -> None:
        """Start both threads."""
        threading.Thread(target=self._follow, name=f"terminal-{self.id}", daemon=True).start()
        threading.Thread(target=self._send_input, name=f"terminal-{self.id}-input", daemon=True).start()

    def attach(self, news: Callable[[], None]) -> None:
        """Let `news` be called whenever there is something to take; the one before hears nothing any more."""
        with self._lock:
            former, self._news = self._news, news
            self._away_since, self._confirms = None, False
            self._lock.notify_all()
        if former is not None:
            former()
        news()

    def detach(self, news: Callable[[], None]) -> None:
        """Note that this one broke off; the shell waits for a while."""
        with self._lock:
            if self._news is news:
                self._news, self._away_since = None, time.monotonic()

    def has(self, news: Callable[[], None]) -> bool:
        """Return whether this is the one who sits at it."""
        return self._news is news

    def take(self, position: int, most: int) -> tuple[int, bytes]:
        """Return output from `position` on, and where it really begins: what is older than `KEPT` is gone."""
        with self._lock:
            begin = min(max(position, self._out_from), self._out_from + len(self._out))
            at = begin - self._out_from
            return begin, bytes(self._out[at : at + most])

    def sent(self, position: int) -> None:
        """Note how far the output was sent."""
        with self._lock:
            self._sent = max(self._sent, position)
            self._lock.notify_all()

    def confirm(self, position: int) -> None:
        """Note how far the other side has drawn the output; from then on it is sent no more than a window ahead."""
        with self._lock:
            self._confirms = True
            self._confirmed = min(max(self._confirmed, position), self._sent)
            self._lock.notify_all()

    def type(self, data: bytes) -> bool:
        """Queue input; False where the shell has taken none for so long that no more can wait."""
        with self._lock:
            if self._in_waiting + len(data) > INPUT_MOST:
                return False
            self._in.append(data)
            self._in_waiting += len(data)
            self._input_bytes += len(data)
            self._typed_at, self._warned = time.monotonic(), False
            self._lock.notify_all()
        self._cast.input(data)
        return True

    def resize(self, size: Size) -> None:
        """Give the terminal another size."""
        with self._lock:
            if size == self._size:
                return
            self._size = self._new_size = size
            self._lock.notify_all()
        self._cast.resized(size)

    def end(self, status: str, reason: str) -> None:
        """End it; the first reason counts. It is over within a moment."""
        with self._lock:
            if self._wanted is None:
                self._wanted = (status, reason)
            self._lock.notify_all()

    def notices(self) -> list[str]:
        """Return sentences for whoever sits at it, each once."""
        with self._lock:
            found, self._notices = self._notices, []
        return found

    @property
    def size(self) -> Size:
        """Return how large it is now."""
        return self._size

    @property
    def waiting_bytes(self) -> int:
        """Return how much of both directions is in memory."""
        return len(self._out) + self._in_waiting

    # --- the writing thread --------------------------------------------------------------------------------------

    def _send_input(self) -> None:
        try:
            while self._send_some():
                pass
        except Exception:
            log.exception("a terminal takes no input")
            self.end(TerminalStatus.FAILED, "It took no input any more.")
        finally:
            _let_go()

    def _send_some(self) -> bool:
        if not self._in:
            _let_go()  # some shells are reached by way of the database
        with self._lock:
            while not self._in and self._new_size is None and self._wanted is None:
                self._lock.wait()
            if self._wanted is not None:
                return False
            size, self._new_size = self._new_size, None
            data = self._in[0] if self._in else b""
        if size is not None:
            self.shell.resize(size)
        if data:
            taken = self.shell.write(data, WRITE_S)
            with self._lock:
                self._in_waiting -= taken
                if taken == len(data):
                    self._in.popleft()
                else:
                    self._in[0] = data[taken:]
            if not taken:
                time.sleep(PAUSE_S)
        return True

    # --- the reading thread --------------------------------------------------------------------------------------

    def _follow(self) -> None:
        head = head_of(size=self._size, started_at=self.row.started_at, title=self.row.target)
        try:
            self._file.write(head)
            self._read()
        except OSError:
            log.warning("a terminal can't be recorded", exc_info=True)
            self.end(TerminalStatus.FAILED, "What happens here can't be recorded any more: is the disk full?")
        except Exception:
            log.exception("a terminal could not be followed")
            self.end(TerminalStatus.FAILED, "It could not be followed any more.")
        with contextlib.suppress(Exception):
            self.shell.close()
        self._cast.finish()
        with contextlib.suppress(OSError):
            self._record()
        with contextlib.suppress(OSError):
            self._file.close()
        self._close()

    def _read(self) -> None:
        live = self.shell.masker.stream()
        wait, credit, credited_at = READ_S, float(BURST), time.monotonic()
        while self._wanted is None:
            self._tick()
            if not self._has_room():
                continue
            now = time.monotonic()
            credit, credited_at = min(BURST, credit + RATE * (now - credited_at)), now
            if credit < 0:
                time.sleep(min(READ_S, -credit / RATE))
                continue
            data = self.shell.read(wait)
            if data:
                credit -= len(data)
                self._cast.output(data)
                shown = live.feed(data)
                wait = READ_S if len(shown) == len(data) else HELD_S
            else:
                shown, wait = live.flush(), READ_S  # it waits for an answer: what may begin a secret is shown
            if shown:
                self._show(shown)
            if data == b"":
                self.ended = self.shell.end()
                status = TerminalStatus.FAILED if self.ended.error else TerminalStatus.ENDED
                self.end(status, self.ended.error or "The shell ended.")

    def _has_room(self) -> bool:
        with self._lock:
            if self._ahead() < WINDOW:
                return True
            self._lock.wait(READ_S)
            return self._ahead() < WINDOW

    def _ahead(self) -> int:
        return self._out_from + len(self._out) - (self._confirmed if self._confirms else self._sent)

    def _show(self, data: bytes) -> None:
        with self._lock:
            self._out += data
            surplus = len(self._out) - KEPT
            if surplus > 0:
                del self._out[:surplus]
                self._out_from += surplus
        self.ring()

    def ring(self) -> None:
        """Have whoever sits at it look."""
        news = self._news
        if news is not None:
            news()

    def _tick(self) -> None:
        now = time.monotonic()
        if self._cast.waiting >= RECORD_BYTES or (now - self._recorded_at >= RECORD_EVERY_S and self._cast.waiting):
            self._record()
        self._look_at_clock(now)
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._look(now)

    def _record(self) -> None:
        self._recorded_at = time.monotonic()
        lines = self._cast.take()
        if lines:
            self._file.write(lines)
        if self._file.written > self.limits.recording_bytes or self._out_from > OUTPUT_MOST:
            self.end(TerminalStatus.FAILED, "The recording is as large as it may grow; open another terminal.")
        elif disk.usage().free < FREE_LEAST:
            self.end(TerminalStatus.FAILED, "The disk is full, so that nothing can be recorded any more.")

    def _look_at_clock(self, now: float) -> None:
        idle, away = now - self._typed_at, self._away_since
        if away is not None and now - away > AWAY_S:
            self.end(TerminalStatus.DISCONNECTED, f"The connection broke off and was not there again in {AWAY_S:g} s.")
        elif idle > self.limits.idle_s:
            minutes = f"{self.limits.idle_s / 60:g} minutes"
            self.end(TerminalStatus.TIMED_OUT, f"Nothing was typed for {minutes}.")
        elif now - self._begun > self.limits.longest_s:
            hours = f"{self.limits.longest_s / 3600:g} hours"
            self.end(TerminalStatus.TIMED_OUT, f"It was open for {hours}, which is as long as is allowed.")
        elif not self._warned and min(self.limits.idle_s - idle, self._begun + self.limits.longest_s - now) < WARN_S:
            self._warned = True
            is_idle = self.limits.idle_s - idle < WARN_S
            self._tell(
                "Nothing was typed for long: this terminal is closed within a minute."
                if is_idle
                else "This terminal has been open for as long as is allowed: it is closed within a minute."
            )

    def _tell(self, sentence: str) -> None:
        with self._lock:
            self._notices.append(sentence)
        self.ring()

    def _look(self, now: float) -> None:
        try:
            wish = look_at_terminal(row=self.row)
            if now - self._renewed_at >= RENEW_EVERY_S:
                self._renewed_at = now
                is_open = renew_terminal(row=self.row, **self._figures())
                wish = wish if is_open else Wish(is_gone=True)
        except Exception:  # the database is away: the lease decides whether that was for too long
            log.warning("the row of a terminal can't be read", exc_info=True)
            return
        finally:
            _let_go()
        if wish.ended_by:
            self.end(TerminalStatus.KICKED, f"{wish.ended_by} ended it.")
        elif wish.is_gone:
            self.end(TerminalStatus.REVOKED, "Its server, or the way there, was removed.")

    def _figures(self) -> dict[str, int]:
        return {
            "output_bytes": self._out_from + len(self._out),
            "input_bytes": self._input_bytes,
            "recording_bytes": self._file.written,
        }

    def _close(self) -> None:
        status, reason = self._wanted or (TerminalStatus.FAILED, "")
        for name, value in self._figures().items():
            setattr(self.row, name, value)
        for pause_s in (0.2, 1.0, 3.0, 0.0):
            try:
                self.row = finish_terminal(
                    row=self.row, status=status, reason=reason, exit_code=self.ended.exit_code,
                    signal=self.ended.signal,
                )  # fmt: skip
                break
            except Exception:  # where it stays so the lease runs out, and it is lost
                log.warning("the end of a terminal can't be written down", exc_info=True)
                self.row.status, self.row.reason = status, reason
                time.sleep(pause_s)
            finally:
                _let_go()
        self._on_over(self)
        self.over.set()
        self.ring()


def _let_go() -> None:
    """Give the database connection back: a terminal that is open for hours must not keep one of the pool."""
    if not connection.in_atomic_block:
        connection.close()
