"""Routes below /api/v1."""

from django.urls import re_path

from apps.containers.api import views

_LIST = r"^docker/(?P<server_id>[^/]+)/containers"
_ONE = rf"{_LIST}/(?P<container_id>[^/]+)"

urlpatterns = [
    re_path(rf"{_LIST}/?$", views.ContainerListView.as_view(), name="containers"),
    re_path(rf"{_ONE}/start/?$", views.ContainerStartView.as_view(), name="container-start"),
    re_path(rf"{_ONE}/stop/?$", views.ContainerStopView.as_view(), name="container-stop"),
    re_path(rf"{_ONE}/restart/?$", views.ContainerRestartView.as_view(), name="container-restart"),
    re_path(rf"{_ONE}/logs/?$", views.ContainerLogsView.as_view(), name="container-logs"),
]
