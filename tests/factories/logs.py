"""Log lines and rules for tests."""

from typing import Any

from apps.core.principals import system
from apps.fleet.models import LogRule, Server
from apps.fleet.services.log_rules import create_log_rule
from apps.fleet.services.logs import LogOutcome, LogPush, accept_logs


def write_log(server: Server | None, *entries: Any) -> LogOutcome:
    """Store lines of a server as the platform itself; a text is a line with that message."""
    lines = [{"message": entry} if isinstance(entry, str) else entry for entry in entries]
    return accept_logs([LogPush(lines, principal=system("test"), server=server.slug if server else "")])[0]


def make_log_rule(name: str = "Errors", **values: Any) -> LogRule:
    """Return a rule that counts lines with the word "error" unless told otherwise."""
    return create_log_rule(actor=system("test"), values={"name": name, "pattern": "error", **values})
