"""The overview's parts about host agents: who waits to be let in, and the step of adding a host."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from apps.agents.models import EnrolmentRequest, HostAgent
from apps.agents.states import Enrolment
from apps.core.admin.panels import TOP, FirstStep, Panel, first_steps, panels

_NAMED = 3


def _waiting(request: HttpRequest) -> dict[str, Any] | None:
    rows = EnrolmentRequest.objects.filter(status=Enrolment.PENDING).order_by("-requested_at", "-id")
    names = list(rows.values_list("name", flat=True)[: _NAMED + 1])
    if not names:
        return None
    return {
        "names": names[:_NAMED],
        "more": len(names) > _NAMED,
        "url": reverse("admin:agents_hostagent_changelist"),
    }


def _add_host(request: HttpRequest) -> FirstStep:
    return FirstStep(
        HostAgent.objects.exists(),
        "Watch another machine",
        "You get one line to run there; it sends metrics and logs, and runs commands.",
        reverse("admin:agents_hostagent_add"),
        "Add a host",
    )


panels.register(
    "waiting_hosts",
    Panel(
        TOP,
        10,
        "console/panels/waiting_hosts.html",
        _waiting,
        "agents:manage",
        "agent.pending agent.approved agent.rejected",
    ),
)
first_steps.register("host agent", (25, "agents:manage", _add_host))
