"""Routes of maintenance windows below `/api/v1/`."""

from apps.core.api.routers import ApiRouter
from apps.monitors.api.maintenance.views import MaintenanceViewSet

router = ApiRouter()
router.register("maintenance", MaintenanceViewSet, basename="maintenance")

urlpatterns = [*router.urls]
