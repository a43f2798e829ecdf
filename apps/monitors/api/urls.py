"""Routes of the app below `/api/v1/`."""

from apps.monitors.api.certificates.urls import urlpatterns as certificate_patterns
from apps.monitors.api.dependencies.urls import urlpatterns as dependency_patterns
from apps.monitors.api.endpoints.urls import urlpatterns as endpoint_patterns
from apps.monitors.api.heartbeats.urls import urlpatterns as heartbeat_patterns
from apps.monitors.api.imports.urls import urlpatterns as import_patterns
from apps.monitors.api.maintenance.urls import urlpatterns as maintenance_patterns
from apps.monitors.api.uptime import urlpatterns as uptime_patterns

urlpatterns = [
    *uptime_patterns,
    *certificate_patterns,
    *import_patterns,
    *dependency_patterns,
    *endpoint_patterns,
    *heartbeat_patterns,
    *maintenance_patterns,
]
