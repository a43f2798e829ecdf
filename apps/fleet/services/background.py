"""Follow runs that nobody waits for, and leave none open when this process ends."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import Error, InterfaceError, OperationalError, connection
from django.utils import timezone

from apps.core.runner import runner
from apps.fleet.models import CommandRun
from apps.fleet.services.following import (
    LOOK_EVERY_S,
    RENEW_EVERY_S,
    Following,
    close_followed,
    followed_here,
    note_absence,
)
from apps.fleet.states import RunStatus

log = logging.getLogger(__name__)

#: A run whose process renewed nothing for so long is lost; shorter than others': the keeper is never held up.
WATCHED_LEASE_S = 15.0
#: A thread that has not looked for so long hangs; its lease is renewed no more.
HANGS_AFTER_S = 20.0
#: How often the end of runs is written again where the database did not take it, and for how long.
STORE_AGAIN_S, STORE_LATER_S = 1.0, 600.0
LANE = "commands"
#: How often it is looked whether runs are over, when the process ends.
LEAVE_TICK_S = 0.05
#: Commands that one process follows in the background.
BACKGROUND_MOST = 64
_AWAY = (OperationalError, InterfaceError)
_leaving = threading.Event()


def room_in_background() -> int:
    """Return how many more runs this process may follow now; none once it ends."""
    return 0 if _leaving.is_set() else runner().free(LANE, BACKGROUND_MOST)


def follow_in_background(following: Following) -> None:
    """Follow a run in a thread of its own; its end is written with those of others, within 250 ms."""
    following.is_watched = True

    async def work() -> None:
        _keeper.add(following)
        try:
            await _in_own_thread(following.follow)
        finally:
            _keeper.remove(following)
        runner().store(_store_ends, following)

    runner().submit(LANE, work)


def _store_ends(ended: list[Following]) -> None:
    try:
        close_followed(ended)
    except _AWAY:
        note_absence()
        threading.Thread(target=_store_later, args=(ended,), name="command-ends", daemon=True).start()


def _store_later(ended: list[Following]) -> None:
    """Write ends for which the database was away, once it is back: before their leases are looked at, as a rule."""
    until = time.monotonic() + STORE_LATER_S
    while time.monotonic() < until:
        time.sleep(STORE_AGAIN_S)
        try:
            close_followed(ended)
            return
        except _AWAY:
            note_absence()
        except Exception:
            log.exception("the ends of commands could not be written")
            return
        finally:
            connection.close()


async def _in_own_thread(work: Callable[[], Any]) -> None:
    """Run blocking work in a daemon thread: it may take an hour, and must not keep the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    def call() -> None:
        try:
            work()
        except Exception:
            log.exception("following a command failed")
        finally:
            connection.close()
            loop.call_soon_threadsafe(finish)

    threading.Thread(target=call, name="command", daemon=True).start()
    await done


class _Keeper:
    """Renews the leases of this process's runs and looks for wishes to cancel, for all of them in one statement."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._followed: dict[UUID, Following] = {}
        self._thread: threading.Thread | None = None

    def add(self, following: Following) -> None:
        with self._lock:
            self._followed[following.row.pk] = following
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="command-keeper", daemon=True)
                self._thread.start()

    def remove(self, following: Following) -> None:
        with self._lock:
            self._followed.pop(following.row.pk, None)

    def _run(self) -> None:
        renewed_at = time.monotonic()
        while True:
            time.sleep(LOOK_EVERY_S)
            with self._lock:
                followed = dict(self._followed)
                if not followed:
                    self._thread = None
                    return
            try:
                self._look(followed)
                if time.monotonic() - renewed_at >= RENEW_EVERY_S:
                    self._renew(followed)
                    renewed_at = time.monotonic()
            except Exception:
                log.exception("the leases of commands could not be renewed")
            finally:
                connection.close()

    def _look(self, followed: dict[UUID, Following]) -> None:
        running = CommandRun.objects.filter(pk__in=list(followed), status=RunStatus.RUNNING)
        asked = dict(running.values_list("pk", "cancel_asked_at"))
        for key, one in followed.items():
            if key not in asked or asked[key] is not None:
                one.wants_end = True

    def _renew(self, followed: dict[UUID, Following]) -> None:
        now = time.monotonic()
        alive = [key for key, one in followed.items() if now - one.looked_at < HANGS_AFTER_S]
        CommandRun.objects.filter(pk__in=alive, status=RunStatus.RUNNING).update(
            lease_until=timezone.now() + timedelta(seconds=WATCHED_LEASE_S)
        )


_keeper = _Keeper()


def leave_commands(*, finish_s: float, end_s: float) -> None:
    """Let go of all runs, since this process ends: wait a moment for those that end by themselves, end the others, and
    write down at once what became of each. Blocks.

    Args:
        finish_s: how long to wait for ends as they come.
        end_s: how long ending the others may take; what is not over by then is lost.

    Emits: command.finished
    """
    _leaving.set()
    begun = time.monotonic()
    while open_runs := [one for one in followed_here() if not one.is_over]:
        spent = time.monotonic() - begun
        if spent >= finish_s + end_s:
            break
        if spent >= finish_s:
            for one in open_runs:
                one.is_left = True
        time.sleep(LEAVE_TICK_S)
    for one in open_runs:
        one.give_up()
    try:
        close_followed(followed_here())  # those that are closed already stay as they are
    except Error:
        note_absence()
    finally:
        connection.close()
