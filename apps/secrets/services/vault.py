"""The vault as a whole: its fire drill."""

from datetime import datetime, timedelta

from apps.core import crypto, leases
from apps.core.care.vault import open_sample
from apps.core.conditions import begin_condition, end_condition
from apps.secrets.models import VaultDrill

DRILL_EVERY = timedelta(days=30)
CONDITION = "vault:drill"
#: What `doctor` reads: when the last drill was.
RUN = "vault:drill"
KEPT = 36


def drill_is_due(now: datetime) -> bool:
    """Return whether the last drill is a month old; one that failed is repeated daily until it succeeds."""
    last = VaultDrill.objects.order_by("-at").first()
    if last is None:
        return True
    return last.at <= now - (timedelta(days=1) if last.broken else DRILL_EVERY)


def drill_vault() -> VaultDrill:
    """Open a random sample of every sealed column, note how it went, and tell people when something does not open.

    Emits: system.alert where a drill fails first, and where one succeeds again.
    """
    found = open_sample()
    try:
        key_id = crypto.current_key_id()
    except crypto.BadKey as error:
        key_id, found.broken = "", [str(error), *found.broken]
    drill = VaultDrill.objects.create(
        key_id=key_id, opened=found.opened, broken=len(found.broken), told=found.told()[:2000]
    )
    leases.note_run([RUN])
    kept = list(VaultDrill.objects.order_by("-at").values_list("id", flat=True)[:KEPT])
    VaultDrill.objects.exclude(id__in=kept).delete()
    if found.broken:
        begin_condition(
            name=CONDITION,
            title="Vault",
            message=f"{len(found.broken)} of {found.opened + len(found.broken)} sealed values tried do not open"
            f" ({found.told()}). Put the vault key they name into VAULT_KEYS_OLD, or enter them anew.",
        )
    else:
        end_condition(name=CONDITION, title="Vault", message="All sealed values tried open again.")
    return drill
