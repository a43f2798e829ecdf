"""What every importer takes and gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from apps.core.imports import SourceFile
from apps.core.registries import Registry

ENDPOINT, HEARTBEAT, MAINTENANCE = "endpoint", "heartbeat", "maintenance window"


class ImportFault(Exception):
    """Something in a file can't be read; the text says where and what."""


@dataclass(slots=True)
class Draft:
    """One thing of a file.

    Args:
        place: where it stands, in words: "monitor 3", "line 12".
        kind: ENDPOINT, HEARTBEAT, MAINTENANCE, or the noun of something that can't be made.
        values: as the service takes them that makes it.
        notes: what is not carried over, or turns out otherwise, each in a sentence.
        problem: why it can't be made; "" where it can.
        key: its name among its neighbours, for `members`.
        members: keys of the endpoints that a group, or a maintenance window, is about.
        snippet: the address of the heartbeat that was made -> what to put into the job.
    """

    place: str
    kind: str
    name: str
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    key: str = ""
    members: list[str] = field(default_factory=list)
    snippet: Callable[[str], str] | None = None


class Importer(Protocol):
    """A format.

    Attributes:
        label: what people call it.
        help: one sentence: which file to give.
        extensions: as the file chooser offers them, e.g. ".json".
    """

    label: str
    help: str
    extensions: tuple[str, ...]

    def read(self, files: Sequence[SourceFile]) -> list[Draft]:
        """Return everything in the files, in their order.

        Raises:
            ImportFault: a file is not of this format; what is wrong with one thing alone is its `problem`.
        """
        ...


importers: Registry[Importer] = Registry("importer")
T = TypeVar("T")


def register(name: str) -> Callable[[type[T]], type[T]]:
    """Register a class as the importer of the format `name`."""

    def add(cls: type[T]) -> type[T]:
        importers.register(name, cls())  # type: ignore[arg-type]
        return cls

    return add
