"""How other apps name agents, tokens and waiting hosts."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from apps.agents.models import EnrolmentRequest, EnrolmentToken, HostAgent
from apps.agents.selectors import status_counts
from apps.core.registries import SubjectKind, metric_collectors, subjects


def _by_id(model: Any, path: str) -> SubjectKind:
    def find(identifier: str) -> str | None:
        try:
            row = model._default_manager.filter(pk=UUID(identifier)).first()
        except ValueError:
            return None
        return str(row) if row else None

    return SubjectKind(find=find, url=lambda identifier: f"/admin/agents/{path}/{identifier}/")


def collect_metrics(per_object: bool) -> Iterator[Any]:
    """Yield host agents by status, and how many hosts wait to be let in."""
    counts, waiting = status_counts()
    name, text = "watchkeeper_host_agents", "Host agents by status."
    yield name, "gauge", text, [({"status": status}, float(count)) for status, count in sorted(counts.items())]
    yield "watchkeeper_hosts_waiting", "gauge", "Hosts that wait to be let in.", [({}, float(waiting))]


metric_collectors.register("agents", collect_metrics)
subjects.register("agent", _by_id(HostAgent, "hostagent"))
subjects.register("enrolment_request", _by_id(EnrolmentRequest, "enrolmentrequest"))
subjects.register("enrolment_token", _by_id(EnrolmentToken, "enrolmenttoken"))
