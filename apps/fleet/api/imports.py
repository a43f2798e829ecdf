"""Import of machines over REST."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiView, clean
from apps.core.errors import Invalid
from apps.core.imports import BYTES_MOST, FILES_MOST, SourceFile
from apps.fleet.importers import importers
from apps.fleet.services.ssh_imports import import_machines, read_machines
from apps.fleet.states import IMPORT_OUTCOMES


class MachineFileSerializer(serializers.Serializer[Any]):
    """One file."""

    name = serializers.CharField(required=False, max_length=255, help_text="For messages.")
    content = serializers.CharField(trim_whitespace=False, allow_blank=True)


class MachineImportSerializer(serializers.Serializer[Any]):
    """What to import: `contents` (texts), or `files` where names matter in messages."""

    format = serializers.ChoiceField(choices=[(name, one.label) for name, one in importers.items()])
    contents = serializers.ListField(
        child=serializers.CharField(trim_whitespace=False, allow_blank=True),
        required=False,
        help_text=f"Texts of files, at most {FILES_MOST} and {BYTES_MOST >> 20} MB together.",
    )
    files = MachineFileSerializer(many=True, required=False)
    dry_run = serializers.BooleanField(default=True, help_text="True: make nothing, and tell what would be made.")
    username = serializers.CharField(
        required=False, allow_blank=True, max_length=64, help_text="For machines whose file names none."
    )
    secret_id = serializers.UUIDField(
        required=False, allow_null=True, help_text="Password or key that signs in everywhere; else the SSH agent does."
    )


class MachineItemSerializer(serializers.Serializer[Any]):
    """What became, or would become, of one thing of the files."""

    place = serializers.CharField()
    kind = serializers.CharField(help_text="SSH connection, server, or host key.")
    name = serializers.CharField()
    summary = serializers.CharField()
    outcome = serializers.ChoiceField(choices=IMPORT_OUTCOMES)
    reason = serializers.CharField(help_text="Why it is not made.")
    notes = serializers.ListField(child=serializers.CharField(), help_text="What is not brought along.")
    id = serializers.CharField(help_text="Of what was made or was there; empty in a dry run.")


class MachineCountsSerializer(serializers.Serializer[Any]):
    """How many there are of each outcome."""

    new = serializers.IntegerField()
    exists = serializers.IntegerField()
    impossible = serializers.IntegerField()


class MachineReportSerializer(serializers.Serializer[Any]):
    """Every thing of the files, in their order."""

    format = serializers.CharField()
    dry_run = serializers.BooleanField()
    counts = MachineCountsSerializer()
    items = MachineItemSerializer(many=True)


class MachineImportView(ApiView):
    """Machines of other tools."""

    codes: ClassVar[dict[str, str]] = {"post": "ssh_connections:create"}
    idempotent_actions: ClassVar[frozenset[str]] = frozenset()  # a second import makes nothing twice anyway

    @extend_schema(
        operation_id="ssh_connections_import",
        summary="Import machines of another tool",
        request=MachineImportSerializer,
        responses=MachineReportSerializer,
        examples=[
            OpenApiExample(
                "A configuration, to look at first",
                value={"format": "ssh_config", "contents": ["Host web\n  HostName 10.0.0.5\n  User deploy\n"]},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Tell what the files would make or, with `dry_run` false, make it: each thing whole or not at all.

        No credential is taken from a file.
        """
        values = clean(MachineImportSerializer, request.data)
        files = [
            SourceFile(one.get("name") or f"file {n}", one["content"])
            for n, one in enumerate(values.get("files") or [], 1)
        ]
        texts = values.get("contents") or []
        if files and texts:
            raise Invalid({"contents": "give either contents or files"})
        files += [SourceFile(f"content {n}" if len(texts) > 1 else "content", text) for n, text in enumerate(texts, 1)]
        report = import_machines(
            actor=self.principal(),
            format=values["format"],
            drafts=read_machines(values["format"], files),
            dry_run=values["dry_run"],
            username=values.get("username", ""),
            secret_id=values.get("secret_id"),
        )
        return Response(report.shown())
