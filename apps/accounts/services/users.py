"""Users: created, changed, disabled. Never deleted."""

import re
import zoneinfo
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import ApiKey, Role, User
from apps.accounts.policies import SECURITY, value_of
from apps.accounts.selectors import user_by_id
from apps.accounts.services import sessions
from apps.accounts.services.common import (
    announce_rights,
    facts_of,
    require_admin_remains,
    require_held,
    require_person,
    require_reach,
    subject_of,
    take_turn,
)
from apps.accounts.services.passwords import require_good_password, require_own_password
from apps.core.errors import Conflict, Forbidden, Invalid, PreconditionFailed
from apps.core.events import Subject, emit
from apps.core.principals import Principal, system

_USERNAME = re.compile(r"^[\w.@+-]{1,150}$")
PROFILE_FIELDS = ("email", "full_name", "timezone")


def create_user(
    *,
    username: str = "",
    email: str = "",
    password: str,
    actor: Principal,
    full_name: str = "",
    roles: Iterable[str] = (),
    must_change_password: bool = False,
) -> User:
    """Create a user.

    Args:
        username: the email where it is empty.
        roles: names; a user without any may log in and sees nothing.

    Raises:
        Invalid: a value is wrong, or the policy refuses the password (422). Conflict: name or email is taken (409).
        Forbidden: a role holds more than the actor (403).

    Emits: user.created.
    Source: contract, POST /users, POST /admin/users, POST /auth/register.
    """
    username, address = username.strip() or email.strip(), _clean_email(email)
    if not _USERNAME.match(username):
        raise Invalid({"username": "Use 1 to 150 letters, digits and @ . + - _ only."})
    if "@" in username and username.lower() != (address or "").lower():
        raise Invalid({"username": "A user name with an @ must be the user's own email."})
    require_good_password(password, names=(username, address or "", full_name))
    hashed = make_password(password)
    try:
        with transaction.atomic():
            take_turn()
            wanted = _roles(roles)
            require_held(frozenset(code for role in wanted for code in role.permissions), actor)
            _require_free(username=username, email=address)
            user = User(
                username=username,
                email=address,
                full_name=full_name[:150],
                password=hashed,
                must_change_password=must_change_password,
            )
            user.save()
            user.roles.set(wanted)
            names = sorted(role.name for role in wanted)
            emit(
                "user.created",
                subject=subject_of(user),
                actor=actor,
                data={**facts_of(user), "roles": names},
                after={"email": address, "full_name": user.full_name, "roles": names},
            )
    except IntegrityError as error:
        raise Conflict("This user name or email is taken.", code="user_exists") from error
    return user_by_id(user.id)


def register_user(*, username: str, email: str, password: str, full_name: str = "") -> User:
    """Create a user with the default role, on their own request.

    Raises:
        Forbidden: registration is switched off (403). Invalid, Conflict: as for `create_user`.

    Emits: user.created.
    Source: contract, POST /auth/register.
    """
    if not value_of(SECURITY, "registration"):
        raise Forbidden(
            "Registration is switched off; ask an administrator for an account.", code="registration_disabled"
        )
    role = value_of(SECURITY, "default_role")
    roles = [role] if Role.objects.filter(name=role).exists() else []
    return create_user(
        username=username,
        email=email,
        password=password,
        full_name=full_name,
        roles=roles,
        actor=system("registration"),
    )


def update_user(
    *, user_id: Any, changes: Mapping[str, Any], actor: Principal, expected_revision: int | None = None
) -> User:
    """Change a user.

    Args:
        changes: any of email, full_name, timezone, roles (names), disabled.

    Raises:
        NotFound (404). Invalid: a value is wrong (422). Forbidden: beyond the actor's own rights (403).
        Conflict: the email is taken, or the last enabled admin would be lost (409).
        PreconditionFailed: the user was changed since `expected_revision` (412).

    Emits: user.updated or user.disabled, session.ended, api_key.revoked.
    Source: contract, PUT and DELETE /users/{id}.
    """
    cleaned = _clean_changes(changes)
    user_id = user_by_id(user_id).id  # a malformed id is 404, too
    try:
        with transaction.atomic():
            take_turn()
            user = User.objects.select_for_update().get(id=user_id)
            require_reach(user, actor)
            if expected_revision is not None and user.revision != expected_revision:
                raise PreconditionFailed("Somebody changed this user since you read it; read it again.")
            before = {
                "email": user.email,
                "full_name": user.full_name,
                "timezone": user.timezone,
                "disabled": user.disabled,
                "roles": user.role_names(),
            }
            after = {key: value for key, value in cleaned.items() if before[key] != value}
            if after:
                was_admin = not user.disabled and "*" in user.permission_codes()
                _apply(user, after, before=before, actor=actor)
                if was_admin and not {"roles", "disabled"}.isdisjoint(after):
                    require_admin_remains()
    except IntegrityError as error:
        raise Conflict("This email is taken.", code="user_exists") from error
    return user_by_id(user_id)


def _apply(user: User, after: dict[str, Any], *, before: dict[str, Any], actor: Principal) -> None:
    if "email" in after:
        _require_free(email=after["email"], but=user)
    if "roles" in after:
        wanted = _roles(after["roles"])
        gained = [role for role in wanted if role.name not in before["roles"]]
        require_held(frozenset(code for role in gained for code in role.permissions), actor)
        user.roles.set(wanted)
    for field in ("email", "full_name", "timezone", "disabled"):
        if field in after:
            setattr(user, field, after[field])
    user.revision += 1
    user.save(update_fields=["email", "full_name", "timezone", "disabled", "revision"])
    changed = sorted(after)
    shown = {key: before[key] for key in changed}
    if after.get("disabled"):
        emit(
            "user.disabled",
            subject=subject_of(user),
            actor=actor,
            level="warning",
            data=facts_of(user),
            before=shown,
            after=after,
        )
        sessions.end_sessions_of(user=user, reason="user_disabled", actor=actor)
        _revoke_keys(user, actor)
    else:
        data = {**facts_of(user), "changed": changed}
        emit("user.updated", subject=subject_of(user), actor=actor, data=data, before=shown, after=after)
    announce_rights()


def _revoke_keys(user: User, actor: Principal) -> None:
    for key in ApiKey.objects.select_for_update().filter(owner=user, revoked_at__isnull=True):
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])
        emit(
            "api_key.revoked",
            subject=Subject("api_key", str(key.id), key.name),
            actor=actor,
            data={"key_id": str(key.id), "name": key.name, "prefix": key.prefix, "owner": user.username},
        )


def disable_user(*, user_id: Any, actor: Principal) -> None:
    """Disable a user for good: sessions end, keys are revoked, the name stays taken.

    Raises:
        NotFound (404). Conflict: the last enabled admin (409). Forbidden: beyond the actor's own rights (403).

    Emits: user.disabled, session.ended, api_key.revoked.
    """
    update_user(user_id=user_id, changes={"disabled": True}, actor=actor)


def update_own_profile(*, changes: Mapping[str, Any], password: str = "", address: str = "", actor: Principal) -> User:
    """Change the caller's own profile; a new email needs the password, since a reset link would go there.

    Args:
        changes: any of email, full_name, timezone.

    Raises:
        Invalid: a value is wrong, or the password is missing or wrong (422). Conflict: the email is taken (409).
        Forbidden: the caller is an API key (403). TooMany: after repeated wrong passwords (429).

    Emits: user.updated.
    Source: contract, PUT /auth/me.
    """
    user = user_by_id(require_person(actor))
    wanted = {key: changes[key] for key in PROFILE_FIELDS if key in changes}
    if "email" in wanted and (_clean_email(wanted["email"]) or "").lower() != (user.email or "").lower():
        if not password:
            raise Invalid({"password": "A new email needs your password."}, code="password_required")
        require_own_password(user, password, address=address, field="password")
    return update_user(user_id=user.id, changes=wanted, actor=actor)


def _clean_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    cleaned = dict(changes)
    if "email" in cleaned:
        cleaned["email"] = _clean_email(cleaned["email"])
    if "timezone" in cleaned and cleaned["timezone"] not in zoneinfo.available_timezones():
        raise Invalid({"timezone": "Give an IANA time zone such as Europe/Berlin."})
    if "roles" in cleaned:
        cleaned["roles"] = sorted(set(cleaned["roles"]))
    return cleaned


def _clean_email(email: str | None) -> str | None:
    email = (email or "").strip()
    if not email:
        return None
    try:
        validate_email(email)
    except ValidationError:
        raise Invalid({"email": "This is not an email address."}) from None
    return email


def _roles(names: Iterable[str]) -> list[Role]:
    wanted = set(names)
    found = list(Role.objects.filter(name__in=wanted))
    unknown = wanted - {role.name for role in found}
    if unknown:
        raise Invalid({"roles": f"There is no role {', '.join(sorted(unknown))}."})
    return found


def _require_free(*, username: str = "", email: str | None, but: User | None = None) -> None:
    # A user name may look like an email; nobody may take an email by which somebody else logs in, or the reverse.
    taken = Q()
    for name in filter(None, (username, email)):
        taken |= Q(username__iexact=name) | Q(email__iexact=name)
    others = User.objects.exclude(id=but.id) if but else User.objects.all()
    if taken and others.filter(taken).exists():
        raise Conflict("This user name or email is taken.", code="user_exists")
