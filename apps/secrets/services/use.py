"""Values leave the vault here alone: for a use by the platform, or before a person's eyes."""

from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from apps.core import runtime_settings
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
    row = _version_of(secret, version)
    value: str = row.value
    now = timezone.now()
    with transaction.atomic():
        Secret.objects.filter(pk=secret.pk).update(uses=F("uses") + 1, last_used_at=now)
        _count_use(secret, purpose.strip()[:PURPOSE_MOST] or "unnamed", actor)
    return value


def _count_use(secret: Secret, purpose: str, actor: Principal) -> None:
    now = timezone.now()
    rows = SecretUse.objects.filter(secret=secret, purpose=purpose, actor=actor.pk[:128])
    if not rows.update(times=F("times") + 1, last_at=now):
        try:
            with transaction.atomic():
                SecretUse.objects.create(
                    secret=secret, purpose=purpose, actor=actor.pk[:128], actor_name=actor.name[:255], times=1
                )
        except IntegrityError:  # another process was faster
            rows.update(times=F("times") + 1, last_at=now)
    silent = rows.exclude(told_at__gt=now - TOLD_EVERY)
    if silent.update(told_at=now):
        times = rows.values_list("times", flat=True).get()
        tell("secret.used", secret, actor, purpose=purpose, times=times)


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
