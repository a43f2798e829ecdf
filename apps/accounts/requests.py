"""Where a request came from."""

from django.http import HttpRequest
from rest_framework.request import Request

from apps.core import context


def address_of(request: Request | HttpRequest) -> str:
    """Return the client's address as the edge found it; the socket's where no edge is in front."""
    return context.current().address or request.META.get("REMOTE_ADDR", "")


def user_agent_of(request: Request | HttpRequest) -> str:
    """Return what the client calls itself."""
    return request.headers.get("User-Agent", "")[:300]
