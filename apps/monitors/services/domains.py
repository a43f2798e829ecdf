"""Registrations that are kept: who asks the registry and when, and what its answer leaves behind."""

from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.monitors.models import DomainRegistration, RdapDirectory
from apps.monitors.rdap import RdapFailure, Registration

#: A registry is asked about a name no oftener than this, however often the monitor looks.
ASK_EVERY = timedelta(hours=12)
#: What somebody changed, or wants to know now, is asked about anew, but no oftener than this.
ASK_AGAIN = timedelta(minutes=1)
#: For so long the last answer stands while the registry does not answer.
TRUSTED = timedelta(days=3)
RETRY_FIRST, RETRY_MOST = timedelta(minutes=5), timedelta(hours=3)
DIRECTORY_KEPT = timedelta(hours=24)
#: What nobody has asked about for so long is watched no more.
FORGOTTEN = timedelta(days=60)


def claim_question(
    *, domain: str, rdap_server: str, newer_than: datetime | None, now: datetime | None = None
) -> tuple[DomainRegistration, bool]:
    """Return what is known of a domain, and whether the caller shall ask about it; one caller of all processes is told
    to.

    Args:
        newer_than: what was asked before this does not count; None: anything does that is young enough.
    """
    now = now or timezone.now()
    rows = DomainRegistration.objects.filter(domain=domain, rdap_server=rdap_server)
    row = rows.first()
    if row is None:
        try:
            with transaction.atomic():
                return DomainRegistration.objects.create(
                    domain=domain, rdap_server=rdap_server, asked_at=now, failures=1
                ), True
        except IntegrityError:  # another process was faster: it asks
            return rows.get(), False
    if not is_due(row, newer_than, now):
        return row, False
    claimed = rows.filter(asked_at=row.asked_at).update(asked_at=now, failures=row.failures + 1)
    if claimed:
        row.asked_at, row.failures = now, row.failures + 1
    return row, bool(claimed)


def is_due(row: DomainRegistration, newer_than: datetime | None, now: datetime) -> bool:
    """Return whether the registry is to be asked about a domain."""
    if row.rest_until is not None and row.rest_until > now:
        return False
    age = now - row.asked_at
    if newer_than is not None and row.asked_at < newer_than and age >= ASK_AGAIN:
        return True
    if row.failures:
        return age >= min(RETRY_FIRST * 2 ** min(row.failures - 1, 10), RETRY_MOST)
    # Not all at once: what was added together would be asked about together for ever.
    return age >= ASK_EVERY + timedelta(minutes=row.pk % 30)


def resting_until(server: str) -> datetime | None:
    """Return until when a server wants to be left alone, by whatever domain it said so; None: it may be asked."""
    host = urlsplit(server).hostname or ""
    rows = DomainRegistration.objects.filter(host=host, rest_until__gt=timezone.now()).order_by("-rest_until")
    return rows.values_list("rest_until", flat=True).first()


def record_answer(*, row: DomainRegistration, server: str, found: Registration) -> DomainRegistration:
    """Keep a registry's answer."""
    now = timezone.now()
    row.host = (urlsplit(server).hostname or "")[:253]
    row.answered_at, row.failures, row.error, row.rest_until = now, 0, "", None
    row.is_registered, row.expires_at = found.is_registered, found.expires_at
    row.registrar, row.statuses, row.parent = found.registrar, list(found.statuses), found.parent
    row.save()
    forgotten = DomainRegistration.objects.filter(asked_at__lt=now - FORGOTTEN).values_list("pk", flat=True)[:100]
    if old := list(forgotten):
        DomainRegistration.objects.filter(pk__in=old).delete()
    return row


def record_failure(*, row: DomainRegistration, server: str, failure: RdapFailure) -> DomainRegistration:
    """Note that a registry did not answer; what it said last stays."""
    row.host = (urlsplit(server).hostname or row.host)[:253]
    row.error, row.rest_until = failure.message[:300], failure.rest_until
    row.save(update_fields=["host", "error", "rest_until"])
    return row


def known_services() -> tuple[dict[str, list[str]], bool]:
    """Return the registries' servers as they were fetched last, and whether that is recent enough."""
    row = RdapDirectory.objects.first()
    if row is None:
        return {}, False
    return row.services, timezone.now() - row.fetched_at < DIRECTORY_KEPT


def keep_services(services: dict[str, list[str]]) -> None:
    """Keep the registries' servers."""
    RdapDirectory.objects.update_or_create(id=1, defaults={"services": services, "fetched_at": timezone.now()})
