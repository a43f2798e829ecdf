"""States of a server, and the moves between them."""

from django.db import models

from apps.core.states import Transitions


class Presence(models.TextChoices):
    """Does the server send samples?"""

    ONLINE = "online", "Online"
    OFFLINE = "offline", "Offline"
    UNKNOWN = "unknown", "Unknown"


class Health(models.TextChoices):
    """The worst open alert about the server; unknown before its first sample."""

    HEALTHY = "healthy", "Healthy"
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"
    UNKNOWN = "unknown", "Unknown"


PRESENCE = Transitions(
    "server",
    {
        Presence.UNKNOWN: {Presence.ONLINE},
        Presence.ONLINE: {Presence.OFFLINE},
        Presence.OFFLINE: {Presence.ONLINE},
    },
)


class HostKeyState(models.TextChoices):
    """What is known of a machine's host key."""

    PENDING = "pending", "Pending"  # never seen; the first test pins it
    PINNED = "pinned", "Pinned"
    CHANGED = "changed", "Changed"  # another one was offered and refused


class Verdict(models.TextChoices):
    """How the last test of a connection ended."""

    UNTESTED = "untested", "Untested"
    OK = "ok", "OK"
    FAILED = "failed", "Failed"


class RunStatus(models.TextChoices):
    """Where a command stands."""

    WAITING = "waiting", "Waiting"  # of a batch; its turn has not come
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"  # exit code 0
    FAILED = "failed", "Failed"  # another exit code, a signal, or it never began
    TIMED_OUT = "timed_out", "Timed out"
    CANCELLED = "cancelled", "Cancelled"
    LOST = "lost", "Lost"  # its process or connection is gone; what became of it is not known
    SKIPPED = "skipped", "Skipped"  # of a batch that stopped before its turn came


class BatchStatus(models.TextChoices):
    """Where a command on many machines stands."""

    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"  # on every machine
    FAILED = "failed", "Failed"  # not on every machine, but all had their turn
    STOPPED = "stopped", "Stopped"  # it failed so often that the rest was spared
    CANCELLED = "cancelled", "Cancelled"


class TerminalStatus(models.TextChoices):
    """Where a terminal session stands."""

    OPEN = "open", "Open"
    ENDED = "ended", "Ended"  # the shell ended by itself
    CLOSED = "closed", "Closed"  # by the person at it
    TIMED_OUT = "timed_out", "Timed out"  # nothing was typed for long, or it was open for longer than is allowed
    KICKED = "kicked", "Ended by an admin"
    REVOKED = "revoked", "Rights ended"
    DISCONNECTED = "disconnected", "Disconnected"  # the browser went away and did not come back in time
    FAILED = "failed", "Failed"  # it never opened, or could not be recorded any more
    LOST = "lost", "Lost"  # the process that held it is gone


TERMINAL = Transitions("terminal session", {TerminalStatus.OPEN: set(TerminalStatus.values) - {TerminalStatus.OPEN}})


class LogLevel(models.IntegerChoices):
    """How bad a log line is; numbers leave room between."""

    DEBUG = 10, "debug"
    INFO = 20, "info"
    WARNING = 30, "warning"
    ERROR = 40, "error"
    CRITICAL = 50, "critical"


class LogSource(models.IntegerChoices):
    """Where a log line comes from."""

    JOURNAL = 1, "journal"
    FILE = 2, "file"
    DOCKER = 3, "docker"


RUN = Transitions(
    "command",
    {
        RunStatus.RUNNING: {
            RunStatus.SUCCEEDED,
            RunStatus.FAILED,
            RunStatus.TIMED_OUT,
            RunStatus.CANCELLED,
            RunStatus.LOST,
        },
        RunStatus.WAITING: {RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.SKIPPED},
    },
)

BATCH = Transitions(
    "batch",
    {
        BatchStatus.RUNNING: {
            BatchStatus.SUCCEEDED,
            BatchStatus.FAILED,
            BatchStatus.STOPPED,
            BatchStatus.CANCELLED,
        }
    },
)

#: What counts as a failure of a batch, and is run again by "retry".
BAD = (RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.LOST)


#: What becomes of a thing of an imported file.
IMPORT_OUTCOMES = (("new", "new"), ("exists", "exists"), ("impossible", "impossible"))
