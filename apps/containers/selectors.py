"""Containers of a server, from its newest sample; and what one of them wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apps.containers.asking import agent_to_ask, ask, container_of
from apps.fleet.masking import mask_text
from apps.fleet.models import Server
from apps.fleet.selectors import latest_snapshot

TAIL, TAIL_MOST = 100, 5000
#: States in which a container has processes.
ALIVE = frozenset({"running", "paused", "restarting"})
CUT_NOTE = "Older lines, or the ends of long ones, were left out: one answer holds 512 KiB, and 16 KiB of a line."
_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"


@dataclass(frozen=True, slots=True)
class Listed:
    """What a server said of its containers.

    Args:
        is_available: it has an engine that answers.
        reason: why not, where the server told; "" where it has none.
        total: how many there are; more than `rows` where a sample does not hold them all.
        at: when it was said, ISO 8601; None before the first sample.
    """

    is_available: bool
    reason: str
    total: int
    rows: list[dict[str, Any]]
    at: str | None


def containers_of(server: Server) -> Listed:
    """Return the containers that the server's newest sample names.

    Source: contract row GET /docker/{server_id}/containers.
    """
    snapshot = latest_snapshot(server) or {}
    block = snapshot.get("docker") or {}
    given = block.get("containers")
    # Anybody who may push samples writes this block, in a form of their own.
    rows = [_shown(one) for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    total = block.get("total")
    return Listed(
        is_available=block.get("available") is not False and isinstance(given, list),
        reason=_text(block.get("reason")),
        total=max(total, len(rows)) if isinstance(total, int) else len(rows),
        rows=rows,
        at=snapshot.get("timestamp"),
    )


def container_logs(
    *, server: Server, container: str, tail: int = TAIL, since: datetime | None = None, timestamps: bool = False
) -> dict[str, Any]:
    """Return the last lines that a container wrote, asked of its engine, what looks like a secret masked as in every
    log. Not to be called in a transaction.

    Returns:
        id, name, image and state of the container; `lines`; `is_cut` where older or longer ones were left out.

    Raises:
        As `asking.agent_to_ask` and `asking.ask`.

    Source: contract row GET /docker/{server_id}/containers/{container_id}/logs.
    """
    values = {"tail": tail, "since": since.timestamp() if since else None, "timestamps": timestamps}
    answer = ask(agent_to_ask(server, container), container, "logs", values)
    lines = answer.get("lines")
    return {
        **container_of(answer, container),
        "lines": [mask_text(str(line)) for line in lines] if isinstance(lines, list) else [],
        "is_cut": answer.get("is_cut") is True,
    }


def _shown(one: Mapping[str, Any]) -> dict[str, Any]:
    labels = one.get("labels")
    labels = labels if isinstance(labels, dict) else {}
    return {
        **{name: _text(one.get(name)) for name in ("id", "name", "image", "state", "status")},
        "created": _time(one.get("created")),
        "ports": _ports(one.get("ports")),
        "project": _text(labels.get(_PROJECT)),
        "service": _text(labels.get(_SERVICE)),
    }


def _text(value: Any) -> str:
    return value[:600] if isinstance(value, str) else ""


def _time(value: Any) -> str | None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1e11:
        return None
    return datetime.fromtimestamp(value, UTC).isoformat().replace("+00:00", "Z")


def _ports(found: Any) -> list[dict[str, Any]]:
    shown = []
    for one in found if isinstance(found, list) else []:
        if isinstance(one, dict) and isinstance(one.get("private_port"), int):
            public = one.get("public_port")
            more = {"public_port": public} if isinstance(public, int) else {}
            shown.append({"private_port": one["private_port"], **more, "type": _text(one.get("type"))})
    return shown
