"""Shapes of dependencies."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.monitors.models import Dependency
from apps.monitors.services.dependencies import Link, name_of


class ThingSerializer(serializers.Serializer[Any]):
    """A thing by kind, id and name."""

    kind = serializers.CharField()
    id = serializers.CharField()
    name = serializers.CharField()


class DependencySerializer(serializers.Serializer[Dependency]):
    """A dependency that people said."""

    id = serializers.UUIDField()
    child = serializers.SerializerMethodField()
    parent = serializers.SerializerMethodField()  # type: ignore[assignment]  # a field's name, not the tree's
    note = serializers.CharField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(ThingSerializer)
    def get_child(self, row: Dependency) -> dict[str, str]:
        """Return what depends."""
        return self._thing(row.child_kind, row.child_id)

    @extend_schema_field(ThingSerializer)
    def get_parent(self, row: Dependency) -> dict[str, str]:
        """Return what it depends on."""
        return self._thing(row.parent_kind, row.parent_id)

    def _thing(self, kind: str, id: str) -> dict[str, str]:
        names: dict[tuple[str, str], str] = self.context.get("names") or {}
        return {"kind": kind, "id": id, "name": names.get((kind, id)) or name_of(kind, id)}


class DependencyWriteSerializer(serializers.Serializer[Any]):
    """A dependency as it is sent."""

    child_kind = serializers.CharField(max_length=32, help_text="endpoint, heartbeat, certificate, server")
    child_id = serializers.CharField(max_length=64)
    parent_kind = serializers.CharField(max_length=32)
    parent_id = serializers.CharField(max_length=64, help_text="A server's slug does as well.")
    note = serializers.CharField(required=False, allow_blank=True, max_length=255, default="")


class LinkSerializer(serializers.Serializer[Link]):
    """One dependency as seen from one end."""

    kind = serializers.CharField()
    id = serializers.CharField()
    name = serializers.SerializerMethodField()
    manual = serializers.BooleanField(source="is_manual", help_text="said by people; else it follows from an address")
    dependency_id = serializers.SerializerMethodField()
    note = serializers.CharField()

    def get_name(self, link: Link) -> str:
        """Return the thing's name."""
        names: dict[tuple[str, str], str] = self.context.get("names") or {}
        return names.get((link.kind, link.id)) or name_of(link.kind, link.id)

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_dependency_id(self, link: Link) -> str | None:
        """Return the id to take it back with."""
        return link.dependency_id or None


class LinksSerializer(serializers.Serializer[Any]):
    """What a thing depends on, and what depends on it."""

    kind = serializers.CharField()
    id = serializers.CharField()
    name = serializers.CharField()
    parents = LinkSerializer(many=True)
    children = LinkSerializer(many=True, help_text="at most 500")
