"""Gives Django's requests what the edge found out."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


class EdgeFactsMiddleware:
    """Sets `request.csp_nonce`; empty where no edge is in front (tests, runserver)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set the nonce."""
        scope = getattr(request, "scope", None) or {}
        request.csp_nonce = scope.get("state", {}).get("csp_nonce", "")  # type: ignore[attr-defined]
        return self.get_response(request)
