"""Commands on many machines for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps.core.principals import Principal, system
from apps.fleet.models import CommandBatch, Server
from apps.fleet.services import cleaned_command, create_batch, find_targets, plan_for
from tests.factories.fleet import make_server
from tests.factories.secrets import make_secret
from tests.factories.ssh import make_connection
from tests.support.sshd import USER, Sshd


def make_machines(target: Sshd, key: Path, *, tags: Sequence[str] = ("web",)) -> list[Server]:
    """Return a server for each port of an sshd, in the order of their ports."""
    secret = make_secret("machines", key.read_text(), category="ssh_key")
    servers = []
    for number, port in enumerate(target.ports):
        way = make_connection(
            f"way {number}", hostname="127.0.0.1", port=port, username=USER, auth_method="key", secret_id=secret.pk,
            host_key=target.host_key,
        )  # fmt: skip
        servers.append(make_server(f"m{number}", ssh_connection_id=way.pk, tags=list(tags)))
    return servers


def make_batch(
    command: str = "uptime", *, actor: Principal | None = None, servers: Sequence[Server] = (), **plan: Any
) -> CommandBatch:
    """Return a batch that nobody drives yet; on all servers, where none is named."""
    who = actor or system("test")
    given = {name: plan.pop(name) for name in ("env", "stdin", "env_secrets", "timeout_s") if name in plan}
    targets, asked = find_targets(actor=who, servers=[one.slug for one in servers], everybody=not servers)
    return create_batch(
        actor=who,
        command=cleaned_command(text=command, actor=who, **given),
        targets=targets,
        asked=asked,
        plan=plan_for(len(targets), **plan),
    )
