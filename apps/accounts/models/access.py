"""Sessions and API keys: the credentials that count."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models.people import User
from apps.core.ids import new_id


class Session(models.Model):
    """One login, by browser or JWT. Ending the row ends every token and socket that came by it."""

    class Kind(models.TextChoices):
        """How the login was made."""

        BROWSER = "browser", "Browser"
        JWT = "jwt", "API token"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    address = models.CharField(max_length=64, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)
    mfa_verified = models.BooleanField(default=False)
    refresh_jti = models.CharField(max_length=64, blank=True)  # the one refresh token that is good now
    created_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["user", "-created_at"], name="session_live", condition=Q(ended_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.kind} session of {self.user_id}"


class ApiKey(models.Model):
    """A program's credential. Only the hash of its secret is kept; it never has more rights than its owner has now."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=11, unique=True)  # wk_ and 8 public characters
    secret_hash = models.CharField(max_length=64)
    role = models.CharField(max_length=64, blank=True)  # name of a role; empty where bound
    bound_kind = models.CharField(max_length=32, blank=True)
    bound_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"
