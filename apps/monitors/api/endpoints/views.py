"""Views of endpoint monitors."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import errors
from apps.core.api.views import ApiView, ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.monitors.api.endpoints.filters import EndpointFilter
from apps.monitors.api.endpoints.serializers import (
    CheckNowSerializer,
    CheckResultSerializer,
    DailyUptimeSerializer,
    EndpointDetailSerializer,
    EndpointSerializer,
    EndpointTrialSerializer,
    EndpointWriteSerializer,
    PushAddressSerializer,
    shown_push,
    shown_run,
    shown_trial,
)
from apps.monitors.models import CheckResult, Endpoint
from apps.monitors.selectors.endpoints import (
    SPARKLINES,
    daily_uptime,
    latency_summary,
    sparklines,
    to_ms,
    uptime_24h,
    uptime_figures,
)
from apps.monitors.services import endpoints as services
from apps.monitors.services.endpoint_pushes import renew_push_token
from apps.monitors.services.endpoint_trials import try_endpoint
from apps.monitors.states.endpoints import CODES

_API_NAMES = {"interval_s": "interval", "timeout_s": "timeout"}


def _as_the_api_names_it(refusal: errors.Invalid) -> errors.Invalid:
    problems = {_API_NAMES.get(name, name): texts for name, texts in refusal.problems.items()}
    return errors.Invalid(problems, where=refusal.where)


@extend_schema_view(
    list=extend_schema(summary="List endpoint monitors", responses=EndpointSerializer(many=True)),
    retrieve=extend_schema(summary="Show an endpoint monitor with its figures", responses=EndpointDetailSerializer),
)
class EndpointViewSet(ApiViewSet):
    """Endpoint monitors."""

    queryset = Endpoint.objects.with_state()
    serializer_class = EndpointSerializer
    filterset_class = EndpointFilter
    lookup_field = "pk"
    lookup_url_kwarg = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "endpoints:view",
        "retrieve": "endpoints:view",
        "create": "endpoints:create",
        "partial_update": "endpoints:update",
        "destroy": "endpoints:delete",
        "check": "endpoints:check",
        "test": "endpoints:update",
        "test_values": "endpoints:create",
        "push_token": "endpoints:update",
        "uptime_daily": "endpoints:view",
    }

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of monitors with their state."""
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        assert rows is not None
        now = timezone.now()
        context = {"now": now, "uptime_24h": uptime_24h([row.num for row in rows], now)}
        return self.get_paginated_response(EndpointSerializer(rows, many=True, context=context).data)  # type: ignore[arg-type]

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one monitor with its figures."""
        return self._detail(self.get_object())

    @extend_schema(
        summary="Add an endpoint monitor",
        request=EndpointWriteSerializer,
        responses={201: EndpointDetailSerializer},
    )
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Add a monitor; it is checked at once. `status` is unknown until then."""
        values = clean(EndpointWriteSerializer, request.data)
        try:
            endpoint = services.create_endpoint(actor=self.principal(), values=values)
        except errors.Invalid as refusal:
            raise _as_the_api_names_it(refusal) from refusal
        if getattr(endpoint, "push_token", ""):
            # The record of an Idempotency-Key must not hold the token.
            self.__dict__["secret_answers"] = frozenset({"create"})
        return self._detail(endpoint, status=201)

    @extend_schema(
        summary="Change an endpoint monitor",
        request=EndpointWriteSerializer,
        responses=EndpointDetailSerializer,
    )
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what is given; `enabled` pauses and resumes."""
        endpoint = self.get_object()
        values = clean(EndpointWriteSerializer, request.data)
        try:
            endpoint = services.update_endpoint(
                endpoint=endpoint,
                actor=self.principal(),
                values=values,
                expected_revision=expected_revision(request, endpoint),
            )
        except errors.Invalid as refusal:
            raise _as_the_api_names_it(refusal) from refusal
        return self._detail(endpoint)

    @extend_schema(summary="Remove an endpoint monitor", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove the monitor and its results."""
        endpoint = self.get_object()
        expected_revision(request, endpoint)
        services.delete_endpoint(endpoint=endpoint, actor=self.principal())
        return Response(status=204)

    @extend_schema(summary="Check now", request=None, responses=CheckNowSerializer)
    @action(detail=True, methods=["post"])
    def check(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Run the check now and return its result. It is shown among the results, but not counted."""
        run = services.check_endpoint(endpoint=self.get_object(), actor=self.principal())
        return Response(shown_run(run))

    @extend_schema(
        operation_id="endpoints_test_values",
        summary="Try a configuration out",
        request=EndpointWriteSerializer,
        responses=EndpointTrialSerializer,
        filters=False,
    )
    @action(detail=False, methods=["post"], url_path="test", pagination_class=None)
    def test_values(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Check what the body describes, now, and return the result. Nothing is stored."""
        return self._try(request, None)

    @extend_schema(
        summary="Try a monitor out, changed or not", request=EndpointWriteSerializer, responses=EndpointTrialSerializer
    )
    @action(detail=True, methods=["post"])
    def test(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Check it now, with what the body changes put over it, and return the result. Nothing is stored or counted."""
        return self._try(request, self.get_object())

    def _try(self, request: Request, endpoint: Endpoint | None) -> Response:
        values = clean(EndpointWriteSerializer, request.data)
        try:
            run = try_endpoint(actor=self.principal(), values=values, endpoint=endpoint)
        except errors.Invalid as refusal:
            raise _as_the_api_names_it(refusal) from refusal
        return Response(shown_trial(run, is_saved=endpoint is not None))

    @extend_schema(summary="Renew the address for results", request=None, responses=PushAddressSerializer)
    @action(detail=True, methods=["post"], url_path="push-token")
    def push_token(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Give it a new token and show it, this once; the old one ends at once."""
        return Response(shown_push(renew_push_token(endpoint=self.get_object(), actor=self.principal())))

    @extend_schema(
        summary="Uptime by day",
        parameters=[OpenApiParameter("days", int, description="1..365; 90 if absent")],
        responses=DailyUptimeSerializer(many=True),
        filters=False,
    )
    @action(detail=True, methods=["get"], url_path="uptime/daily", pagination_class=None)
    def uptime_daily(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return UTC days, today first; `uptime_percent` is null for a day without data."""
        text = request.query_params.get("days") or "90"
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 365:
            raise errors.Invalid({"days": "must lie in 1..365"}, where="query")
        return Response(daily_uptime(self.get_object().num, int(text)))

    def _detail(self, endpoint: Endpoint, status: int = 200) -> Response:
        now = timezone.now()
        context = {
            "now": now,
            "uptime": uptime_figures(endpoint.num, now),
            "response_time": latency_summary(endpoint.num, now),
        }
        context["uptime_24h"] = {endpoint.num: context["uptime"]["24h"]}  # type: ignore[index]
        return with_etag(Response(EndpointDetailSerializer(endpoint, context=context).data, status=status), endpoint)


_TIME = "ISO 8601, or seconds since 1970"


@extend_schema_view(
    list=extend_schema(
        summary="List the results of an endpoint",
        parameters=[
            OpenApiParameter("from", str, description=_TIME),
            OpenApiParameter("to", str, description=_TIME),
            OpenApiParameter("status", str, enum=list(CODES)),
        ],
        responses=CheckResultSerializer(many=True),
    )
)
class EndpointCheckViewSet(ApiViewSet):
    """Results of one endpoint, the newest first."""

    queryset = CheckResult.objects.order_by("-at")
    serializer_class = CheckResultSerializer
    filter_backends = ()
    cursor_field = "at"
    codes: ClassVar[dict[str, str]] = {"list": "endpoints:view"}

    def get_queryset(self) -> QuerySet[CheckResult]:
        """Return the results asked for."""
        results: QuerySet[CheckResult] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return results
        try:
            visible = Endpoint.objects.visible_to(self.principal())
            num = visible.filter(pk=self.kwargs["id"]).values_list("num", flat=True).first()
        except Exception as error:  # django.core.exceptions.ValidationError of a malformed uuid
            if type(error).__name__ not in ("ValidationError", "ValueError"):
                raise
            num = None
        if num is None:
            raise errors.NotFound("There is no such endpoint, or you may not see it.")
        results = results.filter(num=num)
        query = self.request.query_params
        if query.get("from"):
            results = results.filter(at__gte=_read_time("from", query["from"]))
        if query.get("to"):
            results = results.filter(at__lte=_read_time("to", query["to"]))
        if query.get("status"):
            if query["status"] not in CODES:
                raise errors.Invalid({"status": f"must be one of {', '.join(CODES)}"}, where="query")
            results = results.filter(status=CODES[query["status"]])
        return results


def _read_time(name: str, text: str) -> int:
    """Return epoch ms of an ISO 8601 time (UTC where it names no zone) or of epoch seconds."""
    try:
        if text.replace(".", "", 1).isdigit() and text.isascii():
            return to_ms(datetime.fromtimestamp(float(text), UTC))
        # A plus sign that was not escaped arrives as a space.
        at = parse_datetime(text.replace(" ", "+") if "T" in text else text)
    except (ValueError, OverflowError, OSError):
        at = None
    if at is None:
        raise errors.Invalid({name: f"give a time: {_TIME}"}, where="query")
    return to_ms(at if at.tzinfo else at.replace(tzinfo=UTC))


class SparklinesView(ApiView):
    """Latencies of all endpoints in one answer."""

    codes: ClassVar[dict[str, str]] = {"get": "endpoints:view"}

    @extend_schema(
        summary="Sparklines of all endpoints",
        parameters=[
            OpenApiParameter(
                "range", str, enum=list(SPARKLINES), description="mean values; the last 20 checks if absent"
            )
        ],
        responses={
            (200, "application/json"): {
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": ["number", "null"]}},
                "example": {"0190f3e2-7c1e-7b4a-9d0e-2f6a8c1b5d3e": [31.2, 29.8, None, 30.4]},
            }
        },
    )
    def get(self, request: Request) -> Response:
        """Return {endpoint_id: [latency in ms or null, oldest first]}."""
        endpoints = Endpoint.objects.visible_to(self.principal())
        return Response(sparklines(endpoints, request.query_params.get("range", "")))
