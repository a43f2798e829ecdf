"""Is it still the person who signed in? Asked before what a passer-by at an open screen must not do."""

from apps.accounts import lockout
from apps.accounts.models import User
from apps.accounts.services.common import require_person
from apps.accounts.services.mfa import accept_code, is_enabled
from apps.core.errors import Invalid
from apps.core.principals import Principal


def needs_code(actor: Principal) -> bool:
    """Return whether the person has a second factor, which is then asked for too."""
    return is_enabled(User.objects.get(id=require_person(actor)))


def confirm_person(*, actor: Principal, password: str, code: str, address: str) -> None:
    """Refuse where password or, if there is a second factor, code are not the caller's; failures count like failed
    logins.

    Raises:
        Invalid: one of them is wrong (422). TooMany: after repeated failures (429).
        Forbidden: the caller is an API key (403).
    """
    user = User.objects.get(id=require_person(actor))
    attempt = lockout.begin_attempt(user=user, name=user.username, address=address)
    if not user.check_password(password):
        raise Invalid({"password": "This is not your password."}, code="wrong_password")
    if is_enabled(user) and not accept_code(user, code):
        raise Invalid({"code": "This code is wrong or was used before."}, code="bad_otp")
    attempt.succeed()
