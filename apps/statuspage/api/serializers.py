"""Shapes of the API."""

from typing import Any

from rest_framework import serializers

from apps.statuspage.models import Component, Group, Notice, NoticeUpdate, Page, Subscriber
from apps.statuspage.states import ComponentStatus, NoticeKind, NoticeState, Severity, Source


class PageSerializer(serializers.ModelSerializer[Page]):
    """A page."""

    slug = serializers.CharField(max_length=63, required=False, help_text="Its name in the path; made of `name`.")
    domain = serializers.CharField(
        max_length=253, required=False, allow_blank=True,
        help_text="Host name under which this page answers; it must be in ALLOWED_HOSTS too.",
    )  # fmt: skip
    allowed_networks = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, help_text="CIDRs; empty: everybody may read it."
    )
    accent_light = serializers.CharField(max_length=20, required=False, help_text="Colour such as #0b6e8f.")
    accent_dark = serializers.CharField(max_length=20, required=False)
    is_default = serializers.BooleanField(required=False, help_text="Answers under every host without a page.")
    status = serializers.SerializerMethodField(help_text="The worst of its visible components.")
    has_logo = serializers.SerializerMethodField()

    class Meta:
        model = Page
        fields = [
            "id", "name", "slug", "domain", "intro", "theme", "accent_light", "accent_dark", "home_url", "published",
            "is_default", "allow_subscriptions", "allowed_networks", "status", "has_logo", "revision", "created_at",
            "updated_at",
        ]  # fmt: skip
        read_only_fields = ["id", "revision", "created_at", "updated_at"]

    def get_status(self, page: Page) -> str:
        """Return the status of the whole page."""
        state = getattr(page, "state", None)
        return state.status if state else "no_data"

    def get_has_logo(self, page: Page) -> bool:
        """Return whether it has a picture."""
        return getattr(page, "logo", None) is not None


class LogoSerializer(serializers.Serializer[Any]):
    """A picture."""

    content = serializers.CharField(max_length=300_000, help_text="A PNG or SVG picture in base64, at most 200 kB.")


class GroupSerializer(serializers.ModelSerializer[Group]):
    """A group."""

    name = serializers.CharField(max_length=100)
    order = serializers.IntegerField(source="position", required=False, min_value=-100_000, max_value=100_000)
    page_id = serializers.UUIDField(required=False, help_text="Default: the default page.")
    component_count = serializers.SerializerMethodField()

    class Meta:
        model = Group
        fields = ["id", "name", "order", "page_id", "component_count", "revision", "created_at", "updated_at"]
        read_only_fields = ["id", "revision", "created_at", "updated_at"]

    def get_component_count(self, group: Group) -> int:
        """Return how many components stand in it."""
        counted = getattr(group, "component_count", None)
        return group.components.count() if counted is None else int(counted)


class ComponentSerializer(serializers.ModelSerializer[Component]):
    """A component."""

    name = serializers.CharField(max_length=100, help_text="As the public reads it.")
    page_id = serializers.UUIDField(required=False, help_text="Default: the group's page, else the default page.")
    group_id = serializers.UUIDField(required=False, allow_null=True)
    group_name = serializers.CharField(source="group.name", read_only=True, allow_null=True, default=None)
    source = serializers.ChoiceField(Source.choices)  # type: ignore[assignment]
    source_id = serializers.CharField(max_length=64, help_text="Id of the endpoint, heartbeat, certificate or server.")
    order = serializers.IntegerField(source="position", required=False, min_value=-100_000, max_value=100_000)
    status = serializers.CharField(source="state.status", read_only=True, help_text="What is shown.")
    derived_status = serializers.CharField(source="state.derived", read_only=True, help_text="What was seen.")
    since = serializers.DateTimeField(source="state.since", read_only=True)
    override_status = serializers.ChoiceField(
        ComponentStatus.choices, required=False, allow_blank=True, help_text="Set by hand; empty takes it back."
    )

    class Meta:
        model = Component
        fields = [
            "id", "name", "description", "page_id", "group_id", "group_name", "source", "source_id", "visible", "order",
            "show_history", "drafts_notices", "status", "derived_status", "since", "override_status", "override_until",
            "override_note", "override_by", "override_at", "revision", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = ["id", "override_by", "override_at", "revision", "created_at", "updated_at"]


class NoticeUpdateSerializer(serializers.ModelSerializer[NoticeUpdate]):
    """One thing said."""

    edits = serializers.SerializerMethodField(help_text="What it said before: `message`, `at`, `by`.")

    class Meta:
        model = NoticeUpdate
        fields = ["id", "state", "message", "at", "by", "edited_at", "edits"]
        read_only_fields = fields

    def get_edits(self, update: NoticeUpdate) -> list[dict[str, Any]]:
        """Return the former words, oldest first."""
        return [{"message": one.message, "at": one.at, "by": one.by} for one in update.edits.all()]


class NoticeSerializer(serializers.ModelSerializer[Notice]):
    """A notice."""

    page_id = serializers.UUIDField(required=False, help_text="Default: the default page.")
    kind = serializers.ChoiceField(NoticeKind.choices, default="incident")
    severity = serializers.ChoiceField(Severity.choices, required=False)
    state = serializers.ChoiceField(NoticeState.choices, required=False, help_text="Moves by updates afterwards.")
    component_ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=500)
    message = serializers.CharField(
        required=False, allow_blank=True, write_only=True, max_length=10_000, help_text="The first thing said."
    )
    publish = serializers.BooleanField(
        required=False, default=False, write_only=True, help_text="Publish at once; else it is a draft."
    )
    updates = NoticeUpdateSerializer(many=True, read_only=True)
    is_draft = serializers.BooleanField(read_only=True)

    class Meta:
        model = Notice
        fields = [
            "id", "page_id", "kind", "title", "severity", "state", "component_ids", "message", "publish", "starts_at",
            "ends_at", "is_draft", "published_at", "published_by", "ended_at", "drafted_from", "created_by",
            "reference", "updates", "revision", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = [
            "id", "published_at", "published_by", "ended_at", "drafted_from", "created_by", "reference", "revision",
            "created_at", "updated_at",
        ]  # fmt: skip

    def to_representation(self, instance: Notice) -> Any:
        """Show the components' ids."""
        ids = [component.id for component in instance.components.all()]
        setattr(instance, "component_ids", ids)  # noqa: B010  a name for this answer alone
        return super().to_representation(instance)


class UpdateSerializer(serializers.Serializer[Any]):
    """Something new to say."""

    state = serializers.ChoiceField(NoticeState.choices, required=False, help_text="Stays where absent.")
    message = serializers.CharField(required=False, allow_blank=True, default="", max_length=10_000)


class EditSerializer(serializers.Serializer[Any]):
    """Better words."""

    message = serializers.CharField(max_length=10_000)


class SubscriberSerializer(serializers.ModelSerializer[Subscriber]):
    """A subscriber, the address masked."""

    address = serializers.CharField(source="masked", read_only=True)
    component_ids = serializers.SerializerMethodField(help_text="Empty: all of the page.")

    class Meta:
        model = Subscriber
        fields = ["id", "page_id", "kind", "address", "state", "component_ids", "asked_at", "confirmed_at"]
        read_only_fields = fields

    def get_component_ids(self, row: Subscriber) -> list[str]:
        """Return the components whose news are wanted."""
        return [str(component.id) for component in row.components.all()]


class StatusWebhookSerializer(serializers.Serializer[Any]):
    """A program to be told."""

    page_id = serializers.UUIDField(required=False, help_text="Default: the default page.")
    url = serializers.CharField(max_length=2000)
    secret = serializers.CharField(
        required=False, allow_blank=True, default="", write_only=True, help_text="whsec_ and base64; made if absent."
    )
    component_ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=500)


class StatusWebhookMadeSerializer(SubscriberSerializer):
    """A subscriber with its secret, shown once."""

    secret = serializers.CharField(read_only=True)

    class Meta(SubscriberSerializer.Meta):
        fields = [*SubscriberSerializer.Meta.fields, "secret"]
        read_only_fields = fields
