"""Passwords: the policy is enforced wherever one is set."""

from typing import Any

from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction
from django.utils import timezone

from apps.accounts import lockout
from apps.accounts.models import FormerPassword, User
from apps.accounts.policies import PASSWORD_POLICY, password_problems, value_of
from apps.accounts.services import sessions
from apps.accounts.services.common import announce_rights, facts_of, require_person, require_reach, subject_of
from apps.core.errors import Invalid, NotFound
from apps.core.events import emit
from apps.core.principals import Principal

KEPT_PASSWORDS = 24  # the most that the policy's history may ask for


def require_good_password(
    password: str, *, user: User | None = None, names: tuple[str, ...] = (), field: str = "password"
) -> None:
    """Refuse a password that the policy has something against.

    Raises:
        Invalid: with one sentence a problem (422).
    """
    if user is not None:
        names = (user.username, user.email or "", user.full_name)
    problems = password_problems(password, names=names)
    history = value_of(PASSWORD_POLICY, "history")
    if not problems and user is not None and history and user.pk:
        former = [user.password, *user.former_passwords.values_list("password", flat=True)[:history]]
        if any(check_password(password, one) for one in former[:history]):
            problems.append(f"You have used this password before; the last {history} are refused.")
    if problems:
        raise Invalid({field: problems})


def store_password(user: User, password: str, *, actor: Principal, must_change: bool = False, note: str = "") -> None:
    """Set a password that was found good; the former one goes into the history.

    Emits: user.password_changed.
    """
    hashed = make_password(password)  # outside of the transaction: it is slow on purpose
    with transaction.atomic():
        if user.password:
            FormerPassword.objects.create(user=user, password=user.password)
            kept = user.former_passwords.values_list("id", flat=True)[:KEPT_PASSWORDS]
            user.former_passwords.exclude(id__in=list(kept)).delete()
        user.password, user.must_change_password, user.password_changed_at = hashed, must_change, timezone.now()
        user.revision += 1
        user.save(update_fields=["password", "must_change_password", "password_changed_at", "revision"])
        emit("user.password_changed", subject=subject_of(user), actor=actor, data=facts_of(user), note=note)
        announce_rights()


def require_own_password(user: User, password: str, *, address: str, field: str) -> None:
    """Refuse where `password` is not the user's; failures count like failed logins.

    Raises:
        Invalid: it is not (422).
        TooMany: after repeated failures (429).
    """
    attempt = lockout.begin_attempt(user=user, name=user.username, address=address)
    if not user.check_password(password):
        raise Invalid({field: "This is not your password."}, code="wrong_password")
    attempt.succeed()


def change_own_password(*, current_password: str, new_password: str, address: str, actor: Principal) -> User:
    """Change the caller's password; all their other sessions end.

    Returns:
        The user, as saved.

    Raises:
        Invalid: the current password is wrong, or the policy refuses the new one (422).
        TooMany: after repeated failures (429).
        Forbidden: the caller is an API key (403).

    Emits: user.password_changed, session.ended.
    Source: contract, PUT /auth/me/password and POST /auth/change-password.
    """
    user = User.objects.prefetch_related("roles").get(id=require_person(actor))
    require_own_password(user, current_password, address=address, field="current_password")
    require_good_password(new_password, user=user, field="new_password")
    with transaction.atomic():
        store_password(user, new_password, actor=actor)
        sessions.end_sessions_of(user=user, reason="password_changed", actor=actor, but=actor.session_id)
    return user


def set_password_of(*, user_id: Any, new_password: str, actor: Principal, must_change: bool = True) -> None:
    """Set somebody's password; they must change it at the next login, and their sessions end.

    Raises:
        NotFound: no such user (404). Invalid: the policy refuses it (422). Forbidden: the user holds more rights (403).

    Emits: user.password_changed, session.ended.
    Source: contract, PUT /users/{id}/password.
    """
    user = User.objects.prefetch_related("roles").filter(id=user_id).first()
    if user is None:
        raise NotFound("There is no such user.")
    require_reach(user, actor)
    require_good_password(new_password, user=user, field="new_password")
    with transaction.atomic():
        store_password(user, new_password, actor=actor, must_change=must_change)
        sessions.end_sessions_of(user=user, reason="password_changed", actor=actor)
