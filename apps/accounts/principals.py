"""Principals from accounts."""

from apps.accounts.models import ApiKey, Role, Session, User
from apps.accounts.permissions import OWN_ACCOUNT_CODES, RESTRICTED_CODES, SERVER_KEY_CODES, codes_of_role
from apps.accounts.policies import owes_mfa, restriction_of
from apps.core.principals import Principal, grants


def highest_role(codes: frozenset[str]) -> str:
    """Return the highest built-in role whose rights `codes` include; "viewer" where none does."""
    if "*" in codes:
        return "admin"
    return "operator" if all(grants(codes, code) for code in codes_of_role("operator")) else "viewer"


def principal_of_user(user: User, session: Session | None = None) -> Principal:
    """Return the person as a caller.

    Came by a session, a person who owes a second factor or a new password holds only what it takes to set it right.
    """
    codes = user.permission_codes()
    restriction = restriction_of(user, has_mfa=session.mfa_verified or None) if session else ""
    return Principal(
        kind="user",
        id=str(user.id),
        name=user.username,
        permissions=RESTRICTED_CODES[restriction] if restriction else codes | OWN_ACCOUNT_CODES,
        role=highest_role(codes),
        user_id=user.id,
        session_id=session.id if session else None,
        restriction=restriction,
    )


def intersect(wanted: frozenset[str], held: frozenset[str]) -> frozenset[str]:
    """Return the codes that both sets grant, wildcards resolved."""
    if "*" in held:
        return wanted
    if "*" in wanted:
        return held
    return frozenset(code for code in wanted if grants(held, code)) | frozenset(
        code for code in held if grants(wanted, code)
    )


def includes(held: frozenset[str], wanted: frozenset[str]) -> bool:
    """Return whether `held` grants everything that `wanted` does, wildcards too."""
    return all(
        "*" in held or code in held or (code != "*" and f"{code.partition(':')[0]}:*" in held) for code in wanted
    )


def principal_of_key(key: ApiKey) -> Principal:
    """Return a program as a caller: the key's rights, cut to what its owner has now.

    The key of an owner who owes a second factor has no rights; one bound to a server may still push its samples, so
    that a stricter policy does not blind the monitoring.
    """
    held = key.owner.permission_codes()
    restriction = ""
    if key.bound_kind:
        wanted = SERVER_KEY_CODES
    else:
        # The authentication brings the role's codes along; otherwise they are looked up.
        codes_now = key.__dict__.get("role_codes", ...)
        if codes_now is ...:
            codes_now = Role.objects.filter(name=key.role).values_list("permissions", flat=True).first()
        wanted = frozenset(codes_now or ())
        if owes_mfa(key.owner):
            restriction, wanted = "mfa_enrolment_required", frozenset()
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
        restriction=restriction,
    )
