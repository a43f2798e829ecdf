"""Routes below /api/v1. Literals come before parameters."""

from django.urls import include, path, re_path

from apps.alerts.api.views import AlertConfigView, AlertViewSet, ThresholdViewSet
from apps.core.api.routers import ApiRouter

router = ApiRouter()
router.register("alerts/thresholds", ThresholdViewSet, basename="threshold")
router.register("alerts", AlertViewSet, basename="alert")

urlpatterns = [
    re_path(r"^alerts/config/?$", AlertConfigView.as_view(), name="alert-config"),
    path("", include(router.urls)),
]
