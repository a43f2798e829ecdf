"""Steps of `manage.py prepare`: the built-in roles, then the first admin."""

import secrets
from typing import Any

from django.conf import settings

from apps.accounts.models import User
from apps.accounts.permissions import ADMIN
from apps.accounts.services.roles import sync_roles
from apps.accounts.services.users import create_user
from apps.core.errors import DomainError
from apps.core.principals import system
from apps.core.registries import preparations

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def generate_password() -> str:
    """Return a password that can be read and typed: four groups of five letters and digits, about 99 bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))


def ensure_admin() -> dict[str, Any] | None:
    """Create the first admin where there is no user at all, from ADMIN_USERNAME, ADMIN_PASSWORD and ADMIN_EMAIL.

    Returns:
        {"created", "username", "password"} of a new admin (the password only where it was generated), else None.

    Raises:
        SystemExit: one sentence, where one of these variables does not do.

    Emits: user.created.
    """
    if User.objects.exists():
        return None
    given: str = settings.ADMIN_PASSWORD
    password = given or generate_password()
    try:
        user = create_user(
            username=settings.ADMIN_USERNAME,
            email=settings.ADMIN_EMAIL,
            password=password,
            roles=[ADMIN],
            actor=system("first start"),
        )
    except DomainError as error:
        raise SystemExit(
            f"The first admin can't be created from ADMIN_USERNAME, ADMIN_PASSWORD and ADMIN_EMAIL: {error}"
        ) from error
    return {"created": True, "username": user.username, "password": None if given else password}


def _prepare_roles() -> dict[str, Any]:
    sync_roles()
    return {}


preparations.register("accounts.1_roles", _prepare_roles)
preparations.register("accounts.2_first_admin", lambda: {"admin": ensure_admin()})
