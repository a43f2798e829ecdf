"""Middleware of the console's browser sessions, and of the origins that may call the API from a browser."""

from collections.abc import Callable

from django.contrib.auth import logout
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from apps.accounts.authentication import BROWSER_SESSION_ID, live_session
from apps.accounts.policies import SECURITY, value_of
from apps.accounts.principals import principal_of_user
from apps.core.errors import Unauthenticated

Handler = Callable[[HttpRequest], HttpResponse]


class ConsoleSessionMiddleware:
    """Gives the request its principal where its browser session is live; logs it out where our row has ended.

    Our row alone decides: Django's own idea of who is logged in does not count without it.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set `request.principal` and `request.user`."""
        request.principal = None  # type: ignore[attr-defined]
        request.console_session = None  # type: ignore[attr-defined]
        if request.COOKIES and not request.headers.get("Authorization") and not request.headers.get("X-API-Key"):
            self._identify(request)
        if request.principal is None:  # type: ignore[attr-defined]
            request.user = AnonymousUser()
        return self.get_response(request)

    @staticmethod
    def _identify(request: HttpRequest) -> None:
        session_id = request.session.get(BROWSER_SESSION_ID)
        if not session_id:
            return
        try:
            session = live_session(session_id)
        except Unauthenticated:
            logout(request)
            return
        request.user = session.user
        request.console_session = session  # type: ignore[attr-defined]
        request.principal = principal_of_user(session.user, session)  # type: ignore[attr-defined]


class AllowedOriginsMiddleware:
    """Lets pages of the allowed origins call the API with a token or key; the console's cookie never goes along."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer preflights and mark answers, for allowed origins alone."""
        origin = request.headers.get("Origin", "")
        if not origin or not request.path.startswith("/api/") or origin not in value_of(SECURITY, "allowed_origins"):
            return self.get_response(request)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response = HttpResponse(status=204)
            response["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE"
            response["Access-Control-Allow-Headers"] = (
                "Authorization, Content-Type, If-Match, Idempotency-Key, X-API-Key"
            )
            response["Access-Control-Max-Age"] = "3600"
        else:
            response = self.get_response(request)
            response["Access-Control-Expose-Headers"] = (
                "ETag, Link, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-ID, "
                "X-Total-Count"
            )
        response["Access-Control-Allow-Origin"] = origin
        patch_vary_headers(response, ["Origin"])
        return response
