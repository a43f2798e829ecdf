"""Tickets: a minute's pass for one path, for sockets and streams of clients that can't set a header."""

from datetime import datetime, timedelta

from django.utils import timezone

from apps.accounts.credentials import principal_now
from apps.accounts.hashing import hash_secret
from apps.accounts.models import Ticket
from apps.core.errors import Invalid, Unauthenticated
from apps.core.ids import new_secret
from apps.core.principals import Principal

LIFETIME = timedelta(seconds=60)


def _plain(path: str) -> str:
    return path.partition("?")[0].partition("#")[0].rstrip("/") or "/"


def create_ticket(*, path: str, actor: Principal) -> tuple[str, datetime]:
    """Make a ticket for the caller and one path; the query string and a trailing slash don't count.

    Returns:
        The ticket and its end, 60 s from now.

    Raises:
        Invalid: not a path of this installation (422).

    Source: contract, POST /auth/ticket.
    """
    if not path.startswith("/") or path.startswith("//") or len(path) > 500:
        raise Invalid({"path": "Give a path of this installation, e.g. /api/v1/containers/events."})
    ticket, expires_at = new_secret(), timezone.now() + LIFETIME
    Ticket.objects.create(
        ticket_hash=hash_secret(ticket),
        path=_plain(path),
        session_id=actor.session_id,
        api_key_id=None if actor.session_id else actor.id,
        expires_at=expires_at,
    )
    return ticket, expires_at


def spend_ticket(ticket: str, path: str) -> Principal:
    """Return the caller a ticket was made for, with the rights they have now; the ticket is spent by it.

    Raises:
        Unauthenticated: unknown, spent, expired, for another path, or the caller's session or key has ended (401).
    """
    now, ticket_hash = timezone.now(), hash_secret(ticket)
    good = Ticket.objects.filter(ticket_hash=ticket_hash, path=_plain(path), expires_at__gt=now, spent_at__isnull=True)
    # One statement decides which of two users of the same ticket comes in.
    if not good.update(spent_at=now):
        raise Unauthenticated("This ticket is spent, expired or for another path; make a new one.", code="bad_ticket")
    found = Ticket.objects.get(ticket_hash=ticket_hash)
    return principal_now(session_id=found.session_id, api_key_id=found.api_key_id)
