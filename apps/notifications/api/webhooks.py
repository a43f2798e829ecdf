"""Webhooks and their deliveries."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.core.errors import Invalid, NotFound
from apps.notifications import selectors, services
from apps.notifications.api.channels import trial_response
from apps.notifications.api.serializers import (
    DeliverySerializer,
    TrialSerializer,
    WebhookBody,
    WebhookChange,
    WebhookDetailSerializer,
    WebhookSerializer,
)
from apps.notifications.models import Delivery, Webhook

_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class WebhookViewSet(ApiViewSet):
    """Signed POSTs of the facts that match, to programs."""

    queryset = selectors.webhooks_with_state()
    serializer_class = WebhookSerializer
    lookup_field = "id"
    secret_answers = frozenset({"create"})
    codes = {
        "list": "webhooks:view",
        "retrieve": "webhooks:view",
        "create": "webhooks:create",
        "partial_update": "webhooks:update",
        "destroy": "webhooks:delete",
        "test": "webhooks:test",
    }

    @extend_schema(summary="Webhooks")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="One webhook with its statistics", parameters=[_ID], responses=WebhookDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        row = self.get_object()
        return with_etag(Response(WebhookDetailSerializer(row, context=self.get_serializer_context()).data), row)

    @extend_schema(
        summary="Add a webhook",
        description="The secret is in the answer only where it was made here, and only this once.",
        request=WebhookBody,
        responses={201: WebhookSerializer},
        examples=[
            OpenApiExample(
                "Alerts", {"url": "https://ci.example.org/hooks/wk", "events": ["alert.*"]}, request_only=True
            )
        ],
    )
    def create(self, request: Request) -> Response:
        if isinstance(request.data, dict) and request.data.get("url"):
            services.check_target(request.data["url"])  # before any transaction: it asks the name server
        return self._create(request)

    @idempotent
    def _create(self, request: Request) -> Response:
        webhook, secret = services.create_webhook(actor=self.principal(), **clean(WebhookBody, request.data))
        return self._answer(webhook.id, secret, status=201)

    @extend_schema(
        summary="Change a webhook", parameters=[_ID], request=WebhookChange(partial=True), responses=WebhookSerializer
    )
    def partial_update(self, request: Request, id: str) -> Response:
        webhook = self.get_object()
        revision = expected_revision(request, webhook)
        values = clean(WebhookChange, request.data, partial=True)
        if "url" in values:
            services.check_target(values["url"])
        _, secret = services.update_webhook(
            actor=self.principal(), webhook_id=webhook.id, changes=values, revision=revision
        )
        return self._answer(webhook.id, secret)

    def _answer(self, webhook_id: Any, secret: str | None, status: int = 200) -> Response:
        row = self.get_queryset().get(id=webhook_id)
        context = {**self.get_serializer_context(), "secret": secret}
        return with_etag(Response(WebhookSerializer(row, context=context).data, status=status), row)

    @extend_schema(summary="Remove a webhook", parameters=[_ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        webhook = self.get_object()
        services.delete_webhook(
            actor=self.principal(), webhook_id=webhook.id, revision=expected_revision(request, webhook)
        )
        return Response(status=204)

    @extend_schema(summary="Send a signed test message", parameters=[_ID], request=None, responses=TrialSerializer)
    def test(self, request: Request, id: str) -> Response:
        return trial_response(services.try_webhook(actor=self.principal(), webhook=self.get_object()))


class DeliveryViewSet(ApiViewSet):
    """The ledger of one webhook."""

    queryset = Delivery.objects.prefetch_related("tries").order_by("-id")
    serializer_class = DeliverySerializer
    cursor_field = "id"
    lookup_field = "uid"
    lookup_url_kwarg = "delivery_id"
    codes = {"list": "webhooks:view", "redeliver": "webhooks:test"}

    def webhook(self) -> Webhook:
        """Return the webhook of the path.

        Raises:
            NotFound: there is none (404).
        """
        try:
            return Webhook.objects.get(id=self.kwargs["id"])
        except (Webhook.DoesNotExist, ValueError):
            raise NotFound("There is no such webhook.") from None
        except Exception as error:  # django's ValidationError of a malformed uuid
            if type(error).__name__ == "ValidationError":
                raise NotFound("There is no such webhook.") from None
            raise

    def get_queryset(self) -> Any:
        """Return the webhook's deliveries."""
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        queryset = selectors.deliveries_of(self.webhook().id)
        state = self.request.query_params.get("state")
        if state and self.action == "list":
            if state not in Delivery.State.values:
                raise Invalid({"state": f"choose one of {', '.join(Delivery.State.values)}"}, where="query")
            queryset = queryset.filter(state=state)
        return queryset

    @extend_schema(
        summary="Deliveries with their attempts, newest first",
        parameters=[_ID, OpenApiParameter("state", str, enum=list(Delivery.State.values))],
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="Send a delivery again, with the same webhook-id",
        parameters=[_ID, OpenApiParameter("delivery_id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
        request=None,
        responses={202: DeliverySerializer},
    )
    def redeliver(self, request: Request, id: str, delivery_id: str) -> Response:
        again = services.redeliver(actor=self.principal(), delivery=self.get_object())
        return Response(self.get_serializer(again).data, status=202)
