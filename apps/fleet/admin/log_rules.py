"""Rules about log lines in the console."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, choices
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.words import spoken
from apps.core.templatetags.console import badge
from apps.fleet.logs.entries import LEVELS, SOURCES
from apps.fleet.models import LogRule, Server
from apps.fleet.services.log_rules import create_log_rule, delete_log_rule, update_log_rule


class LogRuleForm(ConsoleForm):
    """What is counted, and when it is told."""

    name = forms.CharField(max_length=100, help_text="Stands in the alert.")
    kind = forms.ChoiceField(choices=LogRule.Kind.choices, initial=LogRule.Kind.WORDS, label="Pattern is written as")
    pattern = forms.CharField(
        max_length=500,
        required=False,
        strip=False,
        widget=forms.TextInput(attrs={"class": "wk-mono", "spellcheck": "false"}),
        help_text='Words that must occur, "words in a row", prefix*, -not. A regular expression minds upper and lower '
        "case. Empty: every line of the levels or the name below.",
    )
    levels = forms.MultipleChoiceField(
        choices=[(name, name.capitalize()) for name in LEVELS],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Of the lines. None chosen: every level.",
    )
    server = forms.ModelChoiceField(Server.objects.order_by("name"), required=False, empty_label="All servers")
    tag = forms.CharField(max_length=64, required=False, help_text="Or the servers with this tag.")
    source = forms.ChoiceField(
        choices=choices([(name, name.capitalize()) for name in SOURCES], empty="Any source"), required=False
    )
    source_name = forms.CharField(
        max_length=200, required=False, label="Its name", help_text="Unit, file or container, exactly."
    )
    count = forms.IntegerField(min_value=1, initial=1, label="Lines", help_text="So many lines of one server")
    window_s = DurationField(initial=300, label="Within", help_text="by their own time.")
    severity = forms.ChoiceField(choices=LogRule.Severity.choices, initial=LogRule.Severity.WARNING, label="Level")
    quiet_s = DurationField(initial=600, label="Ends after", help_text="so long without another line.")
    enabled = forms.BooleanField(required=False, initial=True)
    groups = (
        ("Lines", "all that is filled in must match", ("name", "kind", "pattern", "levels")),
        ("Of", "", ("server", "tag", "source", "source_name")),
        ("Alert", "one for each server", ("count", "window_s", "severity", "quiet_s", "enabled")),
    )


@admin.register(LogRule)
class LogRuleAdmin(ConsoleAdmin):
    """Patterns whose lines open alerts."""

    codes: ClassVar = {
        "view": "log_rules:view",
        "add": "log_rules:create",
        "change": "log_rules:update",
        "delete": "log_rules:delete",
    }
    subject_kind = "log_rule"
    list_title = "Log rules"
    intro = "Lines of a pattern that come too often on a server open an alert. Each line counts once, as it is stored."
    add_label = "Add log rule"
    empty: ClassVar = (
        "rule",
        "No log rule yet",
        "Add one to be told when a server writes what should not be there, such as “out of memory”.",
    )
    form_class = LogRuleForm
    list_display = ("rule", "asks", "where", "alert", "state")
    list_filter = ("severity", "enabled")
    search_fields = ("name", "pattern")
    search_help_text = "Name or pattern"
    ordering = ("name", "id")
    live_events = "log.alert log.recovery log_rule.created log_rule.updated log_rule.deleted"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the rules with what they have open."""
        return super().get_queryset(request).select_related("server").prefetch_related("states__server")

    def row_tone(self, row: LogRule) -> str:
        """Mark what is open, calm down what is switched off."""
        if _open(row):
            return "crit" if row.severity == LogRule.Severity.CRITICAL else "warn"
        return "" if row.enabled else "muted"

    @column("Rule", order="name")
    def rule(self, row: LogRule) -> str:
        """Show the name."""
        return row.name

    @column("Lines with")
    def asks(self, row: LogRule) -> str:
        """Show what is counted."""
        parts = [f"/{row.pattern}/" if row.kind == LogRule.Kind.REGEX else row.pattern] if row.pattern else []
        return ", ".join([*parts, *(["/".join(row.levels)] if row.levels else [])]) or "any text"

    @column("Of", css="quiet")
    def where(self, row: LogRule) -> str:
        """Show whose lines are counted."""
        servers = row.server.name if row.server else f"servers tagged {row.tag}" if row.tag else "all servers"
        return ", ".join(part for part in (servers, row.source, row.source_name) if part)

    @column("Alert", order="severity")
    def alert(self, row: LogRule) -> SafeString | str:
        """Show when it is told."""
        lines = "1 line" if row.count == 1 else f"{row.count} lines"
        return f"{row.get_severity_display()} from {lines} within {spoken(row.window_s)}"

    @column("State", css="tight")
    def state(self, row: LogRule) -> SafeString:
        """Show what is open, or whether it watches."""
        opened = _open(row)
        if opened:
            return badge(row.severity, f"open on {', '.join(opened[:3])}" + (" …" if len(opened) > 3 else ""))
        if not row.enabled:
            return badge("off", "Switched off by itself" if row.problem else "", "warn" if row.problem else "")
        return badge("enabled", "Watching")

    def facts(self, request: HttpRequest, row: LogRule) -> list[tuple[str, Any]]:
        """Return what the page says."""
        return [
            ("State", self.state(row)),
            *([("Why", row.problem)] if row.problem else []),
            ("Lines with", self.asks(row)),
            ("Written as", row.get_kind_display()),
            ("Of", self.where(row)),
            ("Alert", self.alert(row)),
            ("Ends after", f"{spoken(row.quiet_s)} without another line"),
            ("Open on", ", ".join(_open(row)) or "no server"),
        ]

    def create(self, request: HttpRequest, data: dict[str, Any]) -> LogRule:
        """Add a rule."""
        return create_log_rule(actor=require(request, "log_rules:create"), values=data)

    def update(self, request: HttpRequest, row: LogRule, data: dict[str, Any]) -> LogRule:
        """Change a rule."""
        return update_log_rule(rule_id=row.pk, actor=require(request, "log_rules:update"), values=data)

    def remove(self, request: HttpRequest, row: LogRule) -> None:
        """Remove a rule."""
        delete_log_rule(rule_id=row.pk, actor=require(request, "log_rules:delete"))

    def delete_warning(self, row: LogRule) -> str:
        """Say what goes with it."""
        return "Its lines stay; the alerts that it has open end."


def _open(row: LogRule) -> list[str]:
    return sorted(state.server.name for state in row.states.all() if state.is_open)


navigate(RESPOND, 15, "Log rules", icon="rule", url="admin:fleet_logrule_changelist", code="log_rules:view")
