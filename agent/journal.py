"""Follows systemd's journal through journalctl."""

import asyncio
import contextlib
import json
import logging
import shutil
from typing import Any

log = logging.getLogger(__name__)

HELD_MOST = 5000  # lines; then journalctl waits
AGAIN_AFTER_S = 5.0
PLACE = "journal"
_FIELDS = {
    "_PID": "pid", "SYSLOG_IDENTIFIER": "identifier", "_SYSTEMD_UNIT": "unit", "_UID": "uid", "_TRANSPORT": "transport",
}  # fmt: skip


class JournalFollower:
    """Reads the journal from where it was read last; from now on where it never was."""

    def __init__(self, cursor: str, program: str = "journalctl") -> None:
        self.program, self.cursor = program, cursor
        self.lines: list[dict[str, Any]] = []
        self._read_to = cursor
        self._told = ""
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        if shutil.which(self.program) is None:
            return
        try:
            while True:
                await self._follow()
                await asyncio.sleep(AGAIN_AFTER_S)
        finally:
            await self._end()

    def take(self) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """Return the lines that came, and the place to remember with them."""
        lines, self.lines = self.lines, []
        if self._read_to == self.cursor:
            return lines, {}
        self.cursor = self._read_to
        return lines, {PLACE: self.cursor}

    async def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _follow(self) -> None:
        arguments = ["-f", "-o", "json", "--no-pager", "-q"]
        arguments += ["--after-cursor", self._read_to] if self._read_to else ["-n", "0"]
        try:
            self._process = await asyncio.create_subprocess_exec(
                self.program, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL, limit=256 * 1024,
            )  # fmt: skip
        except OSError as error:
            self._tell(f"the journal can't be followed: {error}")
            return
        output = self._process.stdout
        assert output is not None
        came = 0
        while True:
            try:
                raw = await output.readline()
            except ValueError:
                continue  # one line that is longer than the limit is passed over
            if not raw:
                break
            came += 1
            self._take_line(raw)
            while len(self.lines) >= HELD_MOST:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await self._process.wait()
        if not came and self._read_to and self._process.returncode:
            self._read_to = ""  # the place is known no more: go on from now
        self._tell(f"journalctl ended with {self._process.returncode}; it is started again")

    def _tell(self, sentence: str) -> None:
        if sentence != self._told:
            self._told = sentence
            log.warning("%s", sentence)

    def _take_line(self, raw: bytes) -> None:
        try:
            entry = json.loads(raw)
            cursor = entry["__CURSOR"]
            stamp = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
        except (ValueError, KeyError, TypeError):
            return
        self._read_to = cursor
        message = entry.get("MESSAGE")
        if isinstance(message, list):  # what is no text comes as bytes
            message = bytes(one for one in message if isinstance(one, int) and 0 <= one < 256).decode(
                "utf-8", "replace"
            )
        if not isinstance(message, str) or not message.strip():
            return
        try:
            level = min(7, max(0, int(entry.get("PRIORITY", 6))))
        except (ValueError, TypeError):
            level = 6
        fields = {name: str(entry[key])[:1000] for key, name in _FIELDS.items() if entry.get(key) is not None}
        name = entry.get("_SYSTEMD_UNIT") or entry.get("SYSLOG_IDENTIFIER") or ""
        self.lines.append(
            {
                "timestamp": stamp, "source": "journal", "source_name": str(name)[:200], "level": level,
                "message": message[:16_384], "fields": fields, "entry_id": str(cursor)[:300],
            }
        )  # fmt: skip
