"""Escalation policies in the console, and the ladder on an alert's page."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.alerts import services
from apps.alerts.ladders import channel_states, in_words, ladder_of, policies, warnings_of
from apps.alerts.models import Alert, EscalationPolicy
from apps.alerts.services.escalation import STEPS_MOST
from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField, choices
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.panels import SubjectPanel, subject_panels
from apps.core.admin.words import spoken
from apps.core.templatetags.console import badge
from apps.notifications.models import Channel

SOURCES = [
    ("endpoint", "Endpoints"),
    ("heartbeat", "Heartbeats"),
    ("certificate", "Certificates"),
    ("server", "Servers"),
    ("log", "Log rules"),
    ("external", "Other systems"),
]
#: Steps that the form offers; the API takes as many.
OFFERED = STEPS_MOST
#: So many empty ones are shown behind those in use; saving shows further ones.
SPARE, LEAST_SHOWN = 2, 4
#: Place in a refusal of the service -> field of the form.
_PLACES = {
    f"steps.{number - 1}{suffix}": f"step{number}_{field}"
    for number in range(1, OFFERED + 1)
    for suffix, field in (
        ("", "after"),
        (".after_s", "after"),
        (".channels", "channels"),
        (".inbox", "inbox"),
        (".repeat_s", "repeat"),
    )
}


class PolicyForm(ConsoleForm):
    """Who is told next while nobody acknowledges an alert."""

    name = forms.CharField(max_length=100, help_text="For example: Nights, or Payment systems.")
    position = forms.IntegerField(
        initial=100,
        min_value=0,
        max_value=10_000,
        label="Order",
        help_text="Policies are asked from the lowest to the highest; the first that fits an alert counts.",
    )
    enabled = forms.BooleanField(required=False, initial=True, label="In force")
    sources = forms.MultipleChoiceField(
        choices=SOURCES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="About",
        help_text="None chosen: everything.",
    )
    levels = forms.MultipleChoiceField(
        choices=choices(Alert.Level.choices),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: every level.",
    )
    tags = WordsField(required=False, help_text="Alerts that carry one of these tags; all where empty.")
    remind_every_s = DurationField(
        required=False,
        label="Remind every",
        help_text="While it is open and nobody has acknowledged it, tell everybody who knows of it again. 0: never; "
        "empty: as the setting “alerts.remind_every” says.",
    )
    service_names: ClassVar = {"steps": "step1_after", **_PLACES}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = list(Channel.objects.order_by("name").values_list("id", "name", "enabled"))
        options = [(str(number), name if enabled else f"{name} (switched off)") for number, name, enabled in rows]
        for number in range(1, OFFERED + 1):
            self.fields[f"step{number}_after"] = DurationField(
                required=False,
                label="After",
                help_text="without acknowledgement since the alert opened."
                if number == 1
                else "since the alert opened; later than the step before. Empty: there is no such step.",
            )
            self.fields[f"step{number}_channels"] = forms.MultipleChoiceField(
                choices=options,
                required=False,
                widget=forms.CheckboxSelectMultiple,
                label="Tell",
                help_text="" if options else "There is no channel yet; add one first, or tell people in their inbox.",
            )
            self.fields[f"step{number}_inbox"] = forms.BooleanField(
                required=False, label="and everybody in their inbox"
            )
            self.fields[f"step{number}_repeat"] = DurationField(
                required=False, label="and again every", help_text="until the next step; empty: once."
            )

    def parts(self) -> list[dict[str, Any]]:
        """Return the parts; steps that are in use stand open."""
        found = super().parts()
        used = 0
        for number in range(1, OFFERED + 1):
            if self[f"step{number}_after"].value() not in (None, ""):
                used = number
        shown = []
        for part in found:
            number = int(part["title"].split()[1]) if part["title"].startswith("Step ") else 0
            if number <= max(used + SPARE, LEAST_SHOWN):
                shown.append({**part, "open": part.get("open") or 0 < number <= max(used, 1)})
        return shown

    groups: ClassVar = (
        ("Policy", "", ("name", "position", "enabled")),
        ("Which alerts", "all of them where nothing is chosen", ("sources", "levels", "tags")),
        *(
            (
                f"…Step {number}",
                "",
                (f"step{number}_after", f"step{number}_channels", f"step{number}_inbox", f"step{number}_repeat"),
            )
            for number in range(1, OFFERED + 1)
        ),
        ("Reminders", "", ("remind_every_s",)),
    )

    def clean(self) -> dict[str, Any]:
        """Demand a time for a step that names somebody, and no gap between steps."""
        data = super().clean() or {}
        ended = False
        for number in range(1, OFFERED + 1):
            after = data.get(f"step{number}_after")
            named = data.get(f"step{number}_channels") or data.get(f"step{number}_inbox")
            if after is None and f"step{number}_after" not in self.errors:
                if named:
                    self.add_error(f"step{number}_after", "Say after how long.")
                ended = True
            elif ended and after is not None:
                self.add_error(f"step{number}_after", "Fill in the steps before it first.")
        return data


def values_of(data: dict[str, Any]) -> dict[str, Any]:
    """Return the form's values as the service takes them."""
    names = ("name", "position", "enabled", "sources", "levels", "tags", "remind_every_s")
    steps = [
        {
            "after_s": data[f"step{number}_after"],
            "channels": data[f"step{number}_channels"],
            "inbox": data[f"step{number}_inbox"],
            "repeat_s": data[f"step{number}_repeat"] or 0,
        }
        for number in range(1, OFFERED + 1)
        if data.get(f"step{number}_after") is not None
    ]
    return {**{name: data[name] for name in names}, "steps": steps}


@admin.register(EscalationPolicy)
class EscalationPolicyAdmin(ConsoleAdmin):
    """Who is told next while nobody reacts."""

    codes: ClassVar = {
        "view": "escalations:view",
        "add": "escalations:create",
        "change": "escalations:update",
        "delete": "escalations:delete",
    }
    list_title = "Escalation"
    intro = (
        "Who is told next while nobody acknowledges an alert. Policies are asked in this order; the first that fits "
        "an alert counts. An acknowledgement, a recovery or a silence ends it."
    )
    add_label = "Add policy"
    empty: ClassVar = (
        "stairs",
        "No escalation policy",
        "Without one, an alert that nobody acknowledges is told once. Add one to tell somebody else minutes later.",
    )
    form_class = PolicyForm
    detail_template = "console/escalation_policy.html"
    list_display = ("policy", "takes", "steps_shown", "state")
    search_fields = ("name",)
    search_help_text = "Name"
    list_filter = ("enabled",)
    ordering = ("position", "name", "id")

    def row_tone(self, row: EscalationPolicy) -> str:
        """Mark what does not do what it says, and calm down what is switched off."""
        return ("warn" if getattr(row, "warned", None) else "") if row.enabled else "muted"

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Work out sentences and warnings of the page's policies."""
        every, channels = policies(), channel_states()
        for row in rows:
            row.warned, row.sentences = warnings_of(row, every, channels), in_words(row, channels)

    @column("Policy", order="position", css="wide")
    def policy(self, row: EscalationPolicy) -> SafeString:
        """Show the name and its first warning."""
        warned = getattr(row, "warned", [])
        return format_html(
            "{}<span class='sub'>{}</span>", row.name, warned[0] if warned else f"asked at {row.position}"
        )

    @column("Alerts", css="wide")
    def takes(self, row: EscalationPolicy) -> SafeString | str:
        """Show which alerts it takes."""
        words = [*row.sources, *row.levels, *(f"#{tag}" for tag in row.tags)]
        if not words:
            return "every alert"
        return format_html_join(" ", "<span class='wk-tag'>{}</span>", ((word,) for word in words))

    @column("Steps", css="wide quiet")
    def steps_shown(self, row: EscalationPolicy) -> SafeString:
        """Show the steps as sentences."""
        sentences = getattr(row, "sentences", [])
        return format_html_join("", "<span class='sub'>{}</span>", ((one,) for one in sentences[:4]))

    @column("State", css="tight")
    def state(self, row: EscalationPolicy) -> SafeString:
        """Show whether it is in force."""
        return badge("enabled" if row.enabled else "off")

    def initial(self, request: HttpRequest, row: EscalationPolicy | None) -> dict[str, Any]:
        """Return the form's values."""
        if row is None:
            return {"step1_after": 300, "step1_inbox": True, **dict(request.GET.items())}
        names = ("name", "position", "enabled", "sources", "levels", "tags", "remind_every_s")
        values = {name: getattr(row, name) for name in names}
        for number, step in enumerate(row.steps[:OFFERED], start=1):
            values |= {
                f"step{number}_after": step["after_s"],
                f"step{number}_channels": step["channels"],
                f"step{number}_inbox": step["inbox"],
                f"step{number}_repeat": step["repeat_s"] or None,
            }
        return values

    def create(self, request: HttpRequest, data: dict[str, Any]) -> EscalationPolicy:
        """Add a policy."""
        return services.create_policy(actor=require(request, "escalations:create"), values=values_of(data))

    def update(self, request: HttpRequest, row: EscalationPolicy, data: dict[str, Any]) -> EscalationPolicy:
        """Change a policy."""
        return services.update_policy(
            policy_id=row.pk, actor=require(request, "escalations:update"), values=values_of(data)
        )

    def remove(self, request: HttpRequest, row: EscalationPolicy) -> None:
        """Remove a policy."""
        services.delete_policy(policy_id=row.pk, actor=require(request, "escalations:delete"))

    def delete_warning(self, row: EscalationPolicy) -> str:
        """Say what becomes of alerts that climb by it."""
        return "Alerts that climb by it now stay where they are: nobody further is told. This can't be undone."

    def facts(self, request: HttpRequest, row: EscalationPolicy) -> list[tuple[str, Any]]:
        """Return the policy."""
        every = row.remind_every_s
        return [
            ("Alerts", self.takes(row)),
            ("Asked at", row.position),
            ("Reminders", "as the setting says" if every is None else f"every {spoken(every)}" if every else "never"),
        ]

    def detail_context(self, request: HttpRequest, row: EscalationPolicy) -> dict[str, Any]:
        """Show the steps in words and what of them would not do what it says."""
        channels = channel_states()
        return {
            "state": "enabled" if row.enabled else "off",
            "sentences": in_words(row, channels),
            "warned": warnings_of(row, policies(), channels),
        }


def _ladder_panel(request: HttpRequest, kind: str, row: Any) -> dict[str, Any] | None:
    require(request, "alerts:view")
    ladder = ladder_of(row)
    if ladder["state"] == "none" and ladder["reminder"] is None:
        return None
    return {**ladder, "alert": row, "until": row.acknowledged_until if row.status == "acknowledged" else None}


subject_panels.register(
    "alert-ladder", SubjectPanel(("alert",), "console/panels/ladder.html", _ladder_panel, "alerts:view")
)
navigate(
    RESPOND, 45, "Escalation", icon="stairs", url="admin:alerts_escalationpolicy_changelist", code="escalations:view"
)
