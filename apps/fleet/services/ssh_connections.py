"""Add, change and remove SSH connections. Credentials go into the vault at once and are never kept here."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from apps.core.events import Subject, emit
from apps.core.fields import MASK
from apps.core.net import InvalidTarget, OutboundRefused, Purpose, check_host
from apps.core.net.hosts import canonical_host
from apps.core.principals import Principal
from apps.fleet.models import SshConnection, SshConnectionState
from apps.fleet.selectors.ssh import HOPS_MOST
from apps.fleet.ssh import KeyFault, load_private_key, parse_host_key, pool
from apps.fleet.ssh.keys import fingerprint_of
from apps.fleet.states import HostKeyState
from apps.secrets import references
from apps.secrets.models import Secret
from apps.secrets.services import create_secret

FIELDS = ("name", "description", "hostname", "port", "username", "auth_method", "connect_timeout_s", "keepalive_s")
#: Given once and put into the vault -> the column that then names the secret.
GIVEN_ONCE = {
    "credential": "secret_id",
    "passphrase": "passphrase_secret_id",
    "sudo_password": "sudo_secret_id",
}


def subject_of(row: SshConnection) -> Subject:
    """Return the connection as the subject of an event."""
    return Subject("ssh_connection", str(row.pk), row.name)


def facts_of(row: SshConnection) -> dict[str, Any]:
    """Return what every fact about the connection says."""
    return {"ssh_connection_id": str(row.pk), "name": row.name, "hostname": row.hostname, "port": row.port}


def create_connection(*, actor: Principal, values: Mapping[str, Any]) -> SshConnection:
    """Add an SSH connection; its host key is pending unless it is given.

    Args:
        values: name, hostname, username; port (22), auth_method ("key"), secret_id or credential, passphrase or
            passphrase_secret_id, sudo_password or sudo_secret_id, jump_host_id, host_key, description,
            connect_timeout_s (10), keepalive_s (30).

    Raises:
        Invalid: a value is wrong or the name is taken (422).
        Forbidden: it uses the vault, and the caller may not (403).

    Emits: ssh_connection.created; secret.created for what is given once.

    Source: contract row POST /ssh-connections.
    """
    row = SshConnection()
    with transaction.atomic():
        pinned = _apply(row, values, actor)
        _save(row, new=True)
        state = SshConnectionState(connection=row)
        _pin(state, pinned, actor)
        state.save(force_insert=True)
        emit(
            "ssh_connection.created",
            subject=subject_of(row),
            actor=actor,
            data=facts_of(row),
            after=_audited(row, state),
        )
    return row


def update_connection(
    *, actor: Principal, connection_id: UUID | str, values: Mapping[str, Any], revision: int | None = None
) -> SshConnection:
    """Change an SSH connection; what is kept open of it is closed.

    Args:
        values: as for `create_connection`; what is not given stays, and so does a pinned key: another host under the
            old pin is refused until somebody accepts its key.

    Raises:
        NotFound: no such connection (404). PreconditionFailed: it was changed since (412).
        Invalid, Forbidden: as for `create_connection`.

    Emits: ssh_connection.updated where something changed.

    Source: contract row PUT /ssh-connections/{id}.
    """
    with transaction.atomic():
        row = _locked(connection_id, actor)
        if revision is not None and row.revision != revision:
            raise PreconditionFailed("Somebody changed this since you read it; read it again and repeat your change.")
        state = SshConnectionState.objects.select_for_update().get(pk=row.pk)
        before = _audited(row, state)
        pinned = _apply(row, values, actor)
        if pinned:
            _pin(state, pinned, actor)
        after = _audited(row, state)
        changed = sorted(name for name in after if after[name] != before[name])
        if changed:
            row.revision += 1
            _save(row)
            state.save()
            emit(
                "ssh_connection.updated",
                subject=subject_of(row),
                actor=actor,
                data=facts_of(row),
                before={name: before[name] for name in changed},
                after={name: after[name] for name in changed},
            )
            transaction.on_commit(lambda: pool.retire(str(row.pk)))
    return row


def delete_connection(*, actor: Principal, connection_id: UUID | str) -> None:
    """Remove an SSH connection. Its secrets stay in the vault.

    Raises:
        NotFound: no such connection (404).
        Conflict: servers are bound to it, or others jump through it (409).

    Emits: ssh_connection.deleted
    """
    with transaction.atomic():
        row = _locked(connection_id, actor)
        users = [*row.servers.order_by("name").values_list("name", flat=True)[:5]]
        users += row.behind.order_by("name").values_list("name", flat=True)[:5]
        if users:
            raise Conflict(f"It is used by {', '.join(users)}; choose another way for them first.", code="in_use")
        emit(
            "ssh_connection.deleted",
            subject=subject_of(row),
            actor=actor,
            data=facts_of(row),
            before=_audited(row, row.state),
        )
        key = str(row.pk)
        row.delete()
        transaction.on_commit(lambda: pool.retire(key))


def connections_with_secrets(secret_ids: Collection[UUID]) -> Iterable[tuple[Any, ...]]:
    """Yield which connections use which of the secrets: asked before a secret is removed."""
    for column in GIVEN_ONCE.values():
        rows = SshConnection.objects.filter(**{f"{column}__in": list(secret_ids)})
        for secret_id, key, name in rows.values_list(column, "pk", "name"):
            yield secret_id, "ssh_connection", str(key), name


references.register("ssh_connection", connections_with_secrets)


# --- rules ---------------------------------------------------------------------------------------------------------


def _locked(connection_id: UUID | str, actor: Principal) -> SshConnection:
    rows = SshConnection.objects.visible_to(actor).select_for_update(of=("self",))
    row: SshConnection | None = rows.filter(pk=connection_id).first()
    if row is None:
        raise NotFound("There is no such SSH connection.")
    return row


def _save(row: SshConnection, *, new: bool = False) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=new)
    except IntegrityError as error:
        raise Invalid({"name": "another SSH connection has this name"}) from error


def _pin(state: SshConnectionState, pinned: str, actor: Principal) -> None:
    if pinned:
        state.host_key, state.host_key_state = pinned, HostKeyState.PINNED
        state.pinned_at, state.pinned_by = timezone.now(), actor.name[:150]
        state.offered_key, state.offered_at = "", None


def _audited(row: SshConnection, state: SshConnectionState) -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(row, name) for name in FIELDS}
    for name in (*GIVEN_ONCE.values(), "jump_host_id"):
        found[name] = str(getattr(row, name)) if getattr(row, name) else None
    found["host_key_fingerprint"] = fingerprint_of(state.host_key)
    return found


def _apply(row: SshConnection, values: Mapping[str, Any], actor: Principal) -> str:
    """Check the values and put them on the row; return the host key to pin, "" for none."""
    problems: dict[str, str] = {}
    for name in FIELDS:
        if name in values:
            value = values[name]
            setattr(row, name, value.strip() if isinstance(value, str) else value)
    _check_plain(row, problems)
    if "jump_host_id" in values:
        _check_jump(row, values["jump_host_id"], problems)
    pinned = ""
    if str(values.get("host_key") or "").strip():
        try:
            pinned = parse_host_key(values["host_key"]).text
        except KeyFault as error:
            problems["host_key"] = str(error)
    given = {name: values[name] for name in GIVEN_ONCE if values.get(name) not in (None, "", MASK)}
    _check_credentials(row, values, given, actor, problems)
    if problems:
        raise Invalid(problems)
    for name, value in given.items():
        setattr(row, GIVEN_ONCE[name], _stored(row, name, value, actor).pk)
    return pinned


def _check_plain(row: SshConnection, problems: dict[str, str]) -> None:
    if not row.name:
        problems["name"] = "must not be empty"
    elif SshConnection.objects.filter(name=row.name).exclude(pk=row.pk).exists():
        problems["name"] = "another SSH connection has this name"
    if row.auth_method not in SshConnection.Auth.values:
        problems["auth_method"] = f"must be one of {', '.join(SshConnection.Auth.values)}"
    if not row.username or any(letter.isspace() or not letter.isprintable() for letter in row.username):
        problems["username"] = "give the user's name on that machine, without blanks"
    for name, least, most in (("port", 1, 65535), ("connect_timeout_s", 1, 120), ("keepalive_s", 0, 3600)):
        if not least <= getattr(row, name) <= most:
            problems[name] = f"must lie between {least} and {most}"
    try:
        row.hostname = canonical_host(row.hostname)
        if "port" not in problems:
            check_host(row.hostname, row.port, Purpose.PROBE)
    except (InvalidTarget, OutboundRefused) as error:
        problems["hostname"] = str(error)


def _check_jump(row: SshConnection, jump_host_id: Any, problems: dict[str, str]) -> None:
    row.jump_host_id = jump_host_id or None
    seen, at = {row.pk}, row.jump_host_id
    while at:
        if at in seen:
            problems["jump_host_id"] = "its jump hosts would lead in a circle; choose another one"
            return
        seen.add(at)
        following = SshConnection.objects.filter(pk=at).values_list("jump_host_id", flat=True)
        if not following:
            problems["jump_host_id"] = "there is no such SSH connection"
            return
        at = following[0]
    if len(seen) > HOPS_MOST:
        problems["jump_host_id"] = f"at most {HOPS_MOST - 1} jump hosts one after another"


def _check_credentials(
    row: SshConnection, values: Mapping[str, Any], given: Mapping[str, str], actor: Principal, problems: dict[str, str]
) -> None:
    for name, column in GIVEN_ONCE.items():
        if column in values and name not in given:
            wanted = values[column]
            if wanted and str(wanted) != str(getattr(row, column)):
                if not actor.can("secrets:view"):
                    raise Forbidden("To use a secret of the vault you need the permission secrets:view.")
                if not Secret.objects.visible_to(actor).filter(pk=wanted).exists():
                    problems[column] = "there is no such secret"
            setattr(row, column, wanted or None)
    if given and not actor.can("secrets:manage"):
        raise Forbidden("A credential goes into the vault: that needs the permission secrets:manage.")
    if row.auth_method == SshConnection.Auth.AGENT:
        row.secret_id = row.passphrase_secret_id = None
        for name in ("credential", "passphrase"):
            if name in given:
                problems[name] = "the SSH agent holds the keys; leave this empty"
        return
    if "credential" not in given and not row.secret_id:
        problems.setdefault("credential", "give the credential, or secret_id of one in the vault")
    if row.auth_method == SshConnection.Auth.PASSWORD:
        row.passphrase_secret_id = None
        if "passphrase" in given:
            problems["passphrase"] = "only private keys have one"
    elif "credential" in given:
        try:
            load_private_key(given["credential"], given.get("passphrase", ""))
        except KeyFault as error:
            # With a passphrase from the vault the first test tells.
            if not row.passphrase_secret_id or "passphrase" not in str(error):
                problems["passphrase" if "passphrase" in str(error) else "credential"] = str(error)


_NOUNS = {"credential": "", "passphrase": " passphrase", "sudo_password": " sudo"}


def _stored(row: SshConnection, name: str, value: str, actor: Principal) -> Secret:
    is_key = name == "credential" and row.auth_method == SshConnection.Auth.KEY
    base = f"SSH {row.name}"[:80] + _NOUNS[name]
    taken = set(Secret.objects.filter(name__startswith=base).values_list("name", flat=True))
    title = next(one for one in (base, *(f"{base} {n}" for n in range(2, len(taken) + 3))) if one not in taken)
    return create_secret(
        actor=actor,
        name=title,
        value=value,
        category="ssh_key" if is_key else "password",
        description=f"For the SSH connection {row.name}.",
    )
