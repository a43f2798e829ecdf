"""Views of certificate monitors."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import errors
from apps.core.api.views import ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.monitors.api.certificates.filters import CertificateFilter
from apps.monitors.api.certificates.serializers import (
    CertificateCheckSerializer,
    CertificateDetailSerializer,
    CertificateMonitorSerializer,
    CertificateWriteSerializer,
)
from apps.monitors.models import CertificateCheck, CertificateMonitor
from apps.monitors.selectors.certificates import latest_check
from apps.monitors.services import certificates as services
from apps.monitors.services.certificate_results import CertificateRun


def _as_the_api_names_it(refusal: errors.Invalid) -> errors.Invalid:
    problems = {"interval" if name == "interval_s" else name: texts for name, texts in refusal.problems.items()}
    return errors.Invalid(problems, where=refusal.where)


@extend_schema_view(
    list=extend_schema(summary="List certificates", responses=CertificateMonitorSerializer(many=True)),
    retrieve=extend_schema(summary="Show a certificate and its chain", responses=CertificateDetailSerializer),
)
class CertificateViewSet(ApiViewSet):
    """Certificates: watched by themselves, and seen by endpoint checks."""

    queryset = CertificateMonitor.objects.with_state()
    serializer_class = CertificateMonitorSerializer
    filterset_class = CertificateFilter
    lookup_field = "pk"
    lookup_url_kwarg = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "endpoints:view",
        "retrieve": "endpoints:view",
        "create": "endpoints:create",
        "partial_update": "endpoints:update",
        "destroy": "endpoints:delete",
        "check": "endpoints:check",
    }

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one with everything that is known."""
        return self._detail(self.get_object())

    @extend_schema(
        summary="Monitor a certificate",
        request=CertificateWriteSerializer,
        responses={201: CertificateDetailSerializer},
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Look at the certificate (at most 10 s) and monitor it from now on."""
        values = clean(CertificateWriteSerializer, request.data)
        try:
            seen = services.first_look(values)
        except errors.Invalid as refusal:
            raise _as_the_api_names_it(refusal) from refusal
        except errors.Conflict:
            if not request.headers.get("Idempotency-Key"):
                raise
            seen = None  # perhaps this very call, repeated; the service refuses it otherwise
        return self._create(request, values, seen)

    @idempotent
    def _create(self, request: Request, values: dict[str, Any], seen: CertificateRun | None) -> Response:
        monitor = services.create_certificate(actor=self.principal(), values=values, seen=seen)
        return self._detail(monitor, status=201)

    @extend_schema(
        summary="Change a certificate monitor",
        request=CertificateWriteSerializer,
        responses=CertificateDetailSerializer,
    )
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what is given; `enabled` pauses and resumes. One that an endpoint sees is changed there (409)."""
        monitor = self.get_object()
        values = clean(CertificateWriteSerializer, request.data)
        try:
            monitor = services.update_certificate(
                monitor=monitor,
                actor=self.principal(),
                values=values,
                expected_revision=expected_revision(request, monitor),
            )
        except errors.Invalid as refusal:
            raise _as_the_api_names_it(refusal) from refusal
        return self._detail(monitor)

    @extend_schema(summary="Remove a certificate monitor", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove the monitor and its history. One that an endpoint sees goes with that endpoint (409)."""
        monitor = self.get_object()
        expected_revision(request, monitor)
        services.delete_certificate(monitor=monitor, actor=self.principal())
        return Response(status=204)

    @extend_schema(summary="Look at a certificate now", request=None, responses=CertificateDetailSerializer)
    @action(detail=True, methods=["post"])
    def check(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Look at the certificate now (at most 10 s) and return what is known then."""
        monitor = self.get_object()
        services.check_certificate(monitor=monitor, actor=self.principal())
        return self._detail(self.get_object())

    def _detail(self, monitor: CertificateMonitor, status: int = 200) -> Response:
        context = {"latest_check": latest_check(monitor)}
        return with_etag(Response(CertificateDetailSerializer(monitor, context=context).data, status=status), monitor)


@extend_schema_view(
    list=extend_schema(summary="List the checks of a certificate", responses=CertificateCheckSerializer(many=True))
)
class CertificateCheckViewSet(ApiViewSet):
    """Checks of one certificate, the newest first."""

    queryset = CertificateCheck.objects.order_by("-at")
    serializer_class = CertificateCheckSerializer
    filter_backends = ()
    cursor_field = "at"
    codes: ClassVar[dict[str, str]] = {"list": "endpoints:view"}

    def get_queryset(self) -> QuerySet[CertificateCheck]:
        """Return the checks of the certificate asked for."""
        checks: QuerySet[CertificateCheck] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return checks
        try:
            visible = CertificateMonitor.objects.visible_to(self.principal())
            num = visible.filter(pk=self.kwargs["id"]).values_list("num", flat=True).first()
        except Exception as error:  # django.core.exceptions.ValidationError of a malformed uuid
            if type(error).__name__ not in ("ValidationError", "ValueError"):
                raise
            num = None
        if num is None:
            raise errors.NotFound("There is no such certificate monitor, or you may not see it.")
        return checks.filter(num=num)
