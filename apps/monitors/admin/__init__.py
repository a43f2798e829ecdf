"""Monitors in the console."""

from apps.monitors.admin import certificates, endpoints, heartbeats, overview

__all__ = ["certificates", "endpoints", "heartbeats", "overview"]
