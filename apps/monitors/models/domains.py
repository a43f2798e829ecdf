"""Registrations of domains as registries tell them, kept between the rare questions."""

from datetime import datetime
from typing import ClassVar

from django.db import models


class DomainRegistration(models.Model):
    """What is known of a domain: the last answer, and how the asking goes. Every monitor of the name shares it.

    `asked_at` moves before a question, by a conditional update, so that one process asks; `failures` counts it as
    failed until the answer is written. `rest_until` is until when the server wants to be left alone.
    """

    domain = models.CharField(max_length=253)
    rdap_server = models.CharField(max_length=500, blank=True)  # as the monitor names it; empty: by the directory
    host = models.CharField(max_length=253, blank=True, db_index=True)  # that was asked last
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True)
    rest_until = models.DateTimeField(null=True)
    is_registered = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True)
    registrar = models.CharField(max_length=255, blank=True)
    statuses = models.JSONField(default=list)  # as the server spells them
    parent = models.CharField(max_length=253, blank=True)  # what is registered in place of a name below it

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["domain", "rdap_server"], name="one_registration_per_domain_and_server")
        ]
        indexes: ClassVar = [models.Index(fields=["asked_at"], name="domain_asked")]

    def __str__(self) -> str:
        return self.domain

    def days_left(self, now: datetime) -> int | None:
        """Return the full days until it ends, negative once it has; None where the registry tells no end."""
        return None if self.expires_at is None else (self.expires_at - now).days


class RdapDirectory(models.Model):
    """Which server answers for which top-level domain. Source: RFC 9224."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    services = models.JSONField(default=dict)  # top-level domain -> base URLs
    fetched_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{len(self.services)} top-level domains"
