"""Those who want a mail, and the mailings on their way to them."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.core.ids import new_id
from apps.core.models import EditableModel
from apps.statuspage.models.components import Component
from apps.statuspage.models.pages import Page
from apps.statuspage.querysets import StatusQuerySet
from apps.statuspage.states import SubscriberState


class Subscriber(EditableModel):
    """An address that is told of a page's notices, once its owner has said yes. No components: of all."""

    page = models.ForeignKey(Page, on_delete=models.CASCADE, related_name="subscribers")
    email = models.EmailField(max_length=254)
    state = models.CharField(max_length=16, choices=SubscriberState.choices, default=SubscriberState.PENDING)
    components = models.ManyToManyField(Component, blank=True, related_name="subscribers")
    wanted = models.JSONField(default=list)  # ids of the components asked for, until that is confirmed
    token_hash = models.CharField(max_length=64, blank=True)
    token_until = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(default=timezone.now)
    confirmed_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = StatusQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["page", "email"], name="one_status_subscriber_per_address")]
        indexes = [
            models.Index(fields=["token_hash"], name="statussubscriber_token", condition=~Q(token_hash="")),
            models.Index(fields=["page", "state", "id"], name="statussubscriber_page"),
            models.Index(fields=["state", "asked_at"], name="statussubscriber_asked"),
        ]

    def __str__(self) -> str:
        return self.masked

    @property
    def masked(self) -> str:
        """Return the address as lists show it: "a…@example.org"."""
        name, _, host = self.email.partition("@")
        return f"{name[:1]}…@{host}"


class Mailing(models.Model):
    """One message to all subscribers of a page; `after` is the last one whose mail was queued."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    page = models.ForeignKey(Page, on_delete=models.CASCADE, related_name="mailings")
    subject = models.CharField(max_length=255)
    text = models.TextField()
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
