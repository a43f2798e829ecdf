"""What every importer of machines takes and gives."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from apps.core.imports import SourceFile
from apps.core.registries import Registry

CONNECTION, SERVER, HOST_KEY = "SSH connection", "server", "host key"
KINDS = (CONNECTION, SERVER, HOST_KEY)
_JUMP = re.compile(r"(?:(?P<user>[^@\s]+)@)?(?P<host>\[[^\]]+\]|[^:\s]+)(?::(?P<port>\d+))?")


class ImportFault(Exception):
    """A file can't be read; the text says where and why."""


@dataclass(slots=True)
class Draft:
    """One thing of a file. Everything in it is plain and none of it is a credential.

    Args:
        place: where it stands, in words: "line 12".
        values: of a connection hostname, port, username and the like, `jump` (a name or address), `tags`; of a host
            key `host_key`, `hosts`.
        notes: what is not carried over, each in a sentence.
        problem: why it can't be made; "" where it can.
    """

    place: str
    kind: str
    name: str
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""


class Importer(Protocol):
    """A format.

    Attributes:
        label: what people call it.
        help: one sentence: which file to give.
    """

    label: str
    help: str

    def read(self, files: Sequence[SourceFile]) -> list[Draft]:
        """Return everything in the files, in their order.

        Raises:
            ImportFault: a file is not of this format; what is wrong with one thing alone is its `problem`.
        """
        ...


importers: Registry[Importer] = Registry("importer of machines")
T = TypeVar("T")


def register(name: str) -> Callable[[type[T]], type[T]]:
    """Register a class as the importer of the format `name`."""

    def add(cls: type[T]) -> type[T]:
        importers.register(name, cls())  # type: ignore[arg-type]
        return cls

    return add


def port_of(text: Any) -> int | None:
    """Return a port, None where it is none."""
    number = int(text) if str(text).isascii() and str(text).isdigit() and len(str(text)) < 6 else 0
    return number if 1 <= number <= 65535 else None


def last_jump(text: str) -> tuple[str, list[str]]:
    """Return the jump host next to the machine, of a list as `ProxyJump` takes it, and notes."""
    hops = [hop.strip().removeprefix("ssh://") for hop in text.split(",") if hop.strip()]
    if not hops:
        return "", []
    notes = []
    if len(hops) > 1:
        notes.append(
            f"Of the jump hosts {', '.join(hops)} the last one is taken; its own way there is its own setting."
        )
    return hops[-1], notes


def jump_parts(text: str) -> tuple[str, str, int | None]:
    """Return user ("" for none), host and port of a jump host as `ProxyJump` writes it."""
    found = _JUMP.fullmatch(text)
    if found is None:
        return "", text, None
    return found["user"] or "", found["host"].strip("[]"), port_of(found["port"]) if found["port"] else None
