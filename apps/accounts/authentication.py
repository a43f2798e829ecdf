"""Exactly one credential counts: bearer token, API key, ticket, or the console's cookie."""

from typing import Any

from django.http import HttpResponse
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from apps.accounts.credentials import (
    BROWSER_SESSION_ID,
    live_session,
    principal_now,
    principal_of_api_key,
    principal_of_bearer,
    principal_of_session,
    principals_of_api_keys,
)
from apps.accounts.hashing import hash_secret
from apps.accounts.services.tickets import spend_ticket
from apps.core.errors import Unauthenticated
from apps.core.principals import Principal

__all__ = [
    "BROWSER_SESSION_ID",
    "CredentialAuthentication",
    "hash_secret",
    "live_session",
    "principal_now",
    "principal_of_api_key",
    "principal_of_bearer",
    "principal_of_session",
    "principals_of_api_keys",
    "spend_ticket",
]


def _nothing(*_: Any) -> HttpResponse:
    """Stand in for the view that Django's CSRF check is not going to call."""
    return HttpResponse()


class CredentialAuthentication(BaseAuthentication):
    """Reads the one credential of a request; two of them are refused."""

    def authenticate(self, request: Request) -> tuple[Principal, str] | None:
        """Return (principal, "bearer" | "api_key" | "ticket" | "cookie"), or None for an anonymous caller.

        Raises:
            Unauthenticated: a credential that does not count, or two of them (401).
        """
        header = request.headers.get("Authorization", "")
        key = request.headers.get("X-API-Key", "")
        ticket = self._ticket(request)
        if sum(map(bool, (header, key, ticket))) > 1:
            raise Unauthenticated("Send one credential, not two.", code="two_credentials")
        if header:
            scheme, _, token = header.partition(" ")
            token = token.strip()
            if scheme.lower() != "bearer" or not token:
                raise Unauthenticated("Use `Authorization: Bearer <access token>` or `X-API-Key`.", code="bad_scheme")
            if token.startswith("wk_"):
                return principal_of_api_key(token), "api_key"
            return principal_of_bearer(token), "bearer"
        if key:
            return principal_of_api_key(key.strip()), "api_key"
        if ticket:
            return spend_ticket(ticket, request.path), "ticket"
        return self._cookie(request)

    @staticmethod
    def _ticket(request: Request) -> str:
        """Return the ticket in the query, on views that say `accepts_ticket`: streams, whose clients set no headers."""
        view = (request.parser_context or {}).get("view")
        return request.query_params.get("ticket", "") if getattr(view, "accepts_ticket", False) else ""

    def _cookie(self, request: Request) -> tuple[Principal, str] | None:
        underlying: Any = request._request
        principal = getattr(underlying, "principal", None)  # set by the console's middleware
        if principal is None:
            return None
        check = CSRFCheck(_nothing)
        check.process_request(underlying)
        reason = check.process_view(underlying, _nothing, (), {})
        if reason:
            raise exceptions.PermissionDenied(f"CSRF: {reason}")
        return principal, "cookie"

    def authenticate_header(self, request: Request) -> str:
        """Return what 401 answers name."""
        return "Bearer"
