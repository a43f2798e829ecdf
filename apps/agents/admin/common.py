"""What the pages share: the page with the install line, and how statuses look."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from apps.agents.installing import install_line, script
from apps.agents.models import EnrolmentToken, HostAgent
from apps.agents.selectors import status_of
from apps.core.templatetags.console import badge

_WORDS = {"pending": "Waiting for its host"}


def status_badge(agent: HostAgent) -> SafeString:
    """Draw the agent's status."""
    status = status_of(agent)
    return badge(status, _WORDS.get(status, ""))


def install_page(
    request: HttpRequest,
    context: dict[str, Any],
    *,
    token: str,
    row: EnrolmentToken | None = None,
    agent: HostAgent | None = None,
) -> HttpResponse:
    """Show the line to run on a host, once: the token in it is not kept.

    Args:
        context: of the console's page. row: the token; agent: whose host it is for.
    """
    response = TemplateResponse(
        request,
        "console/agent_install.html",
        {
            **context,
            "line": install_line(token),
            "bare_line": install_line(),
            "token": token,
            "token_row": row,
            "agent": agent,
            "digest": script().digest,
            "public_url": settings.PUBLIC_URL,
            "is_plain": settings.PUBLIC_URL.startswith("http://"),
            "is_loopback": "//127.0.0.1" in settings.PUBLIC_URL or "//localhost" in settings.PUBLIC_URL,
        },
    )
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response.render()
