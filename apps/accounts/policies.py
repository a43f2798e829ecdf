"""The settings of security and of the password policy, and what they say about a password or a person."""

from datetime import timedelta
from functools import cache
from typing import Any

from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.accounts.models import User
from apps.core.runtime_settings import declare, get

SECURITY, PASSWORD_POLICY = "security", "password_policy"

for _key, _kind, _default, _description, _limits in (
    ("session_lifetime_s", "duration", 7 * 86400, "A login ends after this time.", {"least": 300, "most": 90 * 86400}),
    (
        "lockout_after",
        "int",
        5,
        "Failures of one account from one network before logins have to wait.",
        {"least": 2, "most": 100},
    ),
    ("lockout_first_s", "duration", 30, "The first wait; each further failure doubles it.", {"least": 1, "most": 3600}),
    ("lockout_most_s", "duration", 900, "The longest wait.", {"least": 1, "most": 86400}),
    ("mfa_required_roles", "list", [], "Roles whose users must have a second factor.", {}),
    ("registration", "bool", False, "Whether strangers may register.", {}),
    ("default_role", "str", "viewer", "Role of those who register.", {}),
    (
        "allowed_origins",
        "list",
        [],
        "Origins whose pages may call the API from a browser, e.g. https://app.example.org.",
        {},
    ),
):
    declare(SECURITY, _key, _kind, _default, _description, **_limits)

for _key, _kind, _default, _description, _limits in (
    ("min_length", "int", 10, "Shortest password.", {"least": 8, "most": 128}),
    ("uppercase", "bool", False, "Demand an upper-case letter.", {}),
    ("lowercase", "bool", False, "Demand a lower-case letter.", {}),
    ("digit", "bool", False, "Demand a digit.", {}),
    ("symbol", "bool", False, "Demand a symbol.", {}),
    ("history", "int", 5, "How many former passwords are refused.", {"least": 0, "most": 24}),
    ("max_age_days", "int", 0, "A password must be changed after so many days; 0: never.", {"least": 0, "most": 3650}),
    (
        "breached_check",
        "bool",
        True,
        "Refuse passwords of the list of widely leaked ones that is part of the product.",
        {},
    ),
):
    declare(PASSWORD_POLICY, _key, _kind, _default, _description, **_limits)

declare(
    "retention", "sessions", "duration", 90 * 86400, "How long ended sessions are kept.", least=86400, most=730 * 86400
)

MOST_LENGTH = 512  # a hash of megabytes would keep the server busy


def value_of(category: str, key: str) -> Any:
    """Return the value in force of a setting."""
    return get(f"{category}.{key}")


def password_problems(password: str, *, names: tuple[str, ...] = ()) -> list[str]:
    """Return what the policy has against a password, one sentence each.

    Args:
        names: user name, email and the like, which the password must not be.
    """

    def demands(key: str) -> Any:
        return value_of(PASSWORD_POLICY, key)

    problems = []
    if len(password) < demands("min_length"):
        problems.append(f"Use at least {demands('min_length')} characters.")
    if len(password) > MOST_LENGTH:
        problems.append(f"Use at most {MOST_LENGTH} characters.")
    for key, is_there, noun in (
        ("uppercase", any(letter.isupper() for letter in password), "an upper-case letter"),
        ("lowercase", any(letter.islower() for letter in password), "a lower-case letter"),
        ("digit", any(letter.isdigit() for letter in password), "a digit"),
        ("symbol", any(not letter.isalnum() and not letter.isspace() for letter in password), "a symbol"),
    ):
        if demands(key) and not is_there:
            problems.append(f"Use {noun}.")
    if password and password.strip().lower() in {name.lower() for name in names if name}:
        problems.append("Don't use your name or email.")
    if demands("breached_check") and password.strip().lower() in _leaked():
        problems.append("This password is on the list of widely leaked ones.")
    return problems


class PolicyValidator:
    """The policy for Django's own commands that set a password (`manage.py changepassword`)."""

    def validate(self, password: str, user: User | None = None) -> None:
        """Refuse what the policy has something against.

        Raises:
            ValidationError: with one sentence a problem.
        """
        problems = password_problems(password, names=(user.username, user.email or "") if user else ())
        if problems:
            raise ValidationError(problems)

    def get_help_text(self) -> str:
        """Return what is demanded."""
        return "Use a password that the password policy allows."


@cache
def _leaked() -> frozenset[str]:
    return frozenset(CommonPasswordValidator().passwords)


def restriction_of(user: User, *, has_mfa: bool | None = None) -> str:
    """Return why a person's rights are cut now: a code of `RESTRICTED_CODES`, or "".

    Args:
        has_mfa: whether a second factor is confirmed; looked up where it matters and is not known.
    """
    if user.must_change_password:
        return "password_change_required"
    max_age = value_of(PASSWORD_POLICY, "max_age_days")
    if max_age and user.password_changed_at < timezone.now() - timedelta(days=max_age):
        return "password_change_required"
    return "mfa_enrolment_required" if owes_mfa(user, has_mfa=has_mfa) else ""


def owes_mfa(user: User, *, has_mfa: bool | None = None) -> bool:
    """Return whether a role of the user demands a second factor and there is none."""
    demanding = set(value_of(SECURITY, "mfa_required_roles"))
    if not demanding.intersection(user.role_names() if demanding else ()):
        return False
    if has_mfa is None:
        device = getattr(user, "totp_device", None)  # one-to-one: absent as an AttributeError
        has_mfa = device is not None and device.confirmed
    return not has_mfa
