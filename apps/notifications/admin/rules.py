"""Rules."""

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.words import spoken
from apps.core.errors import DomainError
from apps.core.registries import subjects
from apps.core.templatetags.console import badge
from apps.notifications import digests, selectors, services
from apps.notifications.admin import manners
from apps.notifications.admin.common import LEVELS, SOURCES
from apps.notifications.admin.trials import RoutingTrialForm, WordsTrialForm
from apps.notifications.models import Channel, Rule
from apps.notifications.routing import Answer
from apps.notifications.templating import NAMES
from apps.notifications.texts import text_of


class RuleForm(manners.MannersForm, ConsoleForm):
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
    tags = WordsField(required=False, help_text="Things that carry one of these tags; all where empty.")
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
    subjects = WordsField(
        required=False,
        label="Only these",
        help_text="Patterns of their names, such as web-*, or endpoint:*; all where empty.",
    )
    servers = WordsField(required=False, label="On these servers", help_text="Names; all where empty.")
    hours_start = manners.time_field("Counts from")
    hours_end = manners.time_field("until")
    hours_zone = manners.zone_field()
    hours_days = manners.days_field("None chosen: every day.")
    order = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100000,
        initial=100,
        label="Place",
        help_text="Rules with a small number are asked first; 100 where empty.",
    )
    stop = forms.BooleanField(
        required=False, label="Stop here", help_text="Where this rule takes an event, no later rule is asked."
    )
    enabled = forms.BooleanField(required=False, initial=True)
    groups = (
        ("What", "", ("name", "events", "levels", "sources", "tags", "subjects", "servers")),
        ("Who is told", "", ("channels", "inbox", "enabled")),
        ("…How often", "throttle and repetition", ("throttle_s", "escalate_after_s")),
        ("…When", "hours in which the rule counts at all", ("hours_start", "hours_end", "hours_zone", "hours_days")),
        manners.QUIET_GROUP,
        manners.DIGEST_GROUP,
        manners.WORDS_GROUP,
        ("…Order", "of this rule among the others", ("order", "stop")),
    )
    service_names: ClassVar = {
        **manners.SERVICE_NAMES,
        "channel_ids": "channels",
        "throttle": "throttle_s",
        "escalate_after": "escalate_after_s",
        "hours": "hours_start",
        "hours.start": "hours_start",
        "hours.end": "hours_end",
        "hours.timezone": "hours_zone",
        "hours.days": "hours_days",
    }

    def clean(self) -> dict[str, Any]:
        """Demand both ends of the hours or neither."""
        data = super().clean() or {}
        if bool(data.get("hours_start")) != bool(data.get("hours_end")):
            self.add_error("hours_end" if data.get("hours_start") else "hours_start", "Give both times.")
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
    list_display = ("place", "rule", "told_of", "to", "state")
    ordering = ("order", "name", "id")
    search_fields = ("name",)
    list_filter = ("enabled",)
    detail_template = "console/rule.html"
    list_actions_template = "console/partials/rule_actions.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the rules with their channels."""
        return selectors.rules_with_channels()

    def row_tone(self, row: Rule) -> str:
        """Calm down what is switched off, mark what reaches nobody."""
        if not row.enabled:
            return "muted"
        channels = list(row.channels.all())
        reaches = any(selectors.is_reachable(channel) for channel in channels) if channels else row.inbox
        return "" if reaches else "warn"

    @column("Place", order="order", css="tight figure")
    def place(self, row: Rule) -> str:
        """Show when it is asked."""
        return f"{row.order}{' ⏹' if row.stop else ''}"

    @column("Rule", order="name")
    def rule(self, row: Rule) -> SafeString:
        """Show the name, and what is wrong."""
        wrong = selectors.warnings_of(row)
        return (
            format_html("{}<span class='sub'>{}</span>", row.name, wrong[0]) if wrong else format_html("{}", row.name)
        )

    @column("Of", css="wide")
    def told_of(self, row: Rule) -> SafeString:
        """Show what matches."""
        words = [*row.events, *row.levels, *row.sources, *(f"#{tag}" for tag in row.tags), *row.subjects]
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
            hours = row.hours or {}
            values |= {
                "channels": list(row.channels.values_list("pk", flat=True)),
                "hours_start": hours.get("start"),
                "hours_end": hours.get("end"),
                "hours_zone": hours.get("timezone", "UTC"),
                "hours_days": hours.get("days", []),
                "servers": _named(row.servers),
                **manners.shown(row),
            }
        return values

    @staticmethod
    def _values(data: dict[str, Any]) -> dict[str, Any]:
        names = (
            "name", "levels", "sources", "tags", "subjects", "servers", "inbox", "enabled", "stop",
        )  # fmt: skip
        values = {name: data[name] for name in names} | manners.values(data)
        if data["events"]:
            values["events"] = data["events"]
        values["channel_ids"] = [str(channel.pk) for channel in data["channels"]]
        values["throttle_s"] = data["throttle_s"] or 0
        values["escalate_after_s"] = data["escalate_after_s"]
        values["order"] = 100 if data["order"] is None else data["order"]
        values["hours"] = manners.hours_of(data, "hours") if data["hours_start"] and data["hours_end"] else None
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
        return [
            ("Told of", self.told_of(row)),
            ("On servers", ", ".join(_named(row.servers)) or "all"),
            ("Counts", manners.hours_spoken(row.hours) if row.hours else "always"),
            ("To", self.to(row)),
            ("Place", f"{row.order}{', and no later rule is asked' if row.stop else ''}"),
            ("At most once in", spoken(row.throttle_s) if row.throttle_s else "every time"),
            ("Told again after", spoken(row.escalate_after_s) if row.escalate_after_s else "never"),
            ("Quiet hours", manners.hours_spoken(row.quiet_hours)),
            ("Tells", digests.spoken(row.digest)),
            ("Words", "your own" if row.title_template or row.body_template else "the usual ones"),
        ]

    def detail_context(self, request: HttpRequest, row: Rule) -> dict[str, Any]:
        """Show whether it is in force, and whom it can't tell."""
        return {
            "state": "enabled" if row.enabled else "off",
            "warnings": selectors.warnings_of(row),
            "try_url": f"{self.path_to('preview')}?rule={row.pk}",
        }

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        """Offer to try the rules."""
        return {"preview_url": self.path_to("preview"), "words_url": self.path_to("words")}

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Offer to try rules and words on an alert."""
        return [("preview/", "preview", self.preview_view), ("words/", "words", self.words_view)]

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Show who would be told of an alert, and why the others not."""
        require(request, "rules:view")
        form = RoutingTrialForm(request.GET if "event" in request.GET else None)
        answers: list[Answer] = []
        fact = None
        if form.is_bound and form.is_valid():
            fact = form.fact()
            answers = selectors.explain_routing(fact, at=timezone.now())
        context = self.page_context(
            request, title="Who would be told?", form=form, fact=fact, answers=answers,
            text=text_of(fact) if fact else None,
        )  # fmt: skip
        return TemplateResponse(request, "console/routing_preview.html", context)

    def words_view(self, request: HttpRequest) -> HttpResponse:
        """Show what templates make of an alert."""
        require(request, "rules:view")
        form = WordsTrialForm(request.POST or None, initial=_words_of(request))
        words = None
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            try:
                words = selectors.tried_words(
                    form.fact(), title_template=data["title_template"], body_template=data["body_template"]
                )
            except DomainError as error:
                form.refuse(error)
        context = self.page_context(
            request, title="Try words", form=form, words=words, names=NAMES.items(), save_label="Show"
        )
        return TemplateResponse(
            request, "console/words_preview.html", context, status=422 if form.is_bound and form.errors else 200
        )


def _named(servers: list[str]) -> list[str]:
    known = subjects.get("server")
    return [(known.find(number) if known else None) or number for number in servers]


def _words_of(request: HttpRequest) -> dict[str, Any]:
    number = request.GET.get("rule", "")
    row = Rule.objects.filter(pk=number).first() if _is_id(number) else None
    return {"title_template": row.title_template, "body_template": row.body_template} if row else {}


def _is_id(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


navigate(RESPOND, 40, "Rules", icon="alt_route", url="admin:notifications_rule_changelist", code="rules:view")
