"""The registration of a watched domain on its monitor's page."""

from typing import Any

from django.utils import timezone

from apps.monitors.checks import check_types
from apps.monitors.checks.domain import facts_of, held_words, known_registration
from apps.monitors.checks.options import complete_options
from apps.monitors.models import Endpoint

_WORDS = {"expired": "Ended", "expiring": "Ends soon", "valid": "Registered"}


def registration_card(row: Endpoint) -> dict[str, Any] | None:
    """Return what is known of a watched domain, its states in words."""
    if row.endpoint_type != "domain":
        return None
    stored = row.options if isinstance(row.options, dict) else {}
    options = complete_options(check_types["domain"].fields, stored)
    known = known_registration(row.target, options["rdap_server"])
    if known is None or known.answered_at is None:
        return None
    now = timezone.now()
    ends, left, held = known.expires_at, known.days_left(now), held_words(known.statuses)
    is_due = left is not None and left < max((int(day) for day in options["warn_days"]), default=0)
    found = facts_of(known, now)
    if not known.is_registered:
        found["state"], found["words"] = "failed", "Not registered"
    elif held:
        found["state"], found["words"] = "failed", "Held back"
    elif ends is None:
        found["state"], found["words"] = "unknown", "End not told"
    else:
        state = "expired" if ends <= now else "expiring" if is_due else "valid"
        found["state"], found["words"] = state, _WORDS[state]
    found["held"] = f"{known.domain} {held}." if held else ""
    return found
