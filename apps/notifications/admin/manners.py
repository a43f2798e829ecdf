"""Fields that channels and rules share: quiet hours, digests, the words of messages."""

from typing import Any

from django import forms

from apps.core.admin.forms import DurationField
from apps.notifications.admin.common import LEVELS
from apps.notifications.quiet import DAYS
from apps.notifications.templating import MOST_BODY, MOST_TITLE, NAMES

_DAY_CHOICES = [(day, day.capitalize()) for day in DAYS]


def time_field(label: str) -> forms.TimeField:
    """Return a field for a time of day."""
    widget = forms.TimeInput(attrs={"type": "time", "class": "wk-short"}, format="%H:%M")
    return forms.TimeField(required=False, label=label, widget=widget)


def zone_field() -> forms.CharField:
    """Return a field for a time zone."""
    return forms.CharField(
        required=False, label="Time zone", initial="UTC", help_text="IANA name such as Europe/Berlin."
    )


def days_field(help_text: str) -> forms.MultipleChoiceField:
    """Return a field for days of the week."""
    return forms.MultipleChoiceField(
        choices=_DAY_CHOICES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="On",
        help_text=help_text,
    )


def _levels(label: str, initial: list[str]) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        choices=LEVELS, required=False, widget=forms.CheckboxSelectMultiple, label=label, initial=initial
    )


class MannersForm(forms.Form):
    """Quiet hours, digest and words."""

    quiet_start = time_field("Quiet from")
    quiet_end = time_field("until")
    quiet_zone = zone_field()
    quiet_days = days_field("None chosen: every day.")
    quiet_except = _levels("But never hold back", ["critical"])
    digest_kind = forms.ChoiceField(
        choices=[
            ("", "Each message at once"),
            ("every", "Together, every so often"),
            ("at", "Together, at a time of day"),
        ],
        required=False,
        label="Tell",
    )
    digest_every = DurationField(
        required=False, label="Every", help_text="On the clock: every 30m means at :00 and at :30."
    )
    digest_at = time_field("At")
    digest_zone = zone_field()
    digest_days = days_field("None chosen: every day; one chosen: once a week.")
    digest_except = _levels("But tell at once", [])
    title_template = forms.CharField(
        required=False, max_length=MOST_TITLE, label="Title", help_text="The usual title where empty."
    )
    body_template = forms.CharField(
        required=False,
        max_length=MOST_BODY,
        label="Text",
        widget=forms.Textarea(attrs={"rows": 4, "class": "wk-mono"}),
        help_text="The usual text where empty. {{ name }} stands for a value, {% if note %}…{% endif %} for a "
        f"condition; there are {', '.join(NAMES)}.",
    )

    def clean(self) -> dict[str, Any]:
        """Demand both ends of the quiet hours or neither, and what a digest needs."""
        data = super().clean() or {}
        if bool(data.get("quiet_start")) != bool(data.get("quiet_end")):
            self.add_error("quiet_end" if data.get("quiet_start") else "quiet_start", "Give both times.")
        kind = data.get("digest_kind")
        if kind and not data.get(f"digest_{kind}"):
            self.add_error(f"digest_{kind}", "Say how often." if kind == "every" else "Give a time.")
        return data


QUIET_GROUP = (
    "…Quiet hours",
    "what happens then is told in one summary afterwards, if it still matters",
    ("quiet_start", "quiet_end", "quiet_zone", "quiet_days", "quiet_except"),
)
DIGEST_GROUP = (
    "…Digest",
    "tell together instead of one by one",
    ("digest_kind", "digest_every", "digest_at", "digest_zone", "digest_days", "digest_except"),
)
WORDS_GROUP = ("…Words", "your own title and text", ("title_template", "body_template"))
SERVICE_NAMES = {
    "quiet_hours": "quiet_start",
    "quiet_hours.start": "quiet_start",
    "quiet_hours.end": "quiet_end",
    "quiet_hours.timezone": "quiet_zone",
    "quiet_hours.days": "quiet_days",
    "quiet_hours.except_levels": "quiet_except",
    "digest": "digest_kind",
    "digest.every": "digest_every",
    "digest.at": "digest_at",
    "digest.timezone": "digest_zone",
    "digest.days": "digest_days",
    "digest.except_levels": "digest_except",
}


def shown(row: Any) -> dict[str, Any]:
    """Return what the fields show of a channel or rule."""
    hours, digest = row.quiet_hours or {}, row.digest or {}
    return {
        "quiet_start": hours.get("start"),
        "quiet_end": hours.get("end"),
        "quiet_zone": hours.get("timezone", "UTC"),
        "quiet_days": [] if len(hours.get("days", [])) == len(DAYS) else hours.get("days", []),
        "quiet_except": hours.get("except_levels", ["critical"]),
        "digest_kind": "every" if "every_s" in digest else "at" if digest else "",
        "digest_every": digest.get("every_s"),
        "digest_at": digest.get("at"),
        "digest_zone": digest.get("timezone", "UTC"),
        "digest_days": [] if len(digest.get("days", [])) == len(DAYS) else digest.get("days", []),
        "digest_except": digest.get("except_levels", []),
        "title_template": row.title_template,
        "body_template": row.body_template,
    }


def values(data: dict[str, Any]) -> dict[str, Any]:
    """Return the fields in the services' words."""
    found: dict[str, Any] = {
        "quiet_hours": None,
        "digest": None,
        "title_template": data["title_template"],
        "body_template": data["body_template"],
    }
    if data["quiet_start"] and data["quiet_end"]:
        found["quiet_hours"] = hours_of(data, "quiet") | {"except_levels": data["quiet_except"]}
    if data["digest_kind"] == "every":
        found["digest"] = {"every": data["digest_every"], "except_levels": data["digest_except"]}
    elif data["digest_kind"] == "at":
        found["digest"] = {
            "at": f"{data['digest_at']:%H:%M}",
            "timezone": data["digest_zone"] or "UTC",
            "days": data["digest_days"],
            "except_levels": data["digest_except"],
        }
    return found


def hours_of(data: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return start, end, zone and days of the fields of that prefix."""
    return {
        "start": f"{data[f'{prefix}_start']:%H:%M}",
        "end": f"{data[f'{prefix}_end']:%H:%M}",
        "timezone": data[f"{prefix}_zone"] or "UTC",
        "days": data[f"{prefix}_days"],
    }


def hours_spoken(hours: dict[str, Any] | None) -> str:
    """Return hours in words."""
    if not hours:
        return "none"
    days = "" if len(hours["days"]) == len(DAYS) else ", " + " ".join(day.capitalize() for day in hours["days"])
    return f"{hours['start']} to {hours['end']} ({hours['timezone']}){days}"
