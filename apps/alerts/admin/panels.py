"""What other pages of the console show of the alerts, and their place in the navigation."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from apps.alerts import selectors
from apps.alerts.admin.alerts import EVENTS, AlertAdmin
from apps.alerts.models import Alert
from apps.alerts.states import ACTIVE
from apps.core.admin.access import may, require
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.panels import TOP, Panel, SubjectPanel, panels, subject_panels

SHOWN_ON_OVERVIEW = 12


def _open_panel(request: HttpRequest) -> dict[str, Any]:
    principal = require(request, "alerts:view")
    rows = selectors.open_alerts(principal)
    rank = {"critical": 0, "warning": 1, "info": 2}
    shown = sorted(rows[:200], key=lambda row: (row.status != ACTIVE or bool(row.muted_by), rank[row.level]))
    do = "admin:alerts_alert_do"
    listed = [
        {
            "alert": row,
            "url": reverse("admin:alerts_alert_detail", args=[row.pk]),
            "acknowledge_url": reverse(do, args=[row.pk, "acknowledge"])
            if row.status == ACTIVE and may(request, "alerts:acknowledge")
            else "",
        }
        for row in shown[:SHOWN_ON_OVERVIEW]
    ]
    worst = "crit" if any(row.level == "critical" for row in shown) else "warn"
    return {
        "alerts": listed,
        "total": len(shown),
        "more": max(0, len(shown) - len(listed)),
        "worst": worst,
        "acknowledge": AlertAdmin.transitions[0],
    }


def _subject_panel(request: HttpRequest, kind: str, row: Any) -> dict[str, Any] | None:
    visible = Alert.objects.visible_to(require(request, "alerts:view"))
    if kind == "server":
        found = visible.filter(server_id=row.pk)
    else:
        ids = [str(row.pk)]
        if kind == "endpoint":  # the certificates that its checks see
            ids += [str(pk) for pk in row.certificates.values_list("pk", flat=True)]
        found = visible.filter(subject_kind__in=(kind, "certificate"), subject_id__in=ids)
    alerts = list(found[:8])
    return {"alerts": alerts, "subject": str(row.pk)} if alerts else None


def _badge(request: HttpRequest) -> str:
    principal = require(request, "alerts:view")
    count = selectors.open_alerts(principal).order_by()[:100].count()
    return ("99+" if count > 99 else str(count)) if count else ""


panels.register("alerts", Panel(TOP, 0, "console/panels/alerts.html", _open_panel, "alerts:view", EVENTS))
subject_panels.register(
    "alerts",
    SubjectPanel(
        ("server", "endpoint", "heartbeat"), "console/panels/subject_alerts.html", _subject_panel, "alerts:view"
    ),
)
navigate(
    RESPOND,
    0,
    "Alerts",
    icon="notifications_active",
    url="admin:alerts_alert_changelist",
    code="alerts:view",
    badge=_badge,
)
navigate(RESPOND, 10, "Thresholds", icon="speed", url="admin:alerts_threshold_changelist", code="thresholds:view")
