"""The short ways for what machines push: samples and log lines."""

import re
from urllib.parse import parse_qs

from django.db import connection

from apps.core.asgi.batches import Batches, Bounds
from apps.core.asgi.types import Scope
from apps.core.errors import Unavailable
from apps.fleet.pushes import PushApplication
from apps.fleet.services.logs import LogOutcome, LogPush, accept_logs
from apps.fleet.services.samples import MOST_A_PUSH, Outcome, Push, accept_samples

MIB = 1024 * 1024
SAMPLES = Bounds(items=128, size=4 * MIB, rows=MOST_A_PUSH, waiting=64 * MIB, gather_s=0.25, at_once=True)
LOGS = Bounds(items=32, size=MIB, waiting=64 * MIB, gather_s=0.05)

# A sample is some hundred bytes long at least; so the transaction stays under its rows.
_BYTES_A_SAMPLE = 64
_METRICS = re.compile(r"^/api/v1/metrics/([^/]+)/?$")


class SampleApplication(PushApplication[Push, Outcome]):
    """Serves `POST /api/v1/metrics/{server_id}`."""

    def __init__(self) -> None:
        super().__init__(Batches("samples", store=accept_samples, unstored=_lost_samples, bounds=SAMPLES))

    def is_ours(self, path: str) -> bool:
        """Return whether it is the path of a server's samples."""
        return _METRICS.match(path) is not None

    def push(self, scope: Scope, key: str, body: bytes) -> Push:
        """Return samples for the server of the path."""
        found = _METRICS.match(scope["path"])
        assert found is not None
        return Push(found[1], body, key=key, size=len(body))

    def rows(self, body: bytes) -> int:
        """Return 1 for an object, which is one sample; an array may hold as many as its bytes allow."""
        return min(MOST_A_PUSH, len(body) // _BYTES_A_SAMPLE + 1) if body.lstrip()[:1] == b"[" else 1


class LogApplication(PushApplication[LogPush, LogOutcome]):
    """Serves `POST /api/v1/logs`."""

    def __init__(self) -> None:
        batches = Batches("log lines", store=accept_logs, unstored=_lost_lines, bounds=LOGS, writers=_log_writers)
        super().__init__(batches)

    def is_ours(self, path: str) -> bool:
        """Return whether it is the path of log lines."""
        return path.rstrip("/") == "/api/v1/logs"

    def push(self, scope: Scope, key: str, body: bytes) -> LogPush:
        """Return lines for the server that they name, or the query."""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        return LogPush(body, key=key, server=query.get("agent_id", [""])[0], size=len(body))


def _log_writers() -> int:
    """Return how many batches are written at once: SQLite lets one write."""
    return 2 if connection.vendor == "postgresql" else 1


def _lost_samples(push: Push) -> Outcome:
    return Outcome(error=Unavailable("The samples could not be stored; send them again."))


def _lost_lines(push: LogPush) -> LogOutcome:
    return LogOutcome(error=Unavailable("The log lines could not be stored; send them again."))
