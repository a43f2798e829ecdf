"""Route of the import below `/api/v1/`."""

from django.urls import re_path

from apps.monitors.api.imports.views import ImportView

urlpatterns = [re_path(r"^monitors/import/?$", ImportView.as_view(), name="monitors-import")]
