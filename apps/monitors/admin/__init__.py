"""Monitors in the console."""

from apps.monitors.admin import endpoints, heartbeats, overview

__all__ = ["endpoints", "heartbeats", "overview"]
