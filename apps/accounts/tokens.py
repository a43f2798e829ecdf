"""JWTs: short-lived access tokens and rotating refresh tokens, both bound to a session row by `sid`."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from apps.accounts.models import Session
from apps.core.errors import Unauthenticated


def access_lifetime() -> timedelta:
    """Return how long an access token counts."""
    return settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"]


def issue(session: Session) -> tuple[str, str, str]:
    """Return (access, refresh, jti of the refresh) for a session."""
    refresh = RefreshToken()
    refresh["sid"] = str(session.id)
    refresh["sub"] = str(session.user_id)
    access = refresh.access_token
    return str(access), str(refresh), str(refresh["jti"])


def read_access(token: str) -> dict[str, Any]:
    """Return the claims of an access token.

    Raises:
        Unauthenticated: forged or expired (401).
    """
    try:
        claims = dict(AccessToken(token).payload)  # type: ignore[arg-type]
    except TokenError as error:
        raise Unauthenticated("This access token is not valid or has expired; refresh it.", code="bad_token") from error
    return _with_session(claims)


def read_refresh(token: str) -> dict[str, Any]:
    """Return the claims of a refresh token.

    Raises:
        Unauthenticated: forged or expired (401).
    """
    try:
        claims = dict(RefreshToken(token).payload)  # type: ignore[arg-type]
    except TokenError as error:
        raise Unauthenticated(
            "This refresh token is not valid or has expired; log in again.", code="bad_token"
        ) from error
    return _with_session(claims)


def _with_session(claims: dict[str, Any]) -> dict[str, Any]:
    if not claims.get("sid"):
        raise Unauthenticated("This token names no session; log in again.", code="bad_token")
    return claims
