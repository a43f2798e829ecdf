"""What the link gives to others: the executor, and the pruning of what is over."""

from apps.agents.link import requests, settings  # noqa: F401
from apps.agents.link.executor import executor_by_agent, servers_with_agents
from apps.core.pulse import sweep
from apps.fleet.executors import executor_providers, provided_servers

PRUNED_AT_ONCE = 500

executor_providers.register("agent", executor_by_agent)
provided_servers.register("agent", servers_with_agents)


@sweep("agents.link", every_s=60)
def prune_requests() -> None:
    """Delete what was asked of agents and is over."""
    while requests.prune(PRUNED_AT_ONCE) == PRUNED_AT_ONCE:
        pass
