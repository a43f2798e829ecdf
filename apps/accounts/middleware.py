"""Middleware of the console's browser sessions."""

from collections.abc import Callable

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse

from apps.accounts.authentication import BROWSER_SESSION_ID, principal_of_session
from apps.core.errors import Unauthenticated


class ConsoleSessionMiddleware:
    """Gives the request its principal where its browser session is live; logs it out where our row has ended."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set `request.principal`."""
        request.principal = None  # type: ignore[attr-defined]
        if request.COOKIES and request.session.get(BROWSER_SESSION_ID):
            try:
                request.principal = principal_of_session(request.session[BROWSER_SESSION_ID])  # type: ignore[attr-defined]
            except Unauthenticated:
                logout(request)
        return self.get_response(request)
