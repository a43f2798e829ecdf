"""Routes below /api/v1."""

from django.urls import re_path

from apps.core.api.routers import ApiRouter
from apps.fleet.api import views

router = ApiRouter()
router.register("servers", views.ServerViewSet, basename="server")

urlpatterns = [
    *router.urls,
    re_path(r"^metrics/(?P<server_id>[^/]+)/history/?$", views.ServerHistoryView.as_view(), name="metrics-history"),
    re_path(r"^metrics/(?P<server_id>[^/]+)/?$", views.MetricsView.as_view(), name="metrics"),
    re_path(r"^history/?$", views.HistoryView.as_view(), name="history"),
    re_path(r"^export/metrics/?$", views.MetricsExportView.as_view(), name="export-metrics"),
    re_path(r"^processes/?$", views.ProcessListView.as_view(), name="processes"),
    re_path(r"^processes/(?P<pid>[^/]+)/?$", views.ProcessView.as_view(), name="process"),
]
