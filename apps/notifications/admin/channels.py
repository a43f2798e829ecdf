"""Channels."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString

from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField
from apps.core.admin.navigation import RESPOND, navigate
from apps.core.admin.panels import FirstStep, first_steps
from apps.core.admin.words import spoken
from apps.core.templatetags.console import ago, badge
from apps.notifications import digests, selectors, services
from apps.notifications.admin import manners
from apps.notifications.admin.common import state_of, tell
from apps.notifications.models import Channel, Webhook
from apps.notifications.transports import transports
from apps.notifications.transports.base import Field


def _form_field(one: Field) -> forms.Field:
    field = _plain_field(one)
    field.sealed = one.secret or one.kind == "headers"  # type: ignore[attr-defined]
    return field


def _plain_field(one: Field) -> forms.Field:
    common: dict[str, Any] = {"label": one.label, "help_text": one.help, "required": one.required}
    if one.kind == "integer":
        return forms.IntegerField(**common, min_value=one.least, max_value=one.most)
    if one.kind == "choice":
        return forms.ChoiceField(**common, choices=[(choice, choice) for choice in one.choices], initial=one.default)
    if one.kind == "texts":
        return WordsField(**common)
    if one.kind == "headers":
        return WordsField(**{**common, "help_text": f"{one.help} One “Name: value” a line.".strip()}, lines=True)
    return forms.CharField(**common)


_LIMIT_GROUP = ("…Limit", "so that a storm does not flood it", ("most_messages", "most_per_s"))


def channel_form(kind: str) -> type[ConsoleForm]:
    """Return the form of a channel of this kind; its fields are the transport's."""
    transport = transports[kind]
    fields: dict[str, Any] = {
        "name": forms.CharField(max_length=100, help_text="As people see it: “Ops mail”, “On-call phone”."),
        "enabled": forms.BooleanField(required=False, initial=True),
        "fallback": forms.ModelChoiceField(
            Channel.objects.order_by("name"),
            required=False,
            empty_label="Nobody",
            help_text="Told in its place when a message fails three times or this channel is disabled. A channel that "
            "only stands in, and that no rule names, is told nothing else.",
        ),
        "most_messages": forms.IntegerField(
            required=False, min_value=0, max_value=10000, label="At most", initial=0,
            help_text="So many messages in that time; the others are told in one summary. 0: no limit.",
        ),
        "most_per_s": DurationField(required=False, label="in", initial=300),
    }  # fmt: skip
    names = dict(manners.SERVICE_NAMES, fallback_id="fallback", most_per="most_per_s")
    for one in transport.fields:
        fields[f"config_{one.name}"] = _form_field(one)
        names[f"config.{one.name}"] = f"config_{one.name}"
    groups = (
        ("Channel", "", ("name", "enabled")),
        (transport.label, transport.note, [f"config_{one.name}" for one in transport.fields]),
        ("…When it fails", "who is told instead", ("fallback",)),
        manners.QUIET_GROUP,
        *([manners.DIGEST_GROUP] if transport.takes_summaries else []),
        *([_LIMIT_GROUP] if transport.takes_summaries else []),
        manners.WORDS_GROUP,
    )  # fmt: skip
    if not transport.takes_summaries:  # the other side opens and closes alerts one by one
        hidden = dict.fromkeys((*manners.DIGEST_GROUP[2], "most_messages", "most_per_s"))
        fields = {name: field for name, field in fields.items() if name not in hidden} | hidden
    return type("ChannelForm", (manners.MannersForm, ConsoleForm), {**fields, "groups": groups, "service_names": names})


def manners_from(data: dict[str, Any]) -> dict[str, Any]:
    """Return how a channel tells, from its form's values."""
    digest = {name: data.get(name) for name in manners.DIGEST_GROUP[2]}
    found = manners.values({**data, **digest})
    found["fallback_id"] = data["fallback"].pk if data["fallback"] else None
    if "most_messages" in data:
        found |= {"most_messages": data["most_messages"] or 0, "most_per_s": data["most_per_s"] or 300}
    return found


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
        "Add email, a chat or a phone, so that somebody hears when no console is open.",
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
        return {
            "name": row.name, "enabled": row.enabled, "fallback": row.fallback_id, "most_messages": row.most_messages,
            "most_per_s": row.most_per_s, **manners.shown(row), **values,
        }  # fmt: skip

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
                "note": transports[self._kind(request, None)].note,
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
            manners=manners_from(data),
        )

    def update(self, request: HttpRequest, row: Channel, data: dict[str, Any]) -> Channel:
        """Change a channel; a field that was emptied is taken out of its configuration."""
        config = {
            **{one.name: None for one in transports[row.type].fields if not one.required},
            **config_from(row.type, data),
        }
        stored = selectors.masked_config(row)
        config = {name: value for name, value in config.items() if value is not None or name in stored}
        changes = {"name": data["name"], "enabled": data["enabled"], "config": config, **manners_from(data)}
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
        most = (
            f"{row.most_messages} in {spoken(row.most_per_s)}, the others in a summary" if row.most_messages else "none"
        )
        return {
            "badge_state": state_of(row),
            "note": transport.note if transport else "",
            "stands_in_for": list(row.stands_in_for.order_by("name")),
            "manners": [
                ("When it fails", row.fallback.name if row.fallback else "nobody stands in"),
                ("Limit", most),
                ("Quiet hours", manners.hours_spoken(row.quiet_hours)),
                ("Tells", digests.spoken(row.digest)),
                ("Words", "your own" if row.title_template or row.body_template else "the usual ones"),
            ],
            "kind": transport.label if transport else row.type,
            "config": [(labels.get(name, name), value) for name, value in config.items()],
            "rules": list(row.rules.order_by("name")) if may(request, "rules:view") else [],
            "deliveries": list(selectors.deliveries_of(row.pk)[:25]) if may(request, "deliveries:view") else [],
            "may_see_ledger": may(request, "deliveries:view"),
            "statistics": selectors.delivery_statistics(row.pk),
        }


def _tell_somebody(request: HttpRequest) -> FirstStep:
    return FirstStep(
        Channel.objects.exists() or Webhook.objects.exists(),
        "Choose how you are told",
        "An email channel or a webhook, so that somebody hears when no console is open.",
        reverse("admin:notifications_channel_add"),
        "Add channel",
    )


first_steps.register("channel", (30, "channels:create", _tell_somebody))
navigate(RESPOND, 30, "Channels", icon="campaign", url="admin:notifications_channel_changelist", code="channels:view")
