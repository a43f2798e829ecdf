"""Routes of heartbeats below `/api/v1/`."""

from django.urls import re_path

from apps.core.api.routers import ApiRouter
from apps.monitors.api.heartbeats.badges import BadgeViewSet
from apps.monitors.api.heartbeats.doctor import DoctorView, PreviewView
from apps.monitors.api.heartbeats.ping_keys import PingKeyViewSet
from apps.monitors.api.heartbeats.views import HeartbeatViewSet, PingLogViewSet, RunLogViewSet

_router = ApiRouter()
_router.register("heartbeats", HeartbeatViewSet, basename="heartbeat")
_router.register("ping-keys", PingKeyViewSet, basename="ping-key")
_router.register("badges", BadgeViewSet, basename="badge")

urlpatterns = [
    re_path(r"^heartbeats/preview/?$", PreviewView.as_view(), name="heartbeat-preview"),
    re_path(r"^heartbeats/(?P<id>[^/]+)/doctor/?$", DoctorView.as_view(), name="heartbeat-doctor"),
    re_path(r"^heartbeats/(?P<id>[^/]+)/pings/?$", PingLogViewSet.as_view({"get": "list"}), name="heartbeat-pings"),
    re_path(
        r"^heartbeats/(?P<id>[^/]+)/executions/?$", RunLogViewSet.as_view({"get": "list"}), name="heartbeat-executions"
    ),
    *_router.urls,
]
