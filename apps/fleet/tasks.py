"""What the fleet does by itself: notice silence, roll samples up."""

import time

from celery import shared_task
from django.conf import settings

from apps.core.pulse import sweep
from apps.fleet import retention
from apps.fleet.models import ServerState
from apps.fleet.services.presence import SWEEP_ROWS, mark_silent_servers
from apps.fleet.services.rollups import roll_up

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


@shared_task(name="fleet.roll_up")
def roll_up_samples() -> None:
    """Roll up what is over, for at most 8 s; what is left waits for the next minute."""
    roll_up(for_s=8.0)
