"""Certificates that checks meet on the way: what is kept of them, when people are told."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from apps.core.events import Subject, emit
from apps.core.net import PeerCertificate
from apps.core.principals import Principal
from apps.monitors.checks import CertificateSeen
from apps.monitors.models import Endpoint, EndpointState

CRITICAL_DAYS = 3
DAY_S = 86_400


def facts_of(seen: CertificateSeen, address: tuple[str, int]) -> dict[str, Any] | None:
    """Return what the state keeps of a certificate; None where it could not be read and nothing is wrong.

    Args:
        address: host and port where it was seen.
    """
    certificate = seen.certificate
    if certificate is None:
        return {"address": list(address), "problem": seen.problem, "error": seen.message} if seen.problem else None
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
    }


def is_news(kept: dict[str, Any] | None, seen: CertificateSeen) -> bool:
    """Return whether a check met another certificate, or another problem, than the state knows."""
    fingerprint = seen.certificate.fingerprint_sha256 if seen.certificate else None
    if kept is None:
        return seen.certificate is not None or bool(seen.problem)
    return kept.get("fingerprint_sha256") != fingerprint or kept.get("problem", "") != seen.problem


def days_left(certificate: PeerCertificate, now: datetime) -> float:
    """Return the days until a certificate ends, negative afterwards."""
    return round((certificate.not_after - now).total_seconds() / DAY_S, 2)


def alert_key(seen: CertificateSeen, warn_days: Sequence[int], now: datetime) -> str:
    """Return what is to be told about a certificate: "", "expiring:14", "expired", "untrusted", "name_mismatch"."""
    if seen.certificate is not None and seen.certificate.not_after <= now:
        return "expired"
    if seen.problem:
        return seen.problem
    if seen.certificate is None:
        return ""
    left = days_left(seen.certificate, now)
    crossed = [day for day in warn_days if left <= day]
    return f"expiring:{min(crossed)}" if crossed else ""


def _severity(key: str) -> int:
    reason, _, days = key.partition(":")
    if not reason:
        return -1000
    return -int(days) if reason == "expiring" else 1


def judge_certificate(
    *,
    endpoint_id: UUID,
    address: tuple[str, int],
    tags: Callable[[], list[str]],
    seen: CertificateSeen,
    told: str,
    warn_days: Sequence[int],
    same_certificate: bool,
    now: datetime,
    actor: Principal,
) -> str:
    """Tell about a certificate once for every warning day it crosses, and when it is in order again.

    Args:
        tags: asked for only where something is told.
        told: what was told last, as `alert_key` returns it.
        same_certificate: whether it is still the one that was told about.

    Returns:
        What is told now; keep it for the next time.

    Emits: certificate.alert, certificate.recovery.
    """
    key = alert_key(seen, warn_days, now)
    if key == told:
        return told
    host, port = address
    subject = Subject("certificate", str(endpoint_id), f"{host}:{port}")
    if not key:
        message = f"The certificate of {host}:{port} is in order."
        data = {"endpoint_id": str(endpoint_id), "hostname": host, "port": port, "message": message}
        emit("certificate.recovery", subject=subject, actor=actor, data=data, tags=tags())
        return ""
    if _severity(key) <= _severity(told) and same_certificate:
        return key  # the warning days were changed, or one problem gave way to a lesser one: no news
    reason = key.partition(":")[0]
    left = days_left(seen.certificate, now) if seen.certificate else None
    until = seen.certificate.not_after.astimezone(UTC) if seen.certificate else None
    critical = reason != "expiring" or (left is not None and left <= CRITICAL_DAYS)
    if reason == "expiring" and left is not None and until is not None:
        message = f"The certificate of {host}:{port} ends in {_days(left)}, on {until:%Y-%m-%d %H:%M} UTC."
    elif reason == "expired" and until is not None:
        message = f"The certificate of {host}:{port} ended on {until:%Y-%m-%d %H:%M} UTC."
    else:
        message = seen.message or f"The certificate of {host}:{port} can't be trusted."
    emit(
        "certificate.alert",
        subject=subject,
        actor=actor,
        level="critical" if critical else "warning",
        tags=tags(),
        data={
            "endpoint_id": str(endpoint_id),
            "hostname": host,
            "port": port,
            "reason": reason,
            "days_left": left,
            "not_after": until.isoformat() if until else None,
            "level": "critical" if critical else "warning",
            "message": message,
        },
    )
    return key


def _days(left: float) -> str:
    whole = int(left)
    return "less than a day" if whole < 1 else "1 day" if whole == 1 else f"{whole} days"


def withdraw_certificate_alert(*, endpoint: Endpoint, actor: Principal, reason: str) -> None:
    """Forget the certificate of an endpoint; call it inside the transaction that makes it stale.

    Args:
        endpoint: after the change; its id and name are used.
        reason: one sentence for people.

    Emits: certificate.recovery, where something was told about it.
    """
    states = EndpointState.objects.filter(num=endpoint.num)
    told, facts = states.values_list("certificate_alert", "certificate").get()
    if told:
        address = (facts or {}).get("address") or [endpoint.name, 0]
        emit(
            "certificate.recovery",
            subject=Subject("certificate", str(endpoint.pk), f"{address[0]}:{address[1]}"),
            actor=actor,
            data={"endpoint_id": str(endpoint.pk), "hostname": address[0], "port": address[1], "message": reason},
        )
    if told or facts is not None:
        states.update(certificate=None, certificate_alert="")
