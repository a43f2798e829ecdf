"""Views of the alerts' API."""

from apps.alerts.api.views.alerts import AlertViewSet
from apps.alerts.api.views.escalation import AlertLadderView, AlertUnacknowledgeView, EscalationPolicyViewSet
from apps.alerts.api.views.rehearsal import RehearsalView
from apps.alerts.api.views.silences import SilenceViewSet
from apps.alerts.api.views.sources import AlertSourceViewSet, PostedAlertsView, PostedByHeaderView
from apps.alerts.api.views.thresholds import AlertConfigView, ThresholdViewSet
from apps.alerts.api.views.why import AlertWhyView

__all__ = [
    "AlertConfigView",
    "AlertLadderView",
    "AlertSourceViewSet",
    "AlertUnacknowledgeView",
    "AlertViewSet",
    "AlertWhyView",
    "EscalationPolicyViewSet",
    "PostedAlertsView",
    "PostedByHeaderView",
    "RehearsalView",
    "SilenceViewSet",
    "ThresholdViewSet",
]
