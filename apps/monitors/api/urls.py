"""Routes of the app below `/api/v1/`."""

from apps.monitors.api.endpoints.urls import urlpatterns as endpoint_patterns
from apps.monitors.api.heartbeats.urls import urlpatterns as heartbeat_patterns

urlpatterns = [*endpoint_patterns, *heartbeat_patterns]
