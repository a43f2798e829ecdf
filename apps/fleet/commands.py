"""What is run on a machine and what comes of it; the same for every executor."""

import codecs
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

#: Output that is kept of one run; the rest is counted.
KEEP_BYTES = 1024 * 1024
#: Characters of what a machine says of an end: the column's, and enough for a sentence.
SIGNAL_MOST, ERROR_MOST = 16, 4000


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, handed to the machine's shell exactly as it is.

    Args:
        env: variables for it; their values may be secrets.
        secrets: variables whose values are read from the vault when it runs: name -> id of the secret.
        sudo: run it as root through sudo; `sudo_password` answers its prompt.
    """

    text: str
    timeout_s: float
    stdin: bytes = field(default=b"", repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    sudo: bool = False
    sudo_password: str = field(default="", repr=False)
    secrets: Mapping[str, UUID] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """How a command ended.

    Args:
        ended: "exited", "timed_out", "cancelled", or "lost" where how it ended is not known.
        exit_code: None where it ended by a signal, or was ended.
        signal: e.g. "KILL".
    """

    ended: str
    exit_code: int | None = None
    signal: str = ""
    error: str = ""


#: Takes output as it comes, stdout and stderr as one stream.
OnOutput = Callable[[bytes], object]
#: Asked several times a second; true ends the command.
Cancelled = Callable[[], bool]


class Output:
    """Collects the output of a run as text: the first part is kept, all is counted."""

    def __init__(self, keep_bytes: int = KEEP_BYTES) -> None:
        self.keep_bytes = keep_bytes
        self.total = 0
        self.is_binary = False
        self._kept = 0
        self._parts: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        """Take output; return what of it is kept, as text."""
        self.total += len(data)
        room = self.keep_bytes - self._kept
        if room <= 0:
            return ""
        part = data[:room]
        self._kept += len(part)
        return self._take(self._decoder.decode(part))

    def finish(self) -> str:
        """Return what is left of a character that never became whole; one that was cut here is no broken one."""
        if self.is_cut:
            return ""
        return self._take(self._decoder.decode(b"", final=True))

    def _take(self, text: str) -> str:
        if "\0" in text:
            # PostgreSQL stores no null characters.
            self.is_binary = True
            text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        if "\N{REPLACEMENT CHARACTER}" in text:
            self.is_binary = True
        self._parts.append(text)
        return text

    @property
    def text(self) -> str:
        """Return all that is kept."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    @property
    def is_cut(self) -> bool:
        """Return whether some output is not kept."""
        return self.total > self._kept


class Deadline:
    """When a command must have ended."""

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Return whether the time is up."""
        return time.monotonic() >= self.at
