"""Certificates in the console."""

from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Case, IntegerField, Value, When
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField
from apps.core.admin.navigation import WATCH, navigate
from apps.core.templatetags.console import ago, badge
from apps.monitors.models import CertificateCheck, CertificateMonitor
from apps.monitors.models.certificates import INTERVAL_S
from apps.monitors.models.endpoints import WARN_DAYS
from apps.monitors.selectors import certificates as selectors
from apps.monitors.selectors.endpoints import from_ms
from apps.monitors.services import certificates as services
from apps.monitors.states.certificates import ERROR, EXPIRED, EXPIRING, NAMES, UNKNOWN, VALID

TONES = {VALID: "ok", EXPIRING: "warn", EXPIRED: "crit", ERROR: "crit", UNKNOWN: "unknown"}
WORDS = {VALID: "Valid", EXPIRING: "Ends soon", EXPIRED: "Expired", ERROR: "Error", UNKNOWN: "Unknown"}

WORST_FIRST = Case(
    *(
        When(state__status=status, then=Value(rank))
        for rank, status in enumerate((EXPIRED, ERROR, EXPIRING, UNKNOWN, VALID))
    ),
    default=Value(9),
    output_field=IntegerField(),
)
TOPICS = {
    "validity": "Valid until", "chain": "Chain", "name": "Name", "ocsp": "OCSP", "crl": "Revocation list",
    "error": "Last check",
}  # fmt: skip


class CertificateForm(ConsoleForm):
    """What people set of a certificate monitor."""

    hostname = forms.CharField(max_length=255, label="Host", help_text="shop.example.org: the host alone.")
    port = forms.IntegerField(
        required=False, min_value=1, max_value=65535, help_text="443 where empty; 25 or 143 with STARTTLS."
    )
    tags = WordsField(required=False, help_text="Apart by commas.")
    warn_days = WordsField(
        label="Warn before the end",
        help_text="Days, apart by commas. You are told once on each of them.",
        initial=[str(day) for day in WARN_DAYS],
    )
    interval_s = DurationField(label="Look every", initial=INTERVAL_S, help_text="From 5 minutes to 7 days.")
    starttls = forms.ChoiceField(
        label="TLS begins",
        choices=[
            ("none", "At once, as on a web server"),
            ("smtp", "After STARTTLS: a mail server (SMTP)"),
            ("imap", "After STARTTLS: a mailbox server (IMAP)"),
        ],
    )
    server_name = forms.CharField(
        required=False,
        label="Server name",
        help_text="The name to ask for and to compare with, where it is not the host's.",
    )
    ca_pem = forms.CharField(
        required=False,
        label="Own authority",
        widget=forms.Textarea(attrs={"rows": 4, "class": "wk-mono"}),
        help_text="Certificates in PEM form to trust instead of the system's, for an authority of your own.",
    )
    enabled = forms.BooleanField(required=False, initial=True, label="Watch it")
    groups = (
        ("Whose certificate?", "", ("hostname", "port", "tags")),
        ("When to tell", "", ("warn_days", "interval_s", "enabled")),
        ("…More", "mail servers, another name, an authority of your own", ("starttls", "server_name", "ca_pem")),
    )

    def clean_warn_days(self) -> list[int]:
        """Return whole days."""
        try:
            return [int(word) for word in self.cleaned_data["warn_days"]]
        except ValueError as error:
            raise forms.ValidationError("Give whole days, for example 30, 14, 7.") from error


class StatusFilter(admin.SimpleListFilter):
    """Certificates by status."""

    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the states, worst first."""
        return [(status, WORDS[status]) for status in (EXPIRED, ERROR, EXPIRING, UNKNOWN, VALID)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the state chosen."""
        return queryset.filter(state__status=self.value()) if self.value() else queryset


class SourceFilter(admin.SimpleListFilter):
    """Certificates by source."""

    title, parameter_name = "source", "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the sources."""
        return [("standalone", "Watched by itself"), ("endpoint", "Seen by an endpoint")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the source chosen."""
        return queryset.filter(source=self.value()) if self.value() else queryset


class SeenTagFilter(admin.SimpleListFilter):
    """Certificates by tag, their own or that of the endpoint that sees them."""

    title, parameter_name = "tag", "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the tags in use."""
        names = CertificateMonitor.objects.values_list("tags__name", "endpoint__tags__name").distinct()[:200]
        return [(name, name) for name in sorted({name for pair in names for name in pair if name})]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the tag chosen."""
        return queryset.tagged([self.value()]) if self.value() else queryset


def _check(request: HttpRequest, row: CertificateMonitor, note: str) -> str:
    finding = services.check_certificate(monitor=row, actor=require(request, "endpoints:check"))
    return f"Looked at {row.address}: {finding.error or finding.message or 'nothing is wrong with its certificate.'}"


def _pause(request: HttpRequest, row: CertificateMonitor, note: str) -> str:
    services.update_certificate(monitor=row, actor=require(request, "endpoints:update"), values={"enabled": False})
    return f"{row.address} is paused: nobody is told about its certificate."


def _resume(request: HttpRequest, row: CertificateMonitor, note: str) -> str:
    services.update_certificate(monitor=row, actor=require(request, "endpoints:update"), values={"enabled": True})
    return f"The certificate of {row.address} is watched again."


def days_bar(row: CertificateMonitor) -> SafeString:
    """Draw how much of its life a certificate has left."""
    bar = selectors.meter(row)
    if bar["days"] is None:
        return format_html("<span class='wk-quiet'>{}</span>", "–")
    left = bar["days"]
    text = "ended" if left < 0 else "today" if left == 0 else "1 day" if left == 1 else f"{left} days"
    return format_html(
        "<span class='wk-meter is-{}'><span class='track'><i style='width:{}%'></i></span><b>{}</b></span>",
        bar["tone"],
        bar["width"],
        text,
    )


@admin.register(CertificateMonitor)
class CertificateAdmin(ConsoleAdmin):
    """Certificates: watched by themselves, and seen by endpoint checks."""

    codes: ClassVar = {
        "view": "endpoints:view",
        "add": "endpoints:create",
        "change": "endpoints:update",
        "delete": "endpoints:delete",
    }
    subject_kind = "certificate"
    list_title = "Certificates"
    intro = "What endpoint checks meet is here by itself; add what no endpoint checks, such as a mail server."
    add_label = "Add certificate"
    empty: ClassVar = (
        "workspace_premium",
        "No certificate yet",
        "Add a host whose certificate you want to be warned about. The certificates of HTTPS endpoints appear here "
        "by themselves with their first check.",
    )
    form_class = CertificateForm
    list_display = ("certificate", "status", "left", "issued_by", "seen_by", "checked")
    list_filter = (StatusFilter, SourceFilter, SeenTagFilter)
    search_fields = ("hostname", "server_name", "state__subject", "state__issuer")
    search_help_text = "Host, subject or issuer"
    live_events = "certificate.*"
    live_every = 5000
    detail_template = "console/certificate.html"
    transitions = (
        Transition("check", "Check now", "bolt", "endpoints:check", _check, tone="primary"),
        Transition(
            "pause", "Pause", "pause", "endpoints:update", _pause, offered=lambda row: row.enabled and row.is_editable
        ),
        Transition(
            "resume", "Resume", "play_arrow", "endpoints:update", _resume,
            offered=lambda row: not row.enabled and row.is_editable,
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the certificates with state, endpoint and tags, and their rank: worst first."""
        return super().get_queryset(request).with_state().annotate(severity=WORST_FIRST)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Return worst first, then what ends first."""
        return ("severity", "state__not_after", "id")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Answer by our own code; what an endpoint sees is changed there."""
        return super().has_change_permission(request, obj) and (obj is None or obj.is_editable)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Answer by our own code; what an endpoint sees goes with it."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.is_editable)

    def row_tone(self, row: CertificateMonitor) -> str:
        """Mark what needs a look."""
        if not row.enabled:
            return "muted"
        return {EXPIRED: "crit", ERROR: "crit", EXPIRING: "warn"}.get(row.state.status, "")

    @column("Certificate", order="hostname")
    def certificate(self, row: CertificateMonitor) -> SafeString:
        """Show address, subject and tags."""
        words = format_html_join(" ", "<span class='wk-tag'>{}</span>", ((name,) for name in row.tag_names()))
        return format_html(
            "{}<span class='sub'>{} <span class='wk-tags'>{}</span></span>", row.address, row.state.subject, words
        )

    @column("Status", order="severity", css="tight")
    def status(self, row: CertificateMonitor) -> SafeString:
        """Show the status."""
        return badge(row.state.status, WORDS[row.state.status], TONES[row.state.status])

    @column("Left", order="state__not_after")
    def left(self, row: CertificateMonitor) -> SafeString:
        """Show how long it has left."""
        return days_bar(row)

    @column("Issuer", order="state__issuer", css="quiet")
    def issued_by(self, row: CertificateMonitor) -> str:
        """Show who issued it."""
        facts = row.state.facts or {}
        return facts.get("issuer_org") or facts.get("issuer_cn") or "–"

    @column("Seen by", css="quiet")
    def seen_by(self, row: CertificateMonitor) -> str:
        """Show whose checks see it."""
        return row.endpoint.name if row.endpoint else "–" if row.is_editable else "no endpoint at present"

    @column("Last check", order="state__last_check_at", css="tight quiet")
    def checked(self, row: CertificateMonitor) -> Any:
        """Show when it was looked at last."""
        return ago(row.state.last_check_at, "not yet")

    def initial(self, request: HttpRequest, row: CertificateMonitor | None) -> dict[str, Any]:
        """Return the form's values."""
        if row is None:
            return super().initial(request, None)
        values = services.values_of(row)
        values["warn_days"] = [str(day) for day in values["warn_days"]]
        return values

    def create(self, request: HttpRequest, data: dict[str, Any]) -> CertificateMonitor:
        """Look at it and watch it from now on."""
        actor = require(request, "endpoints:create")
        seen = services.first_look(data)
        return services.create_certificate(actor=actor, values=data, seen=seen)

    def update(self, request: HttpRequest, row: CertificateMonitor, data: dict[str, Any]) -> CertificateMonitor:
        """Change a monitor."""
        return services.update_certificate(monitor=row, actor=require(request, "endpoints:update"), values=data)

    def remove(self, request: HttpRequest, row: CertificateMonitor) -> None:
        """Remove a monitor."""
        services.delete_certificate(monitor=row, actor=require(request, "endpoints:delete"))

    def delete_warning(self, row: CertificateMonitor) -> str:
        """Say what goes with it."""
        return f"Nobody is warned about the certificate of {row.address} any more; its history is removed."

    def detail_context(self, request: HttpRequest, row: CertificateMonitor) -> dict[str, Any]:
        """Return sentences, chain, bar and the last checks."""
        facts = row.state.facts or {}
        checks = list(CertificateCheck.objects.filter(num=row.num).order_by("-at")[:20])
        endpoint_url = reverse("admin:monitors_endpoint_detail", args=[row.endpoint_id]) if row.endpoint_id else ""
        return {
            "now": row.state,
            "facts_seen": facts,
            "tone": TONES[row.state.status],
            "word": WORDS[row.state.status],
            "bar": days_bar(row),
            "verdicts": [{**one, "title": TOPICS[one["topic"]]} for one in selectors.verdicts(row)],
            "chain": [
                {
                    **link,
                    "not_before": datetime.fromisoformat(link["not_before"]),
                    "not_after": datetime.fromisoformat(link["not_after"]),
                }
                for link in facts.get("chain", [])
            ],
            "checks": [
                {
                    "at": from_ms(one.at),
                    "one": one,
                    "word": WORDS[NAMES[one.status]],
                    "tone": TONES[NAMES[one.status]],
                    "status": NAMES[one.status],
                }
                for one in checks
            ],
            "endpoint_url": endpoint_url,
            "tag_names": row.tag_names(),
            "warn_days": ", ".join(str(day) for day in row.warn_days) or "never",
        }


navigate(
    WATCH, 25, "Certificates", icon="workspace_premium", url="admin:monitors_certificatemonitor_changelist",
    code="endpoints:view",
)  # fmt: skip
