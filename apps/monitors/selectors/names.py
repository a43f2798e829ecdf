"""Names of things of several kinds, for lists."""

from collections import defaultdict
from collections.abc import Iterable

from django.core.exceptions import ValidationError

from apps.core.registries import subjects
from apps.fleet.models import Server
from apps.monitors.models import Endpoint, Heartbeat
from apps.monitors.models.certificates import CertificateMonitor

_MODELS = {"server": (Server, "name"), "endpoint": (Endpoint, "name"), "heartbeat": (Heartbeat, "name"),
           "certificate": (CertificateMonitor, "hostname")}  # fmt: skip


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
                rows = dict(model.objects.filter(pk__in=wanted).values_list("pk", field))
            except (ValueError, ValidationError):  # an id that is none, written behind the API's back
                rows = {}
            found |= {(kind, str(pk)): name for pk, name in rows.items()}
        elif kind in subjects:
            found |= {(kind, id): subjects[kind].find(id) or id for id in wanted}
        for id in wanted:
            found.setdefault((kind, id), id)
    return found
