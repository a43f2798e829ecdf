"""Tables of secrets, their versions and their uses."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.core.fields import SealedTextField
from apps.core.ids import new_id
from apps.core.models import EditableModel
from apps.secrets.querysets import SecretQuerySet


class Secret(EditableModel):
    """A named secret. Its values are its versions; this row holds none."""

    class Category(models.TextChoices):
        """What it is; people sort by it."""

        GENERAL = "general", "General"
        PASSWORD = "password", "Password"
        API_KEY = "api_key", "API key"
        CREDENTIAL = "credential", "Credential"
        TOKEN = "token", "Token"
        CERTIFICATE = "certificate", "Certificate"
        SSH_KEY = "ssh_key", "SSH key"

    class Told(models.TextChoices):
        """What people were told of its end."""

        NOTHING = "", "Nothing"
        EXPIRING = "expiring", "That it ends soon"
        EXPIRED = "expired", "That it has ended"

    name = models.CharField(max_length=100, unique=True)
    category = models.CharField(max_length=16, choices=Category.choices, default=Category.GENERAL)
    description = models.CharField(max_length=500, blank=True, default="")
    version = models.PositiveIntegerField(default=1, editable=False)  # the number of the current value
    generator = models.JSONField(default=dict)  # how its value is made; empty where a person gave it
    grace_s = models.PositiveIntegerField(null=True, blank=True)  # null: as the setting says
    expires_at = models.DateTimeField(null=True, blank=True)
    told = models.CharField(max_length=8, choices=Told.choices, default=Told.NOTHING, blank=True, editable=False)
    rotated_at = models.DateTimeField(default=timezone.now, editable=False)
    rotated_by = models.CharField(max_length=255, blank=True, default="", editable=False)
    # Machine-written: not part of the revision.
    last_used_at = models.DateTimeField(null=True, editable=False)
    uses = models.PositiveBigIntegerField(default=0, editable=False)

    objects: ClassVar[Any] = SecretQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        indexes = [
            models.Index(fields=["category", "name"], name="secret_category"),
            models.Index(fields=["expires_at"], name="secret_end", condition=Q(expires_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name


class SecretVersion(models.Model):
    """One value of a secret. A former one is readable until its grace is over; then its value is wiped."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    secret = models.ForeignKey(Secret, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    value = SealedTextField(blank=True, default="")
    public_part = models.TextField(blank=True, default="")  # of a key pair: what may be given to everybody
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=255, blank=True, default="")
    readable_until = models.DateTimeField(null=True)  # null: it is the current one
    wiped_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["secret", "number"], name="one_secret_version_per_number")]
        indexes = [
            models.Index(
                fields=["readable_until"],
                name="secret_version_grace",
                condition=Q(readable_until__isnull=False, wiped_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"version {self.number}"


class SecretUse(models.Model):
    """Who used a secret for what, and how often. One row for each purpose: its size does not follow the uses."""

    id = models.BigAutoField(primary_key=True)
    secret = models.ForeignKey(Secret, on_delete=models.CASCADE, related_name="used")
    purpose = models.CharField(max_length=200)
    actor = models.CharField(max_length=128)  # kind:id
    actor_name = models.CharField(max_length=255, blank=True, default="")
    times = models.PositiveBigIntegerField(default=0)
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)
    told_at = models.DateTimeField(null=True)  # when the audit trail was last told of it

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["secret", "purpose", "actor"], name="one_secret_use_per_purpose")
        ]
        indexes = [
            models.Index(fields=["secret", "-last_at"], name="secret_use_latest"),
            models.Index(fields=["last_at"], name="secret_use_age"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose}: {self.times}"
