"""Views of escalation: policies, and the ladder of an alert."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.alerts import services
from apps.alerts.api.serializers.alerts import AlertDetailSerializer, NoteSerializer
from apps.alerts.api.serializers.escalation import LadderSerializer, PolicySerializer
from apps.alerts.ladders import ladder_of
from apps.alerts.models import Alert, EscalationPolicy
from apps.core.api.views import ApiView, ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.core.errors import Invalid, NotFound

_EXAMPLE = OpenApiExample(
    "Chat, then the phone",
    value={
        "name": "Nights",
        "levels": ["critical"],
        "steps": [
            {"after_s": 300, "channels": ["0190a3c4-0000-7000-8000-000000000000"], "inbox": True},
            {"after_s": 900, "channels": ["0190a3c4-0000-7000-8000-000000000001"], "repeat_s": 900},
        ],
        "remind_every_s": 3600,
    },
    request_only=True,
)


@extend_schema_view(
    list=extend_schema(operation_id="escalation_policies_list", summary="Escalation policies, as they are asked"),
    retrieve=extend_schema(operation_id="escalation_policies_retrieve", summary="One escalation policy"),
)
class EscalationPolicyViewSet(ApiViewSet):
    """Escalation policies: full control."""

    queryset = EscalationPolicy.objects.order_by("position", "name", "id")
    serializer_class = PolicySerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "escalations:view",
        "retrieve": "escalations:view",
        "create": "escalations:create",
        "partial_update": "escalations:update",
        "destroy": "escalations:delete",
    }

    @staticmethod
    def _values(request: Request) -> dict[str, Any]:
        if not isinstance(request.data, dict):
            raise Invalid({"": "give an object"})
        return dict(request.data)

    @extend_schema(
        operation_id="escalation_policies_create",
        summary="Add an escalation policy",
        request=PolicySerializer,
        responses={201: PolicySerializer},
        examples=[_EXAMPLE],
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a policy; `warnings` in the answer says what of it would not do what it says."""
        policy = services.create_policy(values=self._values(request), actor=self.principal())
        return with_etag(Response(PolicySerializer(policy).data, status=201), policy)

    @extend_schema(
        operation_id="escalation_policies_update",
        summary="Change an escalation policy",
        request=PolicySerializer,
        responses=PolicySerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Change the named fields; `If-Match` is honoured. Ladders that run follow the new steps."""
        policy = self.get_object()
        changed = services.update_policy(
            policy_id=policy.id,
            values=self._values(request),
            expected_revision=expected_revision(request, policy),
            actor=self.principal(),
        )
        return with_etag(Response(PolicySerializer(changed).data), changed)

    @extend_schema(
        operation_id="escalation_policies_delete", summary="Remove an escalation policy", responses={204: None}
    )
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a policy; ladders that run by it end."""
        services.delete_policy(policy_id=self.get_object().id, actor=self.principal())
        return Response(status=204)


def _alert(view: ApiView, alert_id: str) -> Alert:
    try:
        alert = Alert.objects.visible_to(view.principal()).filter(id=alert_id).first()
    except Exception as error:  # a malformed id
        raise NotFound("There is no such alert, or you may not see it.") from error
    if alert is None:
        raise NotFound("There is no such alert, or you may not see it.")
    return alert


class AlertLadderView(ApiView):
    """The ladder of an alert."""

    codes: ClassVar[dict[str, str]] = {"get": "alerts:view"}

    @extend_schema(
        operation_id="alerts_escalation",
        summary="How far an alert's escalation has come",
        description="Steps that were told, suppressed or cancelled with their reasons, the one that waits, and those "
        "that would follow; and the reminders.",
        responses=LadderSerializer,
    )
    def get(self, request: Request, id: str) -> Response:
        """Return the ladder."""
        alert = _alert(self, id)
        facts = {
            "alert_id": alert.id,
            "status": alert.status,
            "acknowledged_by": alert.acknowledged_by,
            "acknowledged_at": alert.acknowledged_at,
            "acknowledged_until": alert.acknowledged_until if alert.status == Alert.Status.ACKNOWLEDGED else None,
        }
        return Response(LadderSerializer({**facts, **ladder_of(alert)}).data)


class AlertUnacknowledgeView(ApiView):
    """Giving an alert back."""

    codes: ClassVar[dict[str, str]] = {"post": "alerts:acknowledge"}

    @extend_schema(
        operation_id="alerts_unacknowledge",
        summary="Take an acknowledgement back",
        request=NoteSerializer,
        responses=AlertDetailSerializer,
    )
    def post(self, request: Request, id: str) -> Response:
        """Give an alert back to everybody: escalation begins anew; 409 where nobody has acknowledged it."""
        note = clean(NoteSerializer, request.data)["note"]
        alert = services.unacknowledge_alert(alert_id=_alert(self, id).id, note=note, actor=self.principal())
        return with_etag(Response(AlertDetailSerializer(alert).data), alert)
