"""The sweep that looks at certificates."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from django.utils import timezone

from apps.core import bell, leases
from apps.core.pulse import sweep
from apps.core.runner import runner
from apps.monitors.connectivity import CUT_OFF, guard
from apps.monitors.models import CertificateMonitor, CertificateMonitorState
from apps.monitors.services.certificate_examination import TIMEOUT_S, CertificateConfig, Finding, config_of, examine
from apps.monitors.services.certificate_results import CertificateRun, record_findings, release_claims

log = logging.getLogger(__name__)

LANE = "certificates"
IN_FLIGHT = 50
INTERVAL_S = 60.0  # in which nothing else may have answered before a silence is ours
LEASE_S = TIMEOUT_S + 20  # beyond the time-out: writing the result


@sweep("monitors.certificates", every_s=2, on_ring=bell.WORK, shared=True)
def sweep_certificates() -> int:
    """Claim the certificates that are due, as many as the runner takes, and hand them over.

    Returns:
        How many were claimed.
    """
    free = runner().free(LANE, IN_FLIGHT)
    if not free:
        return 0
    due = CertificateMonitorState.objects.filter(next_check_at__lte=timezone.now()).order_by("next_check_at")
    due = due.only("certificate_id", "num")
    if not due.exists():  # so that an idle installation writes nothing
        return 0
    claimed = leases.claim(due, limit=free, owner=leases.owner(), seconds=LEASE_S)
    rows = CertificateMonitor.objects.select_related("endpoint").filter(pk__in=[one.certificate_id for one in claimed])
    for monitor in rows:
        runner().submit(LANE, _check(config_of(monitor)))
    return len(claimed)


def _check(config: CertificateConfig) -> Callable[[], Coroutine[Any, Any, None]]:
    async def check() -> None:
        at = timezone.now()
        try:
            finding = await examine(config)
        except asyncio.CancelledError:  # the worker stops
            runner().store(release_claims, config.num)
            raise
        except Exception as error:  # one row that can't be checked must not stop the others' checks
            log.exception("the check of certificate %s failed by itself", config.num)
            finding = Finding(error=f"The check itself failed: {type(error).__name__}.", is_ours=True)
        if not finding.is_ours:
            answered = finding.certificate is not None
            if await guard().is_ours(config.hostname, has_answered=answered, interval_s=INTERVAL_S):
                finding = Finding(error=CUT_OFF, is_ours=True)
        runner().store(record_findings, CertificateRun(config, at, finding))

    return check
