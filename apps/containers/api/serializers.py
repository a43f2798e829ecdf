"""Shapes of containers."""

from typing import Any

from rest_framework import serializers

from apps.containers.services import STOP_MOST_S, STOP_S


class PortSerializer(serializers.Serializer[Any]):
    """A port of a container."""

    private_port = serializers.IntegerField()
    public_port = serializers.IntegerField(required=False, help_text="The host's port; absent where it is not open.")
    type = serializers.CharField(help_text="tcp, udp or sctp.")


class ContainerSerializer(serializers.Serializer[Any]):
    """A container, as the server's newest sample says it."""

    id = serializers.CharField(help_text="The first twelve characters.")
    name = serializers.CharField()
    image = serializers.CharField()
    state = serializers.CharField(help_text="running, exited, created, paused, restarting, removing or dead.")
    status = serializers.CharField(help_text="For people: `Up 2 hours (healthy)`.")
    created = serializers.DateTimeField(allow_null=True)
    ports = PortSerializer(many=True)
    project = serializers.CharField(help_text="Project of Docker Compose; empty where it has none.")
    service = serializers.CharField(help_text="Its service there.")


class ContainerListSerializer(serializers.Serializer[Any]):
    """A page of a server's containers."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    available = serializers.BooleanField(help_text="Whether an engine answers there.")
    reason = serializers.CharField(help_text="Why not, where that is known.")
    total = serializers.IntegerField(help_text="How many there are; a sample holds 200 of them.")
    timestamp = serializers.DateTimeField(allow_null=True, help_text="When the server said so.")
    server_id = serializers.UUIDField()
    agent_id = serializers.CharField()
    results = ContainerSerializer(many=True)


class StopSerializer(serializers.Serializer[Any]):
    """How a container is stopped."""

    timeout = serializers.IntegerField(
        default=STOP_S, min_value=0, max_value=STOP_MOST_S, help_text="After so many seconds it is killed."
    )


class TouchedContainerSerializer(serializers.Serializer[Any]):
    """The container afterwards."""

    id = serializers.CharField()
    name = serializers.CharField()
    image = serializers.CharField()
    state = serializers.CharField()


class ContainerActionSerializer(serializers.Serializer[Any]):
    """What was done."""

    status = serializers.ChoiceField(["success"])
    message = serializers.CharField()
    container = TouchedContainerSerializer()


class ContainerLogsSerializer(TouchedContainerSerializer):
    """The last lines of a container."""

    lines = serializers.ListField(child=serializers.CharField(), help_text="Oldest first, of both streams.")
    is_cut = serializers.BooleanField(help_text="Some were too long, or too many for one answer.")
    note = serializers.CharField(help_text="What was left out, for people; empty where nothing was.")
