"""What another process than the worker watches over, and what maintenance windows are called."""

from django.core.exceptions import ValidationError

from apps.core.registries import SubjectKind, Watch, subjects, watches
from apps.monitors.models import MaintenanceWindow
from apps.monitors.services import overdue

watches.register("endpoints", Watch(overdue.overdue_endpoints, overdue.mark_endpoints))
watches.register("heartbeats", Watch(overdue.overdue_heartbeats, overdue.mark_heartbeats))
watches.register("maintenance", Watch(overdue.overdue_windows))


def _title(pk: str) -> str | None:
    try:
        title: str | None = MaintenanceWindow.objects.filter(pk=pk).values_list("title", flat=True).first()
    except (ValidationError, ValueError):
        return None
    return title


subjects.register("maintenance", SubjectKind(find=_title, url=lambda pk: f"/admin/monitors/maintenancewindow/{pk}/"))
