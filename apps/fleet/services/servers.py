"""Add, change and remove servers."""

import re
import socket
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from apps.core.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from apps.core.events import Subject, emit
from apps.core.leases import next_value
from apps.core.models import Tag
from apps.core.principals import Principal, system
from apps.fleet.models import DirtyBucket, Server, ServerState, SshConnection

LOCAL_SLUG = "local"
#: Paths of /agents, and words that mean something else where a slug may stand.
RESERVED_SLUGS = frozenset({"pending", "enroll", "enrolment-tokens", "memories", "me", "ws"})
WRITABLE = ("name", "host", "port", "description", "metadata")
_SLUG = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")


def subject_of(server: Server) -> Subject:
    """Return the server as the subject of an event."""
    return Subject("server", str(server.id), server.name)


def facts_of(server: Server) -> dict[str, Any]:
    """Return what every fact about the server says."""
    return {"server_id": str(server.id), "slug": server.slug, "name": server.name}


def create_server(
    *,
    actor: Principal,
    name: str,
    slug: str = "",
    host: str = "",
    port: int = 22,
    description: str = "",
    metadata: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    ssh_connection_id: UUID | str | None = None,
) -> Server:
    """Add a server; its status is unknown until its first sample.

    Args:
        slug: made from the name where empty.
        ssh_connection_id: how commands reach it.

    Raises:
        Invalid: an empty name, a slug of the wrong form or a reserved one, no such SSH connection (422).
        Conflict: the slug is taken (409).
        Forbidden: an SSH connection is given, and the caller may not use any (403).

    Emits: server.created
    """
    name = name.strip()
    if not name:
        raise Invalid({"name": "must not be empty"})
    if slug:
        _check_slug(slug)
    with transaction.atomic():
        chosen = slug or _free_slug(name)
        if slug and Server.objects.filter(slug=slug).exists():
            raise Conflict(f"The slug {slug} is taken; choose another.", code="slug_taken")
        server = _insert(
            name=name,
            slug=chosen,
            host=host.strip(),
            port=port,
            description=description,
            metadata=dict(metadata or {}),
            ssh_connection_id=_usable_connection(ssh_connection_id, actor),
        )
        words = _set_tags(server, tags)
        emit(
            "server.created",
            subject=subject_of(server),
            actor=actor,
            data=facts_of(server),
            tags=words,
            server_id=server.id,
            after={**_audited(server), "tags": words},
        )
    return server


def ensure_local_server() -> Server:
    """Return the server `local`, this platform's own host; made on first use.

    Emits: server.created
    """
    known = Server.objects.filter(is_local=True).first()
    if known:
        return known
    try:
        with transaction.atomic():
            server = _insert(
                name=socket.gethostname() or "This host",
                slug=LOCAL_SLUG,
                is_local=True,
                description="The host that Watchkeeper runs on.",
            )
            emit(
                "server.created",
                subject=subject_of(server),
                actor=system("fleet"),
                data=facts_of(server),
                server_id=server.id,
                after=_audited(server),
            )
    except IntegrityError:  # another process was faster
        return Server.objects.get(is_local=True)
    return server


def update_server(
    *, actor: Principal, server: Server, changes: Mapping[str, Any], revision: int | None = None
) -> Server:
    """Change a server.

    Args:
        changes: any of name, slug, host, port, description, metadata, tags, ssh_connection_id; others are ignored.
        revision: the revision that the caller has seen; None where it does not care.

    Raises:
        Invalid: an empty name, a slug of the wrong form or a reserved one (422).
        Conflict: the slug is taken, or the server is `local` and would lose its slug (409).
        PreconditionFailed: the server was changed since (412).
        NotFound: it was removed meanwhile (404).
        Forbidden: another SSH connection is given, and the caller may not use any (403).

    Emits: server.updated, where something changed.
    """
    with transaction.atomic():
        row = Server.objects.select_for_update().filter(id=server.id).first()
        if row is None:
            raise NotFound("There is no such server any more.")
        if revision is not None and row.revision != revision:
            raise PreconditionFailed("Somebody changed this since you read it; read it again and repeat your change.")
        before = {**_audited(row), "tags": _words(row)}
        for field in WRITABLE:
            if field in changes:
                value = changes[field]
                setattr(row, field, value.strip() if field in ("name", "host") else value)
        if not row.name:
            raise Invalid({"name": "must not be empty"})
        if changes.get("slug") and changes["slug"] != row.slug:
            _check_slug(changes["slug"])
            if row.is_local:
                raise Conflict("The platform's own host keeps its slug.", code="local_server")
            if Server.objects.filter(slug=changes["slug"]).exists():
                raise Conflict(f"The slug {changes['slug']} is taken; choose another.", code="slug_taken")
            row.slug = changes["slug"]
        if "ssh_connection_id" in changes and str(changes["ssh_connection_id"] or "") != str(
            row.ssh_connection_id or ""
        ):
            row.ssh_connection_id = _usable_connection(changes["ssh_connection_id"], actor)
        if "tags" in changes:
            _set_tags(row, changes["tags"])
        after = {**_audited(row), "tags": _words(row)}
        changed = sorted(field for field in after if after[field] != before[field])
        if changed:
            row.revision += 1
            fields = ["ssh_connection" if name == "ssh_connection_id" else name for name in changed if name != "tags"]
            row.save(update_fields=[*fields, "revision", "updated_at"])
            emit(
                "server.updated",
                subject=subject_of(row),
                actor=actor,
                data=facts_of(row),
                tags=after["tags"],
                server_id=row.id,
                before={field: before[field] for field in changed},
                after={field: after[field] for field in changed},
            )
    return row


def delete_server(*, actor: Principal, server: Server) -> None:
    """Remove a server. Its samples go with the next prunings.

    Raises:
        Conflict: it is the platform's own host, which feeds itself (409).

    Emits: server.deleted
    """
    if server.is_local and settings.LOCAL_SERVER:
        raise Conflict("This host adds itself again; set LOCAL_SERVER=off to watch it no longer.", code="local_server")
    with transaction.atomic():
        before, words = _audited(server), _words(server)
        emit(
            "server.deleted",
            subject=subject_of(server),
            actor=actor,
            data=facts_of(server),
            tags=words,
            server_id=server.id,
            before={**before, "tags": words},
        )
        DirtyBucket.objects.filter(num=server.num).delete()
        Server.objects.filter(id=server.id).delete()


def note_metrics_exported(
    *, actor: Principal, server: Server, form: str, resolution: str, start: datetime, end: datetime
) -> None:
    """Put an export into the audit trail.

    Emits: metrics.exported
    """
    emit(
        "metrics.exported",
        subject=subject_of(server),
        actor=actor,
        data={
            **facts_of(server),
            "format": form,
            "resolution": resolution,
            "from": start.isoformat(),
            "to": end.isoformat(),
        },
        server_id=server.id,
    )


def _insert(**fields: Any) -> Server:
    server = Server.objects.create(num=next_value("servers"), **fields)
    ServerState.objects.create(server=server)
    return server


def _audited(server: Server) -> dict[str, Any]:
    bound = str(server.ssh_connection_id) if server.ssh_connection_id else None
    return {**{field: getattr(server, field) for field in ("slug", *WRITABLE)}, "ssh_connection_id": bound}


def _usable_connection(connection_id: UUID | str | None, actor: Principal) -> UUID | None:
    """Return the id of an SSH connection that the caller may bind a server to."""
    if not connection_id:
        return None
    if not actor.can("ssh_connections:use"):
        raise Forbidden("To bind a server to an SSH connection you need the permission ssh_connections:use.")
    found = SshConnection.objects.filter(pk=connection_id).values_list("pk", flat=True).first()
    if found is None:
        raise Invalid({"ssh_connection_id": "there is no such SSH connection"})
    return found


def _words(server: Server) -> list[str]:
    return sorted(server.tags.values_list("name", flat=True))


def _set_tags(server: Server, tags: Iterable[str]) -> list[str]:
    words = sorted({word.strip() for word in tags if word.strip()})
    server.tags.set([Tag.objects.get_or_create(name=word)[0] for word in words])
    return words


def _check_slug(slug: str) -> None:
    if not _SLUG.match(slug):
        raise Invalid({"slug": "use 1 to 64 lower-case letters, digits and hyphens"})
    if slug in RESERVED_SLUGS or slug == LOCAL_SLUG:
        raise Invalid({"slug": f"{slug} is reserved"})
    try:
        UUID(slug)
    except ValueError:
        return
    raise Invalid({"slug": "must not look like an id"})


def _free_slug(name: str) -> str:
    base = slugify(name.replace(".", "-"))[:56].strip("-_").replace("_", "-") or "server"
    taken = set(Server.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    number = 1
    while True:
        slug = base if number == 1 else f"{base}-{number}"
        try:
            _check_slug(slug)
        except Invalid:
            pass
        else:
            if slug not in taken:
                return slug
        number += 1
