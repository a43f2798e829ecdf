"""Those who want to be told, and what is on its way to them."""

from urllib.parse import urlsplit

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.core.fields import SealedTextField
from apps.core.ids import new_id
from apps.core.models import EditableModel
from apps.statuspage.models.components import Component
from apps.statuspage.models.pages import Page
from apps.statuspage.querysets import SubscriberQuerySet
from apps.statuspage.states import SubscriberKind, SubscriberState


class Subscriber(EditableModel):
    """Who is told of a page's notices: an address whose owner has said yes, or a program. No components: of all."""

    EMAIL, WEBHOOK = SubscriberKind.EMAIL, SubscriberKind.WEBHOOK

    page = models.ForeignKey(Page, on_delete=models.CASCADE, related_name="subscribers")
    kind = models.CharField(max_length=8, choices=SubscriberKind.choices, default=EMAIL)
    email = models.EmailField(max_length=254, blank=True)
    url = models.CharField(max_length=2000, blank=True)  # of a webhook
    secret = SealedTextField(default="", blank=True)  # signs what a webhook gets
    state = models.CharField(max_length=16, choices=SubscriberState.choices, default=SubscriberState.PENDING)
    components = models.ManyToManyField(Component, blank=True, related_name="subscribers")
    wanted = models.JSONField(default=list)  # ids of the components asked for, until that is confirmed
    token_hash = models.CharField(max_length=64, blank=True)
    token_until = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(null=True)

    objects = SubscriberQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["page", "email"], condition=~Q(email=""), name="one_status_subscriber_per_address"
            ),
            models.UniqueConstraint(fields=["page", "url"], condition=~Q(url=""), name="one_status_subscriber_per_url"),
        ]
        indexes = [
            models.Index(fields=["token_hash"], name="statussubscriber_token", condition=~Q(token_hash="")),
            models.Index(fields=["page", "state", "id"], name="statussubscriber_page"),
            models.Index(fields=["state", "asked_at"], name="statussubscriber_asked"),
        ]

    def __str__(self) -> str:
        return self.masked

    @property
    def masked(self) -> str:
        """Return the address as lists show it: "a…@example.org", or the host of a webhook."""
        if self.kind == self.WEBHOOK:
            return urlsplit(self.url).hostname or "webhook"
        name, _, host = self.email.partition("@")
        return f"{name[:1]}…@{host}"


class Mailing(models.Model):
    """One message to all subscribers of a page; `after` is the last one whose mail was queued."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    page = models.ForeignKey(Page, on_delete=models.CASCADE, related_name="mailings")
    subject = models.CharField(max_length=255)
    text = models.TextField()
    payload = models.JSONField(default=dict)  # what programs get
    component_ids = models.JSONField(default=list)  # empty: all subscribers of the page
    after = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True)
    count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["id"], name="mailing_open", condition=Q(done_at__isnull=True)),
            models.Index(fields=["created_at"], name="mailing_age"),
        ]

    def __str__(self) -> str:
        return self.subject


class Post(models.Model):
    """One message to one webhook; those of one leave in order. `next_attempt_at` is null once it is settled."""

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(unique=True, default=new_id, editable=False)  # repeats with a repeat
    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="posts")
    payload = models.JSONField(default=dict)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, default=timezone.now)
    delivered_at = models.DateTimeField(null=True)
    status_code = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=500, blank=True)
    lease_owner = models.CharField(max_length=128, blank=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="statuspost_due", condition=Q(next_attempt_at__isnull=False)),
            models.Index(fields=["subscriber", "id"], name="statuspost_subscriber"),
            models.Index(fields=["created_at"], name="statuspost_age"),
        ]

    def __str__(self) -> str:
        return str(self.uid)
