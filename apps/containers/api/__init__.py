"""The API of containers."""
