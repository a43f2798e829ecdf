"""Secrets: put into the vault, changed, removed."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.core.errors import Conflict, Invalid
from apps.core.fields import MASK
from apps.core.principals import Principal
from apps.secrets.models import Secret
from apps.secrets.references import users_of_one
from apps.secrets.services.common import (
    apply,
    cleaned_value,
    locked_secret,
    made_value,
    new_version,
    shown,
    tell,
    visible_secret,
)
from apps.secrets.services.rotation import store_value

NAMED = 5


def create_secret(
    *,
    actor: Principal,
    name: Any,
    value: str | None = None,
    category: str = "general",
    description: str = "",
    expires_at: Any = None,
    grace_s: Any = None,
    generate: Mapping[str, Any] | None = None,
) -> Secret:
    """Put a secret into the vault.

    Args:
        value: kept as it is given; None: one is made.
        expires_at: a time or ISO 8601; None: it has no end.
        grace_s: how long a former value stays readable, seconds or "12h"; None: as the setting says.
        generate: how a value is made (see `generation.cleaned_generator`); None: 32 letters and digits.

    Returns:
        The secret, without its value.

    Raises:
        Invalid: a value is wrong, or the name is taken (422).

    Emits: secret.created.

    Source: POST /api/v1/secrets.
    """
    secret = Secret(rotated_by=actor.name[:255])
    apply(
        secret,
        {
            "name": name,
            "category": category,
            "description": description,
            "expires_at": expires_at,
            "grace_s": grace_s,
        },
    )
    made, secret.generator = made_value(value=value, generate=generate, former={}, comment=secret.name)
    try:
        with transaction.atomic():
            secret.save(force_insert=True)
            new_version(secret, made, actor)
            tell("secret.created", secret, actor, after={**shown(secret), "value": MASK})
    except IntegrityError as error:
        raise Invalid({"name": "another secret has this name"}) from error
    return secret


def update_secret(
    *, secret_id: UUID | str, actor: Principal, values: Mapping[str, Any], expected_revision: int | None = None
) -> Secret:
    """Change what `values` names; the rest stays.

    Args:
        values: `name`, `category`, `description`, `expires_at`, `grace_s`; `value` rotates the secret too ("***" keeps
            it).

    Raises:
        NotFound: no such secret (404).
        PreconditionFailed: it was changed since it was read (412).
        Invalid: a value is wrong (422).

    Emits: secret.updated and secret.rotated, each where it is so.

    Source: PUT /api/v1/secrets/{id}.
    """
    given = values.get("value", MASK)
    rest = {name: value for name, value in values.items() if name != "value"}
    made = None
    if given != MASK:
        comment = visible_secret(secret_id, actor).name
        made, _ = made_value(value=cleaned_value(given), generate=None, former={}, comment=comment)
    with transaction.atomic():
        secret = locked_secret(secret_id, actor, expected_revision)
        before = shown(secret)
        apply(secret, rest)
        after = shown(secret)
        changed = [name for name in after if before[name] != after[name]]
        if changed:
            secret.revision += 1
            secret.save()
            tell(
                "secret.updated", secret, actor,
                before={n: before[n] for n in changed}, after={n: after[n] for n in changed},
            )  # fmt: skip
        if made is not None:
            store_value(secret, made, {}, actor)
    return secret


def delete_secret(*, secret_id: UUID | str, actor: Principal, expected_revision: int | None = None) -> None:
    """Remove a secret with all its values.

    Raises:
        NotFound: no such secret (404).
        PreconditionFailed: it was changed since it was read (412).
        Conflict: something uses it; the answer names what (409).

    Emits: secret.deleted.

    Source: DELETE /api/v1/secrets/{id}.
    """
    with transaction.atomic():
        secret = locked_secret(secret_id, actor, expected_revision)
        users = users_of_one(secret.pk)
        if users:
            told = ", ".join(f"{one.name} ({one.kind.replace('_', ' ')})" for one in users[:NAMED])
            more = f" and {len(users) - NAMED} more" if len(users) > NAMED else ""
            raise Conflict(
                f"“{secret.name}” is in use by {told}{more}; give them another secret first.",
                code="secret_in_use",
                details={"used_by": [one._asdict() for one in users[:100]]},
            )
        tell("secret.deleted", secret, actor, before={**shown(secret), "value": MASK})
        secret.delete()
