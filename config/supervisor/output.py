"""What the children say: all of it to a log file of bounded size, warnings to the terminal."""

import contextlib
import json
import os
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path

LARGEST_LOG = 10 * 1024 * 1024
KEPT_LOGS = 3
LONGEST_LINE = 16 * 1024
REMEMBERED_LINES = 20

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


def loud_part(line: str, *, in_trace: bool) -> str | None:
    """Return what of a log line belongs on the terminal: warnings and above; None for the rest.

    Args:
        in_trace: whether the line before belonged to a trace that is being shown.
    """
    if line.startswith("{"):
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                level = str(entry.get("level", entry.get("levelname", ""))).upper()
                if level not in _LOUD_LEVELS:
                    return None
                said = str(entry.get("message", entry.get("msg", line)))
                return f"{level.lower()}: {said}"
    if line.startswith("Traceback (most recent call last)") or _LOUD.search(line):
        return line
    return line if in_trace else None


class Stream:
    """One output of one child, cut into lines."""

    def __init__(self, *, name: str, log: RotatingLog, terminal: Callable[[str], None] | None) -> None:
        self._name, self._log, self._terminal = name, log, terminal
        self._rest = b""
        self._in_trace = False
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
        self._log.write(raw + b"\n")
        line = raw.decode(errors="replace").rstrip()
        if not line:
            return
        self.last.append(line)
        if self._terminal is not None:
            shown = loud_part(line, in_trace=self._in_trace)
            if shown is not None:
                self._terminal(f"{self._name:<7}| {shown}")
            starts = line.startswith("Traceback (most recent call last)")
            # A trace goes on while its lines are indented; the first that is not is the error itself.
            self._in_trace = starts or (self._in_trace and line[0].isspace())


def say(text: str) -> None:
    """Print at once; a terminal that has gone away is no reason to end."""
    with contextlib.suppress(OSError):
        os.write(1, f"{text}\n".encode())
