"""The overview: what is wrong first, then figures, then what is live."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.pages import render
from apps.core.admin.panels import FOOT, MAIN, SIDE, TOP, Panel, counted, drawn, panels, steps_left
from apps.core.models import Condition


def overview(request: HttpRequest) -> HttpResponse:
    """Show the overview."""
    steps = steps_left(request)
    return render(
        request,
        "console/overview.html",
        "Overview",
        top=drawn(request, TOP),
        tiles=counted(request),
        steps=steps,
        steps_are_new=not any(step.done for step in steps),
        next_step=next((step for step in steps if not step.done), None),
        main=drawn(request, MAIN),
        side=drawn(request, SIDE),
        foot=drawn(request, FOOT),
    )


def _conditions(request: HttpRequest) -> dict[str, Any] | None:
    """Return what is wrong with the platform itself; it is shown even while nobody is left to tell it."""
    rows = list(Condition.objects.filter(ended_at__isnull=True).order_by("since"))
    return {"conditions": rows} if rows else None


panels.register(
    "conditions", Panel(TOP, -10, "console/panels/conditions.html", _conditions, "dashboard:view", "system.alert")
)
navigate(WATCH, 0, "Overview", icon="space_dashboard", url="admin:index", code="dashboard:view")
