"""Follows log files: through rotation, truncation and pauses of the agent, each line once."""

import calendar
import contextlib
import glob
import json
import logging
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

READ_MOST = 1024 * 1024  # bytes a file and pass
LINE_MOST = 16 * 1024
FILES_MOST = 200
LOOK_EVERY_S = 5.0  # for new files
_LEVEL = re.compile(
    r"\b(?:level[=:]\s*\"?|\")?(emerg|panic|fatal|crit(?:ical)?|error|err|warn(?:ing)?|debug|trace)\b", re.IGNORECASE
)
_LEVELS = {"w": "warning", "d": "debug", "t": "debug"}
_STAMP = re.compile(r"^\W{0,2}(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")


def level_of(line: str) -> str:
    """Return the level that a line names near its beginning, "info" where it names none."""
    found = _LEVEL.search(line[:120])
    if found is None:
        return "info"
    word = found[1].lower()
    return _LEVELS.get(word[0], "error" if word in ("error", "err") else "critical")


def time_of(line: str, now: float) -> float:
    """Return the epoch seconds that a line begins with, else `now`."""
    found = _STAMP.match(line)
    if found is None or found[4] is None:
        return now  # a time without a zone may mean anything
    try:
        base = calendar.timegm(time.strptime(f"{found[1]} {found[2]}", "%Y-%m-%d %H:%M:%S"))
    except (ValueError, OverflowError):
        return now
    zone = found[4]
    if zone != "Z":
        base -= (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)
    at = base + float(f"0.{found[3] or 0}")
    return at if abs(at - now) < 30 * 86_400 else now


class TailedFile:
    """One file by its path.

    Its place is (inode, offset, generation): a file that begins anew gets another generation, so that the ids of its
    lines are its own.
    """

    def __init__(self, path: str, place: str, *, from_end: bool) -> None:
        self.path = path
        self._handle: Any = None
        self._inode, self._offset, self._generation = 0, 0, secrets.token_hex(4)
        try:
            self._inode, self._offset, self._generation = json.loads(place)
        except ValueError:
            if from_end:
                with contextlib.suppress(OSError):
                    found = Path(path).stat()
                    self._inode, self._offset = found.st_ino, _line_begin(path, found.st_size)

    @property
    def place(self) -> str:
        """Return how far it was read, for the store."""
        return json.dumps([self._inode, self._offset, self._generation])

    def read(self, most: int = READ_MOST) -> list[tuple[str, str]]:
        """Return (id, line) of the next whole lines.

        Raises:
            OSError: it can't be read.
        """
        if self._handle is None:
            self._open()
        if self._handle is None:
            return []
        lines = self._take(most)
        if not lines and self._has_moved():
            lines = self._take(most, to_the_end=True)
            self.close()
            self._begin_anew()
        return lines

    @property
    def was_renamed(self) -> bool:
        """Return whether it lies beside its path by another name."""
        beside = self._renamed()
        if beside is not None:
            beside.close()
        return beside is not None

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _begin_anew(self) -> None:
        self._inode, self._offset, self._generation = 0, 0, secrets.token_hex(4)

    def _open(self) -> None:
        try:
            handle = Path(self.path).open("rb")  # noqa: SIM115
        except FileNotFoundError:
            return
        found = os.fstat(handle.fileno())
        if self._inode and found.st_ino != self._inode:
            # It was rotated while nobody looked: its rest lies beside it.
            old = self._renamed()
            if old is not None:
                handle.close()
                self._handle = old
                return
            self._begin_anew()
        elif found.st_size < self._offset:
            self._begin_anew()
        self._inode, self._handle = found.st_ino, handle

    def _renamed(self) -> Any:
        folder = Path(self.path).parent
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                if entry.name.startswith(Path(self.path).name) and entry.inode() == self._inode and entry.is_file():
                    return Path(entry.path).open("rb")
        return None

    def _has_moved(self) -> bool:
        try:
            found = Path(self.path).stat()
        except FileNotFoundError:
            return False  # it comes back, or the pattern finds it no more
        if found.st_ino != self._inode:
            return True
        if found.st_size < self._offset:
            self._begin_anew()
            self._inode = found.st_ino
            self._handle.seek(0)
        return False

    def _take(self, most: int, *, to_the_end: bool = False) -> list[tuple[str, str]]:
        self._handle.seek(self._offset)
        data = self._handle.read(most)
        lines, at = [], 0
        while at < len(data):
            end = data.find(b"\n", at, at + LINE_MOST + 1)
            after = end + 1
            if end < 0:
                if len(data) - at < LINE_MOST and not to_the_end:
                    break  # the rest of the line has not been written yet
                end = after = min(len(data), at + LINE_MOST)  # a line that is too long is several
            text = data[at:end].decode("utf-8", "replace").rstrip("\r")
            if text.strip():
                lines.append((f"{self._generation}:{self._offset + at}", text))
            at = after
        self._offset += at
        return lines


def _line_begin(path: str, size: int) -> int:
    """Return where the last line that is not whole begins."""
    with Path(path).open("rb") as file:
        file.seek(max(0, size - LINE_MOST))
        tail = file.read(min(size, LINE_MOST))
    return size - (len(tail) - tail.rfind(b"\n") - 1) if b"\n" in tail else size


class FileFollower:
    """Follows all files of some patterns.

    Args:
        places: how far each was read before, by path.
        is_docker: the files are those of Docker's json-file driver.
    """

    def __init__(self, places: dict[str, str], *, is_docker: bool = False) -> None:
        self.patterns: list[str] = []
        self._is_docker = is_docker
        self._places = places
        self._files: dict[str, TailedFile] = {}
        self._gone: set[str] = set()
        self._names: dict[str, str] = {}
        self._looked_at = 0.0
        self._told: set[str] = set()
        self._is_told = False
        self._is_first = True

    def follow(self, patterns: list[str]) -> None:
        """Follow the files of these patterns from now on."""
        if patterns != self.patterns:
            self.patterns, self._looked_at = list(patterns), 0.0

    def read(self, now: float, lines_most: int = 2000) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Return the next lines, and the places to remember with them; "" is none any more."""
        if time.monotonic() - self._looked_at >= LOOK_EVERY_S or not self._looked_at:
            self._look()
        lines: list[dict[str, Any]] = []
        places: dict[str, str] = {}
        read_out: list[str] = []
        for path, file in self._files.items():
            if len(lines) >= lines_most:
                break
            before = file.place
            try:
                found = file.read()
            except OSError as error:
                read_out.append(path)
                if path not in self._told:
                    self._told.add(path)
                    log.warning("%s can't be read: %s", path, error.strerror)
                continue
            if not found:
                read_out.append(path)
            lines += (self._line(path, identity, text, now) for identity, text in found)
            if file.place != before or self._places.get(path) is None:
                places[path] = self._places[path] = file.place
        for path in self._gone.intersection(read_out):
            places.update(self._let_go(path))
        return lines, places

    def _let_go(self, path: str) -> dict[str, str]:
        """Close a file that is gone. One that was only renamed keeps its place, for its rest when it is made anew."""
        file = self._files.pop(path)
        self._gone.discard(path)
        self._names.pop(path, None)
        self._told.discard(path)
        file.close()
        if file.was_renamed:
            return {}
        self._places.pop(path, None)
        return {path: ""}

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        paths = sorted({path for pattern in self.patterns for path in glob.glob(pattern)})  # noqa: PTH207
        if len(paths) > FILES_MOST and not self._is_told:
            self._is_told = True
            log.warning(
                "%d log files are to be followed, and %d are: the others are passed over", len(paths), FILES_MOST
            )
        paths = paths[:FILES_MOST]
        for path in paths:
            if path not in self._files and Path(path).is_file() and not path.endswith((".gz", ".xz", ".bz2", ".zst")):
                # What is there at the very first look is history; what comes later is news from its beginning on.
                place = self._places.get(path, "")
                self._files[path] = TailedFile(path, place, from_end=self._is_first)
        # What was written last is read before they are let go.
        self._gone = {path for path in set(self._files) - set(paths) if not Path(path).exists()}
        self._is_first = self._is_first and not self.patterns

    def _line(self, path: str, identity: str, text: str, now: float) -> dict[str, Any]:
        if not self._is_docker:
            return {
                "timestamp": time_of(text, now), "source": "file", "source_name": path[-200:], "level": level_of(text),
                "message": text, "entry_id": identity,
            }  # fmt: skip
        try:
            entry = json.loads(text)
            message, stamp, stream = str(entry["log"]), str(entry.get("time", "")), str(entry.get("stream", ""))
        except (ValueError, KeyError, TypeError):
            message, stamp, stream = text, "", ""
        return {
            "timestamp": time_of(stamp, now), "source": "docker", "source_name": self._container(path),
            "level": level_of(message), "message": message.rstrip("\n"), "entry_id": identity,
            "fields": {"stream": stream} if stream else {},
        }  # fmt: skip

    def _container(self, path: str) -> str:
        if path not in self._names:
            name = Path(path).name[:12]
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                described = json.loads((Path(path).parent / "config.v2.json").read_text())
                name = str(described["Name"]).lstrip("/") or name
            self._names[path] = name[:200]
        return self._names[path]
