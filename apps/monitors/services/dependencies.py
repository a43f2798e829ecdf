"""What depends on what: said by people, or following from host names and addresses."""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from apps.core import bell
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.events import Subject, emit
from apps.core.net import NetError
from apps.core.principals import Principal
from apps.core.registries import child_finders, parent_finders, subjects
from apps.fleet.selectors.addresses import server_of_host
from apps.monitors.checks import check_types
from apps.monitors.models import Dependency, Endpoint, Heartbeat, Ping
from apps.monitors.models.certificates import CertificateMonitor

#: A chain that is longer is a fault of somebody's typing, not a network.
DEEPEST = 16
KEEP_COPY_S = 1.0
#: Kinds of things that can be down; others join as soon as they say what they depend on.
THINGS = frozenset({"server", "endpoint", "heartbeat", "certificate"})

Thing = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Link:
    """One step of a dependency as seen from one end: the thing at the other end.

    Args:
        dependency_id: of the row, "" where it follows from an address.
    """

    kind: str
    id: str
    dependency_id: str = ""
    note: str = ""

    @property
    def is_manual(self) -> bool:
        """Return whether people said so."""
        return bool(self.dependency_id)


# --- questions -----------------------------------------------------------------------------------------------------


def parents_of(kind: str, id: object) -> list[Link]:
    """Return what a thing depends on directly: what people said first, then what follows from its address."""
    rows = Dependency.objects.filter(child_kind=kind, child_id=str(id)).order_by("id")
    said = [Link(row.parent_kind, row.parent_id, str(row.id), row.note) for row in rows]
    known = {(one.kind, one.id) for one in said} | {(kind, str(id))}
    return said + [Link(*thing) for thing in _derived(kind, str(id)) if thing not in known]


def children_of(kind: str, id: object) -> list[Link]:
    """Return what depends on a thing directly."""
    rows = Dependency.objects.filter(parent_kind=kind, parent_id=str(id)).order_by("id")
    said = [Link(row.child_kind, row.child_id, str(row.id), row.note) for row in rows]
    known = {(one.kind, one.id) for one in said} | {(kind, str(id))}
    find = child_finders.get(kind)
    return said + [Link(*thing) for thing in (find(str(id)) if find else ()) if thing not in known]


def ancestors_of(kind: str, id: object) -> dict[Thing, int]:
    """Return all that a thing depends on, directly or not, each with its distance; a loop ends where it closes.

    What people said is read once a second at most; each derived step needs what its finder needs.
    """
    said = _said()
    start = (kind, str(id))
    found: dict[Thing, int] = {}
    level: list[Thing] = [start]
    for distance in range(1, DEEPEST + 1):
        above = [parent for thing in level for parent in (*said.get(thing, ()), *_derived(*thing))]
        level = [thing for thing in dict.fromkeys(above) if thing not in found and thing != start]
        if not level:
            break
        found |= dict.fromkeys(level, distance)
    return found


_copy: dict[Thing, list[Thing]] | None = None
_copied_at = 0.0
_listening = False


def _said() -> Mapping[Thing, list[Thing]]:
    global _copy, _copied_at, _listening
    if not _listening:
        _listening = True
        bell.listen(bell.SETTINGS, lambda *_: forget())
    copy = _copy
    if copy is None or time.monotonic() - _copied_at > KEEP_COPY_S:
        _copied_at = time.monotonic()
        found: defaultdict[Thing, list[Thing]] = defaultdict(list)
        columns = ("child_kind", "child_id", "parent_kind", "parent_id")
        for child_kind, child_id, parent_kind, parent_id in Dependency.objects.values_list(*columns):
            found[child_kind, child_id].append((parent_kind, parent_id))
        copy = _copy = dict(found)
    return copy


def forget() -> None:
    """Drop this process's copy of what people said."""
    global _copy
    _copy = None


def _announce() -> None:
    forget()

    def ring() -> None:
        forget()
        bell.ring(bell.SETTINGS)

    transaction.on_commit(ring)


def _derived(kind: str, id: str) -> Collection[Thing]:
    find = parent_finders.get(kind)
    return find(id) if find else ()


# --- what follows from addresses -----------------------------------------------------------------------------------


def host_of_target(endpoint_type: str, target: str) -> str:
    """Return the host of an endpoint's target, "" where it names none."""
    check = check_types.get(endpoint_type)
    if check is None:
        return ""
    try:
        return check.address(target)[0]
    except (NetError, ValueError, LookupError, AttributeError, TypeError):  # another type's target, a poisoned row
        return ""


def _server_things(hosts: Iterable[str]) -> list[Thing]:
    found = [server_of_host(host) for host in hosts if host]
    return list(dict.fromkeys(("server", one.id) for one in found if one is not None))


def _parents_of_endpoint(pk: str) -> list[Thing]:
    try:
        row = Endpoint.objects.filter(pk=pk).values_list("endpoint_type", "target").first()
    except (ValueError, ValidationError):
        return []
    return _server_things([host_of_target(*row)]) if row else []


def _parents_of_certificate(pk: str) -> list[Thing]:
    try:
        host = CertificateMonitor.objects.filter(pk=pk).values_list("hostname", flat=True).first()
    except (ValueError, ValidationError):
        return []
    return _server_things([host]) if host else _parents_of_endpoint(pk)  # those seen by checks bear the endpoint's id


def _parents_of_heartbeat(pk: str) -> list[Thing]:
    """The server from whose address it pinged last."""
    try:
        num = Heartbeat.objects.filter(pk=pk).values_list("num", flat=True).first()
    except (ValueError, ValidationError):
        return []
    if num is None:
        return []
    sender = Ping.objects.filter(num=num).order_by("-at", "-n").values_list("remote_addr", flat=True).first()
    return _server_things([sender]) if sender else []


def _children_of_server(pk: str) -> list[Thing]:
    found: list[Thing] = []
    hosts: dict[str, bool] = {}

    def is_here(host: str) -> bool:
        if host not in hosts:
            server = server_of_host(host) if host else None
            hosts[host] = server is not None and server.id == pk
        return hosts[host]

    for row_id, endpoint_type, target in Endpoint.objects.order_by("name").values_list("id", "endpoint_type", "target"):
        if is_here(host_of_target(endpoint_type, target)):
            found.append(("endpoint", str(row_id)))
    for row_id, host in CertificateMonitor.objects.order_by("hostname").values_list("id", "hostname"):
        if is_here(host):
            found.append(("certificate", str(row_id)))
    return found


parent_finders.register("endpoint", _parents_of_endpoint)
parent_finders.register("certificate", _parents_of_certificate)
parent_finders.register("heartbeat", _parents_of_heartbeat)
child_finders.register("server", _children_of_server)


# --- what people say -----------------------------------------------------------------------------------------------


def create_dependency(
    *, actor: Principal, child_kind: str, child_id: str, parent_kind: str, parent_id: str, note: str = ""
) -> Dependency:
    """Say that a thing can't be well while another is down.

    Raises:
        Invalid: a kind or thing that is not there, a thing on itself, a circle (422).
        Conflict: it was said before (409).

    Emits: dependency.created.
    """
    problems: dict[str, str] = {}
    child = _thing("child", child_kind, child_id, problems)
    parent = _thing("parent", parent_kind, parent_id, problems)
    if len(note) > 255:
        problems["note"] = "at most 255 characters"
    if not problems and child == parent:
        problems["parent_id"] = "a thing can't depend on itself; choose another"
    if problems:
        raise Invalid(problems)
    row = Dependency(
        child_kind=child[0], child_id=child[1], parent_kind=parent[0], parent_id=parent[1], note=note.strip(),
        created_by=actor.name[:255],
    )  # fmt: skip
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            _announce()
            # After the insert, so that of two that would close a circle together one sees the other (SQLite: always).
            if child in ancestors_of(*parent):
                raise Invalid(
                    {"parent_id": f"{name_of(*parent)} depends on {name_of(*child)} already; that would be a circle"}
                )
            _emit("dependency.created", row, actor)
    except IntegrityError as error:
        raise Conflict("This dependency stands already.", code="duplicate") from error
    finally:
        forget()  # what was read in a transaction that was taken back
    return row


def delete_dependency(*, actor: Principal, dependency_id: UUID | str) -> None:
    """Take a dependency back that people had said.

    Raises:
        NotFound: no such dependency (404).

    Emits: dependency.deleted.
    """
    with transaction.atomic():
        row = Dependency.objects.select_for_update().visible_to(actor).filter(id=dependency_id).first()
        if row is None:
            raise NotFound("There is no such dependency.")
        _emit("dependency.deleted", row, actor)
        row.delete()
        _announce()


def name_of(kind: str, id: str) -> str:
    """Return the thing's name, its id where it is gone."""
    known = subjects.get(kind)
    return (known.find(id) if known else None) or id


def _thing(end: str, kind: str, id: str, problems: dict[str, str]) -> Thing:
    known = subjects.get(kind)
    if known is None or kind not in kinds():
        problems[f"{end}_kind"] = f"“{kind}” is not a kind of thing; use one of {', '.join(kinds())}"
        return kind, id
    found = known.resolve(id) if known.resolve else (id if known.find(id) is not None else None)
    if found is None:
        problems[f"{end}_id"] = f"there is no {kind} “{id}”"
        return kind, id
    return kind, str(found)


def kinds() -> list[str]:
    """Return the kinds of things that can depend on another."""
    return [kind for kind in subjects if kind in THINGS or kind in parent_finders]


def _emit(name: str, row: Dependency, actor: Principal) -> None:
    facts = {
        "child_kind": row.child_kind, "child_id": row.child_id, "parent_kind": row.parent_kind,
        "parent_id": row.parent_id,
    }  # fmt: skip
    emit(
        name,
        subject=Subject(row.child_kind, row.child_id, name_of(row.child_kind, row.child_id)),
        actor=actor,
        data={"dependency_id": str(row.id), **facts},
        before=facts if name.endswith("deleted") else None,
        after={**facts, "note": row.note} if name.endswith("created") else None,
    )
