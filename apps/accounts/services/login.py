"""Logging in, by API and by browser: the password first, then the second factor where there is one."""

from django.contrib.auth.hashers import make_password

from apps.accounts import lockout
from apps.accounts.models import Session, User
from apps.accounts.selectors import find_user_by_login
from apps.accounts.services import mfa
from apps.accounts.services.common import subject_of
from apps.accounts.services.sessions import TokenPair, issue_tokens, open_session
from apps.core.errors import Forbidden, Unauthenticated
from apps.core.events import Subject, emit
from apps.core.principals import Principal


def check_password(*, name: str, password: str, address: str) -> tuple[User, lockout.Attempt]:
    """Return whose password it is, and the attempt, which the caller has to end by `succeed` or `withdraw`.

    Raises:
        Unauthenticated: wrong name or password, or a disabled user; all look the same and take the same time (401).
        TooMany: after repeated failures (429).

    Emits: user.login_refused.
    """
    user = find_user_by_login(name)
    attempt = lockout.begin_attempt(user=user, name=name, address=address)
    if user is None or user.disabled:
        make_password(password)
        matches = False
    else:
        matches = user.check_password(password)
    if user is None or not matches:
        _refuse(user, "bad_credentials")
        raise Unauthenticated("User name or password is wrong.", code="bad_credentials")
    return user, attempt


def check_second_step(*, user: User, code: str, address: str) -> None:
    """Accept a code of the user's authenticator, or a recovery code.

    Raises:
        Unauthenticated: wrong or used before (401).
        TooMany: after repeated failures (429).

    Emits: user.login_refused, user.recovery_code_used.
    """
    attempt = lockout.begin_attempt(user=user, name=user.username, address=address)
    if not mfa.accept_code(user, code):
        _refuse(user, "bad_code")
        raise Unauthenticated("This code is wrong or was used before.", code="bad_otp")
    attempt.succeed()


def _refuse(user: User | None, reason: str) -> None:
    # A name that nobody has may be a password typed into the wrong field: it is not written down.
    name = user.username if user else ""
    emit(
        "user.login_refused",
        subject=subject_of(user) if user else Subject("user", "", ""),
        actor=Principal(kind="anonymous", id="", name=name or "unknown"),
        level="warning",
        data={"username": name, "reason": reason},
    )


def log_in(
    *, name: str, password: str, otp: str = "", address: str = "", user_agent: str = ""
) -> tuple[Session, TokenPair]:
    """Log in by API.

    Args:
        name: user name or email.
        otp: code of the authenticator or a recovery code, where a second factor is set up.

    Raises:
        Unauthenticated: wrong name, password or code (401).
        Forbidden: a code is missing, `mfa_required` (403).
        TooMany: after repeated failures (429).

    Emits: user.logged_in, user.login_refused.
    Source: contract, POST /auth/login.
    """
    user, attempt = check_password(name=name, password=password, address=address)
    has_mfa = mfa.is_enabled(user)
    if has_mfa:
        attempt.withdraw()
        if not otp:
            raise Forbidden("Send the code of your authenticator as `otp`.", code="mfa_required")
        check_second_step(user=user, code=otp, address=address)
    else:
        attempt.succeed()
    session = open_session(user=user, kind="jwt", mfa_verified=has_mfa, address=address, user_agent=user_agent)
    return session, issue_tokens(session)
