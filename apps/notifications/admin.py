"""The inbox, channels, rules and webhooks in the console."""

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.admin.access import may, principal_of, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.panels import FirstStep, first_steps, page_facts
from apps.core.admin.words import latency, spoken
from apps.core.errors import DomainError
from apps.core.events.catalogue import FACT, catalogue
from apps.core.fields import MASK
from apps.core.templatetags.console import ago, badge
from apps.notifications import selectors, services
from apps.notifications.models import Channel, Delivery, Notification, Rule, Webhook
from apps.notifications.quiet import DAYS
from apps.notifications.transports import transports
from apps.notifications.transports.base import Field

LEVELS = [("critical", "Critical"), ("warning", "Warning"), ("info", "Info")]
SOURCES = [
    ("endpoint", "Endpoints"),
    ("heartbeat", "Heartbeats"),
    ("certificate", "Certificates"),
    ("server", "Servers"),
]


def fact_names() -> list[str]:
    """Return the names and families of facts that can be chosen."""
    names = sorted(name for name, one in catalogue.items() if one.kind == FACT)
    return ["*", *sorted({f"{name.partition('.')[0]}.*" for name in names if "." in name}), *names]


def said(outcome: Any) -> str:
    """Return what the other side of a test said, in one sentence."""
    took = f" after {latency(outcome.latency_ms)}" if outcome.latency_ms is not None else ""
    if outcome.ok:
        return f"The test arrived: {outcome.status_code or 'accepted'}{took}."
    return f"The test failed{took}: {outcome.error or outcome.status_code}"


def tell(request: HttpRequest, row: Any, outcome: Any) -> HttpResponse:
    """Say how a test went, good or bad, and come back to the thing's page."""
    (messages.success if outcome.ok else messages.error)(request, said(outcome))
    kind = row._meta.model_name
    return HttpResponseRedirect(reverse(f"admin:notifications_{kind}_detail", args=[row.pk]))


def state_of(row: Any) -> str:
    """Return what a destination's badge says."""
    if not row.enabled:
        return "disabled"
    return row.state.health if hasattr(row, "state") else "unknown"


# --- the inbox ------------------------------------------------------------------------------------------------------


class UnreadFilter(admin.SimpleListFilter):
    """Read and unread messages."""

    title, parameter_name = "show", "show"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return both."""
        return [("unread", "Unread")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep what was chosen."""
        return queryset.filter(read_at__isnull=True) if self.value() == "unread" else queryset


@admin.register(Notification)
class InboxAdmin(ConsoleAdmin):
    """What the person was told."""

    codes: ClassVar = {"view": "notifications:view"}
    list_title = "Inbox"
    intro = "What you were told, newest first."
    empty: ClassVar = (
        "inbox",
        "Your inbox is empty",
        "Alerts and notices of Watchkeeper itself come here, whatever channels there are.",
    )
    list_display = ("what", "level_shown", "when")
    list_filter = (UnreadFilter,)
    search_fields = ("title", "message")
    ordering = ("-id",)
    live_events = "notification"
    list_actions_template = "console/partials/read_all.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the person's own messages."""
        return Notification.objects.filter(user_id=require(request, "notifications:view").user_id)

    def row_tone(self, row: Notification) -> str:
        """Calm down what was read."""
        if row.read_at:
            return "muted"
        return {"critical": "crit", "warning": "warn"}.get(row.level, "")

    @column("Message")
    def what(self, row: Notification) -> SafeString:
        """Show title and text."""
        return format_html("{}<span class='sub'>{}</span>", row.title, row.message)

    @column("Level", css="tight")
    def level_shown(self, row: Notification) -> SafeString:
        """Show the level."""
        return badge(row.level)

    @column("When", order="id", css="tight")
    def when(self, row: Notification) -> Any:
        """Show when it came."""
        return ago(row.created_at)

    def detail_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Mark the message as read and lead to what it is about."""
        actor = require(request, "notifications:view")
        row = self.row_or_404(request, object_id)
        services.mark_read(actor=actor, notification_id=row.pk)
        return HttpResponseRedirect(row.url if row.url.startswith("/admin/") else self.path_to("changelist"))

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Offer to mark all as read."""
        return [("read-all/", "read_all", self.read_all_view)]

    def read_all_view(self, request: HttpRequest) -> HttpResponse:
        """Mark all of the person's messages as read."""
        actor = require(request, "notifications:view")
        if request.method == "POST":
            services.mark_all_read(actor=actor)
        return HttpResponseRedirect(self.path_to("changelist"))


def _bell(request: HttpRequest) -> dict[str, Any]:
    principal = principal_of(request)
    if principal is None or not may(request, "notifications:view"):
        return {}
    unread = selectors.unread_count(principal)
    return {
        "inbox_url": reverse("admin:notifications_notification_changelist"),
        "inbox_unread": "99+" if unread > 99 else unread,
    }


# --- channels -------------------------------------------------------------------------------------------------------


def _form_field(one: Field) -> forms.Field:
    common: dict[str, Any] = {"label": one.label, "help_text": one.help, "required": one.required}
    if one.kind == "integer":
        return forms.IntegerField(**common, min_value=one.least, max_value=one.most)
    if one.kind == "choice":
        return forms.ChoiceField(**common, choices=[(choice, choice) for choice in one.choices], initial=one.default)
    if one.kind == "texts":
        return WordsField(**common)
    if one.kind == "headers":
        return WordsField(
            **{**common, "help_text": f"{one.help} One “Name: value” a line; {MASK} keeps what is stored."}, lines=True
        )
    if one.secret:
        return forms.CharField(**{**common, "help_text": f"{one.help} {MASK} keeps what is stored.".strip()})
    return forms.CharField(**common)


def channel_form(kind: str) -> type[ConsoleForm]:
    """Return the form of a channel of this kind; its fields are the transport's."""
    transport = transports[kind]
    fields: dict[str, Any] = {
        "name": forms.CharField(max_length=100, help_text="As people see it: “Ops mail”, “On-call phone”."),
        "enabled": forms.BooleanField(required=False, initial=True),
    }
    names = {}
    for one in transport.fields:
        fields[f"config_{one.name}"] = _form_field(one)
        names[f"config.{one.name}"] = f"config_{one.name}"
    groups = (
        ("Channel", "", ("name", "enabled")),
        (transport.label, "", [f"config_{one.name}" for one in transport.fields]),
    )
    return type("ChannelForm", (ConsoleForm,), {**fields, "groups": groups, "service_names": names})


def config_from(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return a channel's configuration from its form's values; what was left empty is left out."""
    config: dict[str, Any] = {}
    for one in transports[kind].fields:
        value = data.get(f"config_{one.name}")
        if one.kind == "headers":
            value = {name.strip(): text.strip() for name, _, text in (line.partition(":") for line in value or [])}
        if value not in (None, "", [], {}):
            config[one.name] = value
    return config


def _test_channel(request: HttpRequest, row: Channel, note: str) -> HttpResponse:
    result = services.try_channel(actor=require(request, "channels:test"), channel=row)
    return tell(request, row, result.outcome)


@admin.register(Channel)
class ChannelAdmin(ConsoleAdmin):
    """Ways to tell people."""

    codes: ClassVar = {
        "view": "channels:view",
        "add": "channels:create",
        "change": "channels:update",
        "delete": "channels:delete",
    }
    list_title = "Channels"
    intro = "Ways to tell people. A channel without a rule is told when an alert opens, escalates and resolves."
    add_label = "Add channel"
    empty: ClassVar = (
        "campaign",
        "No channel yet",
        "Add an email or webhook channel, so that somebody hears when no console is open.",
    )
    form_class = ConsoleForm
    list_display = ("channel", "type_shown", "health", "told")
    ordering = ("name",)
    detail_template = "console/channel.html"
    transitions = (Transition("test", "Send test", "send", "channels:test", _test_channel, tone="primary"),)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the channels with their state."""
        return selectors.channels_with_state()

    def row_tone(self, row: Channel) -> str:
        """Mark what fails."""
        return {"failing": "warn", "disabled": "muted"}.get(state_of(row), "")

    @column("Channel", order="name")
    def channel(self, row: Channel) -> str:
        """Show the name."""
        return row.name

    @column("Kind", order="type", css="tight")
    def type_shown(self, row: Channel) -> str:
        """Show the transport."""
        transport = transports.get(row.type)
        return transport.label if transport else row.type

    @column("State", css="tight")
    def health(self, row: Channel) -> SafeString:
        """Show whether it works."""
        return badge(state_of(row))

    @column("Last delivered", css="tight")
    def told(self, row: Channel) -> Any:
        """Show when something arrived."""
        return ago(row.state.last_delivered_at)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Show the form to those alone who may see the configuration."""
        return super().has_change_permission(request, obj) and may(request, "channels:configure")

    def _kind(self, request: HttpRequest, row: Channel | None) -> str:
        kind = row.type if row is not None else request.GET.get("type", "email")
        return kind if kind in transports else "webhook"

    def form_for(self, request: HttpRequest, row: Channel | None) -> type[ConsoleForm]:
        """Return the form of the channel's kind."""
        return channel_form(self._kind(request, row))

    def initial(self, request: HttpRequest, row: Channel | None) -> dict[str, Any]:
        """Return the form's values, credentials masked."""
        if row is None:
            return {}
        config = selectors.masked_config(row)
        values = {f"config_{name}": value for name, value in config.items()}
        for one in transports[row.type].fields:
            if one.kind == "headers" and one.name in config:
                values[f"config_{one.name}"] = [f"{name}: {text}" for name, text in config[one.name].items()]
        return {"name": row.name, "enabled": row.enabled, **values}

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the form, for a new channel with a choice of kinds."""
        response = super().changeform_view(request, object_id, form_url, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data and object_id is None:
            response.template_name = "console/channel_form.html"
            response.context_data |= {
                "kinds": [(kind, transport.label) for kind, transport in transports.items()],
                "kind": self._kind(request, None),
            }
        return response

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Channel:
        """Add a channel."""
        kind = self._kind(request, None)
        return services.create_channel(
            actor=require(request, "channels:create"),
            name=data["name"],
            type=kind,
            config=config_from(kind, data),
            enabled=data["enabled"],
        )

    def update(self, request: HttpRequest, row: Channel, data: dict[str, Any]) -> Channel:
        """Change a channel; a field that was emptied is taken out of its configuration."""
        config = {
            **{one.name: None for one in transports[row.type].fields if not one.required},
            **config_from(row.type, data),
        }
        stored = selectors.masked_config(row)
        config = {name: value for name, value in config.items() if value is not None or name in stored}
        changes = {"name": data["name"], "enabled": data["enabled"], "config": config}
        return services.update_channel(actor=require(request, "channels:update"), channel_id=row.pk, changes=changes)

    def remove(self, request: HttpRequest, row: Channel) -> None:
        """Remove a channel."""
        services.delete_channel(actor=require(request, "channels:delete"), channel_id=row.pk)

    def delete_warning(self, row: Channel) -> str:
        """Say what goes with it."""
        return "What has not been sent yet is not sent; the record of what was stays."

    def detail_context(self, request: HttpRequest, row: Channel) -> dict[str, Any]:
        """Return the configuration, the rules and the last deliveries."""
        transport = transports.get(row.type)
        labels = {one.name: one.label for one in transport.fields} if transport else {}
        config = selectors.masked_config(row) if may(request, "channels:configure") else {}
        return {
            "badge_state": state_of(row),
            "kind": transport.label if transport else row.type,
            "config": [(labels.get(name, name), value) for name, value in config.items()],
            "rules": list(row.rules.order_by("name")) if may(request, "rules:view") else [],
            "deliveries": list(selectors.deliveries_of(row.pk)[:25]),
            "statistics": selectors.delivery_statistics(row.pk),
        }


# --- rules ----------------------------------------------------------------------------------------------------------


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
        ("…Quiet hours", "what happens then is told afterwards, if it still "
        "matters", ("quiet_start", "quiet_end", "quiet_zone", "quiet_days", "quiet_except")),
    )  # fmt: skip
    service_names: ClassVar = {
        "channel_ids": "channels", "quiet_hours": "quiet_start", "quiet_hours.start": "quiet_start", "quiet_hours.end": "quiet_end",
        "quiet_hours.timezone": "quiet_zone", "quiet_hours.days": "quiet_days", "quiet_hours.except_levels": "quiet_except",
    }  # fmt: skip

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
                "quiet_start": hours.get("start"), "quiet_end": hours.get("end"), "quiet_zone": hours.get("timezone", "UTC"),
                "quiet_days": hours.get("days", []), "quiet_except": hours.get("except_levels", ["critical"]),
            }  # fmt: skip
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
                "start": f"{data['quiet_start']:%H:%M}", "end": f"{data['quiet_end']:%H:%M}", "timezone": data["quiet_zone"] or "UTC",
                "days": data["quiet_days"], "except_levels": data["quiet_except"],
            }  # fmt: skip
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


# --- webhooks -------------------------------------------------------------------------------------------------------


class WebhookForm(ConsoleForm):
    """A program that is told."""

    url = forms.CharField(
        max_length=2000,
        label="URL",
        help_text="Gets a signed POST with JSON for every event. Private addresses need OUTBOUND_ALLOW.",
    )
    events = WordsField(
        required=False,
        initial=["alert.*"],
        help_text="Names or families such as alert.*; * or empty means everything you may read.",
    )
    name = forms.CharField(max_length=100, required=False, help_text="The URL's host where empty.")
    description = forms.CharField(max_length=500, required=False)
    enabled = forms.BooleanField(required=False, initial=True)


def _test_webhook(request: HttpRequest, row: Webhook, note: str) -> HttpResponse:
    result = services.try_webhook(actor=require(request, "webhooks:test"), webhook=row)
    return tell(request, row, result.outcome)


@admin.register(Webhook)
class WebhookAdmin(ConsoleAdmin):
    """Programs that are told by signed POSTs."""

    codes: ClassVar = {
        "view": "webhooks:view",
        "add": "webhooks:create",
        "change": "webhooks:update",
        "delete": "webhooks:delete",
    }
    list_title = "Webhooks"
    intro = "Programs that get a signed POST for every event that matches, in order, at least once."
    add_label = "Add webhook"
    empty: ClassVar = (
        "webhook",
        "No webhook yet",
        "Add one to hand alerts to a chat, a ticket system or a script of your own.",
    )
    form_class = WebhookForm
    list_display = ("webhook", "events_shown", "health", "told")
    search_fields = ("name", "url")
    ordering = ("name", "id")
    detail_template = "console/webhook.html"
    transitions = (Transition("test", "Send test", "send", "webhooks:test", _test_webhook, tone="primary"),)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the webhooks with state and owner."""
        return selectors.webhooks_with_state()

    def row_tone(self, row: Webhook) -> str:
        """Mark what fails."""
        return {"failing": "warn", "disabled": "muted"}.get(state_of(row), "")

    @column("Webhook", order="name")
    def webhook(self, row: Webhook) -> SafeString:
        """Show name and address."""
        return format_html("{}<span class='sub'>{}</span>", row.name, row.url)

    @column("Events", css="wide")
    def events_shown(self, row: Webhook) -> SafeString:
        """Show what it is told of."""
        return format_html_join(" ", "<span class='wk-tag'>{}</span>", ((word,) for word in row.events))

    @column("State", css="tight")
    def health(self, row: Webhook) -> SafeString:
        """Show whether it works."""
        return badge(state_of(row))

    @column("Last delivered", css="tight")
    def told(self, row: Webhook) -> Any:
        """Show when something arrived."""
        return ago(row.state.last_delivered_at)

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Any:
        """Add a webhook and show the secret that was made for it, this once."""
        row, secret = services.create_webhook(
            actor=require(request, "webhooks:create"), **{**data, "events": data["events"] or None}
        )
        return self._secret_page(request, row, secret) if secret else row

    def update(self, request: HttpRequest, row: Webhook, data: dict[str, Any]) -> Webhook:
        """Change a webhook."""
        changes = {**data, "name": data["name"] or row.name, "events": data["events"] or ["*"]}
        return services.update_webhook(actor=require(request, "webhooks:update"), webhook_id=row.pk, changes=changes)[0]

    def remove(self, request: HttpRequest, row: Webhook) -> None:
        """Remove a webhook."""
        services.delete_webhook(actor=require(request, "webhooks:delete"), webhook_id=row.pk)

    def _secret_page(self, request: HttpRequest, row: Webhook, secret: str) -> HttpResponse:
        context = self.page_context(
            request, title=f"Signing secret of {row.name}", row=row, secret=secret, done_url=self.page_of(row),
            rights="The receiver checks each message with it: HMAC-SHA256 over id, timestamp and body (Standard "
            "Webhooks).",
        )  # fmt: skip
        response = TemplateResponse(request, "console/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def detail_context(self, request: HttpRequest, row: Webhook) -> dict[str, Any]:
        """Return the deliveries with their attempts."""
        principal = require(request, "webhooks:view")
        may_test = may(request, "webhooks:test")
        deliveries = [
            {
                "one": one,
                "tries": list(one.tries.all()),
                "payload": selectors.payload_for(principal, one),
                "again_url": self.path_to("redeliver_base", row) + f"{one.uid}/redeliver/"
                if may_test and row.enabled and one.state != Delivery.State.PENDING
                else "",
            }
            for one in selectors.deliveries_of(row.pk)[:25]
        ]
        return {
            "badge_state": state_of(row),
            "deliveries": deliveries,
            "statistics": selectors.delivery_statistics(row.pk),
            "rotate_url": self.path_to("rotate", row) if may(request, "webhooks:update") else "",
        }

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Offer a new secret and redelivery."""
        return [
            ("<str:object_id>/rotate/", "rotate", self.rotate_view),
            ("<str:object_id>/deliveries/", "redeliver_base", self.deliveries_view),
            ("<str:object_id>/deliveries/<uuid:delivery_uid>/redeliver/", "redeliver", self.redeliver_view),
        ]

    def deliveries_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the webhook's page, which lists them."""
        require(request, "webhooks:view")
        return HttpResponseRedirect(self.page_of(self.row_or_404(request, object_id)))

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make a new secret; the former one signs beside it for a time."""
        actor = require(request, "webhooks:update")
        row = self.row_or_404(request, object_id)
        if request.method != "POST":
            return HttpResponseRedirect(self.page_of(row))
        try:
            row, secret = services.update_webhook(actor=actor, webhook_id=row.pk, changes={"rotate_secret": True})
        except DomainError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(self.page_of(row))
        return self._secret_page(request, row, secret or "")

    def redeliver_view(self, request: HttpRequest, object_id: str, delivery_uid: UUID) -> HttpResponse:
        """Queue a message once more."""
        actor = require(request, "webhooks:test")
        row = self.row_or_404(request, object_id)
        try:
            delivery = Delivery.objects.get(uid=delivery_uid, destination_id=row.pk)
        except (Delivery.DoesNotExist, ValidationError) as error:
            raise Http404("There is no such delivery of this webhook.") from error
        if request.method == "POST":
            try:
                services.redeliver(actor=actor, webhook=row, delivery=delivery)
            except DomainError as error:
                messages.error(request, str(error))
            else:
                messages.success(request, "Queued once more, with the same webhook-id.")
        return HttpResponseRedirect(self.page_of(row))


def _tell_somebody(request: HttpRequest) -> FirstStep:
    return FirstStep(
        Channel.objects.exists() or Webhook.objects.exists(),
        "Choose how you are told",
        "An email channel or a webhook, so that somebody hears when no console is open.",
        reverse("admin:notifications_channel_add"),
        "Add channel",
    )


page_facts.register("bell", _bell)
first_steps.register("channel", (30, "channels:create", _tell_somebody))
navigate(
    RESPOND, 20, "Inbox", icon="inbox", url="admin:notifications_notification_changelist", code="notifications:view"
)
navigate(RESPOND, 30, "Channels", icon="campaign", url="admin:notifications_channel_changelist", code="channels:view")
navigate(RESPOND, 40, "Rules", icon="alt_route", url="admin:notifications_rule_changelist", code="rules:view")
navigate(RESPOND, 50, "Webhooks", icon="webhook", url="admin:notifications_webhook_changelist", code="webhooks:view")
