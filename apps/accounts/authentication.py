"""Exactly one credential counts: bearer token, API key, or the console's cookie."""

import hmac
from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.http import HttpResponse
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from apps.accounts import tokens
from apps.accounts.hashing import hash_secret
from apps.accounts.models import ApiKey, Role, Session
from apps.accounts.principals import principal_of_key, principal_of_user
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
]

TOUCH_EVERY = timedelta(seconds=60)
BROWSER_SESSION_ID = "wk_session_id"  # key of our session row's id in Django's session


def principal_of_bearer(token: str) -> Principal:
    """Return the caller of an access token.

    Raises:
        Unauthenticated: forged, expired, or its session or user has ended (401).
    """
    return principal_of_session(str(tokens.read_access(token)["sid"]))


def live_session(session_id: str | UUID) -> Session:
    """Return a session that counts now, with its user; two queries in all, the user's roles included.

    Raises:
        Unauthenticated: the session or its user has ended, or its second step was never passed (401).
    """
    try:
        identifier = session_id if isinstance(session_id, UUID) else UUID(session_id)
    except ValueError:
        raise Unauthenticated("This is not a session.", code="session_ended") from None
    session = (
        Session.objects.live()
        .select_related("user", "user__totp_device")
        .prefetch_related("user__roles")
        .filter(id=identifier)
        .first()
    )
    if session is None:
        raise Unauthenticated("This session has ended; log in again.", code="session_ended")
    now = timezone.now()
    if now - session.last_seen_at > TOUCH_EVERY:
        Session.objects.filter(id=session.id).update(last_seen_at=now)
    return session


def principal_of_session(session_id: str | UUID) -> Principal:
    """Return the caller of a live session.

    Raises:
        Unauthenticated: the session or its user has ended (401).
    """
    session = live_session(session_id)
    return principal_of_user(session.user, session)


def _keys() -> Any:
    codes = Role.objects.filter(name=OuterRef("role")).values("permissions")[:1]
    return (
        ApiKey.objects.select_related("owner", "owner__totp_device")
        .prefetch_related("owner__roles")
        .annotate(role_codes=Subquery(codes))
    )


def principal_of_api_key(secret: str) -> Principal:
    """Return the caller of an API key.

    Raises:
        Unauthenticated: unknown, revoked, expired, or its owner is disabled (401).
    """
    caller = principals_of_api_keys([secret])[secret]
    if isinstance(caller, Unauthenticated):
        raise caller
    return caller


def principals_of_api_keys(secrets: Collection[str]) -> dict[str, Principal | Unauthenticated]:
    """Return the callers of many API keys at once, for hot paths that authenticate a batch inside its transaction.

    Returns:
        Secret -> its principal, or the refusal that `principal_of_api_key` would raise.
    """
    if not secrets:
        return {}
    now = timezone.now()
    prefixes = {secret[:11] for secret in secrets}
    found = {
        key.prefix: key for key in _keys().filter(prefix__in=prefixes, revoked_at__isnull=True, owner__disabled=False)
    }
    callers: dict[str, Principal | Unauthenticated] = {}
    touched = []
    for secret in secrets:
        key = found.get(secret[:11])
        if key is None or not hmac.compare_digest(key.secret_hash, hash_secret(secret)):
            callers[secret] = Unauthenticated("This API key is unknown or was revoked.", code="bad_api_key")
        elif key.expires_at and key.expires_at <= now:
            callers[secret] = Unauthenticated("This API key has expired.", code="api_key_expired")
        else:
            callers[secret] = principal_of_key(key)
            if key.last_used_at is None or now - key.last_used_at > TOUCH_EVERY:
                touched.append(key.id)
    if touched:
        ApiKey.objects.filter(id__in=touched).update(last_used_at=now)
    return callers


def principal_now(*, session_id: UUID | str | None = None, api_key_id: UUID | str | None = None) -> Principal:
    """Return a caller seen before, with the rights they have now.

    Raises:
        Unauthenticated: the session or key has ended (401).
    """
    if session_id is not None:
        return principal_of_session(session_id)
    key = _keys().live().filter(id=api_key_id).first() if api_key_id else None
    if key is None:
        raise Unauthenticated("This API key was revoked or has expired.", code="bad_api_key")
    return principal_of_key(key)


def _nothing(*_: Any) -> HttpResponse:
    """Stand in for the view that Django's CSRF check is not going to call."""
    return HttpResponse()


class CredentialAuthentication(BaseAuthentication):
    """Reads the one credential of a request; two of them are refused."""

    def authenticate(self, request: Request) -> tuple[Principal, str] | None:
        """Return (principal, "bearer" | "api_key" | "cookie"), or None for an anonymous caller.

        Raises:
            Unauthenticated: a credential that does not count, or two of them (401).
        """
        header = request.headers.get("Authorization", "")
        key = request.headers.get("X-API-Key", "")
        if header and key:
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
        return self._cookie(request)

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
