"""Events of the app, split by thing."""

from apps.monitors.events import certificates, dependencies, domains, endpoints, heartbeats, maintenance

__all__ = ["certificates", "dependencies", "domains", "endpoints", "heartbeats", "maintenance"]
