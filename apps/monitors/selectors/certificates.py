"""Certificates as API and console show them."""

from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.monitors.models import CertificateCheck, CertificateMonitor
from apps.monitors.services.certificate_results import DAY_S
from apps.monitors.states.certificates import ERROR, EXPIRED, EXPIRING, UNKNOWN

OK, WARN, CRIT, NONE = "ok", "warn", "crit", "unknown"


def days_left(monitor: CertificateMonitor, now: datetime | None = None) -> float | None:
    """Return the days until the certificate ends, negative afterwards; None where none was seen."""
    ends = monitor.state.not_after
    return round((ends - (now or timezone.now())).total_seconds() / DAY_S, 2) if ends else None


def latest_check(monitor: CertificateMonitor) -> CertificateCheck | None:
    """Return the last check."""
    return CertificateCheck.objects.filter(num=monitor.num).order_by("-at").first()


def verdicts(monitor: CertificateMonitor, now: datetime | None = None) -> list[dict[str, str]]:
    """Return what was found, a sentence a topic.

    Returns:
        [{topic: validity|chain|name|ocsp|crl|error, status: ok|warn|crit|unknown, text}]
    """
    state, facts = monitor.state, monitor.state.facts or {}
    found: list[dict[str, str]] = []
    if state.last_error and not facts.get("problem"):
        found.append(_said("error", NONE if state.status == UNKNOWN else CRIT, state.last_error))
    if not facts:
        return found or [_said("error", NONE, "It has not been looked at yet.")]
    left = days_left(monitor, now)
    if left is not None and state.not_after is not None:
        when = f"{state.not_after:%Y-%m-%d %H:%M} UTC"
        text = f"It ended on {when}." if left <= 0 else f"It is valid until {when}; {_days(left)} left."
        warn = left <= max(monitor.warn_days or [0])
        found.append(_said("validity", CRIT if left <= 0 else WARN if warn else OK, text))
    found.append(_chain(facts))
    found.append(_name(monitor, facts))
    for topic, title in (("ocsp", "OCSP"), ("crl", "CRL")):
        answer = (facts.get("revocation") or {}).get(topic)
        if answer is None:
            text = f"{title} was not asked" + (
                ": only a certificate whose chain is trusted says whom to ask." if not facts.get("chain_valid") else "."
            )
            found.append(_said(topic, NONE, text))
        else:
            tone = {"good": OK, "revoked": CRIT}.get(answer["status"], NONE)
            found.append(_said(topic, tone, answer["message"]))
    return found


def _chain(facts: dict[str, Any]) -> dict[str, str]:
    if facts.get("chain_valid"):
        count = len(facts.get("chain") or [])
        sent = f" The server sends {count} certificate{'' if count == 1 else 's'}." if count else ""
        return _said("chain", OK, f"The chain leads to an authority that is trusted here.{sent}")
    if facts.get("problem") in ("untrusted", "expired"):
        return _said("chain", CRIT, facts.get("message") or "The chain can't be trusted.")
    if facts.get("chain_valid") is None:
        return _said("chain", NONE, "The chain has not been looked at yet.")
    return _said("chain", CRIT, "The chain can't be trusted.")


def _name(monitor: CertificateMonitor, facts: dict[str, Any]) -> dict[str, str]:
    wanted = monitor.server_name or monitor.hostname
    if facts.get("hostname_valid"):
        return _said("name", OK, f"It is for {wanted}.")
    if facts.get("hostname_valid") is None:
        return _said("name", NONE, "The name has not been compared yet.")
    names = ", ".join((facts.get("sans") or [])[:5])
    return _said("name", CRIT, f"It is not for {wanted}" + (f" but for {names}." if names else "."))


def _said(topic: str, status: str, text: str) -> dict[str, str]:
    return {"topic": topic, "status": status, "text": text}


def _days(left: float) -> str:
    whole = int(left)
    return "less than a day" if whole < 1 else "1 day" if whole == 1 else f"{whole} days"


def meter(monitor: CertificateMonitor, now: datetime | None = None) -> dict[str, Any]:
    """Return the days-left bar: how much of its life is left, in percent, and its tone."""
    left, facts = days_left(monitor, now), monitor.state.facts or {}
    if left is None:
        return {"days": None, "width": 0, "tone": "none"}
    begins = datetime.fromisoformat(facts["not_before"]) if facts.get("not_before") else None
    assert monitor.state.not_after is not None
    life = (monitor.state.not_after - begins).total_seconds() / DAY_S if begins else 90
    tone = {ERROR: "crit", EXPIRED: "crit", EXPIRING: "crit" if left <= 3 else "warn", UNKNOWN: "none"}
    width = max(0, min(100, round(100 * left / life))) if life > 0 else 0
    return {"days": int(left) if left >= 0 else -1, "width": width, "tone": tone.get(monitor.state.status, "ok")}
