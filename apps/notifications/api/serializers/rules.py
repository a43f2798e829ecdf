"""Rules, and what they would do."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.notifications import selectors
from apps.notifications.api.serializers.channels import ManyLines
from apps.notifications.api.serializers.common import (
    DigestSerializer,
    DurationField,
    HoursSerializer,
    QuietHoursSerializer,
    Str,
    SubjectSerializer,
    Words,
    with_end_names,
)
from apps.notifications.models import Rule

_FILTERS = {"level": "levels", "source": "sources", "tag": "tags", "subject": "subjects", "server": "servers"}


class FilterSerializer(serializers.Serializer[Any]):
    """Which of the events a rule names go through; empty lists let everything through."""

    level = Words(child=Str(), required=False)
    source = Words(child=Str(), required=False)  # type: ignore[assignment]
    tag = Words(child=Str(), required=False, help_text="One of these.")
    subject = Words(child=Str(), required=False, help_text='Patterns of the name, the id or "kind:id": "web-*".')
    server = Words(child=Str(), required=False, help_text="Ids or slugs; shown as ids.")


class RuleSerializer(serializers.ModelSerializer[Rule]):
    """A routing rule."""

    filter = serializers.SerializerMethodField()
    channel_ids = serializers.SerializerMethodField()
    throttle = serializers.IntegerField(source="throttle_s", help_text="Seconds.")
    escalate_after = serializers.IntegerField(source="escalate_after_s", allow_null=True, help_text="Seconds.")
    quiet_hours = serializers.SerializerMethodField()
    hours = serializers.SerializerMethodField()
    digest = serializers.SerializerMethodField()
    warnings = serializers.SerializerMethodField()

    class Meta:
        model = Rule
        fields = (
            "id", "name", "order", "stop", "events", "filter", "hours", "channel_ids", "inbox", "enabled", "throttle",
            "quiet_hours", "digest", "escalate_after", "title_template", "body_template", "template_error", "warnings",
            "revision", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {"events": {"help_text": "Names and patterns."}}

    @extend_schema_field(FilterSerializer)
    def get_filter(self, row: Rule) -> dict[str, list[str]]:
        return {
            "level": row.levels, "source": row.sources, "tag": row.tags, "subject": row.subjects, "server": row.servers,
        }  # fmt: skip

    @extend_schema_field({"type": "array", "items": {"type": "string", "format": "uuid"}})
    def get_channel_ids(self, row: Rule) -> list[str]:
        return sorted(str(channel.id) for channel in row.channels.all())

    @extend_schema_field(QuietHoursSerializer(allow_null=True))
    def get_quiet_hours(self, row: Rule) -> dict[str, Any] | None:
        return row.quiet_hours

    @extend_schema_field(HoursSerializer(allow_null=True))
    def get_hours(self, row: Rule) -> dict[str, Any] | None:
        return row.hours

    @extend_schema_field(DigestSerializer(allow_null=True))
    def get_digest(self, row: Rule) -> dict[str, Any] | None:
        return row.digest

    @extend_schema_field(
        {"type": "array", "items": {"type": "string"}, "description": "Who can't be told now, and why."}
    )
    def get_warnings(self, row: Rule) -> list[str]:
        return selectors.warnings_of(row)


class RuleBody(serializers.Serializer[Any]):
    """What a rule is made of."""

    name = Str(required=False)
    order = serializers.IntegerField(required=False, help_text="Smaller ones are asked first; 100 where absent.")
    stop = serializers.BooleanField(required=False, help_text="Where this rule takes an event, no later one is asked.")
    events = Words(child=Str(), required=False, help_text='Names and patterns, "alert.*".')
    event_types = Words(child=Str(), required=False, help_text="The same as events.")
    filter = FilterSerializer(required=False)
    inbox = serializers.BooleanField(required=False, help_text="Also tell people in their inbox; true where absent.")
    enabled = serializers.BooleanField(required=False)
    throttle = DurationField(
        required=False, allow_null=True, help_text="The same of the same thing at most once in this time."
    )
    hours = HoursSerializer(required=False, allow_null=True)
    quiet_hours = QuietHoursSerializer(required=False, allow_null=True)
    digest = DigestSerializer(required=False, allow_null=True)
    title_template = ManyLines(help_text="Title of the messages; the channel's or the default one where empty.")
    body_template = ManyLines(help_text="Text of the messages; the channel's or the default one where empty.")
    escalate_after = DurationField(
        required=False, allow_null=True, help_text="Tell the channels again when nobody acknowledged by then."
    )

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            data = dict(data)
            for alias, name in (
                ("throttle_s", "throttle"),
                ("escalate_after_s", "escalate_after"),
                ("filters", "filter"),
            ):
                if alias in data:
                    data.setdefault(name, data[alias])
            data = with_end_names(data, "quiet_hours", "hours")
            chosen = data.get("filter")
            if isinstance(chosen, dict):
                data["filter"] = {key: [value] if isinstance(value, str) else value for key, value in chosen.items()}
        return super().to_internal_value(data)


class FullRuleBody(RuleBody):
    """What a rule of any channels is made of."""

    channel_ids = Words(child=serializers.UUIDField(), required=False)


def rule_values(data: dict[str, Any]) -> dict[str, Any]:
    """Return a rule's body in the services' words."""
    values = dict(data)
    chosen = values.pop("filter", None)
    if chosen is not None:
        values |= {name: list(chosen.get(key) or []) for key, name in _FILTERS.items()}
    events = values.pop("event_types", None)
    if events is not None:
        values.setdefault("events", events)
    for key in ("throttle", "escalate_after"):
        if key in values:
            values[f"{key}_s"] = values.pop(key)
    return values


class FactBody(serializers.Serializer[Any]):
    """A fact to try: one that happened (`alert_id`, or `seq` of any fact), or one made up from the other fields."""

    alert_id = serializers.UUIDField(required=False, help_text="The latest that happened to this alert.")
    seq = serializers.IntegerField(required=False, help_text="A fact by its number.")
    event = Str(required=False, help_text="alert.opened where absent.")
    level = Str(required=False, help_text="info, warning or critical, which it is where absent.")
    source = Str(required=False, help_text="endpoint where absent.")  # type: ignore[assignment]
    subject = SubjectSerializer(required=False, help_text="What it is about: an endpoint, a server …")
    tags = Words(child=Str(), required=False)
    server_id = Str(required=False)
    message = Str(required=False, allow_blank=True)
    at = serializers.DateTimeField(required=False, help_text="Now where absent.")


class RoutingPreviewBody(FactBody):
    """A fact to try, and where wanted a rule that is not in force."""

    rule = FullRuleBody(required=False, partial=True, help_text="As it would be; nothing is stored.")
    rule_id = serializers.UUIDField(
        required=False, help_text="The rule that `rule` would change; a new one where absent."
    )


class RoutingAnswerSerializer(serializers.Serializer[Any]):
    """One line: who would be told by which rule, or why not."""

    kind = Str(help_text="channel, inbox, webhook, or rule for one that does not take the event.")
    destination_id = serializers.UUIDField(allow_null=True)
    destination = Str(allow_blank=True)
    rule_id = serializers.UUIDField(allow_null=True)
    rule = Str(allow_blank=True)
    outcome = Str(help_text="told, held, suppressed or not told.")
    reason = Str(allow_blank=True)
    until = serializers.DateTimeField(allow_null=True)


class TriedFactSerializer(serializers.Serializer[Any]):
    """The fact that was tried."""

    event = Str()
    level = Str()
    subject = SubjectSerializer()
    tags = Words(child=Str())
    at = serializers.DateTimeField()
    title = Str()


class RoutingPreviewSerializer(serializers.Serializer[Any]):
    """Who would be told."""

    fact = TriedFactSerializer()
    answers = RoutingAnswerSerializer(many=True)


class TemplatePreviewBody(FactBody):
    """Templates to try on a fact."""

    title_template = ManyLines()
    body_template = ManyLines()


class TemplatePreviewSerializer(serializers.Serializer[Any]):
    """The words that would be sent."""

    title = Str()
    message = Str()
    names = serializers.DictField(child=Str(), help_text="What a template can name, as it is for this fact.")
