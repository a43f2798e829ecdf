"""Bodies of commands."""

from typing import Any

from rest_framework import serializers

from apps.core.api.views import clean
from apps.core.principals import Principal
from apps.fleet import services
from apps.fleet.commands import Command
from apps.fleet.states import RunStatus


class CommandWriteSerializer(serializers.Serializer[Any]):
    """A command to run."""

    command = serializers.CharField(
        trim_whitespace=False, help_text="Handed to the machine's shell exactly as it is; at most 64 KiB."
    )
    timeout = serializers.FloatField(required=False, help_text="Seconds, default 60, most 3600.")
    stdin = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False, help_text="At most 1 MiB; not kept."
    )
    env = serializers.DictField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False),
        required=False,
        help_text="Variables; they reach the command and stand in no list of processes. Their values are not kept. "
        "Over SSH this needs a POSIX shell on the machine.",
    )
    env_secrets = serializers.DictField(
        child=serializers.CharField(max_length=255),
        required=False,
        help_text="Variables whose values are secrets of the vault, by name or id: read when it runs, masked in the "
        "output, kept nowhere. Needs `secrets:view`.",
    )
    sudo = serializers.BooleanField(
        required=False, help_text="Run it as root through sudo, over SSH; takes neither stdin nor env."
    )


class CommandSummarySerializer(serializers.Serializer[Any]):
    """A command that was run."""

    command_id = serializers.UUIDField()
    batch_id = serializers.UUIDField(allow_null=True, help_text="The command on many servers that it is a part of.")
    server_id = serializers.UUIDField(allow_null=True)
    ssh_connection_id = serializers.UUIDField(allow_null=True)
    target = serializers.CharField()
    executor = serializers.CharField(help_text="How the machine is reached: agent, ssh or local.")
    command = serializers.CharField()
    status = serializers.ChoiceField(choices=RunStatus.choices)
    exit_code = serializers.IntegerField(allow_null=True, help_text="Null while it runs, and where a signal ended it.")
    signal = serializers.CharField(help_text="E.g. KILL.")
    error = serializers.CharField(help_text="Why it could not be run, or how it ended is not known.")
    output_bytes = serializers.IntegerField(help_text="Of all output, kept or not.")
    kept_bytes = serializers.IntegerField(help_text="Of the output, what can be downloaded.")
    output_note = serializers.CharField(help_text="Why the rest of the output was not kept.")
    is_binary = serializers.BooleanField()
    sudo = serializers.BooleanField()
    env_names = serializers.ListField(child=serializers.CharField())
    env_secrets = serializers.DictField(child=serializers.UUIDField(), help_text="Variable to id of its secret.")
    timeout_s = serializers.FloatField()
    user = serializers.CharField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_ms = serializers.FloatField(allow_null=True)


class CommandRunSerializer(CommandSummarySerializer):
    """A command that was run, with its output."""

    output = serializers.CharField(help_text="Both streams as one; the first MiB.")
    is_cut = serializers.BooleanField(help_text="Whether `output` lacks some; download it for all that is kept.")


class CommandListSerializer(serializers.Serializer[Any]):
    """A page of runs."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = CommandSummarySerializer(many=True)


def command_of(data: Any, principal: Principal) -> Command:
    """Return the command of a body.

    Raises:
        Invalid: which part is wrong (422). Forbidden: it names secrets, and the caller may not (403).
    """
    values = clean(CommandWriteSerializer, data)
    return services.cleaned_command(
        text=values["command"],
        timeout_s=values.get("timeout"),
        stdin=values.get("stdin", ""),
        env=values.get("env"),
        env_secrets=values.get("env_secrets"),
        sudo=values.get("sudo", False),
        actor=principal,
    )
