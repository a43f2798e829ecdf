"""What the vault does by itself: telling of ends, wiping former values, the monthly drill."""

from celery import shared_task
from django.utils import timezone

from apps.core import leases
from apps.core.pulse import sweep
from apps.core.registries import Keep, keeps
from apps.secrets.services.expiry import tell_of_ends
from apps.secrets.services.rotation import WIPED_AT_ONCE, wipe_former
from apps.secrets.services.use import prune_uses
from apps.secrets.services.vault import drill_is_due, drill_vault

keeps.register("secret uses", Keep("secrets_secretuse", "retention.secret_uses", prune_uses))

DRILL_LOOK_S = 3600.0


@sweep("secrets.ends", every_s=60)
def look_at_ends() -> None:
    """Tell of secrets that end, and wipe former values whose grace is over."""
    tell_of_ends()
    while wipe_former() == WIPED_AT_ONCE:
        pass


@shared_task(name="secrets.drill")
def drill() -> None:
    """Try a random sample of everything that is sealed, once a month."""
    if leases.claim_turn("job:secrets.drill", every_s=DRILL_LOOK_S) and drill_is_due(timezone.now()):
        drill_vault()
