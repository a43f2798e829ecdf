"""The inbox: what a person was told."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.core.ids import new_id
from apps.notifications.querysets import NotificationQuerySet


class Notification(models.Model):
    """One message in one person's inbox, about one fact."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    event_uid = models.UUIDField()
    event_name = models.CharField(max_length=64)
    level = models.CharField(max_length=16, default="info")
    title = models.CharField(max_length=255)
    message = models.TextField(blank=True)
    subject_kind = models.CharField(max_length=32, blank=True)
    subject_id = models.CharField(max_length=128, blank=True)
    subject_name = models.CharField(max_length=255, blank=True)
    url = models.CharField(max_length=300, blank=True)  # path of the console page
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["user", "event_uid"], name="one_message_per_user_and_fact")]
        indexes = [
            models.Index(fields=["user", "-id"], name="inbox_of_user"),
            models.Index(fields=["user"], name="inbox_unread", condition=Q(read_at__isnull=True)),
            models.Index(fields=["created_at"], name="inbox_age"),
        ]

    def __str__(self) -> str:
        return self.title
