"""The watchdog of the web processes: nothing that is scheduled falls silent unseen.

The worker evaluates; a web process looks whether it does. One of all web processes holds the lease and asks every
`registries.watches` which of its things are overdue; what is overdue twice in a row is shown as unknown and told once,
and told again when everything runs. Each web process also notes that it listens, so that the worker can tell silence of
a job from deafness of ours.
"""

import logging
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import close_old_connections
from django.utils import timezone

from apps.core import leases
from apps.core.conditions import begin_condition, end_condition
from apps.core.models import Lease
from apps.core.pulse import NOTE_S, sweeps
from apps.core.registries import Overdue, Watch, watches

log = logging.getLogger(__name__)

LOOK_S = 2.0
#: A process that has just started gives the others this long to start as well.
GRACE_S = 20.0
#: When a web process noted last that it takes requests, and the last time in which none did (`until`..`last_run_at`).
LISTENING, AWAY = "web:listening", "web:away"
#: Nobody has noted it for so long: nobody listened.
DEAF_AFTER_S = 3 * NOTE_S
OVERDUE = "overdue"
_LEASE_S = 10.0


class Watchdog(threading.Thread):
    """Watches over the worker from a web process."""

    def __init__(self) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._stopping = threading.Event()
        self._seen: set[str] = set()
        self._note_at = 0.0

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()

    def run(self) -> None:
        """Look every two seconds until stopped."""
        watch_from = time.monotonic() + GRACE_S
        while not self._stopping.is_set():
            try:
                self._listen()
                if time.monotonic() >= watch_from and leases.keep("watchdog", seconds=_LEASE_S):
                    self._seen = look(timezone.now(), self._seen)
            except Exception:
                log.exception("the watchdog could not look")
            finally:
                close_old_connections()
            self._stopping.wait(LOOK_S)

    def _listen(self) -> None:
        if time.monotonic() >= self._note_at:
            note_listening(timezone.now())
            self._note_at = time.monotonic() + NOTE_S


def note_listening(now: datetime) -> None:
    """Note that this process takes requests; where nobody did until now, from when on that was."""
    before = Lease.objects.filter(name=LISTENING).values_list("last_run_at", flat=True).first()
    if before is not None and (now - before).total_seconds() > DEAF_AFTER_S:
        Lease.objects.update_or_create(name=AWAY, defaults={"owner": "", "until": before, "last_run_at": now})
    leases.note_run([LISTENING])


def look(now: datetime, seen: Iterable[str] = ()) -> set[str]:
    """Look once at everything that is scheduled.

    Args:
        seen: what was overdue at the last look; only what is overdue again is told.

    Returns:
        What is overdue now.

    Emits: system.alert when something falls silent and when everything runs again.
    """
    found: dict[str, Overdue] = {}
    for name, watch in watches.items():
        overdue = _ask(name, watch, now)
        if overdue is not None:
            found[name] = overdue
    again = {name: overdue for name, overdue in found.items() if name in set(seen)}
    for name in again:
        _mark(name, now)
    if again:
        parts = "; ".join(f"{overdue.what} since {_clock(overdue.since)}" for overdue in again.values())
        begin_condition(
            name=OVERDUE,
            title="Monitors are silent",
            message=f"The worker has not looked at {parts}. What it watches is shown as unknown until it does.",
        )
    elif not found:
        end_condition(name=OVERDUE, title="Monitors are heard again", message="The worker looks at everything again.")
    return set(found)


def _ask(name: str, watch: Watch, now: datetime) -> Overdue | None:
    try:
        return watch.find(now)
    except Exception:  # one kind that can't be asked must not hide the others
        log.exception("the watch over %s failed", name)
        return None


def _mark(name: str, now: datetime) -> None:
    mark = watches[name].mark
    if mark is not None:
        try:
            mark(now)
        except Exception:
            log.exception("what is overdue of %s could not be marked", name)


def _clock(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


# --- sweeps ------------------------------------------------------------------------------------------------------

#: A sweep may be so late: two turns, and the time until it is noted.
_MARGIN_S = 2 * NOTE_S


def _silent_sweeps(now: datetime) -> Overdue | None:
    """Find sweeps that have run before and don't any more."""
    ran = leases.last_runs("ran:")
    late = {
        name: ran[name]
        for name, one in sweeps.items()
        if name in ran and ran[name] + timedelta(seconds=2 * one.every_s + _MARGIN_S) < now
    }
    if not late:
        return None
    names = sorted(late)
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return Overdue(f"{len(names)} of its sweeps ({shown})", min(late.values()))


watches.register("sweeps", Watch(_silent_sweeps))
