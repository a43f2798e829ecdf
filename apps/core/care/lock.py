"""Nothing else may write while an installation is replaced or moved."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils import timezone

from apps.core.care.refusal import CareRefused
from apps.core.models import Lease
from config.supervisor import datadir
from config.supervisor.refusal import StartRefused

#: A worker that has ended keeps its lease at most this long.
LEASE_S = 12.0


def working_owner() -> str:
    """Return the worker that numbers facts now; "" where none does."""
    if Lease._meta.db_table not in connection.introspection.table_names():
        return ""
    row = Lease.objects.filter(name="sequencer", until__gt=timezone.now()).first()
    return row.owner if row else ""


@contextmanager
def installation_at_rest(what: str, *, say: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Hold the data folder, so that the product can't start on it, and see that no worker is at the database.

    Args:
        what: what is being done, for whoever tries to start meanwhile ("restore").

    Raises:
        CareRefused: the product runs; the sentence says where.
    """
    folder = Path(settings.DATA_DIR)
    try:
        datadir.prepare(folder)
        lock = datadir.Lock(folder, address=what)
    except StartRefused as error:
        raise CareRefused(str(error)) from error
    try:
        if not settings.EMBEDDED:
            _await_rest(say)
        yield
    finally:
        lock.release()


def _await_rest(say: Callable[[str], None]) -> None:
    # On PostgreSQL the workers may be on other machines, where the folder's lock does not reach.
    end = time.monotonic() + LEASE_S
    if working_owner():
        say("A worker was at this database a moment ago; waiting for its lease to run out ...")
    while owner := working_owner():
        if time.monotonic() > end:
            raise CareRefused(f"A worker still works on this database ({owner}); stop every part of Watchkeeper first.")
        time.sleep(0.5)
