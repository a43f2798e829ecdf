"""Tables of the fleet."""

from apps.fleet.models.commands import ChangeLimit, ChangeSlot, CommandBatch, CommandRun
from apps.fleet.models.logs import LogEntry, LogFollower, LogRule, LogRuleState, LogState
from apps.fleet.models.servers import LatestSnapshot, ProcessTable, Server, ServerState
from apps.fleet.models.ssh import SshConnection, SshConnectionState
from apps.fleet.models.telemetry import DirtyBucket, Rollup1d, Rollup1h, Rollup1m, Rollup5m, Sample
from apps.fleet.models.terminals import TerminalSession

__all__ = [
    "ChangeLimit",
    "ChangeSlot",
    "CommandBatch",
    "CommandRun",
    "DirtyBucket",
    "LatestSnapshot",
    "LogEntry",
    "LogFollower",
    "LogRule",
    "LogRuleState",
    "LogState",
    "ProcessTable",
    "Rollup1d",
    "Rollup1h",
    "Rollup1m",
    "Rollup5m",
    "Sample",
    "Server",
    "ServerState",
    "SshConnection",
    "SshConnectionState",
    "TerminalSession",
]
