"""What the pages of destinations share."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.core.admin.words import latency

LEVELS = [("critical", "Critical"), ("warning", "Warning"), ("info", "Info")]
SOURCES = [
    ("endpoint", "Endpoints"),
    ("heartbeat", "Heartbeats"),
    ("certificate", "Certificates"),
    ("server", "Servers"),
    ("log", "Log rules"),
    ("external", "Other systems"),
]


def said(outcome: Any) -> str:
    """Return what the other side of a test said, in one sentence."""
    took = f" after {latency(outcome.latency_ms)}" if outcome.latency_ms is not None else ""
    if outcome.ok:
        return f"The test arrived: {outcome.status_code or 'accepted'}{took}.{_answer(outcome)}"
    return f"The test failed{took}: {outcome.error or outcome.status_code}{_answer(outcome)}"


def _answer(outcome: Any) -> str:
    words = " ".join(outcome.response.split())[:300]
    return f" The other side says: {words}" if words and words not in outcome.error else ""


def tell(request: HttpRequest, row: Any, outcome: Any) -> HttpResponse:
    """Say how a test went, good or bad, and come back to the thing's page."""
    (messages.success if outcome.ok else messages.error)(request, said(outcome))
    kind = row._meta.model_name
    return HttpResponseRedirect(reverse(f"admin:notifications_{kind}_detail", args=[row.pk]))


def state_of(row: Any) -> str:
    """Return what a destination's badge says."""
    if not row.enabled:
        return "disabled"
    return row.state.health if hasattr(row, "state") else "unknown"
