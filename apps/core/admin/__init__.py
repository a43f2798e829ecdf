"""Base of the console."""
