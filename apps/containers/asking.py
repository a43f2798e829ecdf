"""Asks a server's container engine for something, through the server's host agent."""

import re
from collections.abc import Mapping
from typing import Any

from apps.agents.link import requests
from apps.agents.link.executor import NoAnswer, agent_of, ask_agent
from apps.agents.models import HostAgent
from apps.core.errors import Conflict, DomainError, Invalid, NotFound, Unavailable
from apps.fleet.models import Server

#: How long the answer may take, apart from the time that a container is given to stop.
ANSWER_S = 10.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,254}")


class Unconfirmed(Unavailable):
    """503: it was asked for, and whether it was done is not known."""

    code = "unconfirmed"


def is_reached(server: Server) -> bool:
    """Return whether the server's agent is connected now."""
    agent = agent_of(server)
    return agent is not None and requests.is_there(agent.pk)


def agent_to_ask(server: Server, container: str) -> HostAgent:
    """Return the connected agent by which a container is reached.

    Args:
        container: its id, the beginning of that, or its name.

    Raises:
        Invalid: this names no container (422). Unavailable: the server has no agent, or it is away (503).
    """
    if not _NAME.fullmatch(container):
        raise Invalid({"container_id": "give the id or the name of a container"}, where="path")
    agent = agent_of(server)
    if agent is None:
        raise Unavailable(
            f"Containers are reached by a host agent, and {server.name} has none: install one there.", code="no_agent"
        )
    if not requests.is_there(agent.pk):
        raise Unavailable(
            f"The agent of {server.name} is not connected now; see whether it runs over there.", code="agent_offline"
        )
    return agent


def ask(
    agent: HostAgent, container: str, action: str, values: Mapping[str, Any], *, wait_s: float = 0.0
) -> dict[str, Any]:
    """Ask for an action of a container, and return what the agent answered. Not to be called in a transaction.

    Args:
        agent: from `agent_to_ask`, as is the container.
        action: "start", "stop", "restart" or "logs".
        values: of the action.
        wait_s: how much longer than usual the answer may take.

    Raises:
        NotFound: there is none of that name (404).
        Conflict: its state forbids it, or the engine refused, whose words are given (409).
        Unavailable: the agent or the engine is away (503). Unconfirmed: no answer came (503).
    """
    body = {**values, "action": action, "container": container}
    try:
        standing = ask_agent(agent, requests.CONTAINER, body, answer_s=ANSWER_S + wait_s)
    except NoAnswer as error:
        if error.was_sent:
            raise _unconfirmed(f"{error}") from error
        raise Unavailable(f"{error} Nothing was done; try again.", code="agent_silent") from error
    found = standing.result
    if found.get("ok") is True:
        return found
    raise _refusal(str(found.get("code") or ""), str(found.get("message") or "The agent refused it.")[:600])


def _unconfirmed(sentence: str) -> Unconfirmed:
    return Unconfirmed(
        f"{sentence} Whether it was done is not known: look at the container. An agent that was installed long ago "
        "may not know containers yet; run the install script there again."
    )


def _refusal(code: str, sentence: str) -> DomainError:
    if code == "engine_silent":
        return Unconfirmed(f"{sentence} Whether it was done is not known: look at the container.")
    if code in ("absent", "no_engine", "forbidden", "busy"):
        return Unavailable(sentence, code="engine_unavailable")
    if code == "bad_name":
        return Invalid({"container_id": sentence}, where="path")
    if code == "gone":
        return NotFound(sentence, code="container_gone")
    if code == "own_container":
        return Conflict(sentence, code=code)
    if code in ("running", "not_running"):
        return Conflict(sentence, code=f"container_{code}")
    return Conflict(sentence, code="engine_refused")


def container_of(answer: Mapping[str, Any], asked: str) -> dict[str, str]:
    """Return id, name, image and state of the container that an answer is about; what is not known is ""."""
    found = answer.get("container")
    told = found if isinstance(found, dict) else {"name": asked}
    return {name: str(told.get(name) or "")[:255] for name in ("id", "name", "image", "state")}
