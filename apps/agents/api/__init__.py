"""API of the agents."""
