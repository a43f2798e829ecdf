"""The sweep over maintenance windows that open and close."""

from django.utils import timezone

from apps.core.pulse import sweep
from apps.monitors.services.maintenance_windows import sweep_windows


@sweep("monitors.maintenance", every_s=2)
def sweep_maintenance() -> None:
    """Tell which windows have opened and closed."""
    sweep_windows(now=timezone.now())
