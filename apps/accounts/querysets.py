"""Rows that a caller may see, and credentials that count now."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.core.principals import Principal


class ApiKeyQuerySet(models.QuerySet):
    """API keys."""

    def visible_to(self, principal: Principal) -> "ApiKeyQuerySet":
        """Return one's own keys; everybody's for those who manage keys."""
        return self if principal.can("api_keys:manage") else self.filter(owner_id=principal.user_id)

    def live(self) -> "ApiKeyQuerySet":
        """Return the keys that count now."""
        fresh = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
        return self.filter(fresh, revoked_at__isnull=True, owner__disabled=False)


class SessionQuerySet(models.QuerySet):
    """Sessions."""

    def visible_to(self, principal: Principal) -> "SessionQuerySet":
        """Return one's own sessions; everybody's for those who may see sessions."""
        return self if principal.can("sessions:view") else self.filter(user_id=principal.user_id)

    def live(self) -> "SessionQuerySet":
        """Return the sessions that count now: a login that still owes its second step is none."""
        verified = Q(mfa_verified=True) | Q(user__totp_device__isnull=True) | Q(user__totp_device__confirmed=False)
        return self.filter(verified, ended_at__isnull=True, expires_at__gt=timezone.now(), user__disabled=False)
