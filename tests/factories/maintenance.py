"""Maintenance windows for tests."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.core.principals import system
from apps.monitors.models import MaintenanceWindow
from apps.monitors.services.maintenance_windows import create_window


def make_window(**values: Any) -> MaintenanceWindow:
    """Return a window for everything, open since ten minutes and for fifty more, added by its service."""
    now = timezone.now()
    given = {
        "title": "Upgrade",
        "starts_at": now - timedelta(minutes=10),
        "ends_at": now + timedelta(minutes=50),
        "all_targets": True,
        **values,
    }
    return create_window(actor=system("test"), values=given)
