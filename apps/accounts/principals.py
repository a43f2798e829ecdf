"""Principals from accounts."""

from apps.accounts.models import ApiKey, Role, Session, User
from apps.accounts.permissions import SERVER_KEY_CODES, codes_of_role
from apps.core.principals import Principal, grants


def highest_role(codes: frozenset[str]) -> str:
    """Return the highest built-in role whose rights `codes` include; "viewer" where none does."""
    if "*" in codes:
        return "admin"
    for role in ("operator",):
        if all(grants(codes, code) for code in codes_of_role(role)):
            return role
    return "viewer"


def principal_of_user(user: User, session: Session | None = None) -> Principal:
    """Return the person as a caller."""
    codes = user.permission_codes()
    return Principal(
        kind="user",
        id=str(user.id),
        name=user.username,
        permissions=codes,
        role=highest_role(codes),
        user_id=user.id,
        session_id=session.id if session else None,
    )


def intersect(wanted: frozenset[str], held: frozenset[str]) -> frozenset[str]:
    """Return the codes that both sets grant, wildcards resolved."""
    if "*" in held:
        return wanted
    if "*" in wanted:
        return held
    return frozenset(code for code in wanted if grants(held, code)) | frozenset(code for code in held if grants(wanted, code))


def principal_of_key(key: ApiKey) -> Principal:
    """Return a program as a caller: the key's rights, cut to what its owner has now. Keys can't make keys."""
    held = key.owner.permission_codes()
    if key.bound_kind:
        wanted = SERVER_KEY_CODES
    else:
        role = Role.objects.filter(name=key.role).first()
        wanted = frozenset(role.permissions) if role else frozenset()
    codes = intersect(wanted, held)
    return Principal(
        kind="api_key",
        id=str(key.id),
        name=f"{key.name} ({key.prefix})",
        permissions=codes,
        role="agent" if key.bound_kind else highest_role(codes),
        user_id=key.owner_id,
        bound_kind=key.bound_kind,
        bound_id=key.bound_id,
        via=key.owner.username,
    )


