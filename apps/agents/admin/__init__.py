"""Console pages of the agents."""
