"""Start, stop and restart containers."""

from typing import Any

from django.db import transaction

from apps.containers.asking import ANSWER_S, Unconfirmed, agent_to_ask, ask, container_of
from apps.core.errors import DomainError, Forbidden, Invalid
from apps.core.events import emit
from apps.core.ids import new_id
from apps.core.principals import Principal
from apps.fleet.models import Server
from apps.fleet.own_container import own_containers
from apps.fleet.services.change_limits import Draw, draw_slots, give_back, refuse
from apps.fleet.services.servers import facts_of, subject_of

STOP_S, STOP_MOST_S = 10, 60
HOLDER = "container"
#: A slot that nobody gives back, since the process died, is free after so much more than the answer may take.
SLOT_GRACE_S = 30
_EVENTS = {"start": "container.started", "stop": "container.stopped", "restart": "container.restarted"}


def start_container(*, actor: Principal, server: Server, container: str) -> dict[str, Any]:
    """Start a container, through the server's host agent. Not to be called in a transaction.

    Args:
        container: its id, the beginning of that, or its name.

    Returns:
        id, name, image and state of it afterwards.

    Raises:
        Invalid: this names no container (422). NotFound: there is none of that name (404).
        Conflict: it runs already, the engine refused, or as many servers are under change as may be (409).
        Forbidden: it is the platform's own host, and the caller may not (403).
        Unavailable: the agent or the engine is away, or no answer came (503).

    Emits: container.action_asked, then container.started; container.unconfirmed where no answer came

    Source: contract row POST /docker/{server_id}/containers/{container_id}/start.
    """
    return _act(actor, server, container, "start")


def stop_container(*, actor: Principal, server: Server, container: str, timeout_s: int = STOP_S) -> dict[str, Any]:
    """Stop a container; as `start_container`.

    Args:
        timeout_s: after so long it is killed, 0 to 60.

    Raises:
        Conflict: also where it does not run, or Watchkeeper or the host agent runs in it (409).

    Emits: container.action_asked, then container.stopped; container.unconfirmed where no answer came

    Source: contract row POST /docker/{server_id}/containers/{container_id}/stop.
    """
    return _act(actor, server, container, "stop", timeout_s)


def restart_container(*, actor: Principal, server: Server, container: str, timeout_s: int = STOP_S) -> dict[str, Any]:
    """Stop a container and start it again, or start one that does not run; as `stop_container`.

    Emits: container.action_asked, then container.restarted; container.unconfirmed where no answer came

    Source: contract row POST /docker/{server_id}/containers/{container_id}/restart.
    """
    return _act(actor, server, container, "restart", timeout_s)


def _act(actor: Principal, server: Server, container: str, action: str, timeout_s: int | None = None) -> dict[str, Any]:
    if timeout_s is not None and not 0 <= timeout_s <= STOP_MOST_S:
        raise Invalid({"timeout": f"must lie between 0 and {STOP_MOST_S} seconds"})
    if server.is_local and not actor.can("servers:execute_local"):
        raise Forbidden("Containers of the platform's own host need the permission servers:execute_local.")
    agent = agent_to_ask(server, container)
    key, wait_s = new_id(), timeout_s or 0
    name = f"{action} of a container by {actor.name}"
    with transaction.atomic():
        _, refusal = draw_slots([Draw(server.pk, HOLDER, key, name, ANSWER_S + wait_s + SLOT_GRACE_S)])
        if refusal:
            raise refuse(refusal)
        # Before it is done: should this process die meanwhile, who asked for what is known nevertheless.
        _tell("container.action_asked", server, actor, {"container": container, "action": action})
    values: dict[str, Any] = {} if timeout_s is None else {"timeout_s": timeout_s}
    if action != "start" and (ours := own_containers()):
        values["own"] = sorted(ours)  # they are to go on: the agent can't know them
    try:
        answer = ask(agent, container, action, values, wait_s=wait_s)
    except DomainError as error:
        with transaction.atomic():
            give_back(HOLDER, [key])
            if isinstance(error, Unconfirmed):
                told = {"container": container, "action": action, "error": error.detail}
                _tell("container.unconfirmed", server, actor, told, level="warning")
        raise
    found = container_of(answer, container)
    with transaction.atomic():
        give_back(HOLDER, [key])
        told = {"container_id": found["id"], "container": found["name"], "image": found["image"]}
        _tell(_EVENTS[action], server, actor, told)
    return found


def _tell(event: str, server: Server, actor: Principal, told: dict[str, str], *, level: str = "info") -> None:
    data = {**facts_of(server), **told, "by": actor.name}
    emit(event, subject=subject_of(server), actor=actor, level=level, data=data, server_id=server.pk)
