"""Everything that is sealed, of all apps: by which key, whether it opens, and sealing it anew while all goes on.

Sealing anew needs no notes of its own: a value names its key, so what is left to do is counted, and a run that was
killed is taken up by the next one.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import Count, F, TextField, Value
from django.db.models.functions import Left
from django.db.models.lookups import Exact

from apps.core import crypto
from apps.core.fields import SealedTextField, SealedToken, sealed_fields
from apps.core.models import Canary

#: "wk1.", the key's eight digits, "."
_HEAD = len(crypto.PREFIX) + 10
BATCH = 100
SAMPLE = 20
TELL = 3


@dataclass(frozen=True, slots=True)
class Column:
    """A column of sealed values."""

    model: type[models.Model]
    field: SealedTextField

    @property
    def name(self) -> str:
        """Return "table.column"."""
        return f"{self.model._meta.db_table}.{self.field.column}"

    def rows(self) -> Any:
        """Return the rows that hold a value, each with the head of its token as `sealed_head`."""
        head = Left(F(self.field.attname), _HEAD, output_field=TextField())
        return self.model._base_manager.annotate(sealed_head=head).exclude(sealed_head="").exclude(sealed_head=None)


@dataclass(slots=True)
class Resealed:
    """What a run of sealing anew did."""

    done: int = 0
    left: int = 0
    broken: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Opened:
    """What became of a sample."""

    opened: int = 0
    broken: list[str] = field(default_factory=list)

    def told(self) -> str:
        """Return the first faults in one line."""
        return "; ".join(self.broken[:TELL])


def sealed_columns() -> list[Column]:
    """Return every column of sealed values, of all apps."""
    return [
        Column(model, one)
        for model in apps.get_models()
        if not model._meta.proxy and model._meta.managed
        for one in sealed_fields(model)
    ]


def count_by_key() -> dict[str, dict[str, int]]:
    """Return by column how many values each key has sealed; "?" stands for what is no sealed value."""
    found: dict[str, dict[str, int]] = {}
    for column in sealed_columns():
        counted: dict[str, int] = {}
        heads = column.rows().order_by().values("sealed_head").annotate(n=Count("*"))
        for head, number in heads.values_list("sealed_head", "n"):
            parts = head.split(".")
            key = parts[1] if len(parts) == 3 and parts[0] == crypto.PREFIX and len(parts[1]) == 8 else "?"
            counted[key] = counted.get(key, 0) + number
        found[column.name] = counted
    return found


def totals_by_key() -> dict[str, int]:
    """Return how many values each key has sealed, over all columns, the canary included."""
    found: dict[str, int] = {}
    for counted in count_by_key().values():
        for key, number in counted.items():
            found[key] = found.get(key, 0) + number
    for token in Canary.objects.values_list("token", flat=True):
        key = crypto.sealed_key_id(token) if crypto.is_sealed(token) else "?"
        found[key] = found.get(key, 0) + 1
    return found


def left_to_reseal() -> int:
    """Return how many values have another key than the current one."""
    current = crypto.current_key_id()
    return sum(number for key, number in totals_by_key().items() if key != current)


def reseal_everything(
    *, progress: Callable[[str, int, int], None] = lambda name, done, total: None, pause_s: float = 0.01
) -> Resealed:
    """Seal every value with the current key, in short transactions, while everything goes on.

    A value that somebody changes meanwhile is left to them: what they write has the current key.

    Args:
        progress: called with a column, how many values are done in all and how many there were to do.
        pause_s: between two batches, so that other writers get in.
    """
    result = Resealed()
    total = left_to_reseal()
    result.done += _reseal_canary()
    for column in sealed_columns():
        for done, broken in _reseal_column(column):
            result.done += done
            result.broken += broken
            progress(column.name, result.done, max(total, result.done))
            time.sleep(pause_s)
    result.left = left_to_reseal()
    return result


def _reseal_canary() -> int:
    done = 0
    for row in Canary.objects.all():
        if crypto.sealed_key_id(row.token) != crypto.current_key_id():
            crypto.check_canary(row.token)
            done += Canary.objects.filter(pk=row.pk, token=row.token).update(token=crypto.make_canary())
    return done


def _reseal_column(column: Column) -> Iterator[tuple[int, list[str]]]:
    last: Any = None
    current = f"{crypto.PREFIX}.{crypto.current_key_id()}."
    while True:
        rows = column.rows().exclude(sealed_head=current).order_by("pk")
        if last is not None:
            rows = rows.filter(pk__gt=last)
        # Read and computed outside of the transaction: the write lock is held for the updates alone.
        batch = list(rows.values_list("pk", column.field.attname)[:BATCH])
        if not batch:
            return
        last = batch[-1][0]
        fresh: list[tuple[Any, str, SealedToken]] = []
        broken: list[str] = []
        for key, token in batch:
            context = column.field.context_of(key)
            try:
                fresh.append((key, str(token), SealedToken(crypto.seal(crypto.unseal(str(token), context), context))))
            except crypto.CryptoError as error:
                broken.append(f"{column.name} of {key}: {error}")
        yield _write(column, fresh), broken


def _write(column: Column, fresh: list[tuple[Any, str, SealedToken]]) -> int:
    written = 0
    name = column.field.attname
    with transaction.atomic():
        for key, token, sealed in fresh:
            unchanged = Exact(F(name), Value(token, output_field=TextField()))
            written += column.model._base_manager.filter(pk=key).filter(unchanged).update(**{name: sealed})
    return written


def open_sample(*, sample: int = SAMPLE) -> Opened:
    """Open some values of every column, chosen at random."""
    result = Opened()
    for column in sealed_columns():
        for key, token in column.rows().order_by("?").values_list("pk", column.field.attname)[:sample]:
            try:
                crypto.unseal(str(token), column.field.context_of(key))
                result.opened += 1
            except crypto.CryptoError as error:
                result.broken.append(f"{column.name} of {key}: {error}")
    return result
