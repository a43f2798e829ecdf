"""What was found of certificates: kept, and told where it changes something. Endpoint checks and sweeps end here."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core import disk, leases
from apps.core.events import Subject, emit
from apps.core.net import PeerCertificate
from apps.core.net.revocation import REVOKED, Revocation
from apps.core.principals import Principal, system
from apps.monitors.checks import CertificateSeen
from apps.monitors.models import CertificateCheck, CertificateMonitor, CertificateMonitorState
from apps.monitors.services.certificate_examination import CertificateConfig, Finding
from apps.monitors.services.timing import next_on_grid
from apps.monitors.states import certificates as states

log = logging.getLogger(__name__)

CRITICAL_DAYS = 3
DAY_S = 86_400
RETRY_S = 300  # where nothing could be found, it is looked at again sooner than its interval says


@dataclass(frozen=True, slots=True)
class CertificateRun:
    """A check that has been made. `at` is when it began."""

    config: CertificateConfig
    at: datetime
    finding: Finding


# --- what is to be told ------------------------------------------------------------------------------------------


def days_left(certificate: PeerCertificate, now: datetime) -> float:
    """Return the days until a certificate ends, negative afterwards."""
    return round((certificate.not_after - now).total_seconds() / DAY_S, 2)


def alert_key(seen: Finding | CertificateSeen, warn_days: Sequence[int], now: datetime) -> str:
    """Return what is to be told: "", "expiring:14", "expired", "untrusted", "name_mismatch", "revoked"."""
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
    return -int(days) if reason == "expiring" else 2 if reason == "revoked" else 1


def _status(finding: Finding, key: str) -> str:
    if finding.certificate is None:
        return states.UNKNOWN if finding.is_ours else states.ERROR
    reason = key.partition(":")[0]
    if not reason:
        return states.VALID
    return {"expiring": states.EXPIRING, "expired": states.EXPIRED}.get(reason, states.ERROR)


def _named(monitor: CertificateMonitor) -> dict[str, Any]:
    return {
        "certificate_id": str(monitor.pk),
        "endpoint_id": str(monitor.endpoint_id) if monitor.endpoint_id else None,
        "hostname": monitor.hostname,
        "port": monitor.port,
    }


def subject_of(monitor: CertificateMonitor) -> Subject:
    """Return the certificate as the subject of an event."""
    return Subject("certificate", str(monitor.pk), monitor.address)


def emit_certificate(name: str, monitor: CertificateMonitor, actor: Principal, **more: Any) -> None:
    """Emit an event about a certificate monitor; `data` is added to its names."""
    data = {**_named(monitor), **more.pop("data", {})}
    emit(name, subject=subject_of(monitor), actor=actor, data=data, tags=monitor.tag_names(), **more)


def _days(left: float) -> str:
    whole = int(left)
    return "less than a day" if whole < 1 else "1 day" if whole == 1 else f"{whole} days"


def _tell(
    monitor: CertificateMonitor, state: CertificateMonitorState, finding: Finding, key: str, same: bool, now: datetime,
    actor: Principal,
) -> str:  # fmt: skip
    """Tell once for every warning day crossed, and when it is in order again; return what is told now."""
    told, certificate = state.told, finding.certificate
    if key == told:
        return told
    where = monitor.address
    if not key:
        emit_certificate(
            "certificate.recovery", monitor, actor, data={"message": f"The certificate of {where} is in order."}
        )
        return ""
    if _severity(key) <= _severity(told) and same:
        return key  # the warning days were changed, or one problem gave way to a lesser one: no news
    reason = key.partition(":")[0]
    left = days_left(certificate, now) if certificate else None
    until = certificate.not_after.astimezone(UTC) if certificate else None
    critical = reason != "expiring" or (left is not None and left <= CRITICAL_DAYS)
    if reason == "expiring" and left is not None and until is not None:
        message = f"The certificate of {where} ends in {_days(left)}, on {until:%Y-%m-%d %H:%M} UTC."
    elif reason == "expired" and until is not None and until <= now:
        message = f"The certificate of {where} ended on {until:%Y-%m-%d %H:%M} UTC."
    else:
        message = finding.message or f"The certificate of {where} can't be trusted."
    level = "critical" if critical else "warning"
    emit_certificate(
        "certificate.alert",
        monitor,
        actor,
        level=level,
        data={
            "reason": reason,
            "days_left": left,
            "not_after": until.isoformat() if until else None,
            "level": level,
            "message": message,
        },
    )
    return key


def _tell_renewal(
    monitor: CertificateMonitor, state: CertificateMonitorState, certificate: PeerCertificate, actor: Principal
) -> None:
    """Tell where a certificate that starts later than any seen here has taken the place of another."""
    known, old = state.newest_from, state.fingerprint
    if known is not None and certificate.not_before <= known:
        return
    state.newest_from = certificate.not_before
    if known is None or not old or old == certificate.fingerprint_sha256:
        return
    until = certificate.not_after.astimezone(UTC)
    emit_certificate(
        "certificate.renewed",
        monitor,
        actor,
        data={
            "old_fingerprint": old,
            "new_fingerprint": certificate.fingerprint_sha256,
            "not_after": until.isoformat(),
            "message": f"{monitor.address} has a new certificate; it ends on {until:%Y-%m-%d %H:%M} UTC.",
        },
    )


# --- what is kept ------------------------------------------------------------------------------------------------


def _facts(finding: Finding, before: dict[str, Any], at: datetime) -> dict[str, Any]:
    """Return what the state keeps. What this check did not look at stays as the last one of it found it."""
    certificate = finding.certificate
    assert certificate is not None
    facts = {
        "subject": certificate.subject,
        "subject_cn": certificate.subject_cn,
        "issuer": certificate.issuer,
        "issuer_cn": certificate.issuer_cn,
        "issuer_org": certificate.issuer_org,
        "sans": list(certificate.sans[:100]),
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "serial": certificate.serial,
        "signature_algorithm": certificate.signature_algorithm,
        "fingerprint_sha256": certificate.fingerprint_sha256,
        "self_signed": certificate.self_signed,
        "problem": finding.problem,
        "message": finding.message,
        "key_type": finding.key_type or before.get("key_type", ""),
        "tls_version": finding.tls_version or before.get("tls_version", ""),
        "chain": [_link(position, one) for position, one in enumerate(finding.chain)] or before.get("chain", []),
        "chain_valid": before.get("chain_valid") if finding.chain_valid is None else finding.chain_valid,
        "hostname_valid": before.get("hostname_valid") if finding.hostname_valid is None else finding.hostname_valid,
        "revocation": before.get("revocation", {}),
    }
    if finding.revocation is not None:
        facts["revocation"] = {
            name: {"status": one.status, "message": one.message, "at": at.isoformat()}
            for name, one in finding.revocation.items()
        }
    return facts


def _link(position: int, certificate: PeerCertificate) -> dict[str, Any]:
    return {
        "position": position,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "fingerprint_sha256": certificate.fingerprint_sha256,
    }


def _hold_revocation(finding: Finding, before: dict[str, Any]) -> None:
    """Keep "revoked" for the same certificate where nobody said "good" since: an issuer takes nothing back."""
    known = before.get("revocation") or {}
    for name, one in known.items():
        if one["status"] != REVOKED:
            continue
        answer = (finding.revocation or {}).get(name)
        if answer is not None and answer.status in ("good", REVOKED):
            continue
        if finding.revocation is not None:
            finding.revocation = {**finding.revocation, name: Revocation(REVOKED, one["message"])}
        if not finding.problem:
            finding.problem, finding.message = "revoked", f"The certificate was revoked. {one['message']}"


def revocation_word(facts: dict[str, Any] | None) -> str:
    """Return what OCSP and CRL together say: "revoked" if one does, else "good" if one does, else "unknown"."""
    found = {one["status"] for one in ((facts or {}).get("revocation") or {}).values()}
    return next((word for word in ("revoked", "good") if word in found), "unknown")


def _apply(
    monitor: CertificateMonitor, state: CertificateMonitorState, finding: Finding, at: datetime, actor: Principal
) -> None:
    """Move the state by one finding, tell what is new, and add it to the history; inside a transaction."""
    certificate = finding.certificate
    same = certificate is None or certificate.fingerprint_sha256 == state.fingerprint
    before = (state.facts or {}) if same else {}
    if certificate is not None:
        _hold_revocation(finding, before)
        _tell_renewal(monitor, state, certificate, actor)
    key = alert_key(finding, monitor.warn_days, at)
    status = _status(finding, key)
    if monitor.enabled and (certificate is not None or finding.problem):
        state.told = _tell(monitor, state, finding, key, same, at, actor)
    if status != state.status:
        state.status, state.since = status, at
    if certificate is not None:
        state.facts = _facts(finding, before, at)
        state.fingerprint, state.not_after = certificate.fingerprint_sha256, certificate.not_after
        state.subject, state.issuer = certificate.subject[:255], certificate.issuer[:255]
    state.last_error = finding.error or finding.message
    _write(monitor, state, finding, at, failed=certificate is None)


def _write(
    monitor: CertificateMonitor, state: CertificateMonitorState, finding: Finding, at: datetime, *, failed: bool
) -> None:
    state.last_check_at = at
    state.lease_owner, state.lease_until = "", None
    if monitor.enabled:
        on_grid = next_on_grid(num=monitor.num, interval_s=monitor.interval_s, after=at)
        state.next_check_at = min(on_grid, at + timedelta(seconds=RETRY_S)) if failed else on_grid
    state.save()
    if not disk.telemetry_allowed():
        return
    certificate = finding.certificate
    asked = finding.certificate is not None and finding.revocation is not None
    CertificateCheck.objects.bulk_create(
        [
            CertificateCheck(
                num=monitor.num,
                at=int(at.timestamp() * 1000),
                status=states.CODES[_status(finding, alert_key(finding, monitor.warn_days, at))],
                fingerprint=certificate.fingerprint_sha256 if certificate else "",
                subject=certificate.subject[:255] if certificate else "",
                issuer=certificate.issuer[:255] if certificate else "",
                not_before=certificate.not_before if certificate else None,
                not_after=certificate.not_after if certificate else None,
                chain_valid=finding.chain_valid,
                hostname_valid=finding.hostname_valid,
                revocation=revocation_word(state.facts) if asked else "",
                error=(finding.error or finding.message)[:500],
            )
        ],
        ignore_conflicts=True,
    )


# --- sweeps ------------------------------------------------------------------------------------------------------


def record_findings(runs: Sequence[CertificateRun]) -> int:
    """Keep what checks found, one transaction each; returns how many.

    A finding is dropped where its monitor was changed, paused or removed meanwhile. One row that can't be judged is
    shown as unknown and does not stop the others.

    Emits: certificate.alert, certificate.recovery, certificate.renewed.
    """
    return sum(record_finding(run) for run in runs)


def record_finding(run: CertificateRun, *, actor: Principal | None = None, by_hand: bool = False) -> bool:
    """Keep one finding; see `record_findings`. `by_hand`: also of one that is paused, which tells nothing."""
    try:
        with transaction.atomic():
            state = CertificateMonitorState.objects.select_for_update().filter(num=run.config.num).first()
            monitor = CertificateMonitor.objects.with_state().filter(num=run.config.num).first()
            if state is None or monitor is None:
                return False
            if monitor.revision != run.config.revision or not (monitor.enabled or by_hand):
                CertificateMonitorState.objects.filter(num=monitor.num).update(lease_owner="", lease_until=None)
                return False
            if monitor.is_editable:
                _apply(monitor, state, run.finding, run.at, actor or system("monitors"))
            else:
                _deepen(monitor, state, run.finding, run.at, actor or system("monitors"))
    except Exception as error:  # a row that was spoilt behind our back
        log.exception("certificate monitor %s can't be judged", run.config.num)
        CertificateMonitorState.objects.filter(num=run.config.num).update(
            status=states.UNKNOWN,
            last_error=f"What is stored of this monitor can't be read ({type(error).__name__}); save it anew.",
            last_check_at=run.at,
            next_check_at=run.at + timedelta(seconds=RETRY_S),
            lease_owner="",
            lease_until=None,
        )
        return False
    return True


def _deepen(
    monitor: CertificateMonitor, state: CertificateMonitorState, finding: Finding, at: datetime, actor: Principal
) -> None:
    """Add chain and revocation to what an endpoint's checks see.

    What they see decides: they may go another way (a client certificate, a proxy, no verification), so anything else
    that is met here says nothing about it.
    """
    certificate = finding.certificate
    if certificate is None or certificate.fingerprint_sha256 != state.fingerprint:
        _write(monitor, state, finding, at, failed=False)
        return
    seen = state.facts or {}
    if finding.problem != "revoked":
        finding.problem, finding.message = seen.get("problem", ""), seen.get("message", "")
        if finding.problem == "revoked":
            finding.problem = finding.message = ""
    _apply(monitor, state, finding, at, actor)


def release_claims(nums: Sequence[int]) -> None:
    """Give back claims whose checks were broken off, so that another worker needn't wait for their end."""
    CertificateMonitorState.objects.filter(num__in=list(nums)).update(lease_owner="", lease_until=None)


# --- endpoints ---------------------------------------------------------------------------------------------------


def record_sighting(
    *,
    endpoint_id: UUID,
    address: tuple[str, int],
    seen: CertificateSeen,
    warn_days: Sequence[int],
    at: datetime,
    actor: Principal,
    server_name: str = "",
    starttls: str = "",
) -> None:
    """Keep what an endpoint's check met; call it inside a transaction, and only where it is news.

    The first endpoint that meets a certificate owns its monitor, and what the others meet there is no news. Where a
    monitor of its own exists for the address, that one decides.

    Args:
        server_name: the name that was asked for, where it is not the host's.
        starttls: "smtp" or "imap" where TLS began after that.

    Emits: certificate.created, certificate.alert, certificate.recovery, certificate.renewed.
    """
    name = "" if server_name.lower() == address[0] else server_name.lower()
    monitor = _monitor_at((*address, name), endpoint_id, list(warn_days), actor)
    if monitor.is_editable or monitor.endpoint_id not in (None, endpoint_id):
        return
    prelude = starttls if starttls in CertificateMonitor.STARTTLS else CertificateMonitor.PLAIN
    changed = {"endpoint_id": endpoint_id, "warn_days": list(warn_days), "enabled": True, "starttls": prelude}
    if any(getattr(monitor, name) != value for name, value in changed.items()):
        CertificateMonitor.objects.filter(pk=monitor.pk).update(**changed)
        monitor = CertificateMonitor.objects.with_state().get(pk=monitor.pk)
    state = CertificateMonitorState.objects.select_for_update().get(num=monitor.num)
    finding = Finding(certificate=seen.certificate, problem=seen.problem, message=seen.message)
    _apply(monitor, state, finding, at, actor)
    # Chain and revocation come with the next sweep.
    CertificateMonitorState.objects.filter(num=monitor.num).update(next_check_at=timezone.now())


def _monitor_at(
    address: tuple[str, int, str], endpoint_id: UUID, warn_days: list[int], actor: Principal
) -> CertificateMonitor:
    host, port, name = address
    rows = CertificateMonitor.objects.with_state().filter(hostname=host, port=port, server_name=name)
    known: CertificateMonitor | None = rows.first()
    if known is not None:
        return known
    try:
        with transaction.atomic():
            monitor = CertificateMonitor.objects.create(
                num=leases.next_value("certificates"),
                hostname=host,
                port=port,
                server_name=name,
                warn_days=warn_days,
                source=CertificateMonitor.ENDPOINT,
                endpoint_id=endpoint_id,
            )
            monitor.state = CertificateMonitorState.objects.create(certificate=monitor, num=monitor.num)
            emit_certificate("certificate.created", monitor, actor)
    except IntegrityError:  # another worker met it at the same time
        found: CertificateMonitor = rows.get()
        return found
    return monitor


def withdraw(monitors: Iterable[CertificateMonitor], *, actor: Principal, reason: str) -> None:
    """Take back what was told about certificates that are watched no more; inside the transaction that ends it.

    Emits: certificate.recovery, where something was told.
    """
    for monitor in monitors:
        state = CertificateMonitorState.objects.select_for_update().get(num=monitor.num)
        if state.told:
            emit_certificate("certificate.recovery", monitor, actor, data={"message": reason})
        CertificateMonitorState.objects.filter(num=monitor.num).update(
            told="", status=states.UNKNOWN, since=timezone.now(), next_check_at=None, lease_owner="", lease_until=None
        )
