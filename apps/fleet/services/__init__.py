"""The only code that writes servers and their telemetry."""

from apps.fleet.services.background import leave_commands
from apps.fleet.services.batch_driving import drive_batches
from apps.fleet.services.batches import cancel_batch, create_batch, find_targets, plan_for, retry_batch
from apps.fleet.services.change_limits import create_change_limit, delete_change_limit, update_change_limit
from apps.fleet.services.command_inputs import cleaned_command
from apps.fleet.services.commands import (
    cancel_run,
    end_lost_runs,
    executor_for_server,
    run_command,
    run_in_background,
)
from apps.fleet.services.presence import follow_server, mark_silent_servers, note_alert
from apps.fleet.services.rollups import roll_up
from apps.fleet.services.samples import Outcome, Push, accept_samples
from apps.fleet.services.servers import (
    create_server,
    delete_server,
    ensure_local_server,
    note_metrics_exported,
    update_server,
)
from apps.fleet.services.signals import signal_process
from apps.fleet.services.ssh_connections import create_connection, delete_connection, update_connection
from apps.fleet.services.ssh_imports import import_machines, read_machines
from apps.fleet.services.ssh_keys import accept_host_key, test_connection

__all__ = [
    "accept_host_key",
    "cancel_batch",
    "cancel_run",
    "cleaned_command",
    "create_batch",
    "create_change_limit",
    "delete_change_limit",
    "drive_batches",
    "find_targets",
    "plan_for",
    "retry_batch",
    "update_change_limit",
    "create_connection",
    "delete_connection",
    "end_lost_runs",
    "executor_for_server",
    "import_machines",
    "leave_commands",
    "read_machines",
    "run_command",
    "run_in_background",
    "signal_process",
    "test_connection",
    "update_connection",
    "Outcome",
    "Push",
    "accept_samples",
    "create_server",
    "delete_server",
    "ensure_local_server",
    "follow_server",
    "mark_silent_servers",
    "note_alert",
    "note_metrics_exported",
    "roll_up",
    "update_server",
]
