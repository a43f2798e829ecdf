"""Endpoint monitors in the console."""

from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin
from django.db.models import Case, IntegerField, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import spoken_duration
from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.words import latency, percent, since
from apps.core.fields import MASK
from apps.core.templatetags.console import ago, badge, bars, sparkline
from apps.monitors import series
from apps.monitors.admin.domains import registration_card
from apps.monitors.admin.endpoint_form import (
    EndpointForm,
    Tried,
    ordered_types,
    shown_options,
    values_from,
)
from apps.monitors.checks import check_types
from apps.monitors.checks.options import masked_options
from apps.monitors.models import CertificateMonitor, CheckResult, Endpoint
from apps.monitors.selectors import endpoints as selectors
from apps.monitors.selectors.bars import DayBar, daily_bars
from apps.monitors.services import endpoints as services
from apps.monitors.services.endpoint_pushes import renew_push_token, takes_results
from apps.monitors.services.endpoint_trials import try_endpoint
from apps.monitors.services.maintenance import active_windows
from apps.monitors.states.endpoints import DEGRADED, DOWN, NAMES, PAUSED, UNKNOWN, UP

TONES = {UP: "ok", DEGRADED: "warn", DOWN: "crit", UNKNOWN: "unknown"}
BARS = 30
#: Names the check by hand that led to the page, so that its result stands there.
MADE = "made"
CHART_RANGES = ("1h", "24h", "7d", "30d", "90d", "1y")

WORST_FIRST = Case(
    *(
        When(state__status=status, then=Value(rank))
        for rank, status in enumerate((DOWN, DEGRADED, UNKNOWN, UP, PAUSED))
    ),
    default=Value(9),
    output_field=IntegerField(),
)


class StatusFilter(admin.SimpleListFilter):
    """Endpoints by status."""

    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the states, worst first."""
        return [(DOWN, "Down"), (DEGRADED, "Degraded"), (UNKNOWN, "Unknown"), (UP, "Up"), (PAUSED, "Paused")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the state chosen."""
        return queryset.filter(state__status=self.value()) if self.value() else queryset


class TagFilter(admin.SimpleListFilter):
    """Things by tag."""

    title, parameter_name = "tag", "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the tags in use."""
        names = model_admin.model.tags.through.objects.values_list("tag__name", flat=True).distinct()[:100]
        return [(name, name) for name in sorted(names)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the tag chosen."""
        return queryset.filter(tags__name=self.value()) if self.value() else queryset


class TypeFilter(admin.SimpleListFilter):
    """Endpoints by type."""

    title, parameter_name = "type", "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the types."""
        return ordered_types()

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the type chosen."""
        return queryset.filter(endpoint_type=self.value()) if self.value() else queryset


def recent_cells(row: Endpoint) -> list[dict[str, str]]:
    """Return the last checks as bars, empty ones in front of a young monitor."""
    results = series.recent(row.state.recent)[-BARS:]
    cells = [{"tone": "none", "title": "no check yet"}] * (BARS - len(results))
    return cells + [
        {"tone": TONES[status], "title": f"{status}, {latency(ms)}" if ms is not None else status}
        for status, ms in results
    ]


#: Tones of a day's bar; each also says in words what it was.
DAY_TONES = {"up": "ok", "degraded": "warn", "down": "crit", "unknown": "unknown", "maintenance": "maintenance"}


def bar_cells(days: list[DayBar]) -> list[dict[str, str]]:
    """Return days, oldest first, as uptime bars: up, degraded, down, unknown, maintenance and no data told apart."""
    return [{"tone": DAY_TONES.get(day.status, "none"), "title": day.words} for day in days]


def _check(request: HttpRequest, row: Endpoint, note: str) -> HttpResponse:
    run = services.check_endpoint(endpoint=row, actor=require(request, "endpoints:check"))
    page: str = admin.site._registry[Endpoint].page_of(row)  # type: ignore[attr-defined]
    return HttpResponseRedirect(f"{page}?{urlencode({MADE: selectors.to_ms(run.at)})}")


def _made(request: HttpRequest, row: Endpoint) -> dict[str, Any] | None:
    """Return the check by hand that the address names."""
    given = request.GET.get(MADE, "")
    one = None
    if given.isdecimal() and len(given) < 16:
        one = CheckResult.objects.filter(num=row.num, at=int(given), manual=True).first()
    return _shown(one) if one else None


def _shown(one: CheckResult) -> dict[str, Any]:
    return {"at": selectors.from_ms(one.at), "status": NAMES[one.status], "phases": _phases(one), "one": one}


def _pause(request: HttpRequest, row: Endpoint, note: str) -> str:
    services.pause_endpoint(endpoint=row, actor=require(request, "endpoints:update"))
    return f"{row.name} is paused: no checks, no alerts, no uptime lost."


def _resume(request: HttpRequest, row: Endpoint, note: str) -> str:
    services.resume_endpoint(endpoint=row, actor=require(request, "endpoints:update"))
    return f"{row.name} is checked again."


def _renew(request: HttpRequest, row: Endpoint, note: str) -> HttpResponse:
    token = renew_push_token(endpoint=row, actor=require(request, "endpoints:update"))
    return _show_token(request, row, token)


def _show_token(request: HttpRequest, row: Endpoint, token: str) -> HttpResponse:
    """Show a push address, this once."""
    console: Any = admin.site._registry[Endpoint]
    url = f"{settings.PUBLIC_URL}/api/v1/push/{token}"
    context = console.page_context(
        request,
        title=f"The push address of {row.name}",
        rights=f"Send a result at least every {spoken_duration(row.interval_s)}; silence for "
        f"{spoken_duration(row.timeout_s)} longer counts as down.",
        secret=url,
        usage=f"curl -fsS '{url}?status=up&latency_ms=12'\n"
        f"curl -fsS -H 'X-Push-Token: {token}' -d status=down -d msg='disk full' {settings.PUBLIC_URL}/api/v1/push",
        done_url=console.page_of(row),
    )
    response = TemplateResponse(request, "console/secret.html", context)
    response["Cache-Control"] = "no-store"
    return response


@admin.register(Endpoint)
class EndpointAdmin(ConsoleAdmin):
    """Web addresses, ports and TLS services, and how they answer."""

    codes: ClassVar = {
        "view": "endpoints:view",
        "add": "endpoints:create",
        "change": "endpoints:update",
        "delete": "endpoints:delete",
    }
    subject_kind = "endpoint"
    list_title = "Endpoints"
    add_label = "Add monitor"
    empty: ClassVar = (
        "language",
        "No monitor yet",
        "Add a web address, a port, a database, a name or a host. It is checked at once and then at its interval; "
        "you are told when it fails.",
    )
    form_class = EndpointForm
    list_display = ("endpoint", "status", "last_checks", "day", "answered", "checked")
    list_filter = (StatusFilter, TagFilter, TypeFilter)
    search_fields = ("name", "target", "description")
    search_help_text = "Name or target"
    live_events = "endpoint.alert endpoint.recovery endpoint.created endpoint.updated endpoint.deleted "
    "endpoint.paused endpoint.resumed endpoint.check_result"
    live_every = 5000
    page_scripts = ("console/monitors.js",)
    detail_template = "console/endpoint.html"
    transitions = (
        Transition(
            "check",
            "Check now",
            "bolt",
            "endpoints:check",
            _check,
            offered=lambda row: not takes_results(row.endpoint_type),
            tone="primary",
        ),
        Transition(
            "renew",
            "New push address",
            "key",
            "endpoints:update",
            _renew,
            offered=lambda row: takes_results(row.endpoint_type),
            ask="The address in use ends at once. Make a new one?",
        ),
        Transition("pause", "Pause", "pause", "endpoints:update", _pause, offered=lambda row: row.enabled),
        Transition(
            "resume",
            "Resume",
            "play_arrow",
            "endpoints:update",
            _resume,
            offered=lambda row: not row.enabled,
            tone="primary",
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the endpoints with state and tags, and their rank: worst first."""
        return super().get_queryset(request).with_state().annotate(severity=WORST_FIRST)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Return worst first, then by name."""
        return ("severity", "name", "id")

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Fetch the uptime of the page's endpoints in two queries."""
        figures = selectors.uptime_24h(row.num for row in rows)
        for row in rows:
            row.uptime_24h = figures.get(row.num)
            row.is_excused = bool(active_windows("endpoint", row.pk, [tag.name for tag in row.tags.all()]))

    def row_tone(self, row: Endpoint) -> str:
        """Mark what is down or degraded."""
        return {DOWN: "crit", DEGRADED: "warn", PAUSED: "muted"}.get(row.state.status, "")

    @column("Endpoint", order="name")
    def endpoint(self, row: Endpoint) -> SafeString:
        """Show name, target and tags."""
        words = format_html_join(" ", "<span class='wk-tag'>{}</span>", ((tag.name,) for tag in row.tags.all()))
        what = row.target or getattr(check_types.get(row.endpoint_type), "label", row.endpoint_type)
        return format_html(
            "{}<span class='sub'><span class='wk-clip' title='{}'>{}</span> <span class='wk-tags'>{}</span></span>",
            row.name, what, what, words,
        )  # fmt: skip

    @column("Status", order="severity", css="tight")
    def status(self, row: Endpoint) -> SafeString:
        """Show the status, and whether it is under maintenance."""
        if not getattr(row, "is_excused", False):
            return badge(row.state.status)
        return format_html("{} {}", badge(row.state.status), badge("maintenance"))

    @column("Last 30 checks", css="wide")
    def last_checks(self, row: Endpoint) -> SafeString:
        """Show the last checks as bars."""
        return bars(recent_cells(row), label=f"Last checks of {row.name}", css="thin")

    @column("24 h", css="figure")
    def day(self, row: Any) -> str:
        """Show the uptime of the last day."""
        return percent(row.uptime_24h)

    @column("Response", order="state__last_response_time_ms", css="figure")
    def answered(self, row: Endpoint) -> SafeString:
        """Show the last response time, and how the last ones went; they come along with the state."""
        line = sparkline([ms for _, ms in series.recent(row.state.recent)], f"Response times of {row.name}")
        shown = latency(row.state.last_response_time_ms)
        return format_html('<span class="wk-with-spark">{}<span data-latency>{}</span></span>', line, shown)

    @column("Last check", order="state__last_check_at", css="tight quiet")
    def checked(self, row: Endpoint) -> Any:
        """Show when it was checked last."""
        return ago(row.state.last_check_at, "not yet")

    def initial(self, request: HttpRequest, row: Endpoint | None) -> dict[str, Any]:
        """Return the form's values, headers masked."""
        if row is None:
            return super().initial(request, None)
        values = services.values_of(row)
        values["headers"] = [f"{name}: {MASK}" for name in values["headers"]]
        values["json_value"] = "" if values["json_value"] is None else str(values["json_value"])
        kind = check_types.get(row.endpoint_type)
        options = masked_options(kind.fields, values.pop("options")) if kind else {}
        return {**values, **{f"opt_{row.endpoint_type}_{name}": value for name, value in options.items()}}

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the form, with the result of a trial where it was only tried out."""
        response = super().changeform_view(request, object_id, form_url, extra_context)
        if isinstance(response, TemplateResponse) and response.template_name == "console/form.html":
            response.template_name = "console/endpoint_form.html"
        return response

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Endpoint | HttpResponse:
        """Add a monitor, or try the form out."""
        actor, values = require(request, "endpoints:create"), values_from(data)
        if "_test" in request.POST:
            raise Tried(try_endpoint(actor=actor, values=values))
        row = services.create_endpoint(actor=actor, values=values)
        token = getattr(row, "push_token", "")
        return _show_token(request, row, token) if token else row

    def update(self, request: HttpRequest, row: Endpoint, data: dict[str, Any]) -> Endpoint | HttpResponse:
        """Change a monitor, or try the form out."""
        actor, values = require(request, "endpoints:update"), values_from(data)
        if "_test" in request.POST:
            raise Tried(try_endpoint(actor=actor, values=values, endpoint=row))
        row = services.update_endpoint(endpoint=row, actor=actor, values=values)
        token = getattr(row, "push_token", "")
        return _show_token(request, row, token) if token else row

    def remove(self, request: HttpRequest, row: Endpoint) -> None:
        """Remove a monitor."""
        services.delete_endpoint(endpoint=row, actor=require(request, "endpoints:delete"))

    def delete_warning(self, row: Endpoint) -> str:
        """Say what goes with it."""
        return f"{row.name} is no longer checked; its results and its uptime history are removed."

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Offer the figures of the response-time chart."""
        return [("<str:object_id>/times/", "times", self.times_view)]

    def times_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the points of the response-time chart: [epoch s, mean or single, 95th percentile, failures]."""
        require(request, "endpoints:view")
        row = self.row_or_404(request, object_id)
        span = request.GET.get("range", "24h")
        if span == "1h":
            begin = selectors.to_ms(timezone.now()) - selectors.HOUR_MS
            found = (
                CheckResult.objects.filter(num=row.num, at__gte=begin)
                .order_by("at")
                .values_list("at", "latency_ms", "status")[:2000]
            )
            points = [[at / 1000, ms if status != 3 else None, None, int(status == 3)] for at, ms, status in found]
            return JsonResponse({"points": points, "gap": max(3 * row.interval_s, 30), "raw": True})
        if span not in CHART_RANGES:
            span = "24h"
        buckets = selectors.response_times(row.num, span)
        width = selectors.CHARTS[span][1] / 1000
        points = [[one["at"] / 1000, one["mean_ms"], one["p95_ms"], one["down"]] for one in buckets]
        return JsonResponse({"points": points, "gap": width * 2.5, "raw": False})

    def detail_context(self, request: HttpRequest, row: Endpoint) -> dict[str, Any]:
        """Return uptime, response times, the certificate and the last checks."""
        results = list(CheckResult.objects.filter(num=row.num).order_by("-at")[:20])
        headers = services.values_of(row)["headers"]
        return {
            "now": row.state,
            "uptime": list(selectors.uptime_figures(row.num).items()),
            "maintenance": active_windows("endpoint", row.pk, [tag.name for tag in row.tags.all()]),
            "summary": selectors.latency_summary(row.num),
            "days": bar_cells(daily_bars("endpoint", [row.num], 90)[row.num]),
            "certificate": _certificate(row),
            "registration": registration_card(row),
            "checks": [_shown(one) for one in results],
            "made": _made(request, row),
            "ranges": CHART_RANGES,
            "first_range": "1h" if (timezone.now() - row.created_at).total_seconds() < 6 * 3600 else "24h",
            "times_url": self.path_to("times", row),
            "header_names": sorted(headers),
            "kind_label": getattr(check_types.get(row.endpoint_type), "label", row.endpoint_type),
            "options": shown_options(row.endpoint_type, row.options if isinstance(row.options, dict) else {}),
            "members": list(row.members.select_related("state").order_by("name", "id")),
            "groups": list(row.groups.order_by("name", "id")),
            "failed_since": since(row.state.failing_since) if row.state.failing_since else "",
        }


def _phases(one: CheckResult) -> list[tuple[str, float]]:
    named = (("DNS", one.dns_ms), ("connect", one.connect_ms), ("TLS", one.tls_ms), ("first byte", one.first_byte_ms))
    return [(name, ms) for name, ms in named if ms is not None]


def _certificate(row: Endpoint) -> dict[str, Any] | None:
    kept = row.state.certificate
    if not kept:
        return None
    found = dict(kept)
    host, port = kept.get("address") or ("", 0)
    monitors = CertificateMonitor.objects.filter(hostname=host, port=port, server_name="")
    monitor = monitors.values_list("pk", flat=True).first()
    if monitor is not None:
        found["url"] = reverse("admin:monitors_certificatemonitor_detail", args=[monitor])
    if kept.get("not_after"):
        end = datetime.fromisoformat(kept["not_after"])
        left = (end - timezone.now()).total_seconds() / 86400
        warn = max(row.cert_warn_days or [0])
        found["not_after"], found["days_left"] = end, int(left)
        found["state"] = (
            "expired" if left <= 0 else "failed" if kept.get("problem") else "expiring" if left <= warn else "valid"
        )
    else:
        found["state"] = "failed"
    return found


navigate(WATCH, 20, "Endpoints", icon="language", url="admin:monitors_endpoint_changelist", code="endpoints:view")
