"""Sessions, API keys, tickets and reset links: the credentials that count."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models.people import User
from apps.accounts.querysets import ApiKeyQuerySet, SessionQuerySet
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

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="session_live", condition=Q(ended_at__isnull=True)),
            models.Index(fields=["expires_at"], name="session_expires"),
        ]

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

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"


class Ticket(models.Model):
    """A minute's pass of one caller for one path, for sockets and streams that can't send a header. Kept as a hash."""

    ticket_hash = models.CharField(max_length=64, primary_key=True)
    path = models.CharField(max_length=500)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, null=True, related_name="tickets")
    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, null=True, related_name="tickets")
    expires_at = models.DateTimeField(db_index=True)
    spent_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"ticket for {self.path}"


class PasswordReset(models.Model):
    """A link that was mailed: single use, one hour, kept as a hash."""

    token_hash = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="password_resets")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"password reset of {self.user_id}"
