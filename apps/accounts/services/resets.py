"""Forgotten passwords: a single-use link by mail, where mail is configured."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts import lockout
from apps.accounts.hashing import hash_secret
from apps.accounts.models import PasswordReset, User
from apps.accounts.services import sessions
from apps.accounts.services.common import facts_of, subject_of
from apps.accounts.services.passwords import require_good_password, store_password
from apps.core import runtime_settings
from apps.core.errors import NotFound
from apps.core.events import emit
from apps.core.ids import new_secret
from apps.core.principals import Principal
from apps.core.registries import mailers

LIFETIME = timedelta(hours=1)
MOST_LINKS_AN_HOUR = 3  # so that nobody's mailbox is filled from here

TEXT = """Somebody, hopefully you, asked for a new password for {username} at {installation}.

Set it here within one hour; the link works once:
{link}

If it was not you, ignore this mail: nothing has changed.
"""


def is_mail_configured() -> bool:
    """Return whether anything can send a mail."""
    return any(True for _ in mailers)


def request_reset(*, email: str) -> bool:
    """Mail a link to set a new password, where there is such a user; the caller is never told.

    Returns:
        Whether a mail was queued.

    Emits: user.password_reset_requested.
    Source: contract, POST /auth/password/reset.
    """
    user = (
        User.objects.filter(email__iexact=email.strip(), disabled=False, auth_provider="local").first()
        if email.strip()
        else None
    )
    if user is None or not is_mail_configured():
        return False
    token, now = new_secret(), timezone.now()
    with transaction.atomic():
        if PasswordReset.objects.filter(user=user, created_at__gt=now - LIFETIME).count() >= MOST_LINKS_AN_HOUR:
            return False
        PasswordReset.objects.create(token_hash=hash_secret(token), user=user, expires_at=now + LIFETIME)
        emit("user.password_reset_requested", subject=subject_of(user), actor=_as_actor(user), data=facts_of(user))
        installation = runtime_settings.get("general.installation_name")
        text = TEXT.format(
            username=user.username, installation=installation, link=f"{settings.PUBLIC_URL}/admin/reset/{token}/"
        )
        for _, send in mailers.items():
            send(user.email or "", f"New password for {installation}", text)
    return True


def is_good_token(token: str) -> bool:
    """Return whether a link still counts."""
    return _open(token).exists()


def _open(token: str) -> QuerySet[PasswordReset]:
    rows = PasswordReset.objects.filter(
        token_hash=hash_secret(token), used_at__isnull=True, expires_at__gt=timezone.now()
    )
    return rows.filter(user__disabled=False)


def complete_reset(*, token: str, new_password: str, address: str) -> User:
    """Set the password of the user whose link it is; sessions end, the lockout is lifted, the second factor stays.

    Raises:
        NotFound: the link is unknown, used or expired (404). Invalid: the policy refuses the password (422).

    Emits: user.password_changed, session.ended.
    """
    reset = _open(token).select_related("user").first()
    if reset is None:
        raise NotFound("This link was used before or has expired; ask for a new one.", code="bad_link")
    user = reset.user
    require_good_password(new_password, user=user, field="new_password")
    with transaction.atomic():
        if not _open(token).update(used_at=timezone.now()):
            raise NotFound("This link was used before or has expired; ask for a new one.", code="bad_link")
        actor = _as_actor(user)
        store_password(user, new_password, actor=actor, note="by a mailed link")
        PasswordReset.objects.filter(user=user, used_at__isnull=True).update(used_at=timezone.now())
        sessions.end_sessions_of(user=user, reason="password_changed", actor=actor)
        lockout.lift(user)
        lockout.remember_address(user, address)
    return user


def _as_actor(user: User) -> Principal:
    return Principal(kind="user", id=str(user.id), name=user.username, user_id=user.id)
