"""What the fleet does by itself: notice silence, roll samples up."""

import time

from celery import shared_task
from django.conf import settings

from apps.core import bell
from apps.core.pulse import sweep
from apps.fleet import log_retention, retention
from apps.fleet.models import ServerState
from apps.fleet.services.batch_driving import drive_batches, wipe_inputs
from apps.fleet.services.change_limits import free_old_slots
from apps.fleet.services.commands import end_lost_runs
from apps.fleet.services.log_rules import end_quiet_alerts
from apps.fleet.services.presence import SWEEP_ROWS, mark_silent_servers
from apps.fleet.services.rollups import roll_up
from apps.fleet.services.terminals import end_lost_terminals

_started = time.monotonic()


@sweep("fleet.presence", every_s=5)
def notice_silence() -> None:
    """Mark silent servers offline.

    Not in the first moments of a worker: after a pause of the platform every server looks silent until it has had the
    time to send again.
    """
    if time.monotonic() - _started < retention.silent_after_s():
        return
    # With LOCAL_SERVER off this host feeds nothing on purpose.
    but = None if settings.LOCAL_SERVER else ServerState.objects.filter(server__is_local=True)
    while mark_silent_servers(but=but) == SWEEP_ROWS:
        pass


@sweep("fleet.commands", every_s=5)
def give_up_lost_commands() -> None:
    """End commands whose process is gone."""
    end_lost_runs()
    free_old_slots()
    wipe_inputs()


@sweep("fleet.batches", every_s=1, on_ring=bell.WORK, shared=True)
def go_on_with_batches() -> None:
    """Start the next runs of commands on many machines."""
    drive_batches()


@sweep("fleet.terminals", every_s=5)
def give_up_lost_terminals() -> None:
    """End terminal sessions whose process is gone."""
    end_lost_terminals()


@shared_task(name="fleet.roll_up")
def roll_up_samples() -> None:
    """Roll up what is over, for at most 8 s; what is left waits for the next minute."""
    roll_up(for_s=8.0)


@sweep("fleet.log_rules", every_s=5)
def notice_quiet_logs() -> None:
    """End the alerts of log rules that have been quiet for long enough."""
    end_quiet_alerts()


@shared_task(name="fleet.prune_logs")
def prune_logs() -> None:
    """Delete log lines past their keep time or over the limits, for at most 8 s."""
    log_retention.prune_for(8.0)
