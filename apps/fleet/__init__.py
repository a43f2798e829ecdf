"""Servers, their samples and roll-ups, and processes."""
