"""Exactly one credential counts: bearer token, API key, or the console's cookie."""

import hashlib
import hmac
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from apps.accounts import tokens
from apps.accounts.models import ApiKey, Session
from apps.accounts.principals import principal_of_key, principal_of_user
from apps.core.errors import DomainError, Unauthenticated
from apps.core.principals import Principal

TOUCH_EVERY = timedelta(seconds=60)
BROWSER_SESSION_ID = "wk_session_id"  # key of our session row's id in Django's session


def hash_secret(secret: str) -> str:
    """Return what is stored of a random credential."""
    return hashlib.sha256(secret.encode()).hexdigest()


def principal_of_bearer(token: str) -> Principal:
    """Return the caller of an access token.

    Raises:
        Unauthenticated: forged, expired, or its session or user has ended (401).
    """
    claims = tokens.read_access(token)
    return principal_of_session(str(claims["sid"]))


def principal_of_session(session_id: str) -> Principal:
    """Return the caller of a live session.

    Raises:
        Unauthenticated: the session or its user has ended (401).
    """
    now = timezone.now()
    session = (
        Session.objects.select_related("user")
        .prefetch_related("user__roles")
        .filter(id=session_id, ended_at__isnull=True, expires_at__gt=now, user__disabled=False)
        .first()
    )
    if session is None:
        raise Unauthenticated("This session has ended; log in again.", code="session_ended")
    if now - session.last_seen_at > TOUCH_EVERY:
        Session.objects.filter(id=session.id).update(last_seen_at=now)
    return principal_of_user(session.user, session)


def principal_of_api_key(secret: str) -> Principal:
    """Return the caller of an API key.

    Raises:
        Unauthenticated: unknown, revoked, expired, or its owner is disabled (401).
    """
    now = timezone.now()
    key = (
        ApiKey.objects.select_related("owner")
        .prefetch_related("owner__roles")
        .filter(prefix=secret[:11], revoked_at__isnull=True, owner__disabled=False)
        .first()
    )
    if key is None or not hmac.compare_digest(key.secret_hash, hash_secret(secret)):
        raise Unauthenticated("This API key is unknown or was revoked.", code="bad_api_key")
    if key.expires_at and key.expires_at <= now:
        raise Unauthenticated("This API key has expired.", code="api_key_expired")
    if key.last_used_at is None or now - key.last_used_at > TOUCH_EVERY:
        ApiKey.objects.filter(id=key.id).update(last_used_at=now)
    return principal_of_key(key)


def principals_of_api_keys(secrets: Collection[str]) -> dict[str, Principal | Unauthenticated]:
    """Return the callers of many API keys at once, for hot paths that authenticate a batch inside its transaction.

    Returns:
        Secret -> its principal, or the refusal that `principal_of_api_key` would raise.
    """
    if not secrets:
        return {}
    now = timezone.now()
    found = {
        key.prefix: key
        for key in ApiKey.objects.select_related("owner")
        .prefetch_related("owner__roles")
        .filter(prefix__in={secret[:11] for secret in secrets}, revoked_at__isnull=True, owner__disabled=False)
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


class CredentialAuthentication(BaseAuthentication):
    """Reads the one credential of a request; two of them are refused."""

    def authenticate(self, request: Request) -> tuple[Principal, str] | None:
        """Return (principal, "bearer" | "api_key" | "cookie"), or None for an anonymous caller."""
        header = request.headers.get("Authorization", "")
        key = request.headers.get("X-API-Key", "")
        if header and key:
            raise exceptions.AuthenticationFailed("Send one credential, not two.")
        try:
            if header:
                scheme, _, token = header.partition(" ")
                if scheme.lower() != "bearer" or not token:
                    raise exceptions.AuthenticationFailed("Use `Authorization: Bearer <access token>` or `X-API-Key`.")
                if token.startswith("wk_"):
                    return principal_of_api_key(token.strip()), "api_key"
                return principal_of_bearer(token.strip()), "bearer"
            if key:
                return principal_of_api_key(key.strip()), "api_key"
        except DomainError as error:
            raise exceptions.AuthenticationFailed(error.detail, error.code) from error
        return self._cookie(request)

    def _cookie(self, request: Request) -> tuple[Principal, str] | None:
        underlying: Any = request._request
        principal = getattr(underlying, "principal", None)  # set by the console's middleware
        if principal is None:
            return None
        check = CSRFCheck(lambda _: None)  # type: ignore[arg-type]
        check.process_request(underlying)
        reason = check.process_view(underlying, None, (), {})
        if reason:
            raise exceptions.PermissionDenied(f"CSRF: {reason}")
        return principal, "cookie"

    def authenticate_header(self, request: Request) -> str:
        """Return what 401 answers name."""
        return "Bearer"


