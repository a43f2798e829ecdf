"""Maintenance windows in the API."""
