"""How other apps name agents, tokens and waiting hosts."""

from typing import Any
from uuid import UUID

from apps.agents.models import EnrolmentRequest, EnrolmentToken, HostAgent
from apps.core.registries import SubjectKind, subjects


def _by_id(model: Any, path: str) -> SubjectKind:
    def find(identifier: str) -> str | None:
        try:
            row = model._default_manager.filter(pk=UUID(identifier)).first()
        except ValueError:
            return None
        return str(row) if row else None

    return SubjectKind(find=find, url=lambda identifier: f"/admin/agents/{path}/{identifier}/")


subjects.register("agent", _by_id(HostAgent, "hostagent"))
subjects.register("enrolment_request", _by_id(EnrolmentRequest, "enrolmentrequest"))
subjects.register("enrolment_token", _by_id(EnrolmentToken, "enrolmenttoken"))
