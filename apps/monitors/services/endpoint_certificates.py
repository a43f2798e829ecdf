"""Certificates that endpoint checks meet on the way: what the endpoint keeps of them, and what ends with it.

People are told by the certificate monitor of the address, see `certificate_results`.
"""

from typing import Any
from uuid import UUID

from apps.core.events import Subject, emit
from apps.core.principals import Principal
from apps.monitors.checks import CertificateSeen
from apps.monitors.models import CertificateCheck, CertificateMonitor, Endpoint, EndpointState
from apps.monitors.services.certificate_results import DAY_S, emit_certificate, withdraw

__all__ = ["DAY_S", "facts_of", "is_news", "withdraw_certificate_alert", "withdraw_former"]

#: Marks facts whose certificate has its monitor; it is nobody's business but this module's.
HANDED_ON = "handed_on"


def facts_of(seen: CertificateSeen, address: tuple[str, int]) -> dict[str, Any] | None:
    """Return what the state keeps of a certificate; None where it could not be read and nothing is wrong.

    Args:
        address: host and port where it was seen.
    """
    certificate = seen.certificate
    if certificate is None:
        if not seen.problem:
            return None
        return {"address": list(address), "problem": seen.problem, "error": seen.message, HANDED_ON: True}
    return {
        "address": list(address),
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "sans": list(certificate.sans[:100]),
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "serial": certificate.serial,
        "fingerprint_sha256": certificate.fingerprint_sha256,
        "self_signed": certificate.self_signed,
        "problem": seen.problem,
        "error": seen.message,
        HANDED_ON: True,
    }


def is_news(kept: dict[str, Any] | None, seen: CertificateSeen) -> bool:
    """Return whether a check met another certificate, or another problem, than the state knows."""
    fingerprint = seen.certificate.fingerprint_sha256 if seen.certificate else None
    if kept is None:
        return seen.certificate is not None or bool(seen.problem)
    changed = kept.get("fingerprint_sha256") != fingerprint or kept.get("problem", "") != seen.problem
    return changed or not kept.get(HANDED_ON)


def withdraw_former(endpoint_id: UUID, kept: dict[str, Any] | None, told: str, actor: Principal) -> None:
    """Take back what was told under the endpoint's own id, before its certificate had a monitor.

    Emits: certificate.recovery.
    """
    if not told or not kept or kept.get(HANDED_ON):
        return
    host, port = kept.get("address") or ["", 0]
    message = "The certificate is watched by a monitor of its own from now on."
    emit(
        "certificate.recovery",
        subject=Subject("certificate", str(endpoint_id), f"{host}:{port}"),
        actor=actor,
        data={
            "certificate_id": str(endpoint_id),
            "endpoint_id": str(endpoint_id),
            "hostname": host,
            "port": port,
            "message": message,
        },
    )


def withdraw_certificate_alert(*, endpoint: Endpoint, actor: Principal, reason: str, is_pause: bool = False) -> None:
    """Forget the certificate of an endpoint; call it inside the transaction that makes it stale.

    Where other endpoints meet the same certificate, the next one that does goes on watching it; else its monitor goes
    too, unless this is but a pause.

    Args:
        endpoint: after the change; its id is used.
        reason: one sentence for people.

    Emits: certificate.recovery, where something was told about it; certificate.deleted.
    """
    EndpointState.objects.filter(num=endpoint.num).update(certificate=None, certificate_alert="")
    owned = CertificateMonitor.objects.with_state().filter(endpoint_id=endpoint.pk)
    for monitor in owned:
        withdraw([monitor], actor=actor, reason=reason)
        others = EndpointState.objects.filter(
            certificate__address__0=monitor.hostname, certificate__address__1=monitor.port
        )
        handed_over = others.exclude(num=endpoint.num).update(certificate=None, certificate_alert="")
        rows = CertificateMonitor.objects.filter(pk=monitor.pk)
        if handed_over:
            rows.update(endpoint=None, enabled=False)
        elif is_pause:
            rows.update(enabled=False)
        else:
            emit_certificate("certificate.deleted", monitor, actor)
            CertificateCheck.objects.filter(num=monitor.num).delete()
            monitor.delete()
