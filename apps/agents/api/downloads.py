"""Public paths: what a host downloads to install the agent."""

from typing import ClassVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from apps.agents.installing import Download, program, script
from apps.core.api.permissions import PUBLIC
from apps.core.api.views import ApiView

_SHELL, _PYTHON = "text/x-shellscript", "text/x-python"


class _File(ApiView):
    """One file. It may be kept, and is asked for again by its ETag."""

    authentication_classes = []
    throttle_scope = "enrolment"
    codes: ClassVar[dict[str, str]] = {"get": PUBLIC}

    def answer(self, request: Request, file: Download, kind: str) -> HttpResponse:
        """Return the file with its digest."""
        headers = {"ETag": f'"{file.digest}"', "Cache-Control": "public, no-cache", "X-SHA256": file.digest}
        if f'"{file.digest}"' in request.headers.get("If-None-Match", ""):
            return HttpResponse(status=304, headers=headers)
        return HttpResponse(file.body, content_type=f"{kind}; charset=utf-8", headers=headers)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """Take every `Accept`: there is one form."""
        return super().perform_content_negotiation(request, force=True)


class InstallScriptView(_File):
    """The script behind the install line."""

    @extend_schema(
        operation_id="agent_install_script",
        summary="The script that installs the host agent",
        description="Its SHA-256 is in `X-SHA256`.",
        responses={(200, _SHELL): OpenApiResponse(OpenApiTypes.STR, description="A script for sh.")},
        auth=[],
    )
    def get(self, request: Request) -> HttpResponse:
        """Return the script."""
        return self.answer(request, script(), _SHELL)


class ProgramView(_File):
    """The agent's program."""

    @extend_schema(
        operation_id="agent_program",
        summary="The host agent, one file",
        description="Its SHA-256 is in `X-SHA256`.",
        responses={(200, _PYTHON): OpenApiResponse(OpenApiTypes.STR, description="A program for Python 3.9 or later.")},
        auth=[],
    )
    def get(self, request: Request) -> HttpResponse:
        """Return the program."""
        return self.answer(request, program(), _PYTHON)
