"""Routes beside /api/v1."""

from django.urls import re_path

from apps.core.api import system_views

urlpatterns = [
    re_path(r"^health/?$", system_views.RootHealthView.as_view(), name="health"),
    re_path(r"^healthz/?$", system_views.LivenessView.as_view(), name="healthz"),
    re_path(r"^readyz/?$", system_views.ReadinessView.as_view(), name="readyz"),
    re_path(r"^metrics/?$", system_views.MetricsView.as_view(), name="prometheus-metrics"),
]
