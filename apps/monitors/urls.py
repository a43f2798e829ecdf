"""Routes outside of the API: the addresses that jobs call."""

from django.urls import re_path

from apps.monitors.api.heartbeats.badges import BadgeFigureView, BadgePictureView, BadgeShieldsView
from apps.monitors.api.heartbeats.pings import (
    PingExitView,
    PingStartView,
    PingView,
    SlugPingExitView,
    SlugPingStartView,
    SlugPingView,
)

urlpatterns = [
    re_path(r"^badge/(?P<token>[^/.]+)\.svg/?$", BadgePictureView.as_view(), name="badge-svg"),
    re_path(r"^badge/(?P<token>[^/.]+)\.json/?$", BadgeFigureView.as_view(), name="badge-json"),
    re_path(r"^badge/(?P<token>[^/.]+)\.shields\.json/?$", BadgeShieldsView.as_view(), name="badge-shields"),
    re_path(r"^ping/k/(?P<key>[^/]+)/(?P<slug>[^/]+)/?$", SlugPingView.as_view(), name="ping-slug"),
    re_path(r"^ping/k/(?P<key>[^/]+)/(?P<slug>[^/]+)/start/?$", SlugPingStartView.as_view(), name="ping-slug-start"),
    re_path(
        r"^ping/k/(?P<key>[^/]+)/(?P<slug>[^/]+)/(?P<exit_code>[^/]+)/?$",
        SlugPingExitView.as_view(),
        name="ping-slug-exit",
    ),
    re_path(r"^ping/(?P<uuid>[^/]+)/?$", PingView.as_view(), name="ping"),
    re_path(r"^ping/(?P<uuid>[^/]+)/start/?$", PingStartView.as_view(), name="ping-start"),
    re_path(r"^ping/(?P<uuid>[^/]+)/(?P<exit_code>[^/]+)/?$", PingExitView.as_view(), name="ping-exit"),
]
