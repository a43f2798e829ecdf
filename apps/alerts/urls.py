"""Routes outside of the API: the address to which other systems post their alerts."""

from django.urls import re_path

from apps.alerts.api.views import PostedAlertsView, PostedByHeaderView

urlpatterns = [
    re_path(r"^alerts/in/?$", PostedByHeaderView.as_view(), name="alerts-in-by-header"),
    re_path(r"^alerts/in/(?P<token>[^/]+)/?$", PostedAlertsView.as_view(), name="alerts-in"),
]
