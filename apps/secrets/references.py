"""Who uses which secret. Apps above register a finder; a secret that is in use can't be removed.

    def find(secret_ids):
        for row in Target.objects.filter(secret_id__in=secret_ids):
            yield row.secret_id, "ssh_target", str(row.id), row.name

    references.register("ssh_target", find)

A finder may leave the secret's id out, `(kind, id, name)`: then it is asked for one secret at a time.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple
from uuid import UUID

from apps.core.registries import Registry

Finder = Callable[[Collection[UUID]], Iterable[tuple[Any, ...]]]

finders: Registry[Finder] = Registry("finder of secrets' users")


class Reference(NamedTuple):
    """A thing that uses a secret."""

    kind: str
    id: str
    name: str


def register(kind: str, finder: Finder) -> None:
    """Register what finds the things of a kind that use secrets."""
    finders.register(kind, finder)


def users_of(secret_ids: Collection[UUID]) -> dict[UUID, list[Reference]]:
    """Return by secret what uses it; one question to each finder that names the secret in its answers."""
    found: dict[UUID, list[Reference]] = {key: [] for key in secret_ids}
    for _, finder in finders.items():
        short: list[tuple[Any, ...]] = []
        for row in finder(list(secret_ids)):
            if len(row) == 4:
                found[UUID(str(row[0]))].append(Reference(str(row[1]), str(row[2]), str(row[3])))
            else:
                short.append(row)
        if short:
            one_by_one = secret_ids if len(secret_ids) > 1 else ()
            for key in one_by_one:
                found[key] += [Reference(str(row[0]), str(row[1]), str(row[2])) for row in finder([key])]
            if not one_by_one:
                only = next(iter(secret_ids))
                found[only] += [Reference(str(row[0]), str(row[1]), str(row[2])) for row in short]
    return found


def users_of_one(secret_id: UUID) -> list[Reference]:
    """Return what uses one secret, by kind and name."""
    return sorted(users_of([secret_id])[secret_id], key=lambda one: (one.kind, one.name, one.id))
