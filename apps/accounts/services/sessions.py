"""Sessions: opened by a login, refreshed, ended."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.accounts import lockout, tokens
from apps.accounts.models import Session, User
from apps.accounts.policies import SECURITY, value_of
from apps.accounts.services.common import announce_rights, facts_of, subject_of
from apps.core.errors import Forbidden, NotFound, Unauthenticated
from apps.core.events import Subject, emit
from apps.core.principals import Principal, system


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The tokens of a session. `expires_at` is that of the access token."""

    access: str
    refresh: str
    expires_at: datetime


def open_session(*, user: User, kind: str, mfa_verified: bool, address: str, user_agent: str) -> Session:
    """Write down a login whose steps have all been passed.

    Emits: user.logged_in.
    """
    now = timezone.now()
    with transaction.atomic():
        session = Session.objects.create(
            user=user,
            kind=kind,
            address=address[:64],
            user_agent=user_agent[:300],
            mfa_verified=mfa_verified,
            expires_at=now + timedelta(seconds=value_of(SECURITY, "session_lifetime_s")),
        )
        User.objects.filter(id=user.id).update(last_login=now)
        user.last_login = now
        lockout.remember_address(user, address)
        emit(
            "user.logged_in",
            subject=subject_of(user),
            actor=Principal(kind="user", id=str(user.id), name=user.username, user_id=user.id, session_id=session.id),
            data={**facts_of(user), "session_id": str(session.id), "kind": kind},
        )
    return session


def issue_tokens(session: Session) -> TokenPair:
    """Make the session's next pair of tokens; the refresh token before it counts no more."""
    access, refresh, jti = tokens.issue(session)
    Session.objects.filter(id=session.id).update(refresh_jti=jti)
    session.refresh_jti = jti
    return TokenPair(access, refresh, min(timezone.now() + tokens.access_lifetime(), session.expires_at))


def refresh_session(*, refresh: str) -> tuple[Session, TokenPair]:
    """Change a refresh token for a new pair. One used a second time ends its session: one of its two users stole it.

    Raises:
        Unauthenticated: forged, expired, used before, or the session has ended (401).

    Emits: session.ended.
    Source: contract, POST /auth/refresh.
    """
    claims = tokens.read_refresh(refresh)
    pair: TokenPair | None = None
    with transaction.atomic():
        locked = Session.objects.select_for_update().filter(id=claims["sid"], kind=Session.Kind.JWT)
        found = locked.first()
        session = Session.objects.live().select_related("user").filter(id=found.id).first() if found else None
        if session is not None:
            if session.refresh_jti == claims["jti"]:
                pair = issue_tokens(session)
                Session.objects.filter(id=session.id).update(last_seen_at=timezone.now())
            else:
                _end(session, "refresh_reused", system("accounts"))
    if session is None:
        raise Unauthenticated("This session has ended; log in again.", code="session_ended")
    if pair is None:
        raise Unauthenticated(
            "This refresh token was used before; the session is ended, log in again.", code="token_reused"
        )
    return session, pair


def _end(session: Session, reason: str, actor: Principal) -> None:
    session.ended_at, session.end_reason = timezone.now(), reason
    session.save(update_fields=["ended_at", "end_reason"])
    emit(
        "session.ended",
        subject=Subject("session", str(session.id), session.user.username),
        actor=actor,
        level="warning" if reason == "refresh_reused" else "info",
        data={**facts_of(session.user), "session_id": str(session.id), "reason": reason},
    )
    announce_rights()


def log_out(*, actor: Principal) -> None:
    """End the caller's session; its tokens are refused from then on.

    Raises:
        Forbidden: the caller came by an API key, which has no session (403).

    Emits: session.ended.
    """
    if actor.session_id is None:
        raise Forbidden("An API key has no session to end.", code="person_required")
    with transaction.atomic():
        session = (
            Session.objects.select_for_update(of=("self",)).select_related("user").filter(id=actor.session_id).first()
        )
        if session is not None and session.ended_at is None:
            _end(session, "logged_out", actor)


def end_session(*, session_id: Any, actor: Principal, reason: str = "ended_by_admin") -> None:
    """End a session that the caller may see.

    Raises:
        NotFound: no such live session among those (404).

    Emits: session.ended.
    Source: contract, DELETE /security/sessions/{id}.
    """
    with transaction.atomic():
        rows = Session.objects.visible_to(actor).select_for_update(of=("self",)).select_related("user")
        session = rows.filter(id=_uuid(session_id), ended_at__isnull=True).first()
        if session is None:
            raise NotFound("There is no such session, or it has ended.")
        _end(session, reason, actor)


def end_sessions_of(*, user: User, reason: str, actor: Principal, but: UUID | None = None) -> int:
    """End a user's sessions.

    Args:
        but: the one that stays.

    Returns:
        How many ended.

    Emits: session.ended, one a session.
    """
    with transaction.atomic():
        live = Session.objects.filter(user=user, ended_at__isnull=True)
        ended = list(live.exclude(id=but) if but else live)
        for session in ended:
            session.user = user
            _end(session, reason, actor)
    return len(ended)


def _uuid(value: Any) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise NotFound("There is no such session, or it has ended.") from None
