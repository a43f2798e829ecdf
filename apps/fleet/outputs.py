"""The whole output of a run, in the file store, where it is more than its row takes."""

import contextlib
import errno
from typing import BinaryIO
from uuid import UUID

from apps.core import disk, files, runtime_settings
from apps.fleet.commands import KEEP_BYTES

MIB = 1 << 20
LOOK_EVERY = 8 * MIB

runtime_settings.declare(
    "commands",
    "output_most_mib",
    "int",
    1024,
    "MiB of the output of one command that are kept as a file; the rest is counted and not kept.",
    least=1,
    most=1024 * 1024,
)


def name_of(run_id: UUID) -> str:
    """Return the name of a run's output in the file store."""
    return f"commands/{run_id}.out"


class Spool:
    """Takes the output of one run and writes it to a file once the row is too small for it. Memory stays flat.

    A disk that is full, or nearly, never ends the run: what comes after is not kept, and `note` says so.

    Attributes:
        stored: bytes in the file; 0 while there is none.
        note: why the rest is not kept; "" while all is.
    """

    def __init__(self, run_id: UUID, *, keep_bytes: int = KEEP_BYTES) -> None:
        self.name = name_of(run_id)
        self.keep_bytes = keep_bytes
        self.stored = 0
        self.note = ""
        self._head = bytearray()
        self._file: BinaryIO | None = None
        self._most = 0
        self._look_at = 0

    def feed(self, data: bytes) -> None:
        """Take output."""
        if self.note:
            return
        if self._file is None:
            self._head += data
            if len(self._head) <= self.keep_bytes:
                return
            data = self._open()
        self._write(data)

    def finish(self, *, is_binary: bool) -> None:
        """End it. Output that is no text goes to the file whatever its size: the row holds text alone."""
        if self._file is None and self._head and is_binary and not self.note:
            self._write(self._open())
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        self._head.clear()

    def _open(self) -> bytes:
        data, self._head = bytes(self._head), bytearray()
        self._most = int(runtime_settings.get("commands.output_most_mib")) * MIB
        try:
            self._file = files.create(self.name)
        except OSError as error:
            self._give_up(_words(error))
        return data

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        if self.stored >= self._look_at:
            self._look_at = self.stored + LOOK_EVERY
            if not disk.telemetry_allowed():
                self._give_up("the disk of the platform is nearly full")
                return
        rest = memoryview(data)[: self._most - self.stored]
        is_over = len(rest) < len(data)
        while rest:
            try:
                written = self._file.write(rest)
            except OSError as error:
                self._give_up(_words(error))
                return
            self.stored += written
            rest = rest[written:]
        if is_over:
            self._give_up(f"{self._most // MIB} MiB of one command are kept (setting commands.output_most_mib)")

    def _give_up(self, why: str) -> None:
        self.note = f"The rest of the output was not kept: {why}."


def _words(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk of the platform is full"
    return f"its file could not be written ({error.strerror or type(error).__name__})"
