"""Names of things of several kinds, for lists."""

from collections import defaultdict
from collections.abc import Iterable

from django.core.exceptions import ValidationError

from apps.core.errors import Conflict
from apps.core.registries import subjects
from apps.fleet.models import Server
from apps.monitors.models import Endpoint, Heartbeat
from apps.monitors.models.certificates import CertificateMonitor

_MODELS = {"server": (Server, "name"), "endpoint": (Endpoint, "name"), "heartbeat": (Heartbeat, "name"),
           "certificate": (CertificateMonitor, "hostname")}  # fmt: skip


def find_thing(kind: str, text: str) -> str | None:
    """Return the id of the thing that people mean by an id, a server's slug or a name.

    Raises:
        Conflict: several things bear the name (409).
    """
    known = subjects.get(kind)
    if known is None:
        return None
    found = known.resolve(text) if known.resolve else None
    if found is None and known.find(text) is not None:
        found = text
    if found is not None or kind not in _MODELS:
        return str(found) if found is not None else None
    model, field = _MODELS[kind]
    matches = model._default_manager.filter(**{f"{field}__iexact": text}).values_list("pk", flat=True)
    ids = [str(pk) for pk in matches[:2]]
    if len(ids) > 1:
        raise Conflict(f"Several things are called “{text}”; give the id from its page's address.", code="ambiguous")
    return ids[0] if ids else None


def names_of(things: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the names of things, their ids where they are gone; one query a kind of ours."""
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for kind, id in things:
        ids[kind].add(id)
    found: dict[tuple[str, str], str] = {}
    for kind, wanted in ids.items():
        known = _MODELS.get(kind)
        if known is not None:
            model, field = known
            try:
                rows = dict(model._default_manager.filter(pk__in=wanted).values_list("pk", field))
            except (ValueError, ValidationError):  # an id that is none, written behind the API's back
                rows = {}
            found |= {(kind, str(pk)): name for pk, name in rows.items()}
        elif kind in subjects:
            found |= {(kind, id): subjects[kind].find(id) or id for id in wanted}
        for id in wanted:
            found.setdefault((kind, id), id)
    return found
