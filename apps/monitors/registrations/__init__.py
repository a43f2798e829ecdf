"""What this app tells the core's registries about itself."""

from apps.monitors.registrations import certificates, endpoints, heartbeats, mail, watches

__all__ = ["certificates", "endpoints", "heartbeats", "mail", "watches"]
