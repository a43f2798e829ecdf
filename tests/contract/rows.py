"""The contract as data: the given rows, our own, and what is owed."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
#: SHA-256 of the given rows: they are never changed, removed or reordered.
GIVEN_SHA256 = "47024158a34bd972ae1b0f3971ec494dbb1d1a07965517d9449620a16186c560"


@dataclass(frozen=True, slots=True)
class Row:
    """One promise: who may call which method of which path."""

    app: str
    method: str
    path: str
    access: str
    source: str
    request: str
    behaviour: str

    @property
    def key(self) -> tuple[str, str]:
        """Return method and path, parameters' names aside."""
        return self.method, re.sub(r"\{[^}]+\}", "{}", self.path.rstrip("/") or "/")


def _rows(name: str) -> list[Row]:
    lines = (FOLDER / name).read_text().splitlines()
    return [Row(*(part.strip() for part in line.split("|", 6))) for line in lines if line and not line.startswith("#")]


def given() -> list[Row]:
    """Return the rows that were given."""
    return _rows("endpoints.psv")


def own() -> list[Row]:
    """Return the rows that we added (source `own`)."""
    return _rows("own.psv")


def owed() -> set[tuple[str, str]]:
    """Return the given rows that no route offers yet; the list only shrinks."""
    lines = (FOLDER / "owed.txt").read_text().splitlines()
    return {
        (method, path) for method, path in (line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    }


def given_digest() -> str:
    """Return the SHA-256 of the given rows' file."""
    return hashlib.sha256((FOLDER / "endpoints.psv").read_bytes()).hexdigest()
