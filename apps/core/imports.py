"""What every import of other tools' files shares: the files, what became of each thing in them, and the report."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

#: Bytes and number of the files of one import, and the things in them.
BYTES_MOST, FILES_MOST, DRAFTS_MOST = 5 * 1024 * 1024, 50, 2_000
NEW, EXISTS, IMPOSSIBLE = "new", "exists", "impossible"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that was given."""

    name: str
    text: str


@dataclass(slots=True)
class ImportItem:
    """What became, or would become, of one thing of a file.

    Args:
        outcome: "new", "exists" (nothing is made twice) or "impossible"; `reason` says why.
        id: of what was made, or was there already; "" where it would be made.
    """

    place: str
    kind: str
    name: str
    summary: str = ""
    outcome: str = IMPOSSIBLE
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    id: str = ""


Item = TypeVar("Item", bound=ImportItem)


@dataclass(frozen=True)
class ImportReport(Generic[Item]):
    """Every thing of the files, in their order."""

    format: str
    dry_run: bool
    items: Sequence[Item]

    def counts(self) -> dict[str, int]:
        """Return how many there are of each outcome."""
        return {word: sum(item.outcome == word for item in self.items) for word in (NEW, EXISTS, IMPOSSIBLE)}

    def shown(self) -> dict[str, Any]:
        """Return the report as the API shows it."""
        return {
            "format": self.format,
            "dry_run": self.dry_run,
            "counts": self.counts(),
            "items": [asdict(item) for item in self.items],
        }
