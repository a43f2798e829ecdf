"""What the agent keeps on its disk: samples and log lines that were not taken yet, places in logs, and runs."""

import contextlib
import json
import logging
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agent.clock import Clock, boot_name, iso_of

log = logging.getLogger(__name__)

KEEP_S = 24 * 3600
RUN_KEPT_S = 24 * 3600
SPILL_MOST = 720  # parts kept in memory while the disk takes none
MEMORY_MOST = 16 * 1024 * 1024  # bytes of parts where there is no file to keep them in
PART_MOST = 200_000  # characters of a part's log lines: a frame of the platform takes at most a million
_SAMPLE, _LINES = 0, 1
_TABLES = """
CREATE TABLE IF NOT EXISTS part (
  n INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER, wall REAL, steady REAL, boot TEXT, shift INTEGER, size INTEGER,
  body BLOB);
CREATE TABLE IF NOT EXISTS place (source TEXT PRIMARY KEY, position TEXT);
CREATE TABLE IF NOT EXISTS run (id TEXT PRIMARY KEY, begun REAL, pid INTEGER, started REAL, ending TEXT);
"""


class Store:
    """One SQLite file. Parts carry growing numbers; what was acknowledged is dropped.

    Args:
        most_bytes: of parts; beyond them the oldest go.
    """

    def __init__(self, path: Path, clock: Clock, most_bytes: int = 128 * 1024 * 1024) -> None:
        self.clock = clock
        self._boot = boot_name()
        self.db, is_lasting = _opened(path)
        self.most_bytes = most_bytes if is_lasting else min(most_bytes, MEMORY_MOST)
        self._size = self._one("SELECT COALESCE(SUM(size), 0) FROM part")
        last = self._one("SELECT MAX(seq) FROM sqlite_sequence WHERE name = 'part'") or 0
        self._n = max(last, self._one("SELECT MAX(n) FROM part") or 0)
        self._spill: list[tuple[int, int, float, int | None, bytes]] = []
        self._is_full_told = self._is_loss_told = False
        self.dropped = 0

    def _one(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        row = self.db.execute(sql, values).fetchone()
        return row[0] if row else None

    # --- writing ---------------------------------------------------------------------------------------------------

    def add_sample(self, snapshot: dict[str, Any]) -> int:
        """Keep a snapshot that was taken just now; returns its number."""
        return self._add(_SAMPLE, _dumps(snapshot), {})

    def add_lines(self, lines: list[dict[str, Any]], places: Mapping[str, str]) -> int:
        """Keep log lines and how far their sources were read; returns the number of their last part.

        The places go with the last lines: whatever happens in between, no line is passed over.
        """
        texts: list[str] = []
        size = 0
        for line in lines:
            text = _dumps(line)
            if texts and size + len(text) > PART_MOST:
                self._add(_LINES, f"[{','.join(texts)}]", {})
                texts, size = [], 0
            texts.append(text)
            size += len(text)
        return self._add(_LINES, f"[{','.join(texts)}]", places)

    def _add(self, kind: int, text: str, places: Mapping[str, str]) -> int:
        body = zlib.compress(text.encode("utf-8", "replace"), 1)
        wall, steady, shift = self.clock.wall(), self.clock.steady(), self.clock.shift_ms()
        self._n += 1
        row = (self._n, kind, wall, steady, self._boot, shift, len(body), body)
        for attempt in (1, 2):
            try:
                self._insert(row, places)
                self._is_full_told = False
                break
            except sqlite3.Error as error:
                if not self._is_full_told:
                    self._is_full_told = True
                    log.warning("the disk takes nothing more (%s): the oldest samples and log lines are dropped", error)
                if attempt == 1:
                    self._drop_oldest(0.1)
        else:
            self._spill.append((self._n, kind, wall, shift, body))
            self.dropped += max(0, len(self._spill) - SPILL_MOST)
            del self._spill[:-SPILL_MOST]
        if self._size > self.most_bytes:
            if not self._is_loss_told:
                self._is_loss_told = True
                log.warning("%d MB wait to be taken: the oldest are dropped from here on", self.most_bytes >> 20)
            self._drop_oldest(0.05)
        return self._n

    def _insert(self, row: tuple[Any, ...], places: Mapping[str, str]) -> None:
        with self.db:
            self.db.execute("INSERT INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            self.db.executemany("INSERT OR REPLACE INTO place VALUES (?, ?)", list(places.items()))
            self.db.execute("DELETE FROM place WHERE position = ''")
        self._size += row[6]

    def _drop_oldest(self, share: float) -> None:
        with contextlib.suppress(sqlite3.Error), self.db:
            count = int(self._one("SELECT COUNT(*) FROM part") * share) + 1
            self.dropped += count
            border = "(SELECT n FROM part ORDER BY n LIMIT 1 OFFSET ?)"
            self.db.execute(f"DELETE FROM part WHERE n < COALESCE({border}, 1 << 62)", (count,))
        self._size = self._one("SELECT COALESCE(SUM(size), 0) FROM part")

    def drop_old(self) -> None:
        """Drop what is older than a day; the platform would not take it."""
        with contextlib.suppress(sqlite3.Error), self.db:
            self.db.execute(
                "DELETE FROM part WHERE boot = ? AND steady < ?", (self._boot, self.clock.steady() - KEEP_S)
            )
            self.db.execute("DELETE FROM part WHERE boot != ? AND wall < ?", (self._boot, self.clock.wall() - KEEP_S))
            self.db.execute("DELETE FROM run WHERE begun < ? AND ending IS NOT NULL", (self.clock.wall() - RUN_KEPT_S,))
        self._size = self._one("SELECT COALESCE(SUM(size), 0) FROM part")

    # --- reading ---------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Correct the times of what was kept before the platform's time was known; once and for good, so that a part
        that is sent twice says the same twice.
        """
        now = self.clock.shift_ms()
        if now is None:
            return
        rows = self.db.execute("SELECT n, wall, steady, boot FROM part WHERE shift IS NULL").fetchall()
        shifts = [
            (self.clock.shift_ms(wall=wall, steady=steady) if boot == self._boot else now, n)
            for n, wall, steady, boot in rows
        ]
        with contextlib.suppress(sqlite3.Error), self.db:
            self.db.executemany("UPDATE part SET shift = ? WHERE n = ?", shifts)

    def next(self, after: int, *, bytes_most: int = 400_000, parts_most: int = 100) -> tuple[int, list[Any], list[Any]]:
        """Return (number, samples, lines) of the next parts after a number; the number stays where there are none.

        Args:
            bytes_most: of their text; one part is returned in any case.
        """
        n, size = after, 0
        samples: list[Any] = []
        lines: list[Any] = []
        rows = self.db.execute(
            "SELECT n, kind, wall, shift, body FROM part WHERE n > ? ORDER BY n LIMIT ?", (after, parts_most)
        ).fetchall()
        rows += (one for one in self._spill if one[0] > after)
        for number, kind, wall, shift, body in sorted(rows, key=lambda one: int(one[0]))[:parts_most]:
            try:
                text = zlib.decompress(body)
                value = json.loads(text)
            except (zlib.error, ValueError):
                n = number  # half of it was lost with the disk
                continue
            size += len(text)
            if size > bytes_most and (samples or lines):
                break
            n = number
            if kind == _SAMPLE:
                value["timestamp"] = iso_of(wall + (shift or 0) / 1000)
                if shift:
                    value.setdefault("system", {})["clockOffsetMs"] = -shift
                samples.append(value)
            else:
                for line in value:
                    line["timestamp"] = iso_of(line["timestamp"] + (shift or 0) / 1000)
                lines += value
        return n, samples, lines

    def drop(self, n: int) -> None:
        """Forget the parts up to a number: they were taken."""
        self._spill = [one for one in self._spill if one[0] > n]
        try:
            with self.db:
                self.db.execute("DELETE FROM part WHERE n <= ?", (n,))
        except sqlite3.Error as error:
            log.warning("what was taken could not be dropped: %s", error)
        self._size = self._one("SELECT COALESCE(SUM(size), 0) FROM part")
        if self._size < self.most_bytes / 2:
            self._is_loss_told = False

    @property
    def waiting(self) -> tuple[int, int]:
        """Return how many parts wait, and their bytes."""
        return self._one("SELECT COUNT(*) FROM part") + len(self._spill), self._size

    def places(self) -> dict[str, str]:
        """Return how far each source of log lines was read."""
        return dict(self.db.execute("SELECT source, position FROM place").fetchall())

    # --- runs ------------------------------------------------------------------------------------------------------

    def begin_run(self, run_id: str) -> bool:
        """Note a run before it begins; False where its id was seen before.

        Raises:
            sqlite3.Error: it could not be noted; then it must not begin.
        """
        with self.db:
            done = self.db.execute("INSERT OR IGNORE INTO run (id, begun) VALUES (?, ?)", (run_id, self.clock.wall()))
        return done.rowcount == 1

    def note_process(self, run_id: str, pid: int, started: float) -> None:
        """Note the process of a run, so that a later agent can end what is left of it."""
        with contextlib.suppress(sqlite3.Error), self.db:
            self.db.execute("UPDATE run SET pid = ?, started = ? WHERE id = ?", (pid, started, run_id))

    def end_run(self, run_id: str, ending: Mapping[str, Any]) -> None:
        """Note how a run ended."""
        with contextlib.suppress(sqlite3.Error), self.db:
            self.db.execute("UPDATE run SET ending = ? WHERE id = ?", (json.dumps(ending), run_id))

    def ending_of(self, run_id: str) -> dict[str, Any] | None:
        """Return how a run ended; None where it did not, or is not known."""
        found = self._one("SELECT ending FROM run WHERE id = ?", (run_id,))
        return json.loads(found) if found else None

    def open_runs(self) -> Iterable[tuple[str, int | None, float | None]]:
        """Return (id, pid, start time) of the runs without an end."""
        return self.db.execute("SELECT id, pid, started FROM run WHERE ending IS NULL").fetchall()


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _opened(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Return the database, and whether it is the file: what can't be read is put aside, what a full disk keeps
    closed stays as it is, for another start.
    """
    fault: sqlite3.Error
    try:
        return _prepared(path), True
    except sqlite3.DatabaseError as error:
        fault = error
    is_ours = not path.exists() or os.access(path, os.R_OK | os.W_OK)
    if not isinstance(fault, sqlite3.OperationalError) or not is_ours:
        aside = path.with_name(f"{path.name}.broken-{int(time.time())}")
        log.warning("%s can't be read (%s); it is put aside as %s", path, fault, aside.name)
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
        try:
            return _prepared(path), True
        except sqlite3.DatabaseError as error:
            fault = error
    log.warning("%s can't be opened (%s): until the agent starts again it keeps in memory what waits", path, fault)
    return _prepared(Path(":memory:")), False


def _prepared(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(str(path), timeout=5, check_same_thread=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA journal_size_limit=4194304")
    db.execute("PRAGMA cache_size=-512")
    db.executescript(_TABLES)
    if path.name != ":memory:":
        path.chmod(0o600)
    return db
