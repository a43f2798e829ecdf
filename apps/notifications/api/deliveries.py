"""The ledger: what was sent, held and suppressed, and why."""

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiViewSet
from apps.core.errors import Invalid
from apps.notifications import selectors, services
from apps.notifications.api.serializers import LedgerSerializer
from apps.notifications.models import Delivery

_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)
_CHOICES = {"state": Delivery.State.values, "kind": Delivery.Kind.values}


class LedgerViewSet(ApiViewSet):
    """Every message to every destination."""

    queryset = Delivery.objects.order_by("-id")
    serializer_class = LedgerSerializer
    cursor_field = "id"
    lookup_field = "uid"
    lookup_url_kwarg = "id"
    codes = {"list": "deliveries:view", "retrieve": "deliveries:view", "redeliver": "deliveries:redeliver"}

    def get_serializer_context(self) -> dict[str, Any]:
        """Give the serializer the destinations' names."""
        context = dict(super().get_serializer_context())
        if not getattr(self, "swagger_fake_view", False):
            context["names"] = selectors.names_of_destinations()
        return context

    def get_queryset(self) -> Any:
        """Return what the caller may see, as far as the query asks for it."""
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        rows = selectors.ledger(self.principal())
        if self.action != "list":
            return rows
        query = self.request.query_params
        for field, choices in _CHOICES.items():
            if value := query.get(field):
                if value not in choices:
                    raise Invalid({field: f"choose one of {', '.join(choices)}"}, where="query")
                rows = rows.filter(**{field: value})
        for field in ("destination_id", "rule_id"):
            if value := query.get(field):
                rows = rows.filter(**{field: _uuid(field, value)})
        if value := query.get("seq"):
            if not value.isdigit():
                raise Invalid({"seq": "give a whole number"}, where="query")
            rows = rows.filter(event_seq=int(value))
        if value := query.get("event"):
            rows = rows.filter(event_name=value)
        if value := query.get("subject_id"):
            rows = rows.filter(subject_id=value)
        return rows

    @extend_schema(
        summary="What was sent, held and suppressed, newest first",
        parameters=[
            OpenApiParameter("state", str, enum=list(Delivery.State.values)),
            OpenApiParameter("kind", str, enum=list(Delivery.Kind.values)),
            OpenApiParameter("destination_id", OpenApiTypes.UUID),
            OpenApiParameter("rule_id", OpenApiTypes.UUID),
            OpenApiParameter("seq", int, description="Of the event."),
            OpenApiParameter("event", str, description="Its name."),
            OpenApiParameter("subject_id", str),
        ],
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="One message with its attempts", parameters=[_ID])
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(
        summary="Send a message again, with the same id",
        description="Rules, quiet hours and limits do not count for it.",
        parameters=[_ID],
        request=None,
        responses={202: LedgerSerializer},
    )
    def redeliver(self, request: Request, id: str) -> Response:
        again = services.redeliver(actor=self.principal(), delivery=self.get_object())
        return Response(self.get_serializer(again).data, status=202)


def _uuid(field: str, value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise Invalid({field: f"“{value}” is not an id"}, where="query") from None
