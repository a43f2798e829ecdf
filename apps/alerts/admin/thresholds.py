"""Thresholds in the console."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString

from apps.alerts import services
from apps.alerts.models import Alert, Threshold
from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, choices
from apps.core.admin.words import spoken
from apps.core.templatetags.console import badge
from apps.fleet.models import Server


class ThresholdForm(ConsoleForm):
    """A limit."""

    server = forms.ModelChoiceField(
        Server.objects.order_by("name"),
        required=False,
        empty_label="All servers",
        help_text="A server's own limit replaces the one for all.",
    )
    metric = forms.ChoiceField(choices=Threshold.Metric.choices)
    comparison = forms.ChoiceField(choices=Threshold.Comparison.choices, initial=Threshold.Comparison.GTE, label="Is")
    value = forms.FloatField(
        label="Limit",
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text="Percent, but for load and temperature.",
    )
    level = forms.ChoiceField(choices=choices(Alert.Level.choices), initial="warning")
    for_s = DurationField(label="For", initial=0, help_text="So long it must last before an alert opens.")
    clear_value = forms.FloatField(
        required=False,
        label="Clears at",
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text="Where empty: 5 % of the limit on the good side, so that a value on the edge makes one alert, "
        "not many.",
    )
    enabled = forms.BooleanField(required=False, initial=True)
    groups = (
        ("Limit", "", ("server", "metric", "comparison", "value")),
        ("Alert", "", ("level", "for_s", "clear_value", "enabled")),
    )
    service_names: ClassVar = {"metric_type": "metric", "threshold_value": "value", "for": "for_s"}


@admin.register(Threshold)
class ThresholdAdmin(ConsoleAdmin):
    """Limits on servers' metrics."""

    codes: ClassVar = {
        "view": "thresholds:view",
        "add": "thresholds:create",
        "change": "thresholds:update",
        "delete": "thresholds:delete",
    }
    list_title = "Thresholds"
    intro = "Limits on what servers measure. A server's own limit replaces the global one of its metric and level."
    add_label = "Add threshold"
    empty: ClassVar = ("speed", "No threshold", "Without one, no alert comes from a server's figures.")
    form_class = ThresholdForm
    list_display = ("limit", "level_shown", "where", "lasting", "active")
    list_filter = ("metric", "level")
    ordering = ("metric", "level", "id")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the thresholds with their servers."""
        return super().get_queryset(request).select_related("server")

    def row_tone(self, row: Threshold) -> str:
        """Calm down what is switched off."""
        return "" if row.enabled else "muted"

    @column("Limit", order="metric")
    def limit(self, row: Threshold) -> str:
        """Show the rule."""
        return str(row)

    @column("Level", order="level", css="tight")
    def level_shown(self, row: Threshold) -> SafeString:
        """Show the level of its alerts."""
        return badge(row.level)

    @column("Servers", order="server__name")
    def where(self, row: Threshold) -> str:
        """Show where it holds."""
        return row.server.name if row.server else "all servers"

    @column("Must last", css="quiet")
    def lasting(self, row: Threshold) -> str:
        """Show how long a breach must last."""
        return spoken(row.for_s) if row.for_s else "at once"

    @column("In force", css="tight")
    def active(self, row: Threshold) -> SafeString:
        """Show whether it is switched on."""
        return badge("enabled" if row.enabled else "off")

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Threshold:
        """Add a threshold."""
        return services.create_threshold(actor=require(request, "thresholds:create"), values=data)

    def update(self, request: HttpRequest, row: Threshold, data: dict[str, Any]) -> Threshold:
        """Change a threshold."""
        return services.update_threshold(threshold_id=row.pk, actor=require(request, "thresholds:update"), values=data)

    def remove(self, request: HttpRequest, row: Threshold) -> None:
        """Remove a threshold."""
        services.delete_threshold(threshold_id=row.pk, actor=require(request, "thresholds:delete"))

    def page_of(self, row: Threshold) -> str:
        """Lead straight to the form: there is nothing else to see of a limit."""
        return self.path_to("change", row)

    def facts(self, request: HttpRequest, row: Threshold) -> list[tuple[str, Any]]:
        """Return the rule for those who may only read it."""
        return [
            ("Limit", str(row)),
            ("Level", badge(row.level)),
            ("Servers", self.where(row)),
            ("Must last", self.lasting(row)),
            ("Clears at", row.clear_value if row.clear_value is not None else "5 % on the good side"),
            ("In force", "yes" if row.enabled else "no"),
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Come back to the list after saving."""
        answer = super().changeform_view(request, object_id, form_url, extra_context)
        if request.method == "POST" and isinstance(answer, HttpResponseRedirect):
            return HttpResponseRedirect(self.path_to("changelist"))
        return answer
