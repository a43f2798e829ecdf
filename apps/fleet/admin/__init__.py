"""Pages of the fleet in the console."""

from apps.fleet.admin import commands, imports, log_rules, logs, servers, ssh  # noqa: F401
