"""The ends of secrets: people are told once before, and once when it has come."""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core import runtime_settings
from apps.core.admin.words import spoken
from apps.core.principals import system
from apps.secrets.models import Secret
from apps.secrets.services.common import tell

TOLD_AT_ONCE = 100


def tell_of_ends() -> int:
    """Tell of secrets that end soon or have ended, each once.

    A secret that is rotated or gets another end is told of anew.

    Returns:
        How many were told of.

    Emits: secret.expiring, secret.expired.
    """
    now = timezone.now()
    soon = now + timedelta(days=int(runtime_settings.get("secrets.expiry_warning_days")))
    ended = Secret.objects.ending_before(now).exclude(told=Secret.Told.EXPIRED)
    ending = Secret.objects.ending_before(soon).filter(expires_at__gte=now, told=Secret.Told.NOTHING)
    told = 0
    for rows, state in ((ended, Secret.Told.EXPIRED), (ending, Secret.Told.EXPIRING)):
        for key in list(rows.order_by("expires_at").values_list("id", flat=True)[:TOLD_AT_ONCE]):
            told += _tell_one(key, state)
    return told


def _tell_one(key: UUID, state: str) -> int:
    with transaction.atomic():
        secret = Secret.objects.select_for_update().filter(pk=key).first()
        if secret is None or secret.expires_at is None or secret.told == state:
            return 0
        secret.told = state
        secret.save(update_fields=["told"])
        left = (secret.expires_at - timezone.now()).total_seconds()
        if state == Secret.Told.EXPIRED:
            message = f"The secret “{secret.name}” ended {spoken(left) or '0 s'} ago; rotate it or remove it."
        else:
            message = f"The secret “{secret.name}” ends in {spoken(left)}; rotate it or give it another end."
        tell(
            f"secret.{state}", secret, system("secrets"),
            level="critical" if state == Secret.Told.EXPIRED else "warning",
            expires_at=secret.expires_at.isoformat(), message=message,
        )  # fmt: skip
    return 1
