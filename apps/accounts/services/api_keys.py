"""API keys: made by people, shown once, never more powerful than their owner."""

import secrets
import string
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.accounts.hashing import hash_secret
from apps.accounts.models import ApiKey, Role, User
from apps.accounts.permissions import SERVER_KEY_CODES
from apps.accounts.services.common import announce_rights, require_held, require_person
from apps.core.errors import Invalid, NotFound
from apps.core.events import Subject, emit
from apps.core.ids import new_secret
from apps.core.principals import Principal
from apps.core.registries import subjects

_LETTERS = string.ascii_lowercase + string.digits


def create_api_key(
    *, name: str, actor: Principal, role: str = "", server_id: str = "", expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Create a key of the caller: bound to one server, or with a role not above the caller's own.

    Returns:
        The key and its secret, which nobody can show again.

    Raises:
        Invalid: neither or both of role and server, an unknown one, or a time in the past (422).
        Forbidden: the role is beyond the caller's own rights, or the caller is a key itself (403).

    Emits: api_key.created.
    Source: contract, POST /api-keys.
    """
    owner_id = require_person(actor)
    if bool(role) == bool(server_id):
        raise Invalid({"role": "Give either a role or a server_id."})
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid({"expires_at": "This time is past."})
    if role:
        found = Role.objects.filter(name=role).first()
        if found is None:
            raise Invalid({"role": "There is no such role."})
        require_held(frozenset(found.permissions), actor)
    else:
        server_id = _server_of(server_id)
        require_held(SERVER_KEY_CODES, actor)
    public = "".join(secrets.choice(_LETTERS) for _ in range(8))
    secret = f"wk_{public}_{new_secret()}"
    with transaction.atomic():
        owner = User.objects.get(id=owner_id)
        key = ApiKey.objects.create(
            owner=owner,
            name=name[:100],
            prefix=f"wk_{public}",
            secret_hash=hash_secret(secret),
            role=role,
            bound_kind="server" if server_id else "",
            bound_id=server_id,
            expires_at=expires_at,
        )
        emit(
            "api_key.created",
            subject=Subject("api_key", str(key.id), key.name),
            actor=actor,
            data={
                **_facts_of(key, owner.username),
                "role": role or "agent",
                "expires_at": expires_at.isoformat() if expires_at else None,
            },
            server_id=server_id or None,
        )
    return key, secret


def _server_of(server_id: str) -> str:
    """Return the id of a server given by id or slug.

    Raises:
        Invalid: there is none (422).
    """
    kind = subjects.get("server")
    if kind is not None and kind.find(server_id) is not None:
        return (kind.resolve(server_id) if kind.resolve else None) or server_id
    raise Invalid({"server_id": "There is no such server."})


def revoke_api_key(*, key_id: Any, actor: Principal) -> None:
    """Revoke a key; it is refused from the next request on. One's own, or anybody's for those who manage keys.

    Raises:
        NotFound: no such key among those, or it is revoked already (404).

    Emits: api_key.revoked.
    Source: contract, DELETE /api-keys/{id}.
    """
    try:
        key_id = key_id if isinstance(key_id, UUID) else UUID(str(key_id))
    except ValueError:
        raise NotFound("There is no such key.") from None
    with transaction.atomic():
        rows = ApiKey.objects.visible_to(actor).select_for_update(of=("self",)).select_related("owner")
        key = rows.filter(id=key_id, revoked_at__isnull=True).first()
        if key is None:
            raise NotFound("There is no such key.")
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])
        emit(
            "api_key.revoked",
            subject=Subject("api_key", str(key.id), key.name),
            actor=actor,
            data=_facts_of(key, key.owner.username),
            server_id=key.bound_id or None,
        )
        announce_rights()


def _facts_of(key: ApiKey, owner: str) -> dict[str, str]:
    return {"key_id": str(key.id), "name": key.name, "prefix": key.prefix, "owner": owner}
