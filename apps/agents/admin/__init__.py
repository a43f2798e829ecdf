"""Console pages of the agents."""

from apps.agents.admin import hosts, overview, tokens, waiting  # noqa: F401
