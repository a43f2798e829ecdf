"""What happens to servers."""

from apps.core.events import LIVE, declare
from apps.core.events.catalogue import (
    BOOLEAN,
    ID,
    ID_OR_NULL,
    INTEGER,
    INTEGER_OR_NULL,
    NUMBER_OR_NULL,
    OBJECT,
    TEXT,
    TIME,
    TIME_OR_NULL,
)

_SERVER = {"server_id": ID, "slug": TEXT, "name": TEXT}
_PRESENCE = {**_SERVER, "last_seen": TIME_OR_NULL}

declare("server.created", doc="A server was added.", permission="servers:view", fields=_SERVER)
declare("server.updated", doc="A server was changed.", permission="servers:view", fields=_SERVER)
declare("server.deleted", doc="A server was removed.", permission="servers:view", fields=_SERVER)
declare(
    "server.online",
    doc="A server sent its first sample, or one after a silence.",
    permission="servers:view",
    fields=_PRESENCE,
)
declare("server.offline", doc="A server has been silent for too long.", permission="servers:view", fields=_PRESENCE)
declare(
    "metrics.exported",
    doc="Somebody exported a server's metrics.",
    permission="audit:view",
    fields={**_SERVER, "format": TEXT, "resolution": TEXT, "from": TIME, "to": TIME},
)
declare(
    "server.sample",
    doc="A server's newest figures.",
    permission="servers:view",
    kind=LIVE,
    fields={
        "server_id": ID,
        "slug": TEXT,
        "at": TIME,
        "cpu_percent": NUMBER_OR_NULL,
        "memory_percent": NUMBER_OR_NULL,
        "swap_percent": NUMBER_OR_NULL,
        "disk_percent": NUMBER_OR_NULL,
        "rx_rate": NUMBER_OR_NULL,
        "tx_rate": NUMBER_OR_NULL,
        "load1": NUMBER_OR_NULL,
        "temperature": NUMBER_OR_NULL,
        "connections": INTEGER_OR_NULL,
        "processes": INTEGER_OR_NULL,
    },
)
declare(
    "server.snapshot",
    doc="A server's newest whole snapshot, while somebody follows it.",
    permission="servers:view",
    kind=LIVE,
    fields={"server_id": ID, "slug": TEXT, "at": TIME, "snapshot": OBJECT},
)

_SSH = {"ssh_connection_id": ID, "name": TEXT, "hostname": TEXT, "port": INTEGER}
for _name, _doc in (
    ("created", "An SSH connection was added."),
    ("updated", "An SSH connection was changed."),
    ("deleted", "An SSH connection was removed."),
):
    declare(f"ssh_connection.{_name}", doc=_doc, permission="ssh_connections:view", fields=_SSH)
declare(
    "ssh_connection.tested",
    doc="Somebody tested an SSH connection; `phase` says where it stopped.",
    permission="ssh_connections:view",
    fields={**_SSH, "ok": BOOLEAN, "phase": TEXT, "error": TEXT},
)
declare(
    "ssh_connection.host_key_pinned",
    doc="The host key of a machine was pinned on first use.",
    permission="ssh_connections:view",
    fields={**_SSH, "fingerprint": TEXT},
)
declare(
    "ssh_connection.host_key_changed",
    doc="A machine offered another host key than the pinned one and was refused before anything was sent to it.",
    permission="ssh_connections:view",
    fields={**_SSH, "pinned": TEXT, "offered": TEXT},
)
declare(
    "ssh_connection.host_key_accepted",
    doc="Somebody accepted the new host key of a machine.",
    permission="ssh_connections:view",
    fields={**_SSH, "fingerprint": TEXT, "former": TEXT},
)
_COMMAND = {
    "command_id": ID,
    "batch_id": ID_OR_NULL,
    "server_id": ID_OR_NULL,
    "target": TEXT,
    "executor": TEXT,
    "command": TEXT,
    "by": TEXT,
}
declare("command.started", doc="A command was started on a machine.", permission="commands:view", fields=_COMMAND)
declare(
    "command.cancel_asked",
    doc="Somebody asked to end a command that runs.",
    permission="commands:view",
    fields=_COMMAND,
)
declare(
    "command.finished",
    doc="A command ended, was ended, or is lost: the process that followed it is gone.",
    permission="commands:view",
    fields={
        **_COMMAND,
        "status": TEXT,
        "exit_code": INTEGER_OR_NULL,
        "signal": TEXT,
        "duration_ms": NUMBER_OR_NULL,
        "output_bytes": INTEGER,
        "error": TEXT,
    },
)
declare(
    "command.output",
    doc="A running command wrote something; `at_char` is where it belongs.",
    permission="commands:view",
    kind=LIVE,
    fields={"command_id": ID, "server_id": ID_OR_NULL, "at_char": INTEGER, "text": TEXT},
)
_BATCH = {"batch_id": ID, "command": TEXT, "hosts": INTEGER, "by": TEXT}
declare(
    "command_batch.created",
    doc="A command was started on many machines.",
    permission="commands:view",
    fields={
        **_BATCH,
        "asked": TEXT,
        "targets": {"type": "array", "items": {"type": "string"}},
        "parallel": INTEGER,
        "canary": INTEGER,
        "stop_after_failures": INTEGER,
        "retry_of": ID_OR_NULL,
    },
)
declare(
    "command_batch.cancel_asked",
    doc="Somebody asked to end a command on many machines.",
    permission="commands:view",
    fields=_BATCH,
)
declare(
    "command_batch.finished",
    doc="A command on many machines is over on all of them.",
    permission="commands:view",
    fields={**_BATCH, "status": TEXT, "reason": TEXT, "succeeded": INTEGER, "failed": INTEGER, "skipped": INTEGER},
)
declare(
    "command_batch.progress",
    doc="How far a command on many machines has come.",
    permission="commands:view",
    kind=LIVE,
    fields={
        "batch_id": ID,
        "waiting": INTEGER,
        "running": INTEGER,
        "succeeded": INTEGER,
        "failed": INTEGER,
        "skipped": INTEGER,
        "waits_for": TEXT,
    },
)
_LIMIT = {"limit_id": ID, "tag": TEXT}
declare(
    "change_limit.created",
    doc="It was limited how many servers may be under change at once.",
    permission="change_limits:view",
    fields=_LIMIT,
)
declare(
    "change_limit.updated", doc="Such a limit was changed.", permission="change_limits:view", fields=_LIMIT
)  # fmt: skip
declare(
    "change_limit.deleted", doc="Such a limit was removed.", permission="change_limits:view", fields=_LIMIT
)  # fmt: skip
_SIGNAL = {**_SERVER, "pid": INTEGER, "process": TEXT, "signal": INTEGER, "started": TEXT, "by": TEXT}
declare(
    "process.signal_asked",
    doc="Somebody asked for a signal to a process; that it was sent is told next, unless it was refused.",
    permission="processes:view",
    fields=_SIGNAL,
)
declare("process.signalled", doc="Somebody sent a signal to a process.", permission="processes:view", fields=_SIGNAL)
declare(
    "server.logs",
    doc="Log lines of a server that came together, while somebody follows the log.",
    permission="logs:view",
    kind=LIVE,
    fields={"server_id": ID, "slug": TEXT, "lines": {"type": "array", "items": {"type": "object"}}},
)
_LOG_RULE = {"rule_id": ID, "name": TEXT}
declare("log_rule.created", doc="A rule about log lines was added.", permission="log_rules:view", fields=_LOG_RULE)
declare("log_rule.updated", doc="A rule about log lines was changed.", permission="log_rules:view", fields=_LOG_RULE)
declare("log_rule.deleted", doc="A rule about log lines was removed.", permission="log_rules:view", fields=_LOG_RULE)
_LOG_MATCH = {"rule_id": ID, "rule": TEXT, **_SERVER, "matched": {"type": "integer"}}
declare(
    "log.alert",
    doc="A log rule holds on a server: it wrote as many lines of the pattern in the window as the rule asks for.",
    permission="logs:view",
    fields={
        **_LOG_MATCH,
        "level": TEXT,
        "threshold": {"type": "integer"},
        "window_s": {"type": "integer"},
        "line_id": TEXT,
        "line": TEXT,
        "at": TIME,
    },
)
declare(
    "log.recovery",
    doc="A log rule holds no more: the server wrote no such line for the quiet time, or the rule was changed.",
    permission="logs:view",
    fields={**_LOG_MATCH, "since": TIME, "message": TEXT},
)
_TERMINAL = {
    "terminal_id": ID,
    "server_id": ID_OR_NULL,
    "target": TEXT,
    "executor": TEXT,
    "by": TEXT,
    "address": TEXT,
}
declare(
    "terminal.opened",
    doc="Somebody opened a terminal on a server.",
    permission="terminals:view_all",
    fields=_TERMINAL,
)
declare(
    "terminal.end_asked",
    doc="An admin asked to end a terminal session.",
    permission="terminals:view_all",
    fields=_TERMINAL,
)
declare(
    "terminal.closed",
    doc="A terminal session ended; `status` and `reason` say how, an exit code how its shell did.",
    permission="terminals:view_all",
    fields={
        **_TERMINAL,
        "status": TEXT,
        "reason": TEXT,
        "exit_code": INTEGER_OR_NULL,
        "signal": TEXT,
        "duration_ms": NUMBER_OR_NULL,
        "output_bytes": INTEGER,
        "input_bytes": INTEGER,
    },
)
declare(
    "terminal.replayed",
    doc="Somebody replayed or downloaded the recording of a terminal session.",
    permission="audit:view",
    fields=_TERMINAL,
)
