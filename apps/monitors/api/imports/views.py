"""Import of monitors over REST."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiView, clean
from apps.core.errors import Forbidden, Invalid
from apps.core.imports import BYTES_MOST, FILES_MOST, SourceFile
from apps.monitors.importers import importers
from apps.monitors.services.imports import import_monitors


class ImportFileSerializer(serializers.Serializer[Any]):
    """One file."""

    name = serializers.CharField(required=False, max_length=255, help_text="for messages")
    content = serializers.CharField(trim_whitespace=False, allow_blank=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A crontab, to look at first",
            value={"format": "crontab", "contents": ["30 2 * * * /usr/local/bin/backup.sh\n"], "dry_run": True},
            request_only=True,
        )
    ]
)
class ImportSerializer(serializers.Serializer[Any]):
    """What to import: `contents` (texts), or `files` where names matter in messages."""

    format = serializers.ChoiceField(choices=list(importers))
    contents = serializers.ListField(
        child=serializers.CharField(trim_whitespace=False, allow_blank=True), required=False,
        help_text=f"texts of files, at most {FILES_MOST} and {BYTES_MOST >> 20} MB together; those of Gatus are merged",
    )  # fmt: skip
    files = ImportFileSerializer(many=True, required=False)
    dry_run = serializers.BooleanField(default=True, help_text="true: make nothing, and tell what would be made")

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Take one text as `content` too."""
        if isinstance(data, dict) and isinstance(data.get("content"), str):
            data = {**data, "contents": [data["content"]]}
        values: dict[str, Any] = super().to_internal_value(data)
        return values


class ImportItemSerializer(serializers.Serializer[Any]):
    """What became, or would become, of one thing of the files."""

    place = serializers.CharField(help_text="where it stands in the files")
    kind = serializers.CharField(help_text="endpoint, heartbeat, maintenance window, or what can't be made")
    name = serializers.CharField()
    summary = serializers.CharField()
    outcome = serializers.ChoiceField(choices=["new", "exists", "impossible"])
    reason = serializers.CharField(help_text="why it is not made")
    notes = serializers.ListField(child=serializers.CharField(), help_text="what is not carried over")
    id = serializers.CharField(help_text="of what was made or was there; empty in a dry run")
    url = serializers.CharField(help_text="where a job reports to; of pushed results shown only this once")
    snippet = serializers.CharField(help_text="what to put into the job")


class ImportCountsSerializer(serializers.Serializer[Any]):
    """How many there are of each outcome."""

    new = serializers.IntegerField()
    exists = serializers.IntegerField()
    impossible = serializers.IntegerField()


class ImportReportSerializer(serializers.Serializer[Any]):
    """Every thing of the files, in their order."""

    format = serializers.CharField()
    dry_run = serializers.BooleanField()
    counts = ImportCountsSerializer()
    items = ImportItemSerializer(many=True)


class ImportView(ApiView):
    """Monitors of other tools."""

    codes: ClassVar[dict[str, str]] = {"post": "endpoints:create"}

    @extend_schema(
        operation_id="monitors_import",
        summary="Import monitors of another tool",
        request=ImportSerializer,
        responses=ImportReportSerializer,
    )
    def post(self, request: Request) -> Response:
        """Tell what the files would make or, with `dry_run` false, make it: each thing whole or not at all.

        What is there already is recognised by type, target and name, so a second import makes nothing twice.
        """
        actor = self.principal()
        if not actor.can("heartbeats:create"):
            raise Forbidden("This needs the permission heartbeats:create too.")
        values = clean(ImportSerializer, request.data)
        files = [
            SourceFile(one.get("name") or f"file {number}", one["content"])
            for number, one in enumerate(values.get("files") or [], 1)
        ]
        texts = values.get("contents") or []
        if files and texts:
            raise Invalid({"contents": "give either contents or files"})
        files += [
            SourceFile(f"content {number}" if len(texts) > 1 else "content", text)
            for number, text in enumerate(texts, 1)
        ]
        report = import_monitors(actor=actor, format=values["format"], files=files, dry_run=values["dry_run"])
        return Response(report.shown())
