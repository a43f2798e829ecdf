"""Routes of endpoint monitors below `/api/v1/`."""

from django.urls import re_path

from apps.core.api.routers import ApiRouter
from apps.monitors.api.endpoints.pushes import PushByHeaderView, PushView
from apps.monitors.api.endpoints.views import EndpointCheckViewSet, EndpointViewSet, SparklinesView

router = ApiRouter()
router.register("endpoints", EndpointViewSet, basename="endpoint")

urlpatterns = [
    re_path(r"^dashboard/sparklines/?$", SparklinesView.as_view(), name="dashboard-sparklines"),
    re_path(
        r"^endpoints/(?P<id>[^/]+)/checks/?$", EndpointCheckViewSet.as_view({"get": "list"}), name="endpoint-checks"
    ),
    re_path(r"^push/?$", PushByHeaderView.as_view(), name="push-by-header"),
    re_path(r"^push/(?P<token>[^/]+)/?$", PushView.as_view(), name="push"),
    *router.urls,
]
