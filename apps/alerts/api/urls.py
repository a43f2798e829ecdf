"""Routes below /api/v1. Literals come before parameters."""

from django.urls import include, path, re_path

from apps.alerts.api.views import (
    AlertConfigView,
    AlertLadderView,
    AlertSourceViewSet,
    AlertUnacknowledgeView,
    AlertViewSet,
    AlertWhyView,
    EscalationPolicyViewSet,
    RehearsalView,
    SilenceViewSet,
    ThresholdViewSet,
)
from apps.core.api.routers import ApiRouter

router = ApiRouter()
router.register("alerts/thresholds", ThresholdViewSet, basename="threshold")
router.register("alerts/sources", AlertSourceViewSet, basename="alert-source")
router.register("escalation-policies", EscalationPolicyViewSet, basename="escalation-policy")
router.register("silence", SilenceViewSet, basename="silence")
router.register("alerts", AlertViewSet, basename="alert")

urlpatterns = [
    re_path(r"^alerts/config/?$", AlertConfigView.as_view(), name="alert-config"),
    re_path(r"^rehearsals/?$", RehearsalView.as_view(), name="rehearsals"),
    re_path(r"^alerts/(?P<id>[^/]+)/escalation/?$", AlertLadderView.as_view(), name="alert-escalation"),
    re_path(r"^alerts/(?P<id>[^/]+)/unacknowledge/?$", AlertUnacknowledgeView.as_view(), name="alert-unacknowledge"),
    re_path(r"^alerts/(?P<id>[^/]+)/why/?$", AlertWhyView.as_view(), name="alert-why"),
    path("", include(router.urls)),
]
