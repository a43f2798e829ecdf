"""What other systems post, read into one form. One module a system, found by the kind of its source."""

from apps.alerts.inbound import alertmanager, generic, grafana, healthchecks, uptime_kuma  # noqa: F401
from apps.alerts.inbound.base import Batch, Incoming, Kind, Problem, kinds, read_json

__all__ = ["Batch", "Incoming", "Kind", "Problem", "kinds", "read_json"]
