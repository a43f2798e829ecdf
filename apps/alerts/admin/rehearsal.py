"""Trying a threshold, a rule, a schedule or an endpoint's patience on the past, from their forms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from apps.alerts.admin.thresholds import ThresholdForm
from apps.alerts.models import Threshold
from apps.alerts.services.rehearsal import Report, rehearse
from apps.core.admin.access import require
from apps.core.admin.forms import ConsoleForm, DurationField
from apps.core.admin.pages import page, render
from apps.core.admin.panels import FormButton, form_buttons
from apps.core.errors import DomainError, Invalid
from apps.monitors.models import Endpoint, Heartbeat
from apps.notifications.admin.rules import RuleAdmin, RuleForm
from apps.notifications.models import Rule

SPANS = ((1, "the last day"), (7, "the last 7 days"), (30, "the last 30 days"), (90, "the last 90 days"))
SHOWN = 100


class ScheduleForm(ConsoleForm):
    """What of a heartbeat's form is tried."""

    kind = forms.CharField(required=False)
    interval_seconds = DurationField(required=False)
    cron = forms.CharField(required=False)
    on_calendar = forms.CharField(required=False)
    timezone = forms.CharField(required=False)
    grace_seconds = DurationField(required=False)
    early_seconds = DurationField(required=False)
    max_runtime_seconds = DurationField(required=False)

    def values(self) -> dict[str, Any]:
        """Return what the rehearsal takes; the kind says which of the three schedules counts."""
        data = self.cleaned_data
        name = {"interval": "interval_seconds", "cron": "cron", "calendar": "on_calendar"}.get(
            data["kind"], "interval_seconds"
        )
        found = {name: data[name], "max_runtime_seconds": data["max_runtime_seconds"]}
        for other in ("grace_seconds", "early_seconds"):
            found[other] = data[other]
        if data["timezone"]:
            found["timezone"] = data["timezone"]
        return found


class PatienceForm(ConsoleForm):
    """What of an endpoint's form is tried."""

    failure_threshold = forms.IntegerField(required=False)
    recovery_threshold = forms.IntegerField(required=False)
    degraded_over_ms = forms.IntegerField(required=False)


def _of_threshold(form: Any, row: Any) -> dict[str, Any]:
    return {**form.cleaned_data, **({"threshold": row} if row is not None else {})}


def _of_rule(form: Any, row: Any) -> dict[str, Any]:
    return {**RuleAdmin._values(form.cleaned_data), **({"rule_id": row.pk} if row is not None else {})}


def _of_schedule(form: Any, row: Any) -> dict[str, Any]:
    return {**form.values(), "heartbeat": row}


def _of_endpoint(form: Any, row: Any) -> dict[str, Any]:
    given = {name: value for name, value in form.cleaned_data.items() if value is not None}
    return {**given, "endpoint": row}


@dataclass(frozen=True, slots=True)
class _Kind:
    model: Any
    form: Any
    values: Callable[[Any, Any], dict[str, Any]]
    word: str
    code: str
    needs_row: bool = False


KINDS: Mapping[str, _Kind] = {
    "threshold": _Kind(Threshold, ThresholdForm, _of_threshold, "threshold", "thresholds:view"),
    "rule": _Kind(Rule, RuleForm, _of_rule, "rule", "rules:view"),
    "schedule": _Kind(Heartbeat, ScheduleForm, _of_schedule, "schedule", "heartbeats:view", needs_row=True),
    "endpoint": _Kind(Endpoint, PatienceForm, _of_endpoint, "endpoint", "endpoints:view", needs_row=True),
}


@page("rehearsal/<str:kind>/", "rehearsal", code="alerts:view")
def rehearsal_view(request: HttpRequest, kind: str) -> HttpResponse:
    """Show what the values of a form would have done; nothing is saved."""
    known = KINDS.get(kind)
    if known is None:
        raise Http404("There is no such rehearsal.")
    actor = require(request, known.code)
    console: Any = admin.site._registry[known.model]
    key = request.GET.get("id", "")
    row = console.row_or_404(request, key) if key else None
    if request.method != "POST" or (known.needs_row and row is None):
        return HttpResponseRedirect(console.path_to("changelist"))
    form = known.form(request.POST)
    days = next((days for days, _ in SPANS if str(days) == request.POST.get("rehearsal_days")), 7)
    report: Report | None = None
    problems: list[str] = []
    if form.is_valid():
        now = timezone.now()
        try:
            report = rehearse(
                kind=kind, proposal=known.values(form, row), since=now - timedelta(days=days), until=now, actor=actor
            )
        except Invalid as error:
            problems = [
                f"{name.replace('_', ' ')}: {text}" if name else text
                for name, texts in error.problems.items()
                for text in texts
            ]
        except (DomainError, ValidationError) as error:
            problems = [str(error)]
    else:
        problems = [f"{name.replace('_', ' ')}: {' '.join(map(str, texts))}" for name, texts in form.errors.items()]
    return render(
        request,
        "console/rehearsal.html",
        f"{known.word.capitalize()} on the past",
        status=422 if problems else 200,
        kind=kind,
        report=report,
        problems=problems,
        shown=report.fired[:SHOWN] if report else [],
        rest=max(0, len(report.fired) - SHOWN) if report else 0,
        days=_bars(report) if report else [],
        told=report.told.most_common() if report else [],
        spans=[(days_, words, days_ == days) for days_, words in SPANS],
        # Only what the rehearsal reads goes back into the page, never a credential of the form.
        given=[(name, value) for name in form.fields for value in request.POST.getlist(name)],
        back_url=console.path_to("change", row) if row is not None else console.path_to("changelist"),
        what=console.title_of(row) if row is not None else f"a new {known.word}",
    )


def _bars(report: Report) -> list[dict[str, Any]]:
    days = report.per_day()
    most = max((day["count"] for day in days), default=0) or 1
    return [{**day, "height": round(100 * day["count"] / most)} for day in days]


def _path(kind: str) -> Callable[[Any], str]:
    def path(row: Any) -> str:
        if row is None:
            return "" if KINDS[kind].needs_row else reverse("admin:rehearsal", args=[kind])
        return f"{reverse('admin:rehearsal', args=[kind])}?id={row.pk}"

    return path


for _name, _kind in KINDS.items():
    form_buttons.register(
        f"alerts.rehearsal.{_name}",
        FormButton(_kind.model._meta.label_lower, "Try it on the past", "history", "alerts:view", _path(_name)),
    )
