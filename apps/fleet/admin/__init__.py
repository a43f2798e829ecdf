"""Pages of the fleet in the console."""

from apps.fleet.admin import servers  # noqa: F401
