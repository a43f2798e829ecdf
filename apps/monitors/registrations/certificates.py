"""Certificates in the core's registries: what they are called, how long checks are kept, figures, health."""

import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Count
from django.utils import timezone

from apps.core import runtime_settings
from apps.core.registries import (
    Health,
    Keep,
    SubjectKind,
    Watch,
    health_parts,
    keeps,
    metric_collectors,
    subjects,
    watches,
)
from apps.monitors.models import CertificateCheck, CertificateMonitor, CertificateMonitorState
from apps.monitors.services.certificate_overdue import mark_certificates, overdue_certificates
from apps.monitors.states.certificates import STATUSES

DAY_S = 86_400
LATE_S = 120


# --- keeping -----------------------------------------------------------------------------------------------------
def _prune(setting: str, limit: int) -> int:
    before = int((time.time() - runtime_settings.get(setting)) * 1000)
    old = CertificateCheck.objects.filter(at__lt=before)
    times = list(old.order_by("at").values_list("at", flat=True)[:limit])
    if times:
        old.filter(at__lte=times[-1]).delete()
    return len(times)


_setting = runtime_settings.declare(
    "retention", "certificate_checks", "duration", 400 * DAY_S, "How long checks of certificates are kept.",
    least=DAY_S, most=3650 * DAY_S,
)  # fmt: skip
keeps.register(
    "certificate_checks",
    Keep(CertificateCheck._meta.db_table, _setting.name, partial(_prune, _setting.name), telemetry=True),
)


# --- subjects ----------------------------------------------------------------------------------------------------
def _name(pk: str) -> str | None:
    try:
        monitor = CertificateMonitor.objects.filter(pk=UUID(pk)).first()
    except ValueError:
        return None
    return monitor.address if monitor else None


subjects.register("certificate", SubjectKind(find=_name, url=lambda pk: f"/admin/monitors/certificatemonitor/{pk}/"))


watches.register("certificates", Watch(overdue_certificates, mark_certificates))


# --- health ------------------------------------------------------------------------------------------------------
def _health() -> Health:
    late = CertificateMonitorState.objects.filter(next_check_at__lt=timezone.now() - timedelta(seconds=LATE_S)).count()
    if late:
        return Health("degraded", f"{late} certificates were due more than {LATE_S} s ago and were not looked at.")
    return Health("ok", "Every certificate is looked at in time.")


health_parts.register("certificates", _health)


# --- figures -----------------------------------------------------------------------------------------------------
def _metrics(per_object: bool) -> Iterator[Any]:
    counted = dict(CertificateMonitorState.objects.values_list("status").annotate(count=Count("num")).order_by())
    yield (
        "watchkeeper_certificates",
        "gauge",
        "Certificate monitors by status.",
        [({"status": status}, counted.get(status, 0)) for status in STATUSES],
    )
    if not per_object:
        return
    rows = CertificateMonitor.objects.filter(state__not_after__isnull=False).order_by("num")
    yield (
        "watchkeeper_certificate_not_after_timestamp_seconds",
        "gauge",
        "When the certificate at an address ends.",
        [
            (
                {"certificate_id": str(pk), "hostname": host, "port": str(port), "server_name": name or host},
                ends.timestamp() if ends else 0.0,
            )
            for pk, host, port, name, ends in rows.values_list(
                "pk", "hostname", "port", "server_name", "state__not_after"
            )
        ],
    )


metric_collectors.register("certificates", _metrics)
