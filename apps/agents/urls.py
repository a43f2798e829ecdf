"""Routes beside /api/v1: what a host downloads."""

from django.urls import re_path

from apps.agents.api.downloads import InstallScriptView, ProgramView

urlpatterns = [
    re_path(r"^agent/install\.sh/?$", InstallScriptView.as_view(), name="agent-install"),
    re_path(r"^agent/watchkeeper-agent\.py/?$", ProgramView.as_view(), name="agent-program"),
]
