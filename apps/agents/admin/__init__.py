"""Console pages of the agents."""

from apps.agents.admin import hosts, tokens, waiting  # noqa: F401
