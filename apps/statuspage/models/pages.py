"""Pages, their logos, and the mark by which web processes notice a change."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.core.ids import new_id
from apps.core.models import EditableModel
from apps.statuspage.querysets import PageQuerySet
from apps.statuspage.states import NO_DATA, ComponentStatus


class Page(EditableModel):
    """One public page. `domain` picks it by the Host header; the default page answers everywhere else."""

    class Theme(models.TextChoices):
        """Light, dark, or what the visitor's device prefers."""

        AUTO = "auto", "As the visitor's device"
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    name = models.CharField(max_length=100)
    slug = models.CharField(max_length=63, unique=True)
    domain = models.CharField(max_length=253, blank=True)
    intro = models.CharField(max_length=1000, blank=True)
    theme = models.CharField(max_length=8, choices=Theme.choices, default=Theme.AUTO)
    accent_light = models.CharField(max_length=7, default="#0b6e8f")
    accent_dark = models.CharField(max_length=7, default="#5cc4e8")
    home_url = models.CharField(max_length=500, blank=True)
    published = models.BooleanField(default=True)
    is_default = models.BooleanField(default=False)
    allow_subscriptions = models.BooleanField(default=True)
    allowed_networks = models.JSONField(default=list, blank=True)  # CIDRs; empty: everybody may read it

    objects = PageQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = "status page"
        constraints = [
            models.UniqueConstraint(fields=["domain"], condition=~Q(domain=""), name="one_status_page_per_domain"),
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="one_default_status_page"
            ),
        ]
        indexes = [models.Index(fields=["name", "id"], name="statuspage_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_private(self) -> bool:
        """Return whether only some networks may read it."""
        return bool(self.allowed_networks)


class PageLogo(models.Model):
    """A page's picture, kept in the database so that every web process has it."""

    page = models.OneToOneField(Page, on_delete=models.CASCADE, primary_key=True, related_name="logo")
    content_type = models.CharField(max_length=32)
    body = models.BinaryField()

    def __str__(self) -> str:
        return f"logo of {self.page_id}"


class PageState(models.Model):
    """How the whole page stands; written by the platform."""

    page = models.OneToOneField(Page, on_delete=models.CASCADE, primary_key=True, related_name="state")
    status = models.CharField(max_length=20, choices=ComponentStatus.choices, default=NO_DATA)
    since = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.status


class StatusVersion(models.Model):
    """One row; its token changes with everything the public can see, so that web processes draw their pages anew."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    token = models.UUIDField(default=new_id)
    touched_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return str(self.token)
