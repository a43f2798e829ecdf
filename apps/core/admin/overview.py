"""The overview: what is wrong first, then figures, then what is live."""

from django.http import HttpRequest, HttpResponse

from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.pages import render
from apps.core.admin.panels import FOOT, MAIN, SIDE, TOP, counted, drawn, steps_left


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


navigate(WATCH, 0, "Overview", icon="space_dashboard", url="admin:index", code="dashboard:view")
