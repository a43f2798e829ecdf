"""The thread that samples this host, in one process of all."""

import logging
import threading
import time

from django.conf import settings
from django.db import close_old_connections

from apps.core import bell, leases
from apps.core.principals import system
from apps.fleet import retention
from apps.fleet.sampler.host import HostReader
from apps.fleet.services.samples import Outcome, Push, accept_samples
from apps.fleet.services.servers import LOCAL_SLUG, ensure_local_server

log = logging.getLogger(__name__)

LEASE = "local-sampler"
LEASE_S = 30.0
FIRST_AFTER_S = 1.0  # two readings make a rate


class LocalSampler(threading.Thread):
    """Feeds the server `local` every interval while this process holds the lease; not where LOCAL_SERVER is off."""

    def __init__(self) -> None:
        super().__init__(name="local-sampler", daemon=True)
        self._stop_asked = threading.Event()
        self._wake = threading.Event()
        self._reader = HostReader()
        self._renew_at = 0.0
        self._holds = False
        self._told = ""

    def stop(self) -> None:
        """End after the sample that is being taken."""
        self._stop_asked.set()
        self._wake.set()

    def run(self) -> None:
        """Sample until stopped."""
        if not settings.LOCAL_SERVER:
            return
        bell.listen(bell.SETTINGS, self._on_settings)
        try:
            self._reader.prime()
            due = time.monotonic() + FIRST_AFTER_S
            while not self._stop_asked.is_set():
                if time.monotonic() >= due:
                    self._guarded_sample()
                    close_old_connections()
                    due = max(due + self._interval(), time.monotonic() + 0.2)
                # Woken by a changed interval; looks by itself each two seconds, for the time without Redis.
                self._wake.wait(min(2.0, max(0.05, due - time.monotonic())))
                self._wake.clear()
                due = min(due, time.monotonic() + self._interval())
        finally:
            bell.unlisten(bell.SETTINGS, self._on_settings)
            if self._holds:
                leases.release(LEASE)
            close_old_connections()

    def _on_settings(self, *_: object) -> None:
        self._wake.set()

    def _interval(self) -> float:
        try:
            return float(retention.interval_s())
        except Exception:
            return 5.0

    def _guarded_sample(self) -> None:
        try:
            if self._hold():
                self._say(self.sample())
        except Exception:
            log.exception("sampling this host failed")

    def _hold(self) -> bool:
        now = time.monotonic()
        if not self._holds or now >= self._renew_at:
            seconds = max(LEASE_S, 3 * self._interval())
            self._holds = leases.hold(LEASE, seconds=seconds)
            self._renew_at = now + seconds / 3
        return self._holds

    def sample(self) -> Outcome:
        """Take one sample and store it."""
        ensure_local_server()
        snapshot = self._reader.snapshot()
        return accept_samples([Push(server=LOCAL_SLUG, body=snapshot, principal=system("sampler"))])[0]

    def _say(self, outcome: Outcome) -> None:
        trouble = str(outcome.error) if outcome.error else "; ".join(str(one["reason"]) for one in outcome.refused)
        if trouble and trouble != self._told:
            log.warning("a sample of this host was refused: %s", trouble)
        self._told = trouble
