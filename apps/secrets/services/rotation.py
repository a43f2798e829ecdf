"""New values for secrets, and the end of the former ones."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core.fields import MASK
from apps.core.principals import Principal
from apps.secrets.generation import Made
from apps.secrets.models import Secret, SecretVersion
from apps.secrets.services.common import apply, grace_of, locked_secret, made_value, new_version, tell, visible_secret

#: Rows of wiped versions that stay, so that people see when a secret was rotated.
KEPT_VERSIONS = 50
WIPED_AT_ONCE = 200


def rotate_secret(
    *,
    secret_id: UUID | str,
    actor: Principal,
    value: str | None = None,
    generate: Mapping[str, Any] | None = None,
    expires_at: Any = MASK,
    expected_revision: int | None = None,
) -> Secret:
    """Give a secret a new value. The former one stays readable until its grace is over, then it is wiped.

    Args:
        value: the new one; None: it is made as the present one was, or as `generate` says.
        expires_at: the new value's end; left out, the end stays where it still lies ahead, and is gone where it has
            passed.

    Raises:
        NotFound: no such secret (404).
        PreconditionFailed: it was changed since it was read (412).
        Invalid: a value is wrong (422).

    Emits: secret.rotated.

    Source: POST /api/v1/secrets/{id}/rotate.
    """
    present = visible_secret(secret_id, actor)
    made, generator = made_value(value=value, generate=generate, former=present.generator, comment=present.name)
    with transaction.atomic():
        secret = locked_secret(secret_id, actor, expected_revision)
        if expires_at != MASK:
            apply(secret, {"expires_at": expires_at})
        elif secret.expires_at and secret.expires_at <= timezone.now():
            secret.expires_at, secret.told = None, Secret.Told.NOTHING
        store_value(secret, made, generator, actor)
    return secret


def store_value(secret: Secret, made: Made, generator: Mapping[str, Any], actor: Principal) -> None:
    """Make a value the current one of a locked secret; call it in a transaction.

    Emits: secret.rotated.
    """
    now = timezone.now()
    until = now + grace_of(secret)
    former = secret.versions.filter(readable_until__isnull=True)
    if until > now:
        former.update(readable_until=until)
    else:
        former.update(readable_until=now, wiped_at=now, value="")
    secret.version += 1
    secret.generator = dict(generator)
    secret.rotated_at, secret.rotated_by = now, actor.name[:255]
    secret.revision += 1
    secret.save()
    new_version(secret, made, actor)
    old = secret.versions.filter(wiped_at__isnull=False, number__lte=secret.version - KEPT_VERSIONS)
    old.delete()
    tell(
        "secret.rotated", secret, actor,
        before={"value": MASK}, after={"value": MASK}, former_until=until.isoformat() if until > now else None,
    )  # fmt: skip


def wipe_former() -> int:
    """Wipe former values whose grace is over.

    Returns:
        How many.
    """
    now = timezone.now()
    due = SecretVersion.objects.filter(readable_until__lte=now, wiped_at__isnull=True).order_by("readable_until")
    ids = list(due.values_list("id", flat=True)[:WIPED_AT_ONCE])
    return SecretVersion.objects.filter(id__in=ids).update(value="", wiped_at=now) if ids else 0
