"""Rules, and what they and templates would do."""

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiView, ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.core.errors import Invalid
from apps.core.events.catalogue import LEVELS
from apps.core.models import Event
from apps.notifications import selectors, services
from apps.notifications.api.serializers import (
    FullRuleBody,
    RoutingPreviewBody,
    RoutingPreviewSerializer,
    RuleSerializer,
    TemplatePreviewBody,
    TemplatePreviewSerializer,
    rule_values,
)
from apps.notifications.routing import FactLike, read_routes
from apps.notifications.texts import level_of, text_of

_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class RuleViewSet(ApiViewSet):
    """Which events go to which channels."""

    queryset = selectors.rules_with_channels()
    serializer_class = RuleSerializer
    lookup_field = "id"
    codes = {
        "list": "rules:view",
        "create": "rules:create",
        "partial_update": "rules:update",
        "destroy": "rules:delete",
    }

    @extend_schema(summary="Notification rules")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="Add a notification rule",
        request=FullRuleBody,
        responses={201: RuleSerializer},
        examples=[
            OpenApiExample(
                "Nights",
                {
                    "name": "Database, by day", "events": ["alert.*"], "filter": {"level": ["critical"], "tag": ["db"]},
                    "channel_ids": ["0192f0c4-0000-7000-8000-000000000000"], "throttle": "10m", "escalate_after": "30m",
                    "quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Europe/Berlin"},
                },
                request_only=True,
            )
        ],
    )  # fmt: skip
    @idempotent
    def create(self, request: Request) -> Response:
        values = rule_values(clean(FullRuleBody, request.data))
        if not values.get("name"):
            raise Invalid({"name": "is required"})
        rule = services.create_rule(actor=self.principal(), values=values)
        return with_etag(Response(self.get_serializer(rule).data, status=201), rule)

    @extend_schema(
        summary="Change a rule", parameters=[_ID], request=FullRuleBody(partial=True), responses=RuleSerializer
    )
    def partial_update(self, request: Request, id: str) -> Response:
        rule = self.get_object()
        services.update_rule(
            actor=self.principal(),
            rule_id=rule.id,
            changes=rule_values(clean(FullRuleBody, request.data, partial=True)),
            revision=expected_revision(request, rule),
        )
        rule = self.get_object()
        return with_etag(Response(self.get_serializer(rule).data), rule)

    @extend_schema(summary="Remove a rule", parameters=[_ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        rule = self.get_object()
        services.delete_rule(actor=self.principal(), rule_id=rule.id, revision=expected_revision(request, rule))
        return Response(status=204)


_MADE = ("event", "level", "source", "subject", "tags", "server_id", "message", "at")


def _fact_of(values: dict[str, Any]) -> FactLike:
    """Return the fact that a body names or describes."""
    fact: FactLike | None
    if values.get("alert_id"):
        fact = selectors.latest_of_alert(values["alert_id"])
        if fact is None:
            raise Invalid({"alert_id": "nothing that happened to such an alert is kept"})
        return fact
    if values.get("seq") is not None:
        fact = Event.objects.filter(seq=values["seq"]).first()
        if fact is None:
            raise Invalid({"seq": "no such event is kept"})
        return fact
    given = {name: values[name] for name in _MADE if name in values}
    if given.get("level", "critical") not in LEVELS:
        raise Invalid({"level": f"choose one of {', '.join(LEVELS)}"})
    if "event" in given:
        services.check_event(given["event"])
    return selectors.made_fact(**given)


class RoutingPreviewView(ApiView):
    """Who would be told, by which rule, and why the others not."""

    codes = {"post": "rules:view"}

    @extend_schema(
        summary="Who would be told of an event",
        description="Nothing is sent or stored. With `rule` a rule is tried that is not in force.",
        request=RoutingPreviewBody,
        responses=RoutingPreviewSerializer,
        examples=[
            OpenApiExample(
                "Made up",
                {"level": "critical", "subject": {"kind": "endpoint", "id": "1", "name": "web-1"}, "tags": ["prod"]},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        values = clean(RoutingPreviewBody, request.data)
        fact = _fact_of(values)
        routes = None
        if "rule" in values:
            proposed = services.proposed_route(rule_values(values["rule"]), rule_id=values.get("rule_id"))
            routes = read_routes().with_rule(proposed)
        at = values.get("at") or (fact.at if values.get("alert_id") or values.get("seq") else timezone.now())
        answers = selectors.explain_routing(fact, at=at, routes=routes)
        return Response({"fact": _shown(fact), "answers": [answer.as_dict() for answer in answers]})


def _shown(fact: FactLike) -> dict[str, Any]:
    return {
        "event": fact.name,
        "level": level_of(fact),
        "subject": {"kind": fact.subject_kind, "id": fact.subject_id, "name": fact.subject_name},
        "tags": list(fact.tags),
        "at": fact.at,
        "title": text_of(fact).title,
    }


class TemplatePreviewView(ApiView):
    """What a template makes of an event."""

    codes = {"post": "rules:view"}

    @extend_schema(
        summary="What templates would make of an event",
        description="Nothing is sent or stored. A template that can't be used is answered 422 with its line.",
        request=TemplatePreviewBody,
        responses=TemplatePreviewSerializer,
        examples=[
            OpenApiExample(
                "Short",
                {"title_template": "{{ level|upper }} {{ name }}", "body_template": "{{ message }}"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        values = clean(TemplatePreviewBody, request.data)
        templates = {name: values.get(name, "") for name in ("title_template", "body_template")}
        return Response(selectors.tried_words(_fact_of(values), **templates))
