"""How long a domain stays registered, and whether its registry holds it back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.core import net
from apps.core.net import NetError, Phases, Purpose
from apps.monitors import rdap
from apps.monitors.checks.base import ERROR_LENGTH, CheckConfig, CheckOutcome, CheckType, failed, in_thread, register
from apps.monitors.checks.options import Option
from apps.monitors.models import DomainRegistration
from apps.monitors.rdap import RdapFailure
from apps.monitors.services import domains
from apps.monitors.states.endpoints import DEGRADED, DOWN, UNKNOWN, UP

WARN_DAYS = ("30", "14", "7", "1")
WARN_MOST = 3650

#: States in which a domain does not work, or is about to be lost; the worst first. Source: RFC 8056, RFC 3915.
HELD = {
    "redemptionperiod": "has run out and is in its redemption period: only you can still get it back, through "
    "your registrar, and not for long",
    "pendingdelete": "is about to be deleted, after which anybody can register it (pending delete)",
    "serverhold": "was taken out of the DNS by its registry (server hold); ask your registrar why",
    "clienthold": "was taken out of the DNS by its registrar (client hold), often for a bill or an address that was "
    "not confirmed",
}


@register("domain")
class DomainCheck(CheckType):
    """The registry is asked twice a day however often the monitor looks; between, and while the registry does not
    answer, what it said last counts."""

    label = "A domain's registration"
    target_help = "The registered name, for example example.org"
    minds_latency = False
    fields = (
        Option(
            "warn_days",
            "Warn before it ends",
            kind="texts",
            default=WARN_DAYS,
            most=4,
            help="Days, apart by commas; 30, 14, 7 and 1 where empty. It is degraded from the first on, and you are "
            "reminded on the others.",
            placeholder="30",
        ),
        Option(
            "rdap_server",
            "RDAP server",
            kind="url",
            most=500,
            help="Only where the public list of registries knows none for this top-level domain.",
            placeholder="https://rdap.example.net/",
            is_rare=True,
        ),
    )

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with the name, the days and the server."""
        found: dict[str, str] = {}
        try:
            rdap.domain_name(values["target"])
        except NetError as error:
            found["target"] = error.message
        for day in values["options"]["warn_days"]:
            if not (day.isascii() and day.isdigit() and 1 <= int(day) <= WARN_MOST):
                found["options.warn_days"] = f"“{day}” is no number of days from 1 to {WARN_MOST}"
                break
        if "?" in values["options"]["rdap_server"] or "@" in values["options"]["rdap_server"]:
            found["options.rdap_server"] = "give the address alone, without a query or a password"
        return found

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the days as numbers, the first warning first."""
        days = sorted({int(day) for day in options["warn_days"]}, reverse=True)
        return {"warn_days": tuple(days), "rdap_server": options["rdap_server"].rstrip("/")}

    def address(self, target: str) -> tuple[str, int]:
        """Return nothing: who is talked to is the registry, and no certificate is ever seen here."""
        return "", 0

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Ask the registry where it is time to, and judge what is known."""
        server = config.options["rdap_server"]
        try:
            name = rdap.domain_name(config.target)
            if server:
                net.check_url(server, Purpose.PROBE)
        except NetError as error:
            return failed(error)
        row, is_asked = await in_thread(_claim, name, server, config.newer_than)
        phases = Phases()
        if is_asked:
            row, phases = await _ask(row, config.timeout_s)
        outcome = judge(row, config.options["warn_days"], timezone.now())
        outcome.phases = phases
        return outcome


def _claim(name: str, server: str, newer_than: datetime | None) -> tuple[DomainRegistration, bool]:
    return domains.claim_question(domain=name, rdap_server=server, newer_than=newer_than)


async def _ask(row: DomainRegistration, timeout_s: float) -> tuple[DomainRegistration, Phases]:
    server, purpose = row.rdap_server, Purpose.PROBE
    try:
        if not server:
            server, purpose = await _server_by_directory(row.domain, timeout_s), Purpose.DELIVER
        rest = await in_thread(domains.resting_until, server)
        if rest is not None:
            raise RdapFailure(
                f"Its registry wants fewer questions; it is asked again at {rest:%Y-%m-%d %H:%M} UTC.", rest_until=rest
            )
        found = await rdap.look_up(row.domain, server, purpose, timeout_s)
    except RdapFailure as failure:
        return await in_thread(_keep_failure, row, server, failure), Phases()
    return await in_thread(_keep_answer, row, server, found), found.phases


def _keep_failure(row: DomainRegistration, server: str, failure: RdapFailure) -> DomainRegistration:
    return domains.record_failure(row=row, server=server, failure=failure)


def _keep_answer(row: DomainRegistration, server: str, found: rdap.Registration) -> DomainRegistration:
    return domains.record_answer(row=row, server=server, found=found)


async def _server_by_directory(domain: str, timeout_s: float) -> str:
    services, is_recent = await in_thread(domains.known_services)
    if not is_recent:
        try:
            services = await rdap.fetch_directory(timeout_s)
        except RdapFailure:
            if not services:
                raise
        else:
            await in_thread(domains.keep_services, services)
    server = rdap.server_of(domain, services)
    if not server:
        raise RdapFailure(
            f"No public RDAP server answers for .{domain.rpartition('.')[2]}; name one under “RDAP server”."
        )
    return server


def judge(row: DomainRegistration, warn_days: tuple[int, ...], now: datetime) -> CheckOutcome:
    """Return what the last known answer means now."""
    status, sentence = _judged(row, warn_days, now)
    outcome = CheckOutcome(status, error=sentence[:ERROR_LENGTH], registration=facts_of(row, now))
    left = row.days_left(now)
    if status in (UP, DEGRADED) and left is not None:
        outcome.warn_day = min((day for day in warn_days if left < day), default=0)
    return outcome


def _judged(row: DomainRegistration, warn_days: tuple[int, ...], now: datetime) -> tuple[str, str]:
    name = row.domain
    if row.answered_at is None:
        return UNKNOWN, row.error or f"The registry is being asked about {name}."
    ends, left = row.expires_at, row.days_left(now)
    if now - row.answered_at > domains.TRUSTED:
        known = f" By its last answer {name} ends on {ends:%Y-%m-%d}." if ends else ""
        return UNKNOWN, f"Its registry has not answered for {(now - row.answered_at).days} days: {row.error}{known}"
    if not row.is_registered:
        hint = f" Registered is {row.parent}: watch that name." if row.parent else ""
        return DOWN, f"{name} is not registered.{hint}"
    held = held_words(row.statuses)
    if held:
        return DOWN, f"{name} {held}."
    if ends is None or left is None:
        return UNKNOWN, f"The registry of .{name.rpartition('.')[2]} does not tell when {name} ends; its state is fine."
    by = f" at {row.registrar.rstrip('.')}" if row.registrar else ""
    if ends <= now:
        return DOWN, f"The registration of {name} ended on {ends:%Y-%m-%d}; renew it{by}."
    if warn_days and left < warn_days[0]:
        return DEGRADED, f"The registration of {name} ends {days_words(left)}, on {ends:%Y-%m-%d}; renew it{by}."
    return UP, ""


def held_words(statuses: list[str]) -> str:
    """Return why a domain in these states does not work, "" where it does."""
    states = {one.replace(" ", "").casefold() for one in statuses}
    return next((words for state, words in HELD.items() if state in states), "")


def days_words(left: int) -> str:
    """Return "in 12 days"."""
    return "within a day" if left < 1 else f"in {left} day{'s' if left > 1 else ''}"


def facts_of(row: DomainRegistration, now: datetime) -> dict[str, Any]:
    """Return what is known of a registration, as pages and the API show it."""
    return {
        "domain": row.domain,
        "is_registered": row.is_registered if row.answered_at else None,
        "expires_at": row.expires_at,
        "days_left": row.days_left(now),
        "registrar": row.registrar,
        "statuses": list(row.statuses),
        "answered_at": row.answered_at,
        "server": row.host,
        "error": row.error,
    }


def known_registration(config_target: str, rdap_server: str) -> DomainRegistration | None:
    """Return what is kept of a domain, None before the first question."""
    try:
        name = rdap.domain_name(config_target)
    except NetError:
        return None
    return DomainRegistration.objects.filter(domain=name, rdap_server=rdap_server.rstrip("/")).first()
