"""Rules."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.words import spoken
from apps.core.templatetags.console import badge
from apps.notifications import selectors, services
from apps.notifications.admin.common import LEVELS, SOURCES
from apps.notifications.models import Channel, Rule
from apps.notifications.quiet import DAYS


class RuleForm(ConsoleForm):
    """Who is told of what."""

    name = forms.CharField(max_length=100)
    events = WordsField(
        required=False,
        help_text="Names or families such as alert.opened or alert.*, apart by commas. Where empty: alerts and "
        "notices of Watchkeeper itself.",
    )
    levels = forms.MultipleChoiceField(
        choices=LEVELS, required=False, widget=forms.CheckboxSelectMultiple, help_text="None chosen: all."
    )
    sources = forms.MultipleChoiceField(
        choices=SOURCES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="About",
        help_text="None chosen: all.",
    )
    tags = WordsField(required=False, help_text="Things that carry every one of these tags; all where empty.")
    channels = forms.ModelMultipleChoiceField(
        Channel.objects.order_by("name"), required=False, widget=forms.CheckboxSelectMultiple
    )
    inbox = forms.BooleanField(required=False, initial=True, label="Also tell people in their inbox")
    throttle_s = DurationField(
        required=False, label="At most once in", help_text="For one thing; 0 or empty: every time."
    )
    escalate_after_s = DurationField(
        required=False, label="Tell again after", help_text="While an alert is open and nobody has acknowledged it."
    )
    quiet_start = forms.TimeField(
        required=False,
        label="Quiet from",
        widget=forms.TimeInput(attrs={"type": "time", "class": "wk-short"}, format="%H:%M"),
    )
    quiet_end = forms.TimeField(
        required=False,
        label="until",
        widget=forms.TimeInput(attrs={"type": "time", "class": "wk-short"}, format="%H:%M"),
    )
    quiet_zone = forms.CharField(
        required=False, label="Time zone", initial="UTC", help_text="IANA name such as Europe/Berlin."
    )
    quiet_days = forms.MultipleChoiceField(
        choices=[(day, day.capitalize()) for day in DAYS],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="On",
        help_text="None chosen: every day.",
    )
    quiet_except = forms.MultipleChoiceField(
        choices=LEVELS,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="But never hold back",
        initial=["critical"],
    )
    enabled = forms.BooleanField(required=False, initial=True)
    groups = (
        ("What", "", ("name", "events", "levels", "sources", "tags")),
        ("Who is told", "", ("channels", "inbox", "enabled")),
        ("…How often", "throttle and repetition", ("throttle_s", "escalate_after_s")),
        (
            "…Quiet hours",
            "what happens then is told afterwards, if it still matters",
            ("quiet_start", "quiet_end", "quiet_zone", "quiet_days", "quiet_except"),
        ),
    )
    service_names: ClassVar = {
        "channel_ids": "channels",
        "quiet_hours": "quiet_start",
        "quiet_hours.start": "quiet_start",
        "quiet_hours.end": "quiet_end",
        "quiet_hours.timezone": "quiet_zone",
        "quiet_hours.days": "quiet_days",
        "quiet_hours.except_levels": "quiet_except",
    }

    def clean(self) -> dict[str, Any]:
        """Demand both ends of the quiet hours or neither."""
        data = super().clean() or {}
        if bool(data.get("quiet_start")) != bool(data.get("quiet_end")):
            self.add_error("quiet_end" if data.get("quiet_start") else "quiet_start", "Give both times.")
        return data


@admin.register(Rule)
class RuleAdmin(ConsoleAdmin):
    """Which facts go to which channels."""

    codes: ClassVar = {"view": "rules:view", "add": "rules:create", "change": "rules:update", "delete": "rules:delete"}
    list_title = "Rules"
    intro = "Which events go to which channels. Without any rule, every channel is told of every alert."
    add_label = "Add rule"
    empty: ClassVar = (
        "alt_route",
        "No rule",
        "Every channel is told of every alert. Add a rule to tell some people of some things only.",
    )
    form_class = RuleForm
    list_display = ("rule", "told_of", "to", "state")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the rules with their channels."""
        return selectors.rules_with_channels()

    def row_tone(self, row: Rule) -> str:
        """Calm down what is switched off."""
        return "" if row.enabled else "muted"

    @column("Rule", order="name")
    def rule(self, row: Rule) -> str:
        """Show the name."""
        return row.name

    @column("Of", css="wide")
    def told_of(self, row: Rule) -> SafeString:
        """Show what matches."""
        words = [*row.events, *row.levels, *row.sources, *(f"#{tag}" for tag in row.tags)]
        return format_html_join(" ", "<span class='wk-tag'>{}</span>", ((word,) for word in words))

    @column("To", css="wide")
    def to(self, row: Rule) -> str:
        """Show who is told."""
        names = [channel.name for channel in row.channels.all()] + (["inbox"] if row.inbox else [])
        return ", ".join(names) or "nobody"

    @column("State", css="tight")
    def state(self, row: Rule) -> SafeString:
        """Show whether it is in force."""
        return badge("enabled" if row.enabled else "off")

    def initial(self, request: HttpRequest, row: Rule | None) -> dict[str, Any]:
        """Return the form's values."""
        values = super().initial(request, row)
        if row is not None:
            hours = row.quiet_hours or {}
            values |= {
                "channels": list(row.channels.values_list("pk", flat=True)),
                "quiet_start": hours.get("start"),
                "quiet_end": hours.get("end"),
                "quiet_zone": hours.get("timezone", "UTC"),
                "quiet_days": hours.get("days", []),
                "quiet_except": hours.get("except_levels", ["critical"]),
            }
        return values

    @staticmethod
    def _values(data: dict[str, Any]) -> dict[str, Any]:
        values = {name: data[name] for name in ("name", "levels", "sources", "tags", "inbox", "enabled")}
        if data["events"]:
            values["events"] = data["events"]
        values["channel_ids"] = [str(channel.pk) for channel in data["channels"]]
        values["throttle_s"] = data["throttle_s"] or 0
        values["escalate_after_s"] = data["escalate_after_s"]
        values["quiet_hours"] = None
        if data["quiet_start"] and data["quiet_end"]:
            values["quiet_hours"] = {
                "start": f"{data['quiet_start']:%H:%M}",
                "end": f"{data['quiet_end']:%H:%M}",
                "timezone": data["quiet_zone"] or "UTC",
                "days": data["quiet_days"],
                "except_levels": data["quiet_except"],
            }
        return values

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Rule:
        """Add a rule."""
        return services.create_rule(actor=require(request, "rules:create"), values=self._values(data))

    def update(self, request: HttpRequest, row: Rule, data: dict[str, Any]) -> Rule:
        """Change a rule."""
        return services.update_rule(actor=require(request, "rules:update"), rule_id=row.pk, changes=self._values(data))

    def remove(self, request: HttpRequest, row: Rule) -> None:
        """Remove a rule."""
        services.delete_rule(actor=require(request, "rules:delete"), rule_id=row.pk)

    def facts(self, request: HttpRequest, row: Rule) -> list[tuple[str, Any]]:
        """Return the rule."""
        hours = row.quiet_hours
        return [
            ("Told of", self.told_of(row)),
            ("To", self.to(row)),
            ("At most once in", spoken(row.throttle_s) if row.throttle_s else "every time"),
            ("Told again after", spoken(row.escalate_after_s) if row.escalate_after_s else "never"),
            ("Quiet hours", f"{hours['start']} to {hours['end']} ({hours['timezone']})" if hours else "none"),
        ]

    def detail_context(self, request: HttpRequest, row: Rule) -> dict[str, Any]:
        """Show whether it is in force."""
        return {"state": "enabled" if row.enabled else "off"}


navigate(RESPOND, 40, "Rules", icon="alt_route", url="admin:notifications_rule_changelist", code="rules:view")
