"""Routes of dependencies below `/api/v1/`."""

from django.urls import re_path

from apps.core.api.routers import ApiRouter
from apps.monitors.api.dependencies.views import DependencyViewSet, LinksView

router = ApiRouter()
router.register("dependencies", DependencyViewSet, basename="dependency")

urlpatterns = [
    *router.urls,
    re_path(r"^dependencies/(?P<kind>[^/]+)/(?P<id>[^/]+)/?$", LinksView.as_view(), name="dependency-links"),
]
