"""Pruning of credentials that are long over."""

from datetime import timedelta
from typing import Any

from django.contrib.sessions.models import Session as BrowserSession
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from apps.accounts.lockout import FORGET_AFTER, KNOWN_FOR
from apps.accounts.models import KnownAddress, LoginGuard, PasswordReset, Session, Ticket
from apps.core import runtime_settings
from apps.core.registries import Keep, keeps


def _delete(rows: "QuerySet[Any]", limit: int) -> int:
    model: type[Model] = rows.model
    old = list(rows.values_list("pk", flat=True)[:limit])
    model._default_manager.filter(pk__in=old).delete()
    return len(old)


def prune_sessions(limit: int) -> int:
    """Delete at most `limit` sessions that ended longer ago than the keep time; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.sessions"))
    return _delete(Session.objects.filter(Q(ended_at__lt=before) | Q(expires_at__lt=before)), limit)


def prune_credentials(limit: int) -> int:
    """Delete expired browser sessions, tickets, links and failures, at most `limit` of each; returns the most."""
    now = timezone.now()
    return max(
        _delete(BrowserSession.objects.filter(expire_date__lt=now), limit),
        _delete(Ticket.objects.filter(expires_at__lt=now), limit),
        _delete(PasswordReset.objects.filter(expires_at__lt=now - timedelta(days=1)), limit),
        _delete(LoginGuard.objects.filter(last_failed_at__lt=now - FORGET_AFTER), limit),
        _delete(KnownAddress.objects.filter(last_used_at__lt=now - KNOWN_FOR), limit),
    )


keeps.register("sessions", Keep("accounts_session", "retention.sessions", prune_sessions))
keeps.register("expired_credentials", Keep("django_session", "retention.sessions", prune_credentials))
