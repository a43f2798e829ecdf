"""Views of rehearsals."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.alerts.api.serializers.rehearsal import RehearsalBody, RehearsalSerializer
from apps.alerts.models import Threshold
from apps.alerts.services.rehearsal import rehearse
from apps.core.api.views import ApiView, clean
from apps.core.errors import Invalid, NotFound
from apps.core.principals import Principal
from apps.fleet import selectors as fleet
from apps.monitors.models import Endpoint, Heartbeat
from apps.notifications.api.serializers.rules import rule_values


def _threshold(body: dict[str, Any], actor: Principal) -> dict[str, Any]:
    found = dict(body.get("threshold") or {})
    if "server_id" in found:
        wanted = found.pop("server_id")
        try:
            found["server"] = fleet.find_server(wanted, actor) if wanted else None
        except NotFound as error:
            raise Invalid({"threshold.server_id": "there is no such server"}) from error
    if body.get("threshold_id"):
        row = Threshold.objects.visible_to(actor).select_related("server").filter(id=body["threshold_id"]).first()
        if row is None:
            raise Invalid({"threshold_id": "there is no such threshold"})
        found["threshold"] = row
    elif "metric" not in found:
        raise Invalid({"threshold.metric_type": "say which metric"})
    return found


def _rule(body: dict[str, Any], actor: Principal) -> dict[str, Any]:
    values = rule_values(body.get("rule") or {})
    if body.get("rule_id"):
        values["rule_id"] = body["rule_id"]
    return values


def _schedule(body: dict[str, Any], actor: Principal) -> dict[str, Any]:
    given = body.get("schedule")
    if not given:
        raise Invalid({"schedule.heartbeat_id": "say which heartbeat"})
    row = Heartbeat.objects.visible_to(actor).filter(id=given["heartbeat_id"]).first()
    if row is None:
        raise Invalid({"schedule.heartbeat_id": "there is no such heartbeat"})
    return {**{name: value for name, value in given.items() if name != "heartbeat_id"}, "heartbeat": row}


def _endpoint(body: dict[str, Any], actor: Principal) -> dict[str, Any]:
    given = body.get("endpoint")
    if not given:
        raise Invalid({"endpoint.endpoint_id": "say which endpoint"})
    row = Endpoint.objects.visible_to(actor).filter(id=given["endpoint_id"]).first()
    if row is None:
        raise Invalid({"endpoint.endpoint_id": "there is no such endpoint"})
    return {**{name: value for name, value in given.items() if name != "endpoint_id"}, "endpoint": row}


PROPOSALS: dict[str, Callable[[dict[str, Any], Principal], dict[str, Any]]] = {
    "threshold": _threshold,
    "rule": _rule,
    "schedule": _schedule,
    "endpoint": _endpoint,
}


class RehearsalView(ApiView):
    """What a proposed configuration would have done."""

    codes: ClassVar[dict[str, str]] = {"post": "alerts:view"}

    @extend_schema(
        operation_id="rehearsals_create",
        summary="Try a configuration on the past",
        description="Runs a proposed threshold, notification rule, schedule or endpoint threshold over what is stored "
        "and lists what would have fired and whom it would have told. Nothing is written or sent. It takes at most "
        "some seconds; where the span is too large for that, `complete` is false and `notes` say why.",
        request=RehearsalBody,
        responses=RehearsalSerializer,
        examples=[
            OpenApiExample(
                "A limit on the CPU",
                value={
                    "kind": "threshold",
                    "from": "2026-01-01T00:00:00Z",
                    "threshold": {"metric_type": "cpu", "threshold_value": 90, "for": "5m", "level": "critical"},
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Run the rehearsal."""
        body = clean(RehearsalBody, request.data)
        actor = self.principal()
        if body["kind"] not in PROPOSALS:
            raise Invalid({"kind": f"must be one of {', '.join(PROPOSALS)}"})
        until = body.get("to") or timezone.now()
        report = rehearse(
            kind=body["kind"],
            proposal=PROPOSALS[body["kind"]](body, actor),
            since=body.get("from") or until - timedelta(days=7),
            until=until,
            actor=actor,
        )
        return Response(RehearsalSerializer(report.plain()).data)
