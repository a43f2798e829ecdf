"""Lockout: failed logins make further ones wait, ever longer, and never for good.

Two counters, both in the database. One counts per account and network: after a few failures that network has to wait.
One counts per account over all networks, for attacks from many of them; networks from which the user has logged in
before are exempt from it, so that a stranger can't keep the user out. An attempt is counted before the password is
looked at and the count is taken back afterwards: many attempts at once don't slip through.
"""

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.models import KnownAddress, LoginGuard, User
from apps.accounts.policies import SECURITY, value_of
from apps.core.errors import TooMany

FORGET_AFTER = timedelta(hours=24)
KNOWN_FOR = timedelta(days=90)
ACCOUNT_FACTOR = 4  # failures over all networks count against an account only when there are many


def network_of(address: str) -> str:
    """Return what is counted as one place: an IPv4 address, or the /64 of an IPv6 one, which one subscriber owns."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login that was counted and whose outcome is not known yet."""

    blocks_before: dict[str, datetime | None]

    def succeed(self) -> None:
        """Forget the failures: it was the user."""
        LoginGuard.objects.filter(key__in=list(self.blocks_before)).delete()

    def withdraw(self) -> None:
        """Take the count back: the attempt was neither right nor wrong (a code is still missing)."""
        with transaction.atomic():
            for key, blocked_until in self.blocks_before.items():
                LoginGuard.objects.filter(key=key, failures__gt=0).update(
                    failures=F("failures") - 1, blocked_until=blocked_until
                )


def begin_attempt(*, user: User | None, name: str, address: str) -> Attempt:
    """Count an attempt to log in, before anything is checked.

    Args:
        user: whose account it is; None where nobody has the name (counted all the same, so that nothing is told).

    Raises:
        TooMany: too many failures; says how long to wait (429).
    """
    account = f"user:{user.id}" if user else f"name:{_digest(name.strip().lower())}"
    network = network_of(address)
    after = value_of(SECURITY, "lockout_after")
    limits = {f"{account}|{_digest(network)}": after}
    if user is None or not is_known(user, network):
        limits[account] = after * ACCOUNT_FACTOR
    now = timezone.now()
    with transaction.atomic():
        for key in limits:
            LoginGuard.objects.get_or_create(key=key)
        guards = {
            guard.key: guard for guard in LoginGuard.objects.select_for_update().filter(key__in=limits).order_by("key")
        }
        waits = [guard.blocked_until for guard in guards.values() if guard.blocked_until and guard.blocked_until > now]
        if not waits:
            for key, guard in guards.items():
                _count(guard, limits[key], now)
    if waits:
        seconds = max(1, round((max(waits) - now).total_seconds()))
        raise TooMany(f"Too many failed logins; try again in {seconds} s.", retry_after_s=seconds, code="login_blocked")
    return Attempt(dict.fromkeys(limits))


def _count(guard: LoginGuard, limit: int, now: datetime) -> None:
    if guard.last_failed_at < now - FORGET_AFTER:
        guard.failures = 0
    guard.failures += 1
    guard.last_failed_at = now
    beyond = guard.failures - limit
    if beyond >= 0:
        wait = min(value_of(SECURITY, "lockout_first_s") * 2 ** min(beyond, 30), value_of(SECURITY, "lockout_most_s"))
        guard.blocked_until = now + timedelta(seconds=wait)
    else:
        guard.blocked_until = None
    guard.save()


def is_known(user: User, network: str) -> bool:
    """Return whether the user has logged in from that network lately."""
    return KnownAddress.objects.filter(user=user, network=network, last_used_at__gt=timezone.now() - KNOWN_FOR).exists()


def remember_address(user: User, address: str) -> None:
    """Note that the user logged in from there."""
    KnownAddress.objects.update_or_create(
        user=user, network=network_of(address), defaults={"last_used_at": timezone.now()}
    )


def lift(user: User) -> None:
    """Forget all failures against the account."""
    LoginGuard.objects.filter(key__startswith=f"user:{user.id}").delete()
