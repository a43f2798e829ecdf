"""What the console pages share."""

from typing import Any

from django import forms

from apps.core.admin.words import LOOKS, Look
from apps.statuspage.models import Page

_LOCAL = "%Y-%m-%dT%H:%M"

LOOKS.update(
    {
        "operational": Look("ok", "check_circle", "Operational"),
        "partial_outage": Look("warn", "error", "Partial outage"),
        "major_outage": Look("crit", "cancel", "Major outage"),
        "under_maintenance": Look("info", "engineering", "Maintenance"),
        "no_data": Look("unknown", "help", "No data"),
        "draft": Look("unknown", "edit_note", "Draft"),
        "published": Look("ok", "public", "Published"),
        "unpublished": Look("unknown", "public_off", "Not published"),
        "private": Look("info", "lock", "Some networks only"),
        "investigating": Look("crit", "search", "Investigating"),
        "identified": Look("warn", "target", "Identified"),
        "monitoring": Look("info", "monitoring", "Monitoring"),
        "scheduled": Look("info", "event", "Scheduled"),
        "in_progress": Look("warn", "engineering", "In progress"),
        "completed": Look("ok", "task_alt", "Completed"),
        "confirmed": Look("ok", "mark_email_read", "Confirmed"),
        "asked": Look("unknown", "outgoing_mail", "Waits for a yes"),
    }
)


class MomentField(forms.DateTimeField):
    """A moment in the reader's zone, with the browser's own picker."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "class": "wk-short"}, format=_LOCAL)

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("input_formats", [_LOCAL, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"])
        super().__init__(**kwargs)


def pages() -> Any:
    """Return the pages to choose from, the default one first."""
    return Page.objects.order_by("-is_default", "name")


def first_page() -> Any:
    """Return the page that is meant where nothing is said."""
    return pages().first()
