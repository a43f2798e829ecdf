"""SSH connections for tests."""

from itertools import count
from typing import Any

from apps.core.principals import Principal, system
from apps.fleet.commands import Command
from apps.fleet.executors import LocalExecutor
from apps.fleet.models import CommandRun, Server, SshConnection
from apps.fleet.services import create_connection
from apps.fleet.services.commands import start_run

_numbers = count(1)


def make_connection(name: str = "", *, actor: Principal | None = None, **values: Any) -> SshConnection:
    """Return an SSH connection; by password, where nothing else is said."""
    given = {"hostname": "127.0.0.1", "username": "ops", "auth_method": "password", **values}
    if given["auth_method"] != "agent" and "secret_id" not in given:
        given.setdefault("credential", "correct horse")
    return create_connection(
        actor=actor or system("test"), values={"name": name or f"connection {next(_numbers)}", **given}
    )  # fmt: skip


def make_run(server: Server | None = None, *, command: str = "uptime") -> CommandRun:
    """Return a run that nobody follows."""
    return start_run(
        actor=system("test"), executor=LocalExecutor("web-1"), command=Command(command, 60), server=server
    )  # fmt: skip
