"""Health, readiness, metrics, the runtime and its features."""

import hmac
import ipaddress
import time
from typing import ClassVar

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view, inline_serializer
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import context
from apps.core.api.permissions import PUBLIC
from apps.core.api.views import ApiView
from apps.core.errors import Unauthenticated
from apps.core.exposition import STARTED_AT, exposition
from apps.core.health import all_parts
from apps.core.registries import features

NEEDED = ("database", "broker", "channel_layer")
#: Shown where they are switched on; without them this process serves all the same.
BESIDE = ("mail_pings",)

_HealthBody = inline_serializer(
    "Health",
    {
        "status": serializers.CharField(),
        "service": serializers.CharField(),
        "version": serializers.CharField(),
        "uptime": serializers.FloatField(help_text="Seconds since this process started."),
    },
)


class HealthView(ApiView):
    """Is the service there."""

    codes: ClassVar[dict[str, str]] = {"get": PUBLIC}
    authentication_classes = []
    throttle_scope = "none"

    @extend_schema(operation_id="health", summary="Health", responses=_HealthBody)
    def get(self, request: Request) -> Response:
        """Return status, service, version and uptime in seconds."""
        return Response(
            {
                "status": "ok",
                "service": "watchkeeper",
                "version": settings.PRODUCT_VERSION,
                "uptime": round(time.time() - STARTED_AT, 1),
            }
        )


@extend_schema_view(get=extend_schema(operation_id="health_root", summary="Health, beside the API"))
class RootHealthView(HealthView):
    """The same beside the API's base path."""


class LivenessView(ApiView):
    """Does the process serve."""

    codes: ClassVar[dict[str, str]] = {"get": PUBLIC}
    authentication_classes = []
    throttle_scope = "none"

    @extend_schema(
        operation_id="healthz",
        summary="Liveness",
        responses=inline_serializer("Liveness", {"status": serializers.CharField()}),
    )
    def get(self, request: Request) -> Response:
        """Return 200 while the process serves."""
        return Response({"status": "ok"})


class ReadinessView(ApiView):
    """Do the parts answer."""

    codes: ClassVar[dict[str, str]] = {"get": PUBLIC}
    authentication_classes = []
    throttle_scope = "none"

    @extend_schema(
        operation_id="readyz",
        summary="Readiness",
        responses={
            (200, "application/json"): OpenApiResponse(OpenApiTypes.OBJECT),
            (503, "application/json"): OpenApiResponse(
                OpenApiTypes.OBJECT, description="`failing` names the parts that do not answer."
            ),
        },
    )
    def get(self, request: Request) -> Response:
        """Return 503 with the failing parts named when database, broker or channel layer does not answer."""
        parts = all_parts()
        failing = [name for name in NEEDED if parts[name].status != "ok"]
        body = {
            "status": "not_ready" if failing else "ready",
            "failing": failing,
            "parts": {name: parts[name].status for name in (*NEEDED, *BESIDE) if name in parts},
        }
        return Response(body, status=503 if failing else 200)


class _TextRenderer(BaseRenderer):
    media_type = "text/plain"
    format = "txt"

    def render(self, data: object, accepted_media_type: str | None = None, renderer_context: object = None) -> bytes:
        return data if isinstance(data, bytes) else str(data).encode()


class MetricsView(ApiView):
    """Prometheus exposition."""

    codes: ClassVar[dict[str, str]] = {"get": PUBLIC}
    authentication_classes = []
    throttle_scope = "none"
    renderer_classes = [_TextRenderer, JSONRenderer]

    @extend_schema(
        operation_id="metrics", summary="Prometheus exposition", responses={(200, "text/plain"): OpenApiTypes.STR}
    )
    def get(self, request: Request) -> HttpResponse:
        """Return the exposition; per-object series need METRICS_TOKEN as a bearer token or, without one, loopback.

        Raises:
            Unauthenticated: METRICS_TOKEN is set and the bearer token is another (401).
        """
        address = context.current().address or request.META.get("REMOTE_ADDR", "")
        if settings.METRICS_TOKEN:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
            if not hmac.compare_digest(given.encode(), settings.METRICS_TOKEN.encode()):
                raise Unauthenticated("Send METRICS_TOKEN as a bearer token.")
            per_object = True
        else:
            per_object = _is_loopback(address)
        return HttpResponse(exposition(per_object=per_object), content_type="text/plain; version=0.0.4; charset=utf-8")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class RuntimeStatusView(ApiView):
    """The container runtime that the platform is connected to."""

    codes: ClassVar[dict[str, str]] = {"get": "runtime:view"}

    @extend_schema(
        operation_id="runtime_status",
        summary="Container runtime",
        responses=inline_serializer(
            "RuntimeStatus",
            {
                "runtime": serializers.ChoiceField(["docker", "podman", "kubernetes", "none"]),
                "connected": serializers.BooleanField(),
                "engine_version": serializers.CharField(allow_null=True),
                "error": serializers.CharField(allow_null=True),
            },
        ),
    )
    def get(self, request: Request) -> Response:
        """Return runtime, connected, engine_version and error."""
        return Response({"runtime": "none", "connected": False, "engine_version": None, "error": None})


class EditionView(ApiView):
    """What this installation has configured."""

    codes: ClassVar[dict[str, str]] = {"get": "runtime:view"}

    @extend_schema(
        operation_id="edition",
        summary="Edition and features",
        responses=inline_serializer(
            "Edition",
            {"edition": serializers.CharField(), "features": serializers.DictField(child=serializers.BooleanField())},
        ),
    )
    def get(self, request: Request) -> Response:
        """Return the edition (there is one) and which features are configured."""
        return Response({"edition": "complete", "features": {name: bool(is_on()) for name, is_on in features.items()}})


features.register("redis", lambda: all_parts()["redis"].status == "ok")
for _name in ("docker", "llm", "s3"):
    features.register(_name, lambda: False)
