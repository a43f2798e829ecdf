"""Values leave the vault here alone: for a use by the platform, or before a person's eyes."""

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.core import runtime_settings
from apps.core.crypto import DamagedValue, WrongKey
from apps.core.errors import Conflict, NotFound, TooMany
from apps.core.models import Event
from apps.core.principals import Principal
from apps.secrets.models import Secret, SecretUse, SecretVersion
from apps.secrets.services.common import locked_secret, tell, visible_secret

#: How often the audit trail is told of the same purpose.
TOLD_EVERY = timedelta(hours=1)
PURPOSE_MOST = 200


def read_for_use(
    *, secret_id: UUID | str, purpose: str, actor: Principal, version: int | None = None
) -> str:  # fmt: skip
    """Return a value for a piece of work of the platform. Mask it in whatever that work prints (`core.masking`).

    Each use is counted; the audit trail is told of a purpose at most once an hour. No permission is asked here: who may
    start the work has its secret used for it, without ever seeing it.

    Args:
        purpose: what for, with the thing and without numbers of runs: "SSH to web-1". It is one row for each purpose.
        actor: for whom; the person or key that asked for the work, or `system(...)`.
        version: a former one, while its grace lasts; None: the current one.

    Raises:
        NotFound: no such secret or version (404). Conflict: that version is wiped (409).
        WrongKey, DamagedValue: the value does not open with the vault keys that are configured.

    Emits: secret.used.
    """
    secret = visible_secret(secret_id, actor)
    value: str = _version_of(secret, version).value
    with transaction.atomic():
        _count_uses([(secret, purpose)], actor)
    return value


def read_many_for_use(*, wanted: Collection[tuple[UUID, str]], actor: Principal) -> dict[tuple[UUID, str], str]:
    """Return current values for many pieces of work at once, in a few statements; otherwise as `read_for_use`.

    Args:
        wanted: secret and purpose.

    Returns:
        By secret and purpose. What can't be read is left out: read it alone to learn why.

    Emits: secret.used.
    """
    ids = {secret_id for secret_id, _ in wanted}
    secrets = {row.pk: row for row in Secret.objects.visible_to(actor).filter(pk__in=ids)}
    current = SecretVersion.objects.filter(secret__in=secrets, readable_until__isnull=True, wiped_at__isnull=True)
    values: dict[UUID, str] = {}
    for row in current:
        with suppress(WrongKey, DamagedValue):
            values[row.secret_id] = row.value
    found = {one: values[one[0]] for one in wanted if one[0] in values}
    with transaction.atomic():
        _count_uses([(secrets[secret_id], purpose) for secret_id, purpose in found], actor)
    return found


def _count_uses(uses: Sequence[tuple[Secret, str]], actor: Principal) -> None:
    """Count uses, each of another secret or purpose, and tell of those that were not told of for an hour."""
    now, who = timezone.now(), actor.pk[:128]
    purposes = {(secret.pk, purpose.strip()[:PURPOSE_MOST] or "unnamed"): secret for secret, purpose in uses}
    # Always in the same order, so that two of these never wait for each other.
    for secret_id, times in sorted(Counter(secret.pk for secret, _ in uses).items()):
        Secret.objects.filter(pk=secret_id).update(uses=F("uses") + times, last_used_at=now)
    rows = SecretUse.objects.filter(
        secret__in={key for key, _ in purposes}, purpose__in={purpose for _, purpose in purposes}, actor=who
    ).order_by("pk")
    known = {(row.secret_id, row.purpose): row for row in rows.select_for_update()}
    new = [
        SecretUse(secret_id=key, purpose=purpose, actor=who, actor_name=actor.name[:255])
        for key, purpose in purposes
        if (key, purpose) not in known
    ]
    if new:
        SecretUse.objects.bulk_create(new, ignore_conflicts=True)  # another process may have been faster
        known = {(row.secret_id, row.purpose): row for row in rows.select_for_update()}
    used = [known[one] for one in purposes if one in known]
    SecretUse.objects.filter(pk__in=[row.pk for row in used]).update(times=F("times") + 1, last_at=now)
    silent = [row for row in used if row.told_at is None or row.told_at <= now - TOLD_EVERY]
    SecretUse.objects.filter(pk__in=[row.pk for row in silent]).update(told_at=now)
    for row in silent:
        tell("secret.used", purposes[row.secret_id, row.purpose], actor, purpose=row.purpose, times=row.times + 1)


def reveal_secret(*, secret_id: UUID | str, actor: Principal, version: int | None = None) -> SecretVersion:
    """Return a version whose value is to be shown to the caller; audited each time.

    Args:
        version: a former one, while its grace lasts; None: the current one.

    Raises:
        NotFound: no such secret or version (404). Conflict: that version is wiped (409).
        TooMany: more values than `secrets.reveals_per_hour` (429).

    Emits: secret.revealed.

    Source: GET /api/v1/secrets/{id}?reveal=true.
    """
    with transaction.atomic():
        secret = locked_secret(secret_id, actor)
        row = _version_of(secret, version)
        _require_few(actor)
        tell("secret.revealed", secret, actor, level="warning", note=f"Version {row.number} was shown.")
    return row


def _require_few(actor: Principal) -> None:
    most = int(runtime_settings.get("secrets.reveals_per_hour"))
    since = timezone.now() - timedelta(hours=1)
    # A person's keys count with the person: another key is no way around the limit.
    who = {"actor__user_id": str(actor.user_id)} if actor.user_id else {"actor__id": actor.id}
    shown = Event.objects.filter(name="secret.revealed", at__gt=since, **who)
    times = list(shown.order_by("id").values_list("at", flat=True)[:most])
    if len(times) >= most:
        wait = max(1, round((times[0] - since).total_seconds()))
        raise TooMany(
            f"{most} values were shown to you within an hour; try again in {wait} s.", retry_after_s=wait
        )  # fmt: skip


def _version_of(secret: Secret, number: int | None) -> SecretVersion:
    rows = SecretVersion.objects.filter(secret=secret)
    row = rows.filter(readable_until__isnull=True).first() if number is None else rows.filter(number=number).first()
    if row is None:
        raise NotFound(f"“{secret.name}” has no version {number}." if number else "This secret has no value.")
    if row.wiped_at or (row.readable_until and row.readable_until <= timezone.now()):
        raise Conflict(f"Version {row.number} of “{secret.name}” is no longer readable.", code="version_wiped")
    return row


def prune_uses(limit: int) -> int:
    """Delete at most `limit` uses past their keep time; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.secret_uses"))
    old = list(SecretUse.objects.filter(last_at__lt=before).order_by("last_at").values_list("id", flat=True)[:limit])
    SecretUse.objects.filter(id__in=old).delete()
    return len(old)
