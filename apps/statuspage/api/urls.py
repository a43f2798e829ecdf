"""Routes below /api/v1. Literals come before parameters."""

from django.urls import re_path

from apps.core.api.routers import ApiRouter
from apps.statuspage.api.views import (
    ComponentViewSet,
    GroupViewSet,
    NoticeViewSet,
    PageViewSet,
    SubscriberViewSet,
)

router = ApiRouter()
router.register("status/pages", PageViewSet, basename="status-page")
router.register("status/groups", GroupViewSet, basename="status-group")
router.register("status/components", ComponentViewSet, basename="status-component")
router.register("status/notices", NoticeViewSet, basename="status-notice")

urlpatterns = [
    *router.urls,
    re_path(
        r"^status/subscribers/?$",
        SubscriberViewSet.as_view({"get": "list", "post": "create"}),
        name="status-subscriber-list",
    ),
    re_path(
        r"^status/subscribers/(?P<id>[^/]+)/?$",
        SubscriberViewSet.as_view({"delete": "destroy"}),
        name="status-subscriber-detail",
    ),
]
