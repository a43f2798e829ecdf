"""States of host agents and of their wishes to be let in, and the moves between them."""

from django.db import models

from apps.core.states import Transitions

#: Kinds of agents; there are none of the second one yet.
KINDS = ("host", "llm")


class Registration(models.TextChoices):
    """Is the agent trusted?"""

    PENDING = "pending", "Pending"  # added by hand or registered as a worker; its host has not been let in yet
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"  # added by hand, and the host that asked for it was refused
    REVOKED = "revoked", "Revoked"


REGISTRATION = Transitions(
    "agent",
    {
        Registration.PENDING: {Registration.APPROVED, Registration.REJECTED, Registration.REVOKED},
        Registration.APPROVED: {Registration.REVOKED},
        Registration.REJECTED: {Registration.PENDING, Registration.APPROVED},
        Registration.REVOKED: {Registration.APPROVED},
    },
)


class Enrolment(models.TextChoices):
    """Where a host's wish to be let in stands."""

    PENDING = "pending", "Waiting"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired"


ENROLMENT = Transitions(
    "request",
    {Enrolment.PENDING: {Enrolment.APPROVED, Enrolment.REJECTED, Enrolment.EXPIRED}},
)


class RequestState(models.TextChoices):
    """Where something stands that is asked of an agent."""

    WAITING = "waiting", "Waiting"  # for the process that holds the agent's connection
    SENT = "sent", "Sent"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    LOST = "lost", "Lost"  # the connection or the process is gone; what became of it is not known


REQUEST = Transitions(
    "request",
    {
        RequestState.WAITING: {RequestState.SENT, RequestState.FAILED, RequestState.LOST},
        RequestState.SENT: {RequestState.RUNNING, RequestState.DONE, RequestState.FAILED, RequestState.LOST},
        RequestState.RUNNING: {RequestState.DONE, RequestState.FAILED, RequestState.LOST},
    },
)
