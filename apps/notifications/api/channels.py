"""Channels."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.core.errors import NotFound
from apps.core.fields import MASK
from apps.notifications import selectors, services
from apps.notifications.api.serializers import (
    ChannelBody,
    ChannelSerializer,
    RuleBody,
    RuleSerializer,
    TransportSerializer,
    TrialSerializer,
    channel_values,
    rule_values,
)
from apps.notifications.models import Channel
from apps.notifications.transports import transports

_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)
_EXAMPLES = [
    OpenApiExample(
        "Signed webhook",
        {"name": "On call", "type": "webhook", "config": {"url": "https://hooks.example.org/wk", "secret": "whsec_…"}},
        request_only=True,
    ),
    OpenApiExample(
        "Email",
        {
            "name": "Operations",
            "type": "email",
            "config": {
                "host": "mail.example.org", "username": "watch", "password": "…", "from": "watch@example.org",
                "to": ["ops@example.org"],
            },
        },
        request_only=True,
    ),
]  # fmt: skip


class ChannelViewSet(ApiViewSet):
    """Ways to tell a group of people. The same rows under both paths."""

    queryset = selectors.channels_with_state()
    serializer_class = ChannelSerializer
    lookup_field = "id"
    codes = {
        "list": "channels:view",
        "types": "channels:view",
        "create": "channels:create",
        "partial_update": "channels:update",
        "destroy": "channels:delete",
        "test": "channels:test",
        "add_rule": "rules:create",
        "remove_rule": "rules:delete",
    }

    def get_serializer_context(self) -> dict[str, Any]:
        """Tell the serializer how much the caller may see."""
        context = dict(super().get_serializer_context())
        if not getattr(self, "swagger_fake_view", False):
            context["short"] = not self.principal().can("channels:configure")
        return context

    @extend_schema(summary="Channels")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="The types of channels with the fields of their configuration",
        responses=TransportSerializer(many=True),
    )
    def types(self, request: Request) -> Response:
        return Response(TransportSerializer(selectors.kinds_of_channels(), many=True).data)

    @extend_schema(summary="Add a channel", request=ChannelBody, responses={201: ChannelSerializer}, examples=_EXAMPLES)
    def create(self, request: Request) -> Response:
        self._look_up_target(request, None)  # before any transaction: it asks the name server
        return self._create(request)

    @idempotent
    def _create(self, request: Request) -> Response:
        values = channel_values(clean(ChannelBody, request.data))
        channel = services.create_channel(
            actor=self.principal(),
            name=values.pop("name"),
            type=values.pop("type"),
            config=values.pop("config", {}),
            enabled=values.pop("enabled"),
            manners=values,
        )
        return with_etag(Response(self.get_serializer(channel).data, status=201), channel)

    @extend_schema(
        summary="Change a channel", parameters=[_ID], request=ChannelBody(partial=True), responses=ChannelSerializer
    )
    def partial_update(self, request: Request, id: str) -> Response:
        channel = self.get_object()
        revision = expected_revision(request, channel)
        self._look_up_target(request, channel)
        values = channel_values(clean(ChannelBody, request.data, partial=True))
        services.update_channel(actor=self.principal(), channel_id=channel.id, changes=values, revision=revision)
        channel = self.get_object()
        return with_etag(Response(self.get_serializer(channel).data), channel)

    @extend_schema(summary="Remove a channel", parameters=[_ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        channel = self.get_object()
        services.delete_channel(
            actor=self.principal(), channel_id=channel.id, revision=expected_revision(request, channel)
        )
        return Response(status=204)

    @extend_schema(summary="Send a test message", parameters=[_ID], request=None, responses=TrialSerializer)
    def test(self, request: Request, id: str) -> Response:
        return trial_response(services.try_channel(actor=self.principal(), channel=self.get_object()))

    @extend_schema(
        summary="Add a routing rule to this channel",
        parameters=[_ID],
        request=RuleBody,
        responses={201: RuleSerializer},
    )
    def add_rule(self, request: Request, id: str) -> Response:
        return self._add_rule(request, self.get_object())

    @idempotent
    def _add_rule(self, request: Request, channel: Channel) -> Response:
        values = rule_values(clean(RuleBody, request.data))
        values.setdefault("name", f"To {channel.name}"[:100])
        rule = services.create_rule(actor=self.principal(), values={**values, "channel_ids": [channel.id]})
        return with_etag(Response(RuleSerializer(rule).data, status=201), rule)

    @extend_schema(
        summary="Take a routing rule off this channel",
        parameters=[_ID, OpenApiParameter("rule_id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
        responses={204: None},
    )
    def remove_rule(self, request: Request, id: str, rule_id: str) -> Response:
        channel = self.get_object()
        rule = next((rule for rule in channel.rules.all() if str(rule.id) == rule_id.lower()), None)
        if rule is None:
            raise NotFound("This channel has no such rule.")
        services.detach_rule(actor=self.principal(), rule_id=rule.id, channel_id=channel.id)
        return Response(status=204)

    def _look_up_target(self, request: Request, channel: Channel | None) -> None:
        data = request.data if isinstance(request.data, dict) else {}
        transport = transports.get(channel.type if channel else str(data.get("type") or "webhook"))
        given = data.get("config")
        config: dict[str, Any] = given if isinstance(given, dict) else {}
        for field in transport.fields if transport else ():
            target = config.get(field.name) or data.get(field.name)
            if field.kind == "url" and target and target != MASK:
                services.check_target(target, field=f"config.{field.name}")


def trial_response(result: services.TrialResult) -> Response:
    """Return what the other side said, in HTTP 200 whatever it said."""
    return Response(
        {
            "status": result.status,
            "status_code": result.outcome.status_code,
            "latency_ms": result.outcome.latency_ms,
            "body": result.outcome.response,
            "error": result.outcome.error,
            "delivery_id": str(result.delivery.uid),
            "message_id": result.delivery.message_id,
        }
    )
