"""Transitions of the core's own state."""
