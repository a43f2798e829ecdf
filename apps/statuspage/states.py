"""States of components and notices, and the moves between them."""

from django.db import models

from apps.core.states import Transitions

OPERATIONAL = "operational"
DEGRADED = "degraded"
PARTIAL = "partial_outage"
MAJOR = "major_outage"
MAINTENANCE = "under_maintenance"
#: Nobody knows: no result yet, paused, or the platform itself is blind. Never told as an outage.
NO_DATA = "no_data"


class ComponentStatus(models.TextChoices):
    """How a component is."""

    OPERATIONAL = OPERATIONAL, "Operational"
    DEGRADED = DEGRADED, "Degraded performance"
    PARTIAL = PARTIAL, "Partial outage"
    MAJOR = MAJOR, "Major outage"
    MAINTENANCE = MAINTENANCE, "Under maintenance"
    NO_DATA = NO_DATA, "No data"


#: Worst last. What is unknown says nothing about the others.
RANK = {NO_DATA: 0, OPERATIONAL: 1, MAINTENANCE: 2, DEGRADED: 3, PARTIAL: 4, MAJOR: 5}

#: The sentence over the whole page.
SENTENCES = {
    OPERATIONAL: "All Systems Operational",
    DEGRADED: "Degraded Performance",
    PARTIAL: "Partial System Outage",
    MAJOR: "Major System Outage",
    MAINTENANCE: "Scheduled Maintenance",
    NO_DATA: "No Data",
}


def worst(statuses: list[str]) -> str:
    """Return the worst of the statuses, `no_data` for none."""
    return max(statuses, key=RANK.__getitem__, default=NO_DATA)


def combined(statuses: list[str]) -> str:
    """Return the status of many things as one: only where all are out it is a major outage."""
    known = [status for status in statuses if status != NO_DATA]
    if not known:
        return NO_DATA
    if all(status == MAJOR for status in known):
        return MAJOR
    if MAJOR in known or PARTIAL in known:
        return PARTIAL
    return worst(known)


class Source(models.TextChoices):
    """What a component stands for."""

    ENDPOINT = "endpoint", "Endpoint"
    HEARTBEAT = "heartbeat", "Heartbeat"
    CERTIFICATE = "certificate", "Certificate"
    CONTAINER = "container", "Container"
    SERVER = "server", "Server"


class NoticeKind(models.TextChoices):
    """What a notice tells of."""

    INCIDENT = "incident", "Incident"
    MAINTENANCE = "maintenance", "Maintenance"


class Severity(models.TextChoices):
    """How bad it is for those who use the service."""

    MINOR = "minor", "Minor"
    MAJOR = "major", "Major"
    CRITICAL = "critical", "Critical"


class NoticeState(models.TextChoices):
    """Where an incident or a maintenance stands."""

    INVESTIGATING = "investigating", "Investigating"
    IDENTIFIED = "identified", "Identified"
    MONITORING = "monitoring", "Monitoring"
    RESOLVED = "resolved", "Resolved"
    SCHEDULED = "scheduled", "Scheduled"
    IN_PROGRESS = "in_progress", "In progress"
    COMPLETED = "completed", "Completed"


INCIDENT_STATES = ("investigating", "identified", "monitoring", "resolved")
MAINTENANCE_STATES = ("scheduled", "in_progress", "completed")
FIRST = {"incident": "investigating", "maintenance": "scheduled"}
LAST = ("resolved", "completed")


def _forward(states: tuple[str, ...]) -> dict[str, set[str]]:
    # An update may stay where it is or go on, never back; what has ended stays ended.
    return {state: set() if state in LAST else set(states[position:]) for position, state in enumerate(states)}


NOTICE = {
    "incident": Transitions("incident", _forward(INCIDENT_STATES)),
    "maintenance": Transitions("maintenance", _forward(MAINTENANCE_STATES)),
}


class SubscriberKind(models.TextChoices):
    """How a subscriber is told."""

    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"


class SubscriberState(models.TextChoices):
    """Has the owner of the address said yes?"""

    PENDING = "pending", "Waits for confirmation"
    CONFIRMED = "confirmed", "Confirmed"


SUBSCRIBER = Transitions("subscription", {"pending": {"confirmed"}, "confirmed": set()})
