"""Machines of other tools: what their files would make here, and making it."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction

from apps.core.errors import DomainError, Forbidden, Invalid
from apps.core.imports import (
    BYTES_MOST,
    DRAFTS_MOST,
    EXISTS,
    FILES_MOST,
    IMPOSSIBLE,
    NEW,
    ImportItem,
    ImportReport,
    SourceFile,
)
from apps.core.net import InvalidTarget
from apps.core.net.hosts import canonical_host
from apps.core.principals import Principal
from apps.fleet.importers import Draft, ImportFault, importers
from apps.fleet.importers.base import CONNECTION, HOST_KEY, KINDS, SERVER, jump_parts
from apps.fleet.models import Server, SshConnection
from apps.fleet.services.servers import create_server, update_server
from apps.fleet.services.ssh_connections import create_connection, update_connection
from apps.fleet.ssh import parse_host_key
from apps.secrets.models import Secret

_CODES = {
    CONNECTION: ("ssh_connections:create",),
    SERVER: ("ssh_connections:create", "ssh_connections:use", "servers:create"),
    HOST_KEY: ("ssh_connections:update",),
}
#: Of several keys of one host the first kind is pinned; the same order in which clients ask for them.
_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def read_machines(format: str, files: Sequence[SourceFile]) -> list[Draft]:
    """Return what the files say.

    Raises:
        Invalid: unknown format, a file that can't be read, too much at once (422).
    """
    importer = importers.get(format)
    if importer is None:
        raise Invalid({"format": f"must be one of {', '.join(importers)}"})
    if not any(file.text.strip() for file in files):
        raise Invalid({"contents": "give the text of at least one file"})
    size = sum(len(file.text.encode("utf-8", "surrogatepass")) for file in files)
    if len(files) > FILES_MOST or size > BYTES_MOST:
        raise Invalid({"contents": f"give at most {FILES_MOST} files and {BYTES_MOST >> 20} MB at once"})
    try:
        drafts = importer.read([SourceFile(file.name, file.text.removeprefix("\ufeff")) for file in files])
    except ImportFault as fault:
        raise Invalid({"contents": str(fault)}) from fault
    if len(drafts) > DRAFTS_MOST:
        raise Invalid({"contents": f"they hold {len(drafts):,} things; give at most {DRAFTS_MOST:,} at once"})
    return drafts


def import_machines(
    *,
    actor: Principal,
    format: str,
    drafts: Sequence[Draft],
    dry_run: bool,
    username: str = "",
    secret_id: UUID | str | None = None,
) -> ImportReport[ImportItem]:
    """Make what the drafts say, each whole or not at all; a second time makes nothing twice.

    Not to be called inside a transaction. No credential is taken from a file.

    Args:
        dry_run: make nothing, and tell what would be made.
        username: for machines whose file names none.
        secret_id: a password or key of the vault that signs in at all of them; None: the SSH agent does.

    Raises:
        Invalid: no such secret (422). Forbidden: it uses the vault, and the caller may not (403).

    Emits: ssh_connection.created, ssh_connection.updated, server.created, server.updated.

    Source: POST /api/v1/ssh-connections/import.
    """
    signing: dict[str, Any] = {"auth_method": SshConnection.Auth.AGENT}
    if secret_id:
        if not actor.can("secrets:view"):
            raise Forbidden("To use a secret of the vault you need the permission secrets:view.")
        category = Secret.objects.filter(pk=secret_id).values_list("category", flat=True).first()
        if category is None:
            raise Invalid({"secret_id": "there is no such secret"})
        is_key = category == Secret.Category.SSH_KEY
        method = SshConnection.Auth.KEY if is_key else SshConnection.Auth.PASSWORD
        signing = {"auth_method": method, "secret_id": secret_id}
    return ImportReport(format, dry_run, _Import(actor, list(drafts), dry_run, username.strip(), signing).run())


class _Import:
    def __init__(
        self, actor: Principal, drafts: list[Draft], dry_run: bool, username: str, signing: dict[str, Any]
    ) -> None:
        self.actor, self.drafts, self.dry_run = actor, drafts, dry_run
        self.username, self.signing = username, signing
        self.by_name = {draft.name: number for number, draft in reversed(list(enumerate(drafts)))}
        self.items: dict[int, ImportItem] = {}
        self.best = self._best_keys()
        wants_rows = any(draft.kind == HOST_KEY for draft in drafts)
        rows = SshConnection.objects.select_related("state").order_by("name")
        self.rows: list[SshConnection] = list(rows) if wants_rows else []

    def run(self) -> list[ImportItem]:
        """Go over the drafts, jump hosts before those behind them."""
        for number in range(len(self.drafts)):
            self._settle(number, ())
        return [self.items[number] for number in range(len(self.drafts))]

    def _settle(self, number: int, above: tuple[int, ...]) -> ImportItem:
        known = self.items.get(number)
        if known is not None:
            return known
        draft = self.drafts[number]
        item = ImportItem(draft.place, draft.kind, draft.name[:200], reason=draft.problem, notes=list(draft.notes))
        if number in above:
            item.reason = "Its jump hosts lead in a circle."
            return item
        if not item.reason:
            missing = [code for code in _CODES.get(draft.kind, ()) if not self.actor.can(code)]
            if draft.kind not in KINDS:
                item.reason = "Nothing of this kind is made here."
            elif missing:
                item.reason = f"You may not: this needs the permission {missing[0]}."
            else:
                self._try(draft, item, (*above, number))
        self.items[number] = item
        return item

    def _try(self, draft: Draft, item: ImportItem, above: tuple[int, ...]) -> None:
        try:
            with transaction.atomic():
                if draft.kind == HOST_KEY:
                    self._pin(draft, item)
                else:
                    self._machine(draft, item, above)
                if self.dry_run:
                    transaction.set_rollback(True)
        except DomainError as error:
            item.outcome, item.id = IMPOSSIBLE, ""
            item.reason = str(error)[:1].upper() + str(error)[1:]
        except (DatabaseError, ValueError, TypeError, KeyError) as error:
            item.outcome, item.id = IMPOSSIBLE, ""
            item.reason = f"It can't be stored ({type(error).__name__}): look at its values."
        if self.dry_run and item.outcome == NEW:
            item.id = ""

    # --- machines --------------------------------------------------------------------------------------------------

    def _machine(self, draft: Draft, item: ImportItem, above: tuple[int, ...]) -> None:
        values = {name: value for name, value in draft.values.items() if name not in ("jump", "tags")}
        values["username"] = values.get("username") or self.username
        host, port = str(values.get("hostname", "")), values.get("port") or 22
        through = str(draft.values.get("jump") or "")
        item.summary = f"{values['username'] or '?'}@{host}:{port}" + (f" through {through}" if through else "")
        if not values["username"]:
            item.reason = "The file names no user for it; give one above."
            return
        there = SshConnection.objects.filter(name=draft.name).first()
        if there is not None and (there.hostname, there.port) != (_canonical(host), port):
            item.reason = "Another SSH connection has this name."
            return
        if there is None:
            jump_id = self._jump(through, item, above)
            if item.reason:
                return
            # In a dry run the jump host that would be made has no id yet; it is checked by its own line.
            there = create_connection(
                actor=self.actor, values={**values, **self.signing, "name": draft.name, "jump_host_id": jump_id}
            )
            item.outcome = NEW
        else:
            item.outcome, item.reason = EXISTS, "It is there already."
        item.id = str(there.pk)
        if draft.kind == SERVER:
            self._server(draft, item, there)

    def _jump(self, text: str, item: ImportItem, above: tuple[int, ...]) -> UUID | str | None:
        if not text:
            return None
        user, host, port = jump_parts(text)
        known = SshConnection.objects.filter(name=host).first() or SshConnection.objects.filter(hostname=host).first()
        if known is not None:
            return known.pk
        number = self.by_name.get(host)
        if number is not None:
            made = self._settle(number, above) if number not in self.items else self.items[number]
            if made.outcome == IMPOSSIBLE:
                item.reason = f"Its jump host {host} can't be made: {made.reason}"
            elif made.id and made.kind == CONNECTION:
                return made.id
            elif not self.dry_run:
                return SshConnection.objects.filter(name=host).values_list("pk", flat=True).first()
            return None
        values = {**self.signing, "name": text[:100], "hostname": host, "port": port or 22}
        row = create_connection(actor=self.actor, values={**values, "username": user or self.username})
        item.notes.append(f"Its jump host {text} is made too.")
        return row.pk

    def _server(self, draft: Draft, item: ImportItem, way: SshConnection) -> None:
        server = Server.objects.filter(name=draft.name).first()
        if server is None:
            server = create_server(
                actor=self.actor,
                name=draft.name,
                host=way.hostname,
                port=way.port,
                tags=[str(tag)[:64] for tag in draft.values.get("tags", [])],
                ssh_connection_id=way.pk,
            )
            item.outcome, item.reason = NEW, ""
        elif server.ssh_connection_id is None:
            update_server(actor=self.actor, server=server, changes={"ssh_connection_id": way.pk})
            item.outcome, item.reason = NEW, ""
            item.notes.append("The server is there already; this connection is chosen for it.")
        item.id = str(server.pk)

    # --- host keys -------------------------------------------------------------------------------------------------

    def _best_keys(self) -> dict[str, str]:
        """Return for each host of the files the key to pin, of those there are."""
        best: dict[str, str] = {}
        for draft in self.drafts:
            key, hosts = draft.values.get("host_key"), draft.values.get("hosts")
            if key and hosts and not str(hosts).startswith("|1|"):
                for host in str(hosts).split(","):
                    if host not in best or _rank(str(key)) < _rank(best[host]):
                        best[host] = str(key)
        return best

    def _pin(self, draft: Draft, item: ImportItem) -> None:
        key, hosts = parse_host_key(str(draft.values["host_key"])), str(draft.values["hosts"])
        item.summary = f"{key.type} {key.fingerprint}"
        rows = [row for row in self.rows if _names(hosts, row)]
        if not rows:
            item.reason = "No SSH connection leads to this host; add or import them first."
            return
        pinned = 0
        for row in rows:
            item.id = str(row.pk)
            better = self.best.get(_known_as(row))
            if row.state.host_key == key.text:
                item.outcome, item.reason = EXISTS, "It is pinned already."
            elif row.state.host_key:
                same_kind = row.state.host_key.split()[0] == key.type
                item.reason = (
                    f"{row.name} has another key pinned; test it and compare."
                    if same_kind
                    else f"{row.name} has a key of another kind pinned."
                )
            elif better and better != key.text:
                item.reason = "Another key of this host is taken."
            else:
                update_connection(actor=self.actor, connection_id=row.pk, values={"host_key": key.text})
                row.state.host_key = key.text
                pinned += 1
        if pinned:
            item.outcome, item.reason = NEW, ""
            item.notes.append(f"For {', '.join(row.name for row in rows[:5])}.")


def _canonical(host: str) -> str:
    try:
        return canonical_host(host)
    except InvalidTarget:
        return host


def _rank(key: str) -> int:
    kind = key.split()[0]
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


def _known_as(row: SshConnection) -> str:
    return row.hostname if row.port == 22 else f"[{row.hostname}]:{row.port}"


def _names(hosts: str, row: SshConnection) -> bool:
    """Return whether the host part of a known_hosts line names where the connection leads."""
    known = _known_as(row)
    if hosts.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part, validate=True) for part in hosts.split("|")[2:4])
        except ValueError:
            return False
        return hmac.compare_digest(hmac.new(salt, known.encode(), hashlib.sha1).digest(), digest)
    return known.lower() in {host.lower() for host in hosts.split(",")}
