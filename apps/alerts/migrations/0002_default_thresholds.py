"""The six limits that an installation starts with."""

from typing import Any

from django.db import migrations

DEFAULTS = (
    # metric, level, limit in percent, seconds it must last
    ("cpu", "warning", 80.0, 120),
    ("cpu", "critical", 95.0, 120),
    ("memory", "warning", 85.0, 60),
    ("memory", "critical", 95.0, 60),
    ("disk", "warning", 80.0, 0),
    ("disk", "critical", 90.0, 0),
)


def add(apps: Any, schema_editor: Any) -> None:
    """Add what is not there."""
    threshold = apps.get_model("alerts", "Threshold")
    for metric, level, value, for_s in DEFAULTS:
        threshold.objects.get_or_create(
            server=None, metric=metric, level=level, defaults={"value": value, "for_s": for_s}
        )


class Migration(migrations.Migration):
    """Data only."""

    dependencies = [("alerts", "0001_initial")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
