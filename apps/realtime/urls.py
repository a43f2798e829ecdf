"""Routes beside /api/v1."""

from django.urls import re_path

from apps.realtime.api.status import StatusStreamView

urlpatterns = [re_path(r"^status/events/?$", StatusStreamView.as_view(), name="status-events")]
