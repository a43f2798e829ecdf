"""Roles: named sets of permission codes. The built-in three follow the permission matrix."""

import re
from collections.abc import Iterable

from django.db import IntegrityError, transaction

from apps.accounts.models import Role
from apps.accounts.permissions import ADMIN, OPERATOR, VIEWER, codes_of_role, is_known
from apps.accounts.services.common import announce_rights, require_admin_remains, require_held, take_turn
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.events import Subject, emit
from apps.core.principals import Principal

_NAME = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
BUILT_IN = {
    VIEWER: "Sees everything that is watched.",
    OPERATOR: "Watches, acknowledges, and changes what is watched.",
    ADMIN: "May do everything.",
}


def sync_roles() -> int:
    """Make the built-in roles as the permission matrix says; an upgrade may bring new codes.

    Returns:
        How many were changed.
    """
    changed = 0
    for name, description in BUILT_IN.items():
        wanted = {"permissions": codes_of_role(name), "is_system": True, "description": description}
        role = Role.objects.filter(name=name).first()
        if role is None or any(getattr(role, field) != value for field, value in wanted.items()):
            Role.objects.update_or_create(name=name, defaults=wanted)
            changed += 1
    if changed:
        announce_rights()
    return changed


def create_role(*, name: str, permissions: Iterable[str], description: str = "", actor: Principal) -> Role:
    """Create a role.

    Args:
        name: letters, digits, - and _; it is the role's id.
        permissions: "resource:action", "resource:*" or "*".

    Raises:
        Invalid: a wrong name or an unknown permission (422). Conflict: the name is taken (409).
        Forbidden: a permission is beyond the actor's own rights (403).

    Emits: role.created.
    Source: contract, POST /roles.
    """
    if not _NAME.match(name):
        raise Invalid({"name": "Use 1 to 64 letters, digits, - and _ only."})
    codes = _clean(permissions)
    require_held(frozenset(codes), actor)
    if Role.objects.filter(name__iexact=name).exists():
        raise Conflict("There is a role of this name already.", code="role_exists")
    try:
        with transaction.atomic():
            role = Role.objects.create(name=name, description=description[:255], permissions=codes)
            emit(
                "role.created",
                subject=Subject("role", name, name),
                actor=actor,
                data={"role": name, "permissions": codes},
                after={"description": role.description, "permissions": codes},
            )
    except IntegrityError as error:
        raise Conflict("There is a role of this name already.", code="role_exists") from error
    return role


def update_role(
    *, name: str, permissions: Iterable[str] | None = None, description: str | None = None, actor: Principal
) -> Role:
    """Change a role; it holds for its users from the next request on.

    Raises:
        NotFound (404). Invalid: an unknown permission (422). Forbidden: beyond the actor's own rights (403).
        Conflict: a built-in role, or nobody could administer any more (409).

    Emits: role.updated.
    Source: contract, PUT /roles/{id}.
    """
    codes = None if permissions is None else _clean(permissions)
    with transaction.atomic():
        take_turn()
        role = _custom_role(name)
        before = {"description": role.description, "permissions": role.permissions}
        if codes is not None and codes != role.permissions:
            require_held(frozenset(codes) | frozenset(role.permissions), actor)
            role.permissions = codes
        if description is not None:
            role.description = description[:255]
        after = {"description": role.description, "permissions": role.permissions}
        if after != before:
            role.save(update_fields=["description", "permissions"])
            if "*" in before["permissions"]:
                require_admin_remains()
            emit(
                "role.updated",
                subject=Subject("role", name, name),
                actor=actor,
                data={"role": name, "permissions": role.permissions},
                before=before,
                after=after,
            )
            announce_rights()
    return role


def delete_role(*, name: str, actor: Principal) -> None:
    """Delete a role that nobody has.

    Raises:
        NotFound (404). Conflict: a built-in role, or one in use (409).

    Emits: role.deleted.
    Source: contract, DELETE /roles/{id}.
    """
    with transaction.atomic():
        take_turn()
        role = _custom_role(name)
        if role.users.exists():
            raise Conflict("Users have this role; give them another one first.", code="role_in_use")
        before = {"description": role.description, "permissions": role.permissions}
        role.delete()
        emit("role.deleted", subject=Subject("role", name, name), actor=actor, data={"role": name}, before=before)
        announce_rights()


def _custom_role(name: str) -> Role:
    role = Role.objects.select_for_update().filter(name=name).first()
    if role is None:
        raise NotFound("There is no such role.")
    if role.is_system:
        raise Conflict("The built-in roles can't be changed or deleted; create your own.", code="system_role")
    return role


def _clean(permissions: Iterable[str]) -> list[str]:
    codes = sorted(set(permissions))
    unknown = [code for code in codes if not is_known(code)]
    if unknown:
        raise Invalid({"permissions": f"Unknown: {', '.join(unknown)}."}, code="unknown_permission")
    return codes
