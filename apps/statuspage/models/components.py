"""Groups and components: what people edit, and apart from it what the platform derives."""

from datetime import datetime

from django.db import models
from django.utils import timezone

from apps.core.models import EditableModel
from apps.statuspage.models.pages import Page
from apps.statuspage.querysets import ComponentQuerySet, GroupQuerySet
from apps.statuspage.states import NO_DATA, ComponentStatus, Source


class Group(EditableModel):
    """Components that stand together under a heading."""

    page = models.ForeignKey(Page, on_delete=models.CASCADE, related_name="groups")
    name = models.CharField(max_length=100)
    position = models.IntegerField(default=0)

    objects = GroupQuerySet.as_manager()

    class Meta:
        ordering = ["position", "name", "id"]
        verbose_name = "component group"
        constraints = [models.UniqueConstraint(fields=["page", "name"], name="one_status_group_per_name")]
        indexes = [models.Index(fields=["position", "name", "id"], name="statusgroup_order")]

    def __str__(self) -> str:
        return self.name


class Component(EditableModel):
    """Something the public knows by a name of its own; what stands behind it is never shown."""

    page = models.ForeignKey(Page, on_delete=models.CASCADE, related_name="components")
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.SET_NULL, related_name="components")
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=300, blank=True)
    source = models.CharField(max_length=16, choices=Source.choices)
    source_id = models.CharField(max_length=64)
    visible = models.BooleanField(default=True)
    position = models.IntegerField(default=0)
    show_history = models.BooleanField(default=True)
    drafts_notices = models.BooleanField(default=False)
    override_status = models.CharField(max_length=20, choices=ComponentStatus.choices, blank=True)
    override_until = models.DateTimeField(null=True, blank=True)
    override_by = models.CharField(max_length=255, blank=True)
    override_at = models.DateTimeField(null=True, blank=True)
    override_note = models.CharField(max_length=300, blank=True)

    objects = ComponentQuerySet.as_manager()

    class Meta:
        ordering = ["position", "name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["page", "name"], name="one_status_component_per_name"),
            models.UniqueConstraint(fields=["page", "source", "source_id"], name="one_status_component_per_source"),
        ]
        indexes = [
            models.Index(fields=["position", "name", "id"], name="statuscomponent_order"),
            models.Index(fields=["source", "source_id"], name="statuscomponent_source"),
        ]

    def __str__(self) -> str:
        return self.name

    def is_overridden(self, now: datetime) -> bool:
        """Return whether a person's word counts instead of what was seen."""
        return bool(self.override_status) and (self.override_until is None or self.override_until > now)


class ComponentState(models.Model):
    """How a component stands: `derived` is what was seen, `status` what is shown."""

    component = models.OneToOneField(Component, on_delete=models.CASCADE, primary_key=True, related_name="state")
    derived = models.CharField(max_length=20, choices=ComponentStatus.choices, default=NO_DATA)
    status = models.CharField(max_length=20, choices=ComponentStatus.choices, default=NO_DATA)
    since = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.status


class StatusChange(models.Model):
    """From `at` on the component was shown as `status`."""

    id = models.BigAutoField(primary_key=True)
    component = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="changes")
    status = models.CharField(max_length=20, choices=ComponentStatus.choices)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["component", "at"], name="statuschange_component"),
            models.Index(fields=["at"], name="statuschange_age"),
        ]

    def __str__(self) -> str:
        return f"{self.status} from {self.at}"
