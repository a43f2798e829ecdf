"""What another process than the worker watches over."""

from apps.core.registries import Watch, watches
from apps.monitors.services import overdue

watches.register("endpoints", Watch(overdue.overdue_endpoints, overdue.mark_endpoints))
watches.register("heartbeats", Watch(overdue.overdue_heartbeats, overdue.mark_heartbeats))
watches.register("maintenance", Watch(overdue.overdue_windows))
