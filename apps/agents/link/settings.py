"""What agents are told to do."""

from typing import Any

from apps.core.runtime_settings import declare, get
from apps.fleet import retention


def _check_patterns(value: Any) -> None:
    for one in value:
        if not str(one).startswith("/"):
            raise ValueError(f"{one}: give the whole path, such as /var/log/nginx/*.log")


declare(
    "agents", "follow_journal", "bool", True, "Host agents send the lines of systemd's journal, where they may read it."
)
declare("agents", "follow_docker", "bool", True, "Host agents send what containers write, where they may read it.")
declare(
    "agents",
    "follow_files",
    "list",
    [],
    "Log files that host agents follow, as whole paths; * stands for any name. A host's own agent.json comes first.",
    check=_check_patterns,
)


def orders() -> dict[str, Any]:
    """Return what an agent is told: the interval of samples in seconds, and the logs to follow."""
    return {
        "interval": int(retention.interval_s()),
        "logs": {
            "journal": get("agents.follow_journal"),
            "docker": get("agents.follow_docker"),
            "files": list(get("agents.follow_files")),
        },
    }
