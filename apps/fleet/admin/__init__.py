"""Pages of the fleet in the console."""

from apps.fleet.admin import batches, change_limits, commands, imports, log_rules, logs, servers, ssh, terminals  # noqa: F401
