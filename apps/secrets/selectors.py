"""Reads of the vault."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.core.principals import Principal
from apps.core.registries import Health
from apps.secrets.models import Secret, SecretVersion, VaultDrill


def ending_secrets(principal: Principal, *, days: int) -> Any:
    """Return the secrets that end within so many days or have ended, the earliest first."""
    until = timezone.now() + timedelta(days=days)
    return Secret.objects.visible_to(principal).ending_before(until).order_by("expires_at", "id")


def public_parts(secret_ids: list[UUID]) -> dict[UUID, str]:
    """Return the public part of the current value of each secret that has one."""
    rows = SecretVersion.objects.filter(secret_id__in=secret_ids, readable_until__isnull=True).exclude(public_part="")
    return dict(rows.values_list("secret_id", "public_part"))


def last_drill() -> VaultDrill | None:
    """Return the latest drill."""
    return VaultDrill.objects.order_by("-at").first()


def check_vault() -> Health:
    """Say how the latest drill went."""
    drill = last_drill()
    if drill is None:
        return Health("ok", "No drill yet; the first runs within an hour.")
    when = drill.at.strftime("%Y-%m-%d")
    if drill.broken:
        return Health("degraded", f"The drill of {when}: {drill.broken} sealed values do not open. {drill.told}")
    return Health("ok", f"The drill of {when} opened {drill.opened} sealed values.")
