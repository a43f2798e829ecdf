"""The address to which results are sent in. Its token is the only credential; it may stand in a header instead."""

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import context
from apps.core.api.parsers import JSONParser
from apps.core.api.views import ApiView, clean
from apps.core.errors import NotFound
from apps.monitors.services.endpoint_pushes import LATENCY_MOST_MS, STATUSES, record_push
from apps.monitors.states.endpoints import UP

HEADER = "X-Push-Token"


class PushSerializer(serializers.Serializer[Any]):
    """A result. All may stand in the query as well; what is left out is `up` without a figure."""

    status = serializers.CharField(required=False, default=UP, help_text=f"one of {', '.join(STATUSES)}")
    msg = serializers.CharField(
        required=False, allow_blank=True, default="", help_text="why; the first 300 characters are kept where not up"
    )
    latency_ms = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=LATENCY_MOST_MS)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Take `ping` for `latency_ms` and `message` for `msg`, as other products say; empty stands for absent."""
        if hasattr(data, "items"):
            data = {name: value for name, value in data.items() if value not in ("", None)}
            for ours, theirs in (("latency_ms", "ping"), ("msg", "message")):
                if theirs in data:
                    data.setdefault(ours, data.pop(theirs))
        values: dict[str, Any] = super().to_internal_value(data)
        return values


class PushedSerializer(serializers.Serializer[Any]):
    """What became of it."""

    ok = serializers.BooleanField()
    recorded = serializers.BooleanField(help_text="false while the monitor is paused")
    status = serializers.CharField(help_text="the monitor's status by it")
    next_due_at = serializers.DateTimeField(allow_null=True, help_text="when silence is down")


_TOKEN = OpenApiParameter("token", str, OpenApiParameter.PATH, description="Shown once when the monitor was added.")
_TOKEN_HEADER = OpenApiParameter(HEADER, str, OpenApiParameter.HEADER, description="The token.")
_QUERY = [
    OpenApiParameter("status", str, enum=list(STATUSES), description="up if absent"),
    OpenApiParameter("msg", str, description="why"),
    OpenApiParameter("latency_ms", OpenApiTypes.FLOAT, description="how long it took; `ping` does as well"),
]
_ANSWERS = {
    200: PushedSerializer,
    404: OpenApiResponse(description="No monitor has this token."),
    422: OpenApiResponse(description="Status or latency is wrong."),
    429: OpenApiResponse(description="Too many unknown tokens; known ones are never refused."),
}


class PushView(ApiView):
    """A result, its token in the path."""

    codes: ClassVar[dict[str, str]] = {"get": "public", "post": "public"}
    authentication_classes = ()
    throttle_scope = "none"
    parser_classes = (JSONParser, FormParser, MultiPartParser)

    @extend_schema(
        operation_id="push", summary="Send a result in", parameters=[_TOKEN, *_QUERY], responses=_ANSWERS, auth=[]
    )
    def get(self, request: Request, token: str = "") -> Response:
        """Record the result that the query names."""
        return self.accept(request, token)

    @extend_schema(
        operation_id="push_post",
        summary="Send a result in",
        parameters=[_TOKEN],
        request=PushSerializer,
        responses=_ANSWERS,
        auth=[],
    )
    def post(self, request: Request, token: str = "") -> Response:
        """Record the result of the body (JSON or a form), else of the query."""
        return self.accept(request, token)

    def accept(self, request: Request, token: str) -> Response:
        """Record a result."""
        if not token:
            raise NotFound(f"Give the token, in the path or in the header {HEADER}.")
        given: Any = request.query_params.dict()
        if request.method == "POST" and request.data:
            given = {**given, **request.data.dict()} if hasattr(request.data, "dict") else request.data
        values = clean(PushSerializer, given)
        pushed = record_push(
            token=token,
            status=values["status"],
            message=values["msg"],
            latency_ms=values.get("latency_ms"),
            address=context.current().address,
        )
        answer = {
            "ok": True,
            "recorded": pushed.recorded,
            "status": pushed.status,
            "next_due_at": pushed.next_due_at,
        }
        return Response(PushedSerializer(answer).data)


class PushByHeaderView(PushView):
    """A result, its token in a header, so that it stands in no log."""

    @extend_schema(
        operation_id="push_by_header",
        summary="Send a result in, its token in a header",
        parameters=[_TOKEN_HEADER, *_QUERY],
        responses=_ANSWERS,
        auth=[],
    )
    def get(self, request: Request, token: str = "") -> Response:
        """Record the result that the query names."""
        return self.accept(request, request.headers.get(HEADER, ""))

    @extend_schema(
        operation_id="push_by_header_post",
        summary="Send a result in, its token in a header",
        parameters=[_TOKEN_HEADER],
        request=PushSerializer,
        responses=_ANSWERS,
        auth=[],
    )
    def post(self, request: Request, token: str = "") -> Response:
        """Record the result of the body (JSON or a form), else of the query."""
        return self.accept(request, request.headers.get(HEADER, ""))
