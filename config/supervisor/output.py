"""What the children say: all of it to a log file of bounded size, warnings to the terminal."""

import contextlib
import json
import os
import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

LARGEST_LOG = 10 * 1024 * 1024
KEPT_LOGS = 3
LONGEST_LINE = 16 * 1024
REMEMBERED_LINES = 20
QUIET_S = 60.0
"""A message that repeats is shown once in this time."""

_LOUD = re.compile(r"\b(WARNING|WARN|ERROR|CRITICAL|FATAL)\b")
_LOUD_LEVELS = {"WARNING", "ERROR", "CRITICAL"}


class RotatingLog:
    """A log file that never grows beyond `LARGEST_LOG`; the older ones are NAME.1 to NAME.3."""

    def __init__(self, path: Path, *, largest: int = LARGEST_LOG) -> None:
        self._path, self._largest = path, largest
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        """Append; a full disk loses log lines, never the supervisor."""
        if self._size + len(data) > self._largest:
            with contextlib.suppress(OSError):
                self._rotate()
        with contextlib.suppress(OSError):
            self._size += os.write(self._fd, data)

    def _rotate(self) -> None:
        os.close(self._fd)
        try:
            for number in range(KEPT_LOGS - 1, 0, -1):
                older = self._path.with_name(f"{self._path.name}.{number}")
                if older.exists():
                    older.replace(self._path.with_name(f"{self._path.name}.{number + 1}"))
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        finally:
            self._open()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def loud_part(line: str) -> str | None:
    """Return what of a log line belongs on the terminal: warnings and above; None for the rest."""
    if line.startswith("{"):
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                level = str(entry.get("level", entry.get("levelname", ""))).upper()
                if level not in _LOUD_LEVELS:
                    return None
                said = str(entry.get("message", entry.get("msg", line)))
                return f"{level.lower()}: {said}"
    return line if _LOUD.search(line) else None


class Stream:
    """One output of one child, cut into lines.

    Args:
        log: None for an output that no file may hold, such as a password.
        terminal: None for an output that is not shown.
    """

    def __init__(self, *, name: str, log: RotatingLog | None, terminal: Callable[[str], None] | None) -> None:
        self._name, self._log, self._terminal = name, log, terminal
        self._rest = b""
        self._in_trace = False
        self._shown: dict[str, tuple[float, int]] = {}
        self.last: deque[str] = deque(maxlen=REMEMBERED_LINES)

    def feed(self, data: bytes) -> None:
        """Take what was read; an overlong line is cut."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._take(line)

    def finish(self) -> None:
        """Take what came without a newline at the end."""
        if self._rest:
            self._take(self._rest)
            self._rest = b""

    def _take(self, raw: bytes) -> None:
        if self._log is not None:
            self._log.write(raw + b"\n")
        line = raw.decode(errors="replace").rstrip()
        if not line:
            return
        self.last.append(line)
        shown = loud_part(line)
        # Of a trace the terminal gets the error alone, its first line that is not indented; the file has all of it.
        if self._in_trace and not line[0].isspace():
            shown, self._in_trace = line, False
        if line.startswith("Traceback (most recent call last)"):
            shown, self._in_trace = None, True
        elif self._in_trace:
            shown = None
        if shown is not None and self._terminal is not None:
            self._show(shown)

    def _show(self, text: str) -> None:
        """Show it, unless the same was shown within the last minute: what fails each second would bury the rest."""
        assert self._terminal is not None
        now = time.monotonic()
        at, held_back = self._shown.pop(text, (now - QUIET_S, 0))
        if now - at < QUIET_S:
            self._shown[text] = (at, held_back + 1)
            return
        self._shown[text] = (now, 0)
        # The oldest is forgotten: messages with a number in them are all different.
        if len(self._shown) > REMEMBERED_LINES:
            del self._shown[next(iter(self._shown))]
        again = f" ({held_back} more times since then)" if held_back else ""
        self._terminal(f"{self._name:<7}| {text}{again}")


def say(text: str) -> None:
    """Print at once; a terminal that has gone away is no reason to end."""
    with contextlib.suppress(OSError):
        os.write(1, f"{text}\n".encode())
