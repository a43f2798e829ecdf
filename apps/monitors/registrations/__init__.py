"""What this app tells the core's registries about itself."""

from apps.monitors.registrations import endpoints, heartbeats

__all__ = ["endpoints", "heartbeats"]
