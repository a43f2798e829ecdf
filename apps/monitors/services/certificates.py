"""Certificate monitors: add, change, remove, check now."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core import bell, errors, leases
from apps.core.models import Tag
from apps.core.net import NetError, Purpose, check_host, run_sync
from apps.core.net.hosts import canonical_host, check_port
from apps.core.principals import Principal
from apps.monitors.checks.options import pem_certificates
from apps.monitors.models import CertificateCheck, CertificateMonitor, CertificateMonitorState
from apps.monitors.models.certificates import INTERVAL_S
from apps.monitors.models.endpoints import WARN_DAYS
from apps.monitors.services.certificate_examination import CertificateConfig, Finding, config_of, examine
from apps.monitors.services.certificate_results import CertificateRun, emit_certificate, record_finding, withdraw

INTERVAL_RANGE_S = (300, 7 * 86_400)
TAGS_MOST = 20
PORTS = {CertificateMonitor.PLAIN: 443, CertificateMonitor.SMTP: 25, CertificateMonitor.IMAP: 143}

DEFAULTS: dict[str, Any] = {
    "hostname": "",
    "port": None,  # 443; 25 and 143 with STARTTLS
    "server_name": "",
    "starttls": CertificateMonitor.PLAIN,
    "ca_pem": "",
    "warn_days": list(WARN_DAYS),
    "interval_s": INTERVAL_S,
    "enabled": True,
    "tags": [],
}
_ADDRESS = ("hostname", "port", "server_name", "starttls", "ca_pem")


# --- values ------------------------------------------------------------------------------------------------------


def clean_certificate(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a certificate monitor's values, complete and in their own types.

    Raises:
        Invalid: some values are wrong; every one of them is named (422).
    """
    clean = {**DEFAULTS, **{name: value for name, value in values.items() if name in DEFAULTS}}
    problems: dict[str, str] = {}
    if clean["starttls"] not in CertificateMonitor.STARTTLS:
        problems["starttls"] = f"must be one of {', '.join(CertificateMonitor.STARTTLS)}"
    if clean["port"] is None:
        clean["port"] = PORTS.get(clean["starttls"], 443)
    _clean_names(clean, problems)
    if clean["ca_pem"]:
        try:
            pem_certificates(str(clean["ca_pem"]))
        except ValueError as error:
            problems["ca_pem"] = str(error)
    _clean_warnings(clean, problems)
    interval, (least, most) = clean["interval_s"], INTERVAL_RANGE_S
    if isinstance(interval, bool) or not isinstance(interval, int | float) or interval != int(interval):
        problems["interval_s"] = "give whole seconds"
    elif not least <= interval <= most:
        problems["interval_s"] = f"must lie in {least}..{most} seconds"
    else:
        clean["interval_s"] = int(interval)
    if not isinstance(clean["enabled"], bool):
        problems["enabled"] = "give true or false"
    tags = clean["tags"] or []
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        problems["tags"] = "give a list of texts"
    else:
        clean["tags"] = sorted({tag.strip() for tag in tags if tag.strip()})
        if len(clean["tags"]) > TAGS_MOST or any(len(tag) > 64 for tag in clean["tags"]):
            problems["tags"] = f"give at most {TAGS_MOST} tags of at most 64 characters"
    if problems:
        raise errors.Invalid(problems)
    return clean


def _clean_names(clean: dict[str, Any], problems: dict[str, str]) -> None:
    text = clean["hostname"].strip() if isinstance(clean["hostname"], str) else ""
    if not text:
        problems["hostname"] = "give the host's name or address, for example shop.example.org"
    elif "/" in text:
        problems["hostname"] = "give the host alone, without https:// and path"
    else:
        try:
            clean["hostname"] = canonical_host(text)
        except NetError as error:
            problems["hostname"] = error.message
    port = clean["port"]
    if isinstance(port, bool) or not isinstance(port, int):
        problems["port"] = "give a port, 1..65535"
    else:
        try:
            check_port(port)
            if "hostname" not in problems:
                check_host(clean["hostname"], port, Purpose.PROBE)
        except NetError as error:
            problems["hostname" if 1 <= port <= 65535 else "port"] = error.message
    name = clean["server_name"].strip() if isinstance(clean["server_name"], str) else clean["server_name"] or ""
    try:
        clean["server_name"] = canonical_host(name) if name else ""
    except (NetError, AttributeError) as error:
        problems["server_name"] = getattr(error, "message", "give a name")
    if clean["server_name"] == clean["hostname"]:
        clean["server_name"] = ""


def _clean_warnings(clean: dict[str, Any], problems: dict[str, str]) -> None:
    days = clean["warn_days"] if clean["warn_days"] is not None else []
    if not isinstance(days, list | tuple) or not all(type(day) is int for day in days):
        problems["warn_days"] = "give a list of days, for example [30, 14, 7]"
    elif len(days) > 10 or any(not 1 <= day <= 365 for day in days):
        problems["warn_days"] = "give at most ten days, each in 1..365"
    else:
        clean["warn_days"] = sorted(set(days), reverse=True)


def values_of(monitor: CertificateMonitor) -> dict[str, Any]:
    """Return a monitor's values under the names that `create_certificate` takes."""
    values = {name: getattr(monitor, name) for name in DEFAULTS if name != "tags"}
    return {**values, "tags": sorted(tag.name for tag in monitor.tags.all())}


def refuse_duplicate(clean: Mapping[str, Any], *, but: CertificateMonitor | None = None) -> None:
    """Refuse a second monitor of one address.

    Raises:
        Conflict: there is one; its id is in the details (409).
    """
    rows = CertificateMonitor.objects.select_related("endpoint").filter(
        hostname=clean["hostname"], port=clean["port"], server_name=clean["server_name"]
    )
    known: CertificateMonitor | None = (rows.exclude(pk=but.pk) if but is not None else rows).first()
    if known is None:
        return
    if known.is_editable:
        raise errors.Conflict(
            f"The certificate of {known.address} is monitored already.",
            code="duplicate",
            details={"id": str(known.pk)},
        )
    owner = f"the endpoint “{known.endpoint.name}”" if known.endpoint else "an endpoint"
    raise errors.Conflict(
        f"The certificate of {known.address} is seen by the checks of {owner} and monitored with it.",
        code="seen_by_endpoint",
        details={"id": str(known.pk)},
    )


# --- what people do ----------------------------------------------------------------------------------------------


def first_look(values: Mapping[str, Any]) -> CertificateRun | None:
    """Check a certificate that is about to be monitored, within 10 s; call it outside of any transaction.

    Returns:
        None where the monitor would be paused from the start.

    Raises:
        Invalid: some values are wrong (422).
        Conflict: the address is monitored already (409).
    """
    clean = clean_certificate(values)
    refuse_duplicate(clean)
    if not clean["enabled"]:
        return None
    config = CertificateConfig(id=None, num=0, revision=1, **{name: clean[name] for name in _ADDRESS})
    at = timezone.now()
    return CertificateRun(config, at, run_sync(examine(config)))


def create_certificate(
    *, actor: Principal, values: Mapping[str, Any], seen: CertificateRun | None = None
) -> CertificateMonitor:
    """Add a certificate monitor.

    Args:
        values: fields as `DEFAULTS` names them.
        seen: what `first_look` found; without it the sweep looks at once.

    Raises:
        Invalid: some values are wrong (422).
        Conflict: the address is monitored already (409).

    Emits: certificate.created; what its first check tells.

    Source: POST /api/v1/certificates.
    """
    clean = clean_certificate(values)
    refuse_duplicate(clean)
    tags = clean.pop("tags")
    try:
        with transaction.atomic():
            monitor = CertificateMonitor.objects.create(num=leases.next_value("certificates"), **clean)
            CertificateMonitorState.objects.create(
                certificate=monitor, num=monitor.num, next_check_at=timezone.now() if monitor.enabled else None
            )
            monitor.tags.set([Tag.objects.get_or_create(name=name)[0] for name in tags])
            emit_certificate("certificate.created", monitor, actor, after={**clean, "tags": tags})
            if seen is not None:
                record_finding(CertificateRun(config_of(monitor), seen.at, seen.finding))
            else:
                _ring_after_commit()
    except IntegrityError:
        refuse_duplicate(clean)
        raise
    return _read(monitor)


def update_certificate(
    *,
    monitor: CertificateMonitor,
    actor: Principal,
    values: Mapping[str, Any],
    expected_revision: int | None = None,
) -> CertificateMonitor:
    """Change a certificate monitor; it is checked at once with its new values. `enabled` pauses and resumes.

    Raises:
        Invalid: some values are wrong (422).
        Conflict: an endpoint sees it, or the new address is monitored already (409).
        PreconditionFailed: the revision is another one (412).
        NotFound: it was removed meanwhile (404).

    Emits: certificate.updated; certificate.recovery where what was told is watched no more.

    Source: PUT /api/v1/certificates/{id}.
    """
    with transaction.atomic():
        monitor = _locked(monitor)
        if expected_revision is not None and monitor.revision != expected_revision:
            raise errors.PreconditionFailed(
                "Somebody changed this since you read it; read it again and repeat your change."
            )
        _refuse_seen(monitor, "change its warning days on that endpoint's page")
        before = values_of(monitor)
        clean = clean_certificate({**before, **{name: values[name] for name in values if name in DEFAULTS}})
        changed = {name for name, value in clean.items() if value != before[name]}
        if not changed:
            return _read(monitor)
        refuse_duplicate(clean, but=monitor)
        if changed & {"hostname", "port", "server_name"} or (before["enabled"] and not clean["enabled"]):
            reason = "The monitor was paused." if not clean["enabled"] else "The monitor was pointed at something else."
            withdraw([monitor], actor=actor, reason=reason)
        for name in changed - {"tags"}:
            setattr(monitor, name, clean[name])
        monitor.revision += 1
        monitor.save()
        if "tags" in changed:
            monitor.tags.set([Tag.objects.get_or_create(name=name)[0] for name in clean["tags"]])
        states = CertificateMonitorState.objects.filter(num=monitor.num)
        if changed & {"hostname", "port", "server_name"}:
            states.update(facts=None, fingerprint="", not_after=None, newest_from=None, subject="", issuer="")
        states.update(next_check_at=timezone.now() if monitor.enabled else None)
        emit_certificate(
            "certificate.updated",
            _read(monitor),
            actor,
            before={name: before[name] for name in changed},
            after={name: clean[name] for name in changed},
        )
        _ring_after_commit()
    return _read(monitor)


def delete_certificate(*, monitor: CertificateMonitor, actor: Principal) -> None:
    """Remove a certificate monitor and its history.

    Raises:
        Conflict: an endpoint sees it (409).
        NotFound: it was removed already (404).

    Emits: certificate.deleted; certificate.recovery where something was told.

    Source: DELETE /api/v1/certificates/{id}.
    """
    with transaction.atomic():
        monitor = _locked(monitor)
        _refuse_seen(monitor, "it goes when that endpoint is removed or checks something else")
        withdraw([monitor], actor=actor, reason="The monitor was removed.")
        emit_certificate("certificate.deleted", monitor, actor, before=values_of(monitor))
        CertificateCheck.objects.filter(num=monitor.num).delete()
        monitor.delete()


def check_certificate(*, monitor: CertificateMonitor, actor: Principal) -> Finding:
    """Look at a certificate now, in this thread, paused or not; a paused one tells nothing.

    Emits: certificate.checked; what the check tells.
    """
    config, at = config_of(monitor), timezone.now()
    finding = run_sync(examine(config))
    with transaction.atomic():
        emit_certificate("certificate.checked", monitor, actor)
        record_finding(CertificateRun(config, at, finding), by_hand=True)
    return finding


# --- helpers -----------------------------------------------------------------------------------------------------


def _locked(monitor: CertificateMonitor) -> CertificateMonitor:
    list(CertificateMonitor.objects.select_for_update().filter(pk=monitor.pk).values_list("pk"))
    found: CertificateMonitor | None = CertificateMonitor.objects.with_state().filter(pk=monitor.pk).first()
    if found is None:
        raise errors.NotFound("There is no such certificate monitor any more.")
    return found


def _read(monitor: CertificateMonitor) -> CertificateMonitor:
    found: CertificateMonitor = CertificateMonitor.objects.with_state().get(pk=monitor.pk)
    return found


def _refuse_seen(monitor: CertificateMonitor, instead: str) -> None:
    if monitor.is_editable:
        return
    owner = f"the endpoint “{monitor.endpoint.name}”" if monitor.endpoint else "an endpoint"
    raise errors.Conflict(
        f"This certificate is seen by the checks of {owner}: {instead}.",
        code="seen_by_endpoint",
        details={"endpoint_id": str(monitor.endpoint_id) if monitor.endpoint_id else None},
    )


def _ring_after_commit() -> None:
    transaction.on_commit(lambda: bell.ring(bell.WORK))
