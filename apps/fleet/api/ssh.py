"""Views of SSH connections."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.fleet import services
from apps.fleet.api.command_shapes import CommandRunSerializer, CommandWriteSerializer, command_of
from apps.fleet.executors import SshExecutor
from apps.fleet.models import SshConnection
from apps.fleet.selectors.commands import run_body
from apps.fleet.ssh.keys import fingerprint_of
from apps.fleet.states import HostKeyState, Verdict


class SshConnectionSerializer(serializers.Serializer[SshConnection]):
    """An SSH connection, without any credential."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    hostname = serializers.CharField()
    port = serializers.IntegerField()
    username = serializers.CharField()
    auth_method = serializers.ChoiceField(choices=SshConnection.Auth.choices)
    secret_id = serializers.UUIDField(allow_null=True)
    passphrase_secret_id = serializers.UUIDField(allow_null=True)
    sudo_secret_id = serializers.UUIDField(allow_null=True)
    jump_host_id = serializers.UUIDField(allow_null=True)
    connect_timeout_s = serializers.IntegerField()
    keepalive_s = serializers.IntegerField(help_text="0: never.")
    host_key_state = serializers.ChoiceField(choices=HostKeyState.choices)
    host_key_fingerprint = serializers.CharField(help_text="Of the pinned key; empty while it is pending.")
    offered_fingerprint = serializers.CharField(help_text="Of another key that was offered since, and refused.")
    last_tested_at = serializers.DateTimeField(allow_null=True)
    last_result = serializers.ChoiceField(choices=Verdict.choices)
    last_error = serializers.CharField()
    latency_ms = serializers.FloatField(allow_null=True)
    server_version = serializers.CharField()
    revision = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def to_representation(self, instance: SshConnection) -> dict[str, Any]:
        """Return the connection with what its state says."""
        state = instance.state
        prints = {"host_key_fingerprint": state.host_key, "offered_fingerprint": state.offered_key}
        found: dict[str, Any] = {}
        for name, field in self.fields.items():
            if name in prints:
                found[name] = fingerprint_of(prints[name])
                continue
            value = getattr(instance, name) if hasattr(instance, name) else getattr(state, name)
            found[name] = None if value is None else field.to_representation(value)
        return found


class SshConnectionWriteSerializer(serializers.Serializer[SshConnection]):
    """What may be written of an SSH connection."""

    name = serializers.CharField(max_length=100)
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    hostname = serializers.CharField(max_length=255)
    port = serializers.IntegerField(min_value=1, max_value=65535, required=False)
    username = serializers.CharField(max_length=64)
    auth_method = serializers.ChoiceField(choices=SshConnection.Auth.choices, required=False)
    secret_id = serializers.UUIDField(required=False, allow_null=True, help_text="The password or private key.")
    credential = serializers.CharField(
        max_length=65_536, required=False, write_only=True, trim_whitespace=False,
        help_text="The password or private key itself; put into the vault.",
    )  # fmt: skip
    passphrase_secret_id = serializers.UUIDField(required=False, allow_null=True)
    passphrase = serializers.CharField(
        max_length=1024, required=False, write_only=True, trim_whitespace=False,
        help_text="Of the private key; put into the vault.",
    )  # fmt: skip
    sudo_secret_id = serializers.UUIDField(required=False, allow_null=True)
    sudo_password = serializers.CharField(
        max_length=1024, required=False, write_only=True, trim_whitespace=False,
        help_text="Answers sudo's prompt; put into the vault.",
    )  # fmt: skip
    jump_host_id = serializers.UUIDField(required=False, allow_null=True)
    host_key = serializers.CharField(
        max_length=8192, required=False, allow_blank=True,
        help_text="A line as in known_hosts; the first test pins what it meets where this is absent.",
    )  # fmt: skip
    connect_timeout_s = serializers.IntegerField(min_value=1, max_value=120, required=False)
    keepalive_s = serializers.IntegerField(min_value=0, max_value=3600, required=False)


class SshPhaseSerializer(serializers.Serializer[Any]):
    """A step of a connection that went well."""

    host = serializers.CharField()
    phase = serializers.CharField()
    ms = serializers.FloatField()


class SshTestSerializer(serializers.Serializer[Any]):
    """What a test found."""

    ok = serializers.BooleanField()
    latency_ms = serializers.FloatField()
    server_version = serializers.CharField()
    host_key_fingerprint = serializers.CharField()
    offered_fingerprint = serializers.CharField(help_text="Of a key that was refused because another one is pinned.")
    pinned_now = serializers.BooleanField()
    reason = serializers.CharField(help_text="Why not, e.g. host_key_changed; empty where all went well.")
    phase = serializers.CharField(help_text="Where it stopped: connect, handshake, host key, sign in.")
    error = serializers.CharField()
    phases = SshPhaseSerializer(many=True)


class AcceptHostKeySerializer(serializers.Serializer[Any]):
    """Which key is accepted."""

    fingerprint = serializers.CharField(max_length=100, help_text="Of the key that was offered, as you compared it.")


_EXAMPLE = OpenApiExample(
    "A key and a jump host",
    value={
        "name": "web 1",
        "hostname": "10.0.0.5",
        "username": "deploy",
        "auth_method": "key",
        "secret_id": "0190a3c4-0000-7000-8000-000000000000",
        "jump_host_id": "0190a3c4-0000-7000-8000-000000000001",
    },
    request_only=True,
)


@extend_schema_view(
    list=extend_schema(operation_id="ssh_connections_list", summary="List SSH connections"),
    retrieve=extend_schema(operation_id="ssh_connections_get", summary="Get an SSH connection"),
)
class SshConnectionViewSet(ApiViewSet):
    """SSH connections."""

    queryset = SshConnection.objects.select_related("state").order_by("name", "id")
    serializer_class = SshConnectionSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "ssh_connections:view",
        "retrieve": "ssh_connections:view",
        "create": "ssh_connections:create",
        "partial_update": "ssh_connections:update",
        "destroy": "ssh_connections:delete",
        "test": "ssh_connections:test",
        "execute": "ssh_connections:execute",
        "accept_host_key": "ssh_connections:trust",
    }

    @extend_schema(
        operation_id="ssh_connections_create",
        summary="Add an SSH connection",
        request=SshConnectionWriteSerializer,
        responses={201: SshConnectionSerializer},
        examples=[_EXAMPLE],
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a connection; what is given as a credential goes into the vault."""
        values = clean(SshConnectionWriteSerializer, request.data)
        row = services.create_connection(actor=self.principal(), values=values)
        return with_etag(Response(SshConnectionSerializer(row).data, status=201), row)

    @extend_schema(
        operation_id="ssh_connections_update",
        summary="Change an SSH connection",
        request=SshConnectionWriteSerializer(partial=True),
        responses=SshConnectionSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Change the named fields; `If-Match` is honoured. What is kept open of it is closed."""
        row = self.get_object()
        services.update_connection(
            actor=self.principal(),
            connection_id=row.id,
            values=clean(SshConnectionWriteSerializer, request.data, partial=True),
            revision=expected_revision(request, row),
        )
        row = self.get_object()
        return with_etag(Response(SshConnectionSerializer(row).data), row)

    @extend_schema(operation_id="ssh_connections_delete", summary="Remove an SSH connection", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a connection that no server and no other connection uses."""
        row = self.get_object()
        expected_revision(request, row)
        services.delete_connection(actor=self.principal(), connection_id=row.id)
        return Response(status=204)

    @extend_schema(
        operation_id="ssh_connections_test",
        summary="Test an SSH connection",
        description="Pins the host key on first use. A changed one is refused before anything is sent to the machine.",
        request=None,
        responses=SshTestSerializer,
    )
    @action(detail=True, methods=["post"])
    def test(self, request: Request, id: str) -> Response:
        """Connect and sign in; a fault is part of the answer."""
        report = services.test_connection(actor=self.principal(), connection_id=self.get_object().id)
        return Response(SshTestSerializer(report).data)

    @extend_schema(
        operation_id="ssh_connections_execute",
        summary="Run a command over an SSH connection",
        request=CommandWriteSerializer,
        responses=CommandRunSerializer,
    )
    @action(detail=True, methods=["post"])
    def execute(self, request: Request, id: str) -> Response:
        """Run a command and wait for its end; answers as POST /commands."""
        row = self.get_object()
        run = services.run_command(
            actor=self.principal(),
            executor=SshExecutor(row, self.principal()),
            command=command_of(request.data, self.principal()),
            ssh_connection=row,
        )
        return Response(run_body(run))

    @extend_schema(
        operation_id="ssh_connections_accept_host_key",
        summary="Accept a changed host key",
        request=AcceptHostKeySerializer,
        responses=SshConnectionSerializer,
    )
    @action(detail=True, methods=["post"], url_path="accept-host-key")
    def accept_host_key(self, request: Request, id: str) -> Response:
        """Pin the key that was offered and refused; the fingerprint says which one you have compared."""
        row = services.accept_host_key(
            actor=self.principal(),
            connection_id=self.get_object().id,
            fingerprint=clean(AcceptHostKeySerializer, request.data)["fingerprint"],
        )
        return with_etag(Response(SshConnectionSerializer(row).data), row)
