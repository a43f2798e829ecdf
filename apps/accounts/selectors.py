"""What is read of accounts."""

from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.accounts.models import ApiKey, Role, Session, TotpDevice, User
from apps.core.errors import NotFound
from apps.core.principals import Principal


def users() -> QuerySet[User]:
    """Return all users, disabled ones too, with their roles and `mfa_enabled`."""
    confirmed = TotpDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
    return User.objects.annotate(mfa_enabled=Exists(confirmed)).prefetch_related("roles").order_by("username")


def user_by_id(user_id: Any) -> User:
    """Return a user with roles and `mfa_enabled`.

    Raises:
        NotFound: no such user (404).
    """
    try:
        user = users().filter(id=user_id if isinstance(user_id, UUID) else UUID(str(user_id))).first()
    except ValueError:
        user = None
    if user is None:
        raise NotFound("There is no such user.")
    return user


def find_user_by_login(name: str) -> User | None:
    """Return the user of a user name or email, letters' case aside; an email comes before a like user name."""
    name = name.strip()
    if not name:
        return None
    found = list(User.objects.prefetch_related("roles").filter(Q(username__iexact=name) | Q(email__iexact=name))[:2])
    by_email = [user for user in found if (user.email or "").lower() == name.lower()]
    return next(iter(by_email or found), None)


def role_by_name(name: str) -> Role:
    """Return a role.

    Raises:
        NotFound: no such role (404).
    """
    role = Role.objects.filter(name=name).first()
    if role is None:
        raise NotFound("There is no such role.")
    return role


def live_sessions(principal: Principal, *, user_id: Any = None) -> QuerySet[Session]:
    """Return the sessions that count now and that the caller may see, latest first."""
    rows = Session.objects.live().visible_to(principal).select_related("user").order_by("-created_at")
    return rows.filter(user_id=user_id) if user_id else rows


def live_keys(principal: Principal) -> QuerySet[ApiKey]:
    """Return the keys that are not revoked and that the caller may see, expired ones too, latest first."""
    return (
        ApiKey.objects.visible_to(principal)
        .filter(revoked_at__isnull=True)
        .select_related("owner")
        .order_by("-created_at")
    )


def own_keys(principal: Principal) -> QuerySet[ApiKey]:
    """Return the caller's own keys that are not revoked, latest first."""
    rows = ApiKey.objects.filter(owner_id=principal.user_id, revoked_at__isnull=True)
    return rows.select_related("owner").order_by("-created_at")


def permission_codes_of(principal: Principal) -> list[str]:
    """Return the caller's codes, sorted."""
    return sorted(principal.permissions)
