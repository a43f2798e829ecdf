"""View of why people were told of an alert."""

from typing import ClassVar

from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.alerts.api.serializers import WhySerializer
from apps.alerts.models import Alert
from apps.alerts.services.why import why
from apps.core.api.views import ApiView
from apps.core.errors import NotFound


class AlertWhyView(ApiView):
    """Why people were told, or why not."""

    codes: ClassVar[dict[str, str]] = {"get": "alerts:view"}

    @extend_schema(
        operation_id="alerts_why",
        summary="Why people were told of an alert, or why not",
        description="What was seen, what stood against telling, which rules took it, what was sent and what came back.",
        responses=WhySerializer,
    )
    def get(self, request: Request, id: str) -> Response:
        """Return the story in order."""
        try:
            alert = Alert.objects.visible_to(self.principal()).filter(id=id).first()
        except (ValueError, ValidationError):
            alert = None
        if alert is None:
            raise NotFound("There is no such alert, or you may not see it.")
        return Response(WhySerializer(why(alert)).data)
