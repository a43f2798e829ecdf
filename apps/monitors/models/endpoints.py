"""Endpoint monitors: what people edit, and apart from it what the checks write."""

from typing import Any, ClassVar

from django.db import models
from django.utils import timezone

from apps.core.fields import SealedTextField
from apps.core.models import EditableModel, Tag
from apps.monitors.querysets.endpoints import EndpointQuerySet
from apps.monitors.states import endpoints as states

WARN_DAYS = (30, 14, 7, 3, 1)


def default_warn_days() -> list[int]:
    """Return the days before a certificate's end on which people are warned."""
    return list(WARN_DAYS)


class Endpoint(EditableModel):
    """Something that is checked at an interval, or whose results are sent in.

    `options` holds what the check type declares beyond the columns here, secrets masked; their values are in `secrets`,
    a sealed JSON object. `members` repeats the ids among the options, for asking the other way round.
    """

    num = models.PositiveIntegerField(unique=True, editable=False, help_text="Key of its results.")
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True)
    endpoint_type = models.CharField(max_length=16)
    target = models.CharField(max_length=2048, blank=True)
    enabled = models.BooleanField(default=True)
    interval_s = models.PositiveIntegerField(default=60)
    timeout_s = models.FloatField(default=10.0)
    failure_threshold = models.PositiveSmallIntegerField(default=1)
    recovery_threshold = models.PositiveSmallIntegerField(default=1)
    degraded_over_ms = models.PositiveIntegerField(null=True, blank=True)
    method = models.CharField(max_length=16, default="GET", blank=True)
    headers = SealedTextField(blank=True, default="")  # JSON object; may carry credentials
    body = models.TextField(blank=True)
    expected_status = models.CharField(max_length=255, default="2xx", blank=True)
    keyword = models.CharField(max_length=500, blank=True)
    keyword_absent = models.CharField(max_length=500, blank=True)
    json_path = models.CharField(max_length=500, blank=True)
    json_value = models.JSONField(null=True, blank=True)
    max_redirects = models.PositiveSmallIntegerField(default=5)
    tls_verify = models.BooleanField(default=True)
    ca_pem = models.TextField(blank=True)
    cert_warn_days = models.JSONField(default=default_warn_days)
    options = models.JSONField(default=dict, blank=True)
    secrets = SealedTextField(blank=True, default="")
    inverse = models.BooleanField(default=False, help_text="It is expected not to answer.")
    token_hash = models.CharField(max_length=64, null=True, blank=True, unique=True, editable=False)
    members = models.ManyToManyField("self", symmetrical=False, blank=True, related_name="groups")
    tags = models.ManyToManyField(Tag, blank=True, related_name="endpoints")

    objects: ClassVar[Any] = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        indexes = [models.Index(fields=["name", "id"], name="endpoint_name")]

    def __str__(self) -> str:
        return self.name


class EndpointState(models.Model):
    """What the checks know about an endpoint. A check never writes or locks the row that people edit.

    `next_check_at` is null while the endpoint is paused, so that the sweep needs no join. `failing_since` is the first
    result that was not up; `alert_level` is what was told last and not taken back.
    """

    endpoint = models.OneToOneField(Endpoint, models.CASCADE, primary_key=True, related_name="state")
    num = models.PositiveIntegerField(unique=True, editable=False)
    status = models.CharField(max_length=16, default=states.UNKNOWN)
    since = models.DateTimeField(default=timezone.now)
    consecutive_failures = models.PositiveIntegerField(default=0)
    consecutive_degraded = models.PositiveIntegerField(default=0)
    consecutive_successes = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    alert_level = models.CharField(max_length=16, blank=True)
    last_check_at = models.DateTimeField(null=True)
    next_check_at = models.DateTimeField(null=True)
    last_response_time_ms = models.FloatField(null=True)
    last_status_code = models.PositiveSmallIntegerField(null=True)
    last_error = models.TextField(blank=True)
    recent = models.TextField(blank=True)  # the last results, see `series.recent`
    certificate = models.JSONField(null=True)
    certificate_alert = models.CharField(max_length=32, blank=True)  # e.g. "expiring:14", "untrusted"
    warned_days = models.PositiveSmallIntegerField(null=True)  # before a domain's end, as it was told last
    lease_owner = models.CharField(max_length=128, blank=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["next_check_at"], name="endpoint_due"),
            models.Index(fields=["status"], name="endpoint_status"),
        ]

    def __str__(self) -> str:
        return f"{self.num}: {self.status}"

    @property
    def is_alerting(self) -> bool:
        """Whether people were told and the recovery has not come yet."""
        return bool(self.alert_level)
