"""Notices: incidents and maintenance, and what was said about them over time."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.core.ids import new_id, new_secret
from apps.core.models import EditableModel
from apps.statuspage.models.components import Component
from apps.statuspage.models.pages import Page
from apps.statuspage.querysets import NoticeQuerySet
from apps.statuspage.states import NoticeKind, NoticeState, Severity


def new_reference() -> str:
    """Return a short random name by which the public may link to a notice."""
    return new_secret(6)


class Notice(EditableModel):
    """What people tell the public. Without `published_at` it is a draft that nobody outside sees."""

    page = models.ForeignKey(Page, on_delete=models.CASCADE, related_name="notices")
    reference = models.CharField(max_length=16, unique=True, default=new_reference, editable=False)
    kind = models.CharField(max_length=16, choices=NoticeKind.choices)
    title = models.CharField(max_length=200)
    severity = models.CharField(max_length=16, choices=Severity.choices, default=Severity.MINOR)
    state = models.CharField(max_length=16, choices=NoticeState.choices)
    components = models.ManyToManyField(Component, blank=True, related_name="notices")
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField(null=True, blank=True)
    published_at = models.DateTimeField(null=True)
    published_by = models.CharField(max_length=255, blank=True)
    ended_at = models.DateTimeField(null=True)
    drafted_from = models.UUIDField(null=True)  # the alert, by value
    created_by = models.CharField(max_length=255, blank=True)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["page", "drafted_from"],
                condition=Q(drafted_from__isnull=False),
                name="one_notice_per_page_and_alert",
            )
        ]
        indexes = [
            models.Index(fields=["page", "-starts_at"], name="notice_page"),
            models.Index(fields=["kind", "state", "starts_at"], name="notice_due"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_draft(self) -> bool:
        """Return whether the public does not see it yet."""
        return self.published_at is None


class NoticeUpdate(models.Model):
    """One thing said about a notice, and the state it brought."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="updates")
    state = models.CharField(max_length=16, choices=NoticeState.choices)
    message = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=255, blank=True)
    edited_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["notice", "-id"], name="noticeupdate_notice")]

    def __str__(self) -> str:
        return f"{self.state}: {self.message[:50]}"


class NoticeEdit(models.Model):
    """What an update said before somebody changed its words."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    update = models.ForeignKey(NoticeUpdate, on_delete=models.CASCADE, related_name="edits")
    message = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.message[:50]
