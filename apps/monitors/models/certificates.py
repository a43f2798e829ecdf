"""Certificate monitors: what is watched, what was found last, and the history of checks."""

from typing import Any, ClassVar

from django.db import models
from django.utils import timezone

from apps.core.models import EditableModel, Tag
from apps.monitors.models.endpoints import Endpoint, default_warn_days
from apps.monitors.querysets.certificates import CertificateQuerySet
from apps.monitors.states import certificates as states

INTERVAL_S = 6 * 3600


class CertificateMonitor(EditableModel):
    """A certificate at an address. One for each host, port and server name.

    Those of the source `endpoint` were met by an endpoint's checks: what `endpoint` sees decides about them, and nobody
    edits them.
    """

    STANDALONE, ENDPOINT, SOURCES = states.STANDALONE, states.ENDPOINT, states.SOURCES
    PLAIN, SMTP, IMAP = "none", "smtp", "imap"
    STARTTLS = (PLAIN, SMTP, IMAP)

    num = models.PositiveIntegerField(unique=True, editable=False, help_text="Key of its checks.")
    hostname = models.CharField(max_length=255)
    port = models.PositiveIntegerField(default=443)
    server_name = models.CharField(max_length=255, blank=True, help_text="Empty: the host name.")
    starttls = models.CharField(max_length=8, default=PLAIN)
    ca_pem = models.TextField(blank=True)
    warn_days = models.JSONField(default=default_warn_days)
    interval_s = models.PositiveIntegerField(default=INTERVAL_S)
    enabled = models.BooleanField(default=True)
    source = models.CharField(max_length=16, default=STANDALONE)
    endpoint = models.ForeignKey(
        Endpoint, models.SET_NULL, null=True, blank=True, related_name="certificates", editable=False
    )
    tags = models.ManyToManyField(Tag, blank=True, related_name="certificates")

    objects: ClassVar[Any] = CertificateQuerySet.as_manager()

    class Meta:
        ordering = ["hostname", "port", "id"]
        indexes = [models.Index(fields=["hostname", "port", "id"], name="certificate_address")]
        constraints = [
            models.UniqueConstraint(fields=["hostname", "port", "server_name"], name="certificate_one_per_address")
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def address(self) -> str:
        """Return host and port, and the server name where it is another."""
        host = f"[{self.hostname}]" if ":" in self.hostname else self.hostname
        return f"{host}:{self.port}" + (f" ({self.server_name})" if self.server_name else "")

    @property
    def is_editable(self) -> bool:
        """Return whether people may change and remove it."""
        return self.source == self.STANDALONE

    def tag_names(self) -> list[str]:
        """Return its tags, or those of the endpoint that sees it."""
        owner = self.endpoint if self.source == self.ENDPOINT else self
        return sorted(tag.name for tag in owner.tags.all()) if owner is not None else []


class CertificateMonitorState(models.Model):
    """What the checks know about a certificate. A check never writes or locks the row that people edit.

    `next_check_at` is null while it is not watched. `told` is what people were told last and was not taken back, e.g.
    "expiring:14". `newest_from` is the latest start of validity ever seen here, so that two servers with different
    certificates behind one name don't count as a renewal each time.
    """

    certificate = models.OneToOneField(CertificateMonitor, models.CASCADE, primary_key=True, related_name="state")
    num = models.PositiveIntegerField(unique=True, editable=False)
    status = models.CharField(max_length=16, default=states.UNKNOWN)
    since = models.DateTimeField(default=timezone.now)
    told = models.CharField(max_length=32, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    subject = models.CharField(max_length=255, blank=True)
    issuer = models.CharField(max_length=255, blank=True)
    not_after = models.DateTimeField(null=True)
    newest_from = models.DateTimeField(null=True)
    facts = models.JSONField(null=True)
    last_error = models.TextField(blank=True)
    last_check_at = models.DateTimeField(null=True)
    next_check_at = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=128, blank=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["next_check_at"], name="certificate_due"),
            models.Index(fields=["status"], name="certificate_status"),
            models.Index(fields=["not_after"], name="certificate_ends"),
        ]

    def __str__(self) -> str:
        return f"{self.num}: {self.status}"


class CertificateCheck(models.Model):
    """One check. `at` is its start in epoch ms; `status` is a code of `states.certificates.CODES`."""

    pk = models.CompositePrimaryKey("num", "at")
    num = models.PositiveIntegerField()
    at = models.BigIntegerField()
    status = models.PositiveSmallIntegerField()
    fingerprint = models.CharField(max_length=64, blank=True)
    subject = models.CharField(max_length=255, blank=True)
    issuer = models.CharField(max_length=255, blank=True)
    not_before = models.DateTimeField(null=True)
    not_after = models.DateTimeField(null=True)
    chain_valid = models.BooleanField(null=True)
    hostname_valid = models.BooleanField(null=True)
    revocation = models.CharField(max_length=8, blank=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes = [models.Index(fields=["at"], name="certificate_check_at")]

    def __str__(self) -> str:
        return f"{self.num}@{self.at}"
