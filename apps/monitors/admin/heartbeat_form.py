"""The form of a heartbeat, and of the things beside it."""

from typing import Any
from zoneinfo import available_timezones

from django import forms

from apps.core.admin.forms import ConsoleForm, DurationField, WordsField, choices
from apps.monitors.models import Heartbeat, PingKey


def clean_zone(text: str) -> str:
    """Return a zone that exists.

    Raises:
        ValidationError: it is none.
    """
    zone = text.strip() or "UTC"
    if zone not in available_timezones():
        raise forms.ValidationError("This is not an IANA time zone such as Europe/Berlin.")
    return zone


class HeartbeatForm(ConsoleForm):
    """What people set of a heartbeat."""

    name = forms.CharField(max_length=255, help_text="The job, e.g. “Nightly backup of db1”.")
    kind = forms.ChoiceField(
        choices=[
            (Heartbeat.INTERVAL, "At an interval"),
            (Heartbeat.CRON, "By a cron expression"),
            (Heartbeat.CALENDAR, "By a systemd calendar"),
        ],
        label="Expected",
    )
    interval_seconds = DurationField(required=False, label="Every", help_text="10 s or more: 5m, 1h, 1d.", initial=3600)
    cron = forms.CharField(
        required=False, label="Cron expression", help_text="Five fields, or @daily and the like: 30 2 * * 1-5."
    )
    on_calendar = forms.CharField(
        required=False, label="OnCalendar", help_text="As in the timer of systemd: Mon..Fri *-*-* 09:00, or weekly."
    )
    timezone = forms.CharField(
        initial="UTC",
        label="Time zone",
        help_text="IANA name of the job's own clock; the expression is read in it, summer time included.",
    )
    grace_seconds = DurationField(
        required=False,
        label="Grace",
        help_text="So long after the due time it is only late. Chosen for you where empty.",
    )
    max_runtime_seconds = DurationField(
        required=False, label="Longest run", help_text="A run that started and takes longer counts as failed."
    )
    early_seconds = DurationField(
        required=False, label="Early window", help_text="A job that reports this early counts for the coming run."
    )
    resume_on_ping = forms.BooleanField(required=False, label="A ping resumes it where it is paused")
    expected_sources = WordsField(
        required=False,
        label="Sources",
        help_text="Names of machines that must each report a success for every run, apart by commas; each calls the "
        "address with ?source=NAME. Whoever is absent is named.",
    )
    expected_pings = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100,
        label="Successes for a run",
        help_text="Empty: one, or one a source.",
    )
    failure_keywords = WordsField(
        required=False,
        lines=True,
        label="Failure words",
        help_text="One a line; case counts. They win over the others.",
    )
    success_keywords = WordsField(required=False, lines=True, label="Success words", help_text="One a line.")
    start_keywords = WordsField(required=False, lines=True, label="Start words", help_text="One a line.")
    otherwise = forms.ChoiceField(
        required=False,
        label="Without any of the words",
        choices=[("success", "it is a success"), ("fail", "it is a failure"), ("log", "it is only logged")],
    )
    ping_key_id = forms.ChoiceField(
        required=False, label="Ping key", help_text="Lets the job be called by its slug below this key too."
    )
    slug = forms.CharField(required=False, max_length=100, help_text="Made of the name where empty.")
    tags = WordsField(required=False, help_text="Apart by commas.")
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}))
    groups = (
        ("Job", "", ("name", "tags")),
        (
            "When is a sign of life due?",
            "",
            ("kind", "interval_seconds", "cron", "on_calendar", "timezone", "grace_seconds"),
        ),
        (
            "…What counts as a success?",
            "several machines, words in the output",
            (
                "expected_sources",
                "expected_pings",
                "failure_keywords",
                "success_keywords",
                "start_keywords",
                "otherwise",
            ),
        ),
        (
            "…More",
            "longest run, early window, slug, notes",
            ("max_runtime_seconds", "early_seconds", "resume_on_ping", "ping_key_id", "slug", "description"),
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["interval_seconds"].when = "kind=interval"
        fields["cron"].when = "kind=cron"
        fields["on_calendar"].when = "kind=calendar"
        for name in ("timezone", "early_seconds"):
            fields[name].when = "kind=cron|calendar"
        fields["timezone"].widget.attrs["list"] = "zones"
        keys = PingKey.objects.values_list("id", "name")[:500]
        fields["ping_key_id"].choices = choices(((str(pk), name) for pk, name in keys), empty="none")

    def clean_timezone(self) -> str:
        """Return a zone that exists."""
        return clean_zone(self.cleaned_data["timezone"])

    def clean(self) -> dict[str, Any]:
        """Keep the one schedule that was chosen."""
        data = super().clean() or {}
        wanted = {"cron": "cron", "calendar": "on_calendar"}.get(str(data.get("kind")), "interval_seconds")
        for name, nothing in (("interval_seconds", None), ("cron", ""), ("on_calendar", "")):
            if name != wanted:
                data[name] = nothing
        if not data.get(wanted) and wanted not in self.errors:
            missing = {"cron": "a cron expression", "on_calendar": "a calendar expression"}.get(wanted, "an interval")
            self.add_error(wanted, f"Give {missing}.")
        data["ping_key_id"] = data.get("ping_key_id") or None
        data["expected_pings"] = data.get("expected_pings") or 0
        if not any(data.get(name) for name in ("failure_keywords", "success_keywords", "start_keywords")):
            data["otherwise"] = Heartbeat.AS_SUCCESS  # it has no meaning then
        return data


class PingKeyForm(ConsoleForm):
    """A ping key, and what a heartbeat gets that it adds."""

    name = forms.CharField(max_length=100, help_text="Whose jobs these are, e.g. “Cluster A”.")
    enabled = forms.BooleanField(required=False, initial=True, label="Its addresses work")
    create_limit = forms.IntegerField(
        initial=100,
        min_value=0,
        label="Most heartbeats",
        help_text="So many may belong to it before ?create=1 adds no more.",
    )
    interval_seconds = DurationField(required=False, label="Every", help_text="Once a day where nothing is given.")
    cron = forms.CharField(required=False, label="Cron expression", help_text="In place of the interval.")
    timezone = forms.CharField(initial="UTC", label="Time zone", widget=forms.TextInput(attrs={"list": "zones"}))
    grace_seconds = DurationField(required=False, label="Grace", help_text="Chosen by the period where empty.")
    tags = WordsField(required=False, help_text="Apart by commas.")
    groups = (
        ("Key", "", ("name", "enabled", "create_limit")),
        (
            "What a heartbeat gets that is added by its first ping",
            "",
            ("interval_seconds", "cron", "timezone", "grace_seconds", "tags"),
        ),
    )

    def clean_timezone(self) -> str:
        """Return a zone that exists."""
        return clean_zone(self.cleaned_data["timezone"])


class BadgeForm(ConsoleForm):
    """What a badge shows."""

    kind = forms.ChoiceField(
        choices=[("heartbeat", "A heartbeat"), ("endpoint", "An endpoint"), ("tag", "Everything with a tag")],
        label="Of",
    )
    subject = forms.CharField(
        max_length=128, label="Which", help_text="The tag's name; of a heartbeat or an endpoint its name or id."
    )
    shows = forms.ChoiceField(
        choices=[("status", "The status"), ("uptime", "The uptime"), ("last_ping", "The last run (of a heartbeat)")]
    )
    days = forms.IntegerField(initial=30, min_value=1, max_value=365, help_text="Of the uptime.")
    label = forms.CharField(
        required=False,
        max_length=60,
        help_text="The left word. Everybody who has the address reads it; nothing else on the badge names the thing.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["days"].when = "shows=uptime"  # type: ignore[attr-defined]
