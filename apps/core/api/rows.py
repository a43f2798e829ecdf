"""Serializers of rows in long lists: what a column holds in its type already is not converted again."""

from collections.abc import Callable
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeVar

from django.utils.functional import cached_property
from rest_framework import serializers
from rest_framework.fields import empty

T = TypeVar("T")

_AS_IT_IS = {
    serializers.BooleanField, serializers.CharField, serializers.ChoiceField, serializers.FloatField,
    serializers.IntegerField, serializers.JSONField,
}  # fmt: skip


class RowSerializer(serializers.Serializer[T]):
    """A serializer for rows whose columns have the types of its fields.

    The field classes ask of each value again what it is and where it comes from, which costs more than reading fifty
    rows. Here that is settled once for a list; fields of other classes do their own work as ever.
    """

    @cached_property
    def _columns(self) -> list[tuple[str, Callable[[Any], Any], Callable[[Any], Any] | None]]:
        return [(name, *_way(self, field)) for name, field in self.fields.items() if not field.write_only]

    def to_representation(self, instance: T) -> dict[str, Any]:
        """Return the row as the answer holds it."""
        found: dict[str, Any] = {}
        for name, read, convert in self._columns:
            value = read(instance)
            found[name] = value if convert is None or value is None else convert(value)
        return found


def _way(serializer: Any, field: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any] | None]:
    """Return how a field's value is read of a row, and how it is converted, if at all."""
    if type(field) is serializers.SerializerMethodField:
        return getattr(serializer, field.method_name), None
    read = attrgetter(field.source)
    kind = type(field.child) if type(field) is serializers.ListField else type(field)
    if kind in _AS_IT_IS:
        return read, None
    if kind is serializers.UUIDField:
        return read, str
    if kind is serializers.DateTimeField and getattr(field, "format", empty) is empty:
        return read, _moment
    return read, field.to_representation


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
