"""Containers in the console: on their server's page, and the lines of one."""

import re
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse

from apps.agents.link.executor import agent_of
from apps.containers import services
from apps.containers.asking import is_reached
from apps.containers.selectors import ALIVE, CUT_NOTE, TAIL, Listed, container_logs, containers_of
from apps.core.admin.access import may, require
from apps.core.admin.pages import page, render
from apps.core.admin.panels import SubjectPanel, subject_panels
from apps.core.errors import DomainError, NotFound
from apps.core.principals import Principal
from apps.core.templatetags.console import badge
from apps.fleet.models import Server

#: Action -> what does it, its label, its icon, what became of the container.
ACTIONS = {
    "start": (services.start_container, "Start", "play_arrow", "started"),
    "restart": (services.restart_container, "Restart", "restart_alt", "restarted"),
    "stop": (services.stop_container, "Stop", "stop", "stopped"),
}
TAILS = (TAIL, 500, 2000)
_TONES = {"running": "ok", "restarting": "warn", "paused": "warn", "dead": "crit"}
#: How engines tell that a container's process ended with an error: "Exited (1) 5 minutes ago".
_ENDED_WITH_ERROR = re.compile(r"Exited \((?!0\))-?\d+\)")


def _server(server_id: Any, actor: Principal) -> Server:
    server: Server | None = Server.objects.visible_to(actor).filter(pk=server_id).first()
    if server is None:
        raise Http404("There is no such server.")
    return server


@page("fleet/server/<uuid:server_id>/containers/<str:container>/", "container_logs", code="containers:view")
def logs_view(request: HttpRequest, server_id: Any, container: str) -> HttpResponse:
    """Show the last lines of a container."""
    server = _server(server_id, require(request, "containers:view"))
    given = request.GET.get("tail", "")
    tail = int(given) if given in map(str, TAILS) else TAIL
    timestamps = request.GET.get("timestamps") == "1"
    found, problem = None, ""
    try:
        found = container_logs(server=server, container=container, tail=tail, timestamps=timestamps)
    except NotFound as error:
        raise Http404(error.detail) from error
    except DomainError as error:
        problem = str(error)
    return render(
        request,
        "console/container_logs.html",
        f"Log of {found['name'] if found else container}",
        server=server,
        server_url=reverse("admin:fleet_server_detail", args=[server.pk]),
        found=found,
        state=_state_badge(found["state"]) if found else "",
        text="\n".join(found["lines"]) if found else "",
        note=CUT_NOTE if found and found["is_cut"] else "",
        problem=problem,
        tail=tail,
        tails=TAILS,
        timestamps=timestamps,
    )


@page("fleet/server/<uuid:server_id>/containers/<str:container>/<str:action>/", "container_act", code="containers:view")
def act_view(request: HttpRequest, server_id: Any, container: str, action: str) -> HttpResponse:
    """Start, stop or restart a container."""
    if action not in ACTIONS:
        raise Http404("There is no such action.")
    actor = require(request, f"containers:{action}")
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    server = _server(server_id, actor)
    act, _, _, word = ACTIONS[action]
    try:
        found = act(actor=actor, server=server, container=container)
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{found['name']} was {word}.")
    return HttpResponseRedirect(reverse("admin:fleet_server_detail", args=[server.pk]))


def _state_badge(state: str, status: str = "") -> Any:
    """Draw the state; a container whose process ended with an error is marked."""
    if state == "exited" and _ENDED_WITH_ERROR.match(status):
        return badge(state, "Exited with an error", "warn")
    return badge(state, tone=_TONES.get(state, "unknown"))


def _panel(request: HttpRequest, kind: str, row: Any) -> dict[str, Any] | None:
    listed, agent = containers_of(row), agent_of(row)
    if agent is None and row.is_local and not listed.rows:
        return None
    actor = require(request, "containers:view")
    can_act = is_reached(row) and (not row.is_local or actor.can("servers:execute_local"))
    offered = [name for name in ACTIONS if can_act and may(request, f"containers:{name}")]
    drawn = [_drawn(row, one, offered, has_logs=agent is not None) for one in listed.rows]
    return {
        "server": row,
        "listed": listed,
        "more": listed.total - len(listed.rows),
        "containers": drawn,
        "has_ports": any(one["ports"] for one in drawn),
        "has_buttons": bool(offered),
        "next_step": _next_step(listed, has_agent=agent is not None),
        "install_url": f"{reverse('admin:agents_hostagent_add')}?server={row.slug}"
        if agent is None and may(request, "agents:manage")
        else "",
    }


def _drawn(server: Server, one: dict[str, Any], offered: list[str], *, has_logs: bool) -> dict[str, Any]:
    buttons = []
    for name in offered:
        if (name == "start") is (one["state"] not in ALIVE) and one["id"]:
            _, label, icon, _ = ACTIONS[name]
            path = reverse("admin:container_act", args=[server.pk, one["id"], name])
            buttons.append({"label": label, "icon": icon, "url": path, "is_danger": name != "start"})
    return {
        **one,
        "badge": _state_badge(one["state"], one["status"]),
        "group": "/".join(filter(None, (one["project"], one["service"]))),
        "ports": [
            f"{port['public_port']}→{port['private_port']}" if "public_port" in port else str(port["private_port"])
            for port in one["ports"]
        ],
        "url": reverse("admin:container_logs", args=[server.pk, one["id"]]) if has_logs and one["id"] else "",
        "buttons": buttons,
    }


def _next_step(listed: Listed, *, has_agent: bool) -> tuple[str, str]:
    """Return title and text of the section while it is empty."""
    if not has_agent:
        return "None known", "The host agent lists the containers of this machine; install it there."
    if listed.is_available:
        return "None on this host", "Start one there: it stands here within 20 seconds."
    if listed.reason:
        return "The container engine can't be asked", listed.reason
    return (
        "No container engine",
        "Neither Docker nor Podman was found on this host. Where one runs, install the newest agent there and let the "
        "agent's user use the engine's socket.",
    )


subject_panels.register(
    "containers", SubjectPanel(("server",), "console/panels/containers.html", _panel, "containers:view")
)
