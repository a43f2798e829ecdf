"""From a credential to the caller whose it is, with the rights they have now."""

import hmac
from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Prefetch, Subquery
from django.utils import timezone

from apps.accounts import tokens
from apps.accounts.hashing import hash_secret
from apps.accounts.models import ApiKey, Role, Session, User
from apps.accounts.principals import principal_of_key, principal_of_user
from apps.core.errors import Unauthenticated
from apps.core.principals import Principal

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
    found = list(
        # No order: every request comes by here, and one row needs none.
        Session.objects.live()
        .select_related("user", "user__totp_device")
        .prefetch_related("user__roles")
        .filter(id=identifier)
        .order_by()
    )
    if not found:
        raise Unauthenticated("This session has ended; log in again.", code="session_ended")
    session = found[0]
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
    """Return keys that bring along what their rights depend on; an owner of many comes once."""
    codes = Role.objects.filter(name=OuterRef("role")).values("permissions")[:1]
    owners = User.objects.select_related("totp_device").prefetch_related("roles")
    return ApiKey.objects.prefetch_related(Prefetch("owner", owners)).annotate(role_codes=Subquery(codes))


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
