"""Where deliveries go: channels, webhooks, single mails. What the sender learns is kept apart from what people edit."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.core.fields import SealedTextField
from apps.core.ids import new_id
from apps.core.models import EditableModel


class Channel(EditableModel):
    """A way to tell a group of people: one transport with its configuration."""

    name = models.CharField(max_length=100, unique=True)
    type = models.CharField(max_length=32, default="webhook")
    config = SealedTextField(default="{}")  # JSON; its fields are the transport's
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=300, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="notification_channels"
    )
    fallback = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="stands_in_for")
    most_messages = models.PositiveIntegerField(default=0)  # in `most_per_s`; 0: as many as there are
    most_per_s = models.PositiveIntegerField(default=300)
    quiet_hours = models.JSONField(null=True, blank=True)
    digest = models.JSONField(null=True, blank=True)  # null: each message at once; see digests.py
    title_template = models.TextField(blank=True)
    body_template = models.TextField(blank=True)
    template_error = models.CharField(max_length=300, blank=True)  # why the default text is sent instead

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Webhook(EditableModel):
    """A subscription of a program: signed POSTs of the facts that match, cut to what its owner may read now."""

    name = models.CharField(max_length=100)
    url = models.CharField(max_length=2000)
    events = models.JSONField(default=list)
    description = models.CharField(max_length=500, blank=True)
    secret = SealedTextField()
    previous_secret = SealedTextField(default="", blank=True)
    previous_secret_until = models.DateTimeField(null=True, blank=True)
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=300, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhooks")
    codes_cap = models.JSONField(null=True, blank=True)  # codes of the API key that made it: never more than those

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class DestinationState(models.Model):
    """What the sender knows about a destination."""

    class Health(models.TextChoices):
        """How the last attempt went."""

        UNKNOWN = "unknown", "Unknown"
        HEALTHY = "healthy", "Healthy"
        FAILING = "failing", "Failing"

    health = models.CharField(max_length=8, choices=Health.choices, default=Health.UNKNOWN)
    consecutive_failures = models.PositiveIntegerField(default=0)  # deliveries given up, not attempts
    last_attempt_at = models.DateTimeField(null=True)
    last_delivered_at = models.DateTimeField(null=True)
    last_status_code = models.PositiveSmallIntegerField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    retry_at = models.DateTimeField(null=True)  # the other side asked for rest until then

    class Meta:
        abstract = True


class ChannelState(DestinationState):
    """What the sender knows about a channel."""

    channel = models.OneToOneField(Channel, on_delete=models.CASCADE, primary_key=True, related_name="state")

    def __str__(self) -> str:
        return self.health


class WebhookState(DestinationState):
    """What the sender knows about a webhook."""

    webhook = models.OneToOneField(Webhook, on_delete=models.CASCADE, primary_key=True, related_name="state")

    def __str__(self) -> str:
        return self.health


class Mail(models.Model):
    """One mail of the platform itself (a password reset); its text is sealed and forgotten once it has left."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    recipient = models.EmailField()
    subject = models.CharField(max_length=255)
    text = SealedTextField(default="", blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.subject
