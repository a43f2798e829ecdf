"""The pulse: sweeps that must go on whether Redis is there or not.

Every worker runs one pulse thread. A sweep takes its turn in the database first, so any number of workers make one
sweep
a period. A sweep only claims due rows and hands them to the runner; it never waits for the network.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import close_old_connections

from apps.core import bell, leases
from apps.core.registries import Registry

log = logging.getLogger(__name__)

#: How often it is written down that the sweeps run, in seconds.
NOTE_S = 5.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """Work that repeats.

    Args:
        every_s: period in seconds.
        on_ring: also run when this bell rings.
        shared: True where every worker may run it at once (it claims rows itself), False where one a period is enough.
    """

    name: str
    every_s: float
    run: Callable[[], object]
    on_ring: str = ""
    shared: bool = False


sweeps: Registry[Sweep] = Registry("sweep")


def sweep(
    name: str, *, every_s: float, on_ring: str = "", shared: bool = False
) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Register a function of an app's `tasks.py` as a sweep."""

    def register(run: Callable[[], object]) -> Callable[[], object]:
        sweeps.register(name, Sweep(name, every_s, run, on_ring, shared))
        return run

    return register


class Pulse(threading.Thread):
    """Runs the sweeps of this worker, each when it is due or its bell rings."""

    def __init__(self) -> None:
        super().__init__(name="pulse", daemon=True)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._rung: set[str] = set()
        self._done: set[str] = set()
        self._note_at = 0.0

    def stop(self) -> None:
        """End after the sweep that runs now."""
        self._stopping.set()
        self._wake.set()

    def _on_ring(self, name: str, _: object) -> None:
        self._rung.add(name)
        self._wake.set()

    def run(self) -> None:
        """Run until stopped."""
        for name in {one.on_ring for _, one in sweeps.items() if one.on_ring}:
            bell.listen(name, self._on_ring)
        due = dict.fromkeys(sweeps, 0.0)
        while not self._stopping.is_set():
            rung, self._rung = self._rung, set()
            self._wake.clear()
            for name, one in sweeps.items():
                now = time.monotonic()
                is_rung = one.on_ring in rung
                if now < due[name] and not is_rung:
                    continue
                due[name] = now + one.every_s
                self._run_one(one, is_rung)
                if self._stopping.is_set():
                    return
            self._note()
            self._wake.wait(max(0.0, min(due.values()) - time.monotonic()) if due else 1.0)

    def _run_one(self, one: Sweep, is_rung: bool) -> None:
        try:
            if one.shared or is_rung or leases.claim_turn(f"sweep:{one.name}", every_s=one.every_s):
                one.run()
                self._done.add(f"ran:{one.name}")
        except Exception:
            log.exception("sweep %s failed", one.name)
        finally:
            close_old_connections()

    def _note(self) -> None:
        """Write down which sweeps have run since the last note, for those who watch over this process."""
        if time.monotonic() < self._note_at or not self._done:
            return
        self._note_at = time.monotonic() + NOTE_S
        names, self._done = self._done, set()
        try:
            leases.note_run(names)
        except Exception:
            log.exception("the sweeps that ran could not be noted")
        finally:
            close_old_connections()


def run_all_once() -> None:
    """Run every sweep once, in this thread; for tests and `doctor`."""
    for _, one in sweeps.items():
        one.run()
