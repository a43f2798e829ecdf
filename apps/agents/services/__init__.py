"""All that changes agents."""
