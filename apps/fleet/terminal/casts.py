"""Recordings of terminals, as asciicast v2: a head and one JSON line for each thing that happened."""

import codecs
import gzip
import json
import threading
import time
import zlib
from collections.abc import Iterator
from datetime import datetime

from apps.core import files
from apps.core.masking import Masker
from apps.fleet.terminal.shells import TERM, Size

OUTPUT, INPUT, RESIZE = "o", "i", "r"
PIECE = 256 * 1024


def head_of(*, size: Size, started_at: datetime, title: str) -> bytes:
    """Return the first line of a recording.

    Source: the asciicast v2 file format of asciinema.
    """
    head = {
        "version": 2,
        "width": size.cols,
        "height": size.rows,
        "timestamp": int(started_at.timestamp()),
        "title": title,
        "env": {"TERM": TERM},
    }
    return json.dumps(head).encode() + b"\n"


class CastWriter:
    """Collects what happens in a terminal as lines of a recording. Safe to be called from several threads.

    What may be the beginning of a secret waits for what follows, so that one that is typed letter by letter is masked
    here although it was seen on the screen.

    Args:
        with_input: whether what is typed is recorded too.
    """

    def __init__(self, masker: Masker, *, with_input: bool = False) -> None:
        self.with_input = with_input
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self.waiting = 0  # bytes of the lines
        self._streams = {kind: masker.stream() for kind in (OUTPUT, INPUT)}
        self._decoders = {kind: codecs.getincrementaldecoder("utf-8")("replace") for kind in (OUTPUT, INPUT)}

    def output(self, data: bytes) -> None:
        """Record what the shell wrote."""
        self._add(OUTPUT, data)

    def input(self, data: bytes) -> None:
        """Record what was typed, where that is wanted."""
        if self.with_input:
            self._add(INPUT, data)

    def resized(self, size: Size) -> None:
        """Record that the terminal has another size."""
        with self._lock:
            self._line(RESIZE, f"{size.cols}x{size.rows}")

    def finish(self) -> None:
        """Record what was held back."""
        with self._lock:
            for kind, stream in self._streams.items():
                self._line(kind, self._decoders[kind].decode(stream.flush(), final=True))

    def take(self) -> bytes:
        """Return the lines so far, and forget them."""
        with self._lock:
            lines, self._lines, self.waiting = b"".join(self._lines), [], 0
        return lines

    def _add(self, kind: str, data: bytes) -> None:
        with self._lock:
            self._line(kind, self._decoders[kind].decode(self._streams[kind].feed(data)))

    def _line(self, kind: str, text: str) -> None:
        if not text:
            return
        at = round(time.monotonic() - self._begun, 6)
        line = json.dumps([at, kind, text], ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        self._lines.append(line)
        self.waiting += len(line)


class CastFile:
    """A recording in the file store: gzip members, one for each writing, so that what a crash leaves can be read.

    Raises:
        OSError: the disk is full, or the folder can't be written.
    """

    def __init__(self, name: str) -> None:
        self.written = 0
        self._file = files.create(name)

    def write(self, lines: bytes) -> None:
        """Write lines; they are in the operating system's hands when this returns."""
        data = gzip.compress(lines, 3)
        self.written += len(data)
        while data:
            data = data[self._file.write(data) or 0 :]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_cast(name: str) -> Iterator[bytes]:
    """Yield the text of a recording in pieces; one that breaks off ends with its last whole part.

    Raises:
        FileNotFoundError: it is not kept; raised by the call itself.
    """
    stored = files.read(name)

    def pieces() -> Iterator[bytes]:
        part = zlib.decompressobj(wbits=31)
        for data in stored:
            rest = data
            while rest:
                try:
                    text = part.decompress(rest, PIECE)
                except zlib.error:
                    return
                if text:
                    yield text
                rest = part.unconsumed_tail
                if part.eof:
                    rest, part = part.unused_data, zlib.decompressobj(wbits=31)

    return pieces()
