"""Routes."""

from django.urls import re_path

from apps.realtime.api.logs import LogStreamView
from apps.realtime.api.views import EventStreamView, MetricsStreamView

urlpatterns = [
    re_path(r"^containers/events/?$", EventStreamView.as_view(), name="event-stream"),
    re_path(r"^logs/stream/?$", LogStreamView.as_view(), name="log-stream"),
    re_path(r"^stream/?$", MetricsStreamView.as_view(), name="metrics-stream"),
]
