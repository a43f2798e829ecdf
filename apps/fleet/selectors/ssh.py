"""The way to a machine: its jump hosts, what signs in, and a token that changes with any of it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from apps.core.errors import Conflict, NotFound
from apps.core.principals import Principal
from apps.fleet.models import SshConnection
from apps.fleet.ssh import Hop
from apps.secrets.models import Secret
from apps.secrets.services import read_for_use, read_many_for_use

HOPS_MOST = 5


def find_connection(connection_id: UUID | str, principal: Principal) -> SshConnection:
    """Return a connection with its state.

    Raises:
        NotFound: there is none, or the caller may not see it (404).
    """
    rows = SshConnection.objects.visible_to(principal).select_related("state", "jump_host")
    found: SshConnection | None = rows.filter(pk=connection_id).first()
    if found is None:
        raise NotFound("There is no such SSH connection.")
    return found


def chain_of(connection: SshConnection) -> list[SshConnection]:
    """Return the connection behind its jump hosts, the outermost first.

    Raises:
        Conflict: the jump hosts lead in a circle, or are too many (409).
    """
    chain = [SshConnection.objects.select_related("state").get(pk=connection.pk)]
    while chain[0].jump_host_id:
        if len(chain) > HOPS_MOST or chain[0].jump_host_id in {one.pk for one in chain}:
            raise Conflict("The jump hosts of this connection lead in a circle.", code="jump_host_loop")
        chain.insert(0, SshConnection.objects.select_related("state").get(pk=chain[0].jump_host_id))
    return chain


def token_of(chain: Sequence[SshConnection]) -> str:
    """Return what changes when a row, a pinned key or a secret on the way does."""
    return _token_of(chain, _versions_of(chain))


def known_ways(connections: Iterable[SshConnection]) -> dict[UUID, tuple[list[SshConnection], str]]:
    """Return chain and token of many connections at once, in two queries; those behind jump hosts are left out."""
    keys = {one.pk for one in connections if not one.jump_host_id}
    rows = list(SshConnection.objects.select_related("state").filter(pk__in=keys, jump_host=None)) if keys else []
    versions = _versions_of(rows)
    return {row.pk: ([row], _token_of([row], versions)) for row in rows}


def _versions_of(chain: Sequence[SshConnection]) -> dict[UUID | None, object]:
    ids = {key for one in chain for key in (one.secret_id, one.passphrase_secret_id) if key}
    return {row[0]: row[1:] for row in Secret.objects.filter(pk__in=ids).values_list("pk", "version", "rotated_at")}


def _token_of(chain: Sequence[SshConnection], versions: Mapping[UUID | None, object]) -> str:
    parts = [
        (
            str(one.pk),
            one.revision,
            one.state.host_key,
            str(versions.get(one.secret_id)),
            str(versions.get(one.passphrase_secret_id)),
        )
        for one in chain
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def way_of(chain: Sequence[SshConnection], *, actor: Principal) -> list[Hop]:
    """Return the hops with their credentials, which counts as a use of the secrets.

    Raises:
        NotFound: a secret is gone (404).

    Emits: secret.used
    """
    return [
        _hop(row, [read_for_use(secret_id=key, purpose=purpose, actor=actor) for key, purpose in _uses_of(row)])
        for row in chain
    ]


def ways_of(connections: Sequence[SshConnection], *, actor: Principal) -> dict[UUID, list[Hop]]:
    """Return the ways to many connections without jump hosts, with their credentials, in a few statements.

    Those of which a secret can't be read are left out.

    Emits: secret.used
    """
    uses = {row.pk: _uses_of(row) for row in connections}
    values = read_many_for_use(wanted=[one for some in uses.values() for one in some], actor=actor)
    return {
        row.pk: [_hop(row, [values[one] for one in uses[row.pk]])]
        for row in connections
        if all(one in values for one in uses[row.pk])
    }


def _uses_of(row: SshConnection) -> list[tuple[UUID, str]]:
    """Return what is read to sign in: what proves who we are, and the passphrase of a key, each with its purpose."""
    if row.auth_method == SshConnection.Auth.AGENT or row.secret_id is None:
        return []
    ids = [row.secret_id]
    if row.auth_method == SshConnection.Auth.KEY and row.passphrase_secret_id:
        ids.append(row.passphrase_secret_id)
    return [(key, f"SSH to {row.name}") for key in ids]


def _hop(row: SshConnection, values: Sequence[str]) -> Hop:
    secret, passphrase = (*values, "", "")[:2]
    is_key = row.auth_method == SshConnection.Auth.KEY
    return Hop(
        id=str(row.pk),
        name=row.name,
        hostname=row.hostname,
        port=row.port,
        username=row.username,
        auth_method=row.auth_method,
        pinned=row.state.host_key,
        password="" if is_key else secret,
        private_key=secret if is_key else "",
        passphrase=passphrase,
        timeout_s=float(row.connect_timeout_s),
        keepalive_s=row.keepalive_s,
    )
