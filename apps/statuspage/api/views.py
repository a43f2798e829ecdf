"""Views of the API below /status."""

import base64
import binascii
from typing import Any, ClassVar

from django.db.models import Count, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.core.errors import Invalid
from apps.core.principals import Principal
from apps.statuspage import services
from apps.statuspage.api.serializers import (
    ComponentSerializer,
    EditSerializer,
    GroupSerializer,
    LogoSerializer,
    NoticeSerializer,
    NoticeUpdateSerializer,
    PageSerializer,
    StatusWebhookMadeSerializer,
    StatusWebhookSerializer,
    SubscriberSerializer,
    UpdateSerializer,
)
from apps.statuspage.models import Component, Group, Notice, Page, Subscriber
from apps.statuspage.services.notices import find_update
from apps.statuspage.states import NoticeKind, NoticeState

_PAGE_ID = OpenApiParameter("page_id", OpenApiTypes.UUID, description="Only what stands on this page.")


def _one(model: Any, field: str, value: Any, principal: Principal) -> Any:
    row = model.objects.visible_to(principal).filter(pk=value).first()
    if row is None:
        raise Invalid({field: f"there is no such {model._meta.verbose_name}"})
    return row


def _of_page(rows: QuerySet[Any], request: Request) -> QuerySet[Any]:
    wanted = request.query_params.get("page_id")
    if not wanted:
        return rows
    try:
        return rows.filter(page_id=wanted)
    except Exception as error:  # django.core.exceptions.ValidationError of a malformed uuid
        raise Invalid({"page_id": "give the id of a page"}, where="query") from error


@extend_schema_view(
    list=extend_schema(operation_id="status_pages_list", summary="Status pages"),
    retrieve=extend_schema(operation_id="status_pages_retrieve", summary="One status page"),
)
class PageViewSet(ApiViewSet):
    """Status pages: full control."""

    queryset = Page.objects.select_related("state", "logo")
    serializer_class = PageSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "status:view",
        "retrieve": "status:view",
        "create": "status:create",
        "partial_update": "status:update",
        "destroy": "status:delete",
        "logo": "status:update",
        "remove_logo": "status:update",
    }

    @extend_schema(
        operation_id="status_pages_create", summary="Add a status page", request=PageSerializer,
        responses={201: PageSerializer},
        examples=[
            OpenApiExample("A domain", value={"name": "ACME", "domain": "status.example.org"}, request_only=True)
        ],
    )  # fmt: skip
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a page; 409 where its path or domain is taken."""
        page = services.create_page(values=clean(PageSerializer, request.data), actor=self.principal())
        return with_etag(Response(PageSerializer(page).data, status=201), page)

    @extend_schema(
        operation_id="status_pages_update", summary="Change a status page", request=PageSerializer,
        responses=PageSerializer,
    )  # fmt: skip
    def partial_update(self, request: Request, id: str) -> Response:
        """Change the named fields; `If-Match` is honoured."""
        page = self.get_object()
        services.update_page(
            page_id=page.id, values=clean(PageSerializer, request.data, partial=True), actor=self.principal(),
            expected_revision=expected_revision(request, page),
        )  # fmt: skip
        changed = self.get_object()
        return with_etag(Response(PageSerializer(changed).data), changed)

    @extend_schema(operation_id="status_pages_delete", summary="Remove a status page", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a page with all that stands on it."""
        services.delete_page(page_id=self.get_object().id, actor=self.principal())
        return Response(status=204)

    @extend_schema(
        operation_id="status_pages_logo", summary="Give a page its logo", request=LogoSerializer,
        responses=PageSerializer,
    )  # fmt: skip
    @action(detail=True, methods=["put"])
    def logo(self, request: Request, id: str) -> Response:
        """Set the logo; of an SVG only what draws is kept."""
        try:
            body = base64.b64decode(clean(LogoSerializer, request.data)["content"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise Invalid({"content": "must be base64"}) from error
        services.set_logo(page_id=self.get_object().id, body=body, actor=self.principal())
        return Response(PageSerializer(self.get_object()).data)

    @extend_schema(operation_id="status_pages_logo_delete", summary="Take a page's logo away", responses={204: None})
    @logo.mapping.delete
    def remove_logo(self, request: Request, id: str) -> Response:
        """Remove the logo."""
        services.remove_logo(page_id=self.get_object().id, actor=self.principal())
        return Response(status=204)


@extend_schema_view(
    list=extend_schema(operation_id="status_groups_list", summary="Groups of components", parameters=[_PAGE_ID]),
    retrieve=extend_schema(operation_id="status_groups_retrieve", summary="One group"),
)
class GroupViewSet(ApiViewSet):
    """Groups: full control."""

    queryset = Group.objects.annotate(component_count=Count("components"))
    serializer_class = GroupSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "status:view",
        "retrieve": "status:view",
        "create": "status:create",
        "partial_update": "status:update",
        "destroy": "status:delete",
    }

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply `page_id`."""
        return _of_page(queryset, self.request).order_by("position", "name", "id")

    @extend_schema(
        operation_id="status_groups_create", summary="Add a group", request=GroupSerializer,
        responses={201: GroupSerializer},
        examples=[OpenApiExample("First of the page", value={"name": "Shop", "order": 1}, request_only=True)],
    )  # fmt: skip
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a group; 409 where the page has one of that name."""
        values = clean(GroupSerializer, request.data)
        page = _one(Page, "page_id", values["page_id"], self.principal()) if "page_id" in values else None
        group = services.create_group(
            name=values["name"], position=values.get("position", 0), page=page, actor=self.principal()
        )
        return with_etag(Response(GroupSerializer(group).data, status=201), group)

    @extend_schema(
        operation_id="status_groups_update", summary="Change a group", request=GroupSerializer,
        responses=GroupSerializer,
    )  # fmt: skip
    def partial_update(self, request: Request, id: str) -> Response:
        """Change name or order; `If-Match` is honoured."""
        group = self.get_object()
        changed = services.update_group(
            group_id=group.id, values=clean(GroupSerializer, request.data, partial=True), actor=self.principal(),
            expected_revision=expected_revision(request, group),
        )  # fmt: skip
        return with_etag(Response(GroupSerializer(changed).data), changed)

    @extend_schema(operation_id="status_groups_delete", summary="Remove a group", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a group; its components stay, without a group."""
        services.delete_group(group_id=self.get_object().id, actor=self.principal())
        return Response(status=204)


@extend_schema_view(
    list=extend_schema(operation_id="status_components_list", summary="Components", parameters=[_PAGE_ID]),
    retrieve=extend_schema(operation_id="status_components_retrieve", summary="One component"),
)
class ComponentViewSet(ApiViewSet):
    """Components: full control, and statuses set by hand."""

    queryset = Component.objects.select_related("state", "group")
    serializer_class = ComponentSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "status:view",
        "retrieve": "status:view",
        "create": "status:create",
        "partial_update": "status:update",
        "destroy": "status:delete",
    }

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply `page_id`."""
        return _of_page(queryset, self.request)

    def _values(self, request: Request, *, partial: bool) -> dict[str, Any]:
        values = clean(ComponentSerializer, request.data, partial=partial)
        if "page_id" in values:
            values["page"] = _one(Page, "page_id", values.pop("page_id"), self.principal())
        if "group_id" in values:
            wanted = values.pop("group_id")
            values["group"] = _one(Group, "group_id", wanted, self.principal()) if wanted else None
        return values

    @extend_schema(
        operation_id="status_components_create", summary="Add a component", request=ComponentSerializer,
        responses={201: ComponentSerializer},
        examples=[
            OpenApiExample(
                "An endpoint", request_only=True,
                value={"name": "Web shop", "source": "endpoint", "source_id": "0190a3c4-0000-7000-8000-000000000000"},
            )
        ],
    )  # fmt: skip
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a component; 422 where there is no such thing, 409 where it stands on the page already."""
        component = services.create_component(values=self._values(request, partial=False), actor=self.principal())
        return with_etag(Response(ComponentSerializer(component).data, status=201), component)

    @extend_schema(
        operation_id="status_components_update", summary="Change a component", request=ComponentSerializer,
        responses=ComponentSerializer,
        examples=[
            OpenApiExample(
                "By hand", request_only=True,
                value={"override_status": "degraded", "override_until": "2031-01-31T18:00:00Z"},
            )
        ],
    )  # fmt: skip
    def partial_update(self, request: Request, id: str) -> Response:
        """Change the named fields; `If-Match` is honoured."""
        component = self.get_object()
        changed = services.update_component(
            component_id=component.id, values=self._values(request, partial=True), actor=self.principal(),
            expected_revision=expected_revision(request, component),
        )  # fmt: skip
        return with_etag(Response(ComponentSerializer(changed).data), changed)

    @extend_schema(operation_id="status_components_delete", summary="Remove a component", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a component; what it stands for stays."""
        services.delete_component(component_id=self.get_object().id, actor=self.principal())
        return Response(status=204)


@extend_schema_view(
    list=extend_schema(
        operation_id="status_notices_list",
        summary="Notices, newest first, drafts too",
        parameters=[
            _PAGE_ID,
            OpenApiParameter("kind", OpenApiTypes.STR, enum=NoticeKind.values),
            OpenApiParameter("state", OpenApiTypes.STR, enum=NoticeState.values),
            OpenApiParameter("draft", OpenApiTypes.BOOL, description="true: only drafts; false: only published ones."),
        ],
    ),
    retrieve=extend_schema(operation_id="status_notices_retrieve", summary="One notice with its updates"),
)
class NoticeViewSet(ApiViewSet):
    """Notices: write, publish, say something new."""

    queryset = Notice.objects.prefetch_related("updates__edits", "components")
    serializer_class = NoticeSerializer
    lookup_field = "id"
    cursor_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "status:view",
        "retrieve": "status:view",
        "create": "status:create",
        "partial_update": "status:update",
        "destroy": "status:delete",
        "publish": "status:publish",
        "updates": "status:publish",
        "edit": "status:publish",
    }

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply the list's filters.

        Raises:
            Invalid: a value that there is not (422).
        """
        params = self.request.query_params
        for name, allowed in (("kind", NoticeKind.values), ("state", NoticeState.values)):
            if params.get(name):
                if params[name] not in allowed:
                    raise Invalid({name: f"must be one of {', '.join(allowed)}"}, where="query")
                queryset = queryset.filter(**{name: params[name]})
        if params.get("draft"):
            if params["draft"] not in ("true", "false"):
                raise Invalid({"draft": "give true or false"}, where="query")
            queryset = queryset.filter(published_at__isnull=params["draft"] == "true")
        return _of_page(queryset, self.request)

    def _values(self, request: Request, *, partial: bool) -> dict[str, Any]:
        values = clean(NoticeSerializer, request.data, partial=partial)
        if "page_id" in values:
            values["page"] = _one(Page, "page_id", values.pop("page_id"), self.principal())
        if "component_ids" in values:
            wanted = set(values.pop("component_ids"))
            rows = list(Component.objects.filter(pk__in=wanted))
            if len(rows) != len(wanted):
                raise Invalid({"component_ids": "there is no such component"})
            values["components"] = rows
        return values

    def _answer(self, notice: Notice, status: int = 200) -> Response:
        row = self.get_queryset().get(pk=notice.pk)
        return with_etag(Response(NoticeSerializer(row).data, status=status), row)

    @extend_schema(
        operation_id="status_notices_create", summary="Write a notice", request=NoticeSerializer,
        responses={201: NoticeSerializer},
        examples=[
            OpenApiExample(
                "An incident", request_only=True,
                value={"title": "Payments fail", "severity": "major", "message": "We look into it.", "publish": True},
            ),
            OpenApiExample(
                "A maintenance", request_only=True,
                value={
                    "kind": "maintenance", "title": "New database", "starts_at": "2031-01-31T20:00:00Z",
                    "ends_at": "2031-01-31T22:00:00Z",
                },
            ),
        ],
    )  # fmt: skip
    @idempotent
    def create(self, request: Request) -> Response:
        """Write a draft; with `publish` it is published at once, which needs `status:publish` too."""
        values = self._values(request, partial=False)
        publish = values.pop("publish", False)
        if publish and not self.principal().can("status:publish"):
            self.permission_denied(request, message="Your role does not allow publishing.")
        return self._answer(services.create_notice(values=values, actor=self.principal(), publish=publish), 201)

    @extend_schema(
        operation_id="status_notices_update", summary="Change a notice", request=NoticeSerializer,
        responses=NoticeSerializer,
    )  # fmt: skip
    def partial_update(self, request: Request, id: str) -> Response:
        """Change title, severity, components or times; moving a published maintenance tells the subscribers once."""
        notice = self.get_object()
        values = self._values(request, partial=True)
        problems: dict[str, str] = {
            name: "is said by POST /status/notices/{id}/updates" for name in ("state", "message") if name in values
        }
        if problems:
            raise Invalid(problems)
        changed = services.update_notice(
            notice_id=notice.id, values=values, actor=self.principal(),
            expected_revision=expected_revision(request, notice),
        )  # fmt: skip
        return self._answer(changed)

    @extend_schema(operation_id="status_notices_delete", summary="Remove a notice", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a notice and all that was said about it."""
        services.delete_notice(notice_id=self.get_object().id, actor=self.principal())
        return Response(status=204)

    @extend_schema(
        operation_id="status_notices_publish", summary="Publish a draft", request=None, responses=NoticeSerializer
    )
    @action(detail=True, methods=["post"])
    def publish(self, request: Request, id: str) -> Response:
        """Publish; 409 once it is published."""
        return self._answer(services.publish_notice(notice_id=self.get_object().id, actor=self.principal()))

    @extend_schema(
        operation_id="status_notices_say", summary="Say something new", request=UpdateSerializer,
        responses={201: NoticeUpdateSerializer},
        examples=[OpenApiExample("It is over", value={"state": "resolved", "message": "Fixed."}, request_only=True)],
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def updates(self, request: Request, id: str) -> Response:
        """Add an update; its state stays or goes on, 409 where it would go back."""
        values = clean(UpdateSerializer, request.data)
        update = services.add_update(
            notice_id=self.get_object().id, state=values.get("state", ""), message=values["message"],
            actor=self.principal(),
        )  # fmt: skip
        return Response(NoticeUpdateSerializer(update).data, status=201)

    @extend_schema(
        operation_id="status_notices_edit", summary="Correct an update", request=EditSerializer,
        responses=NoticeUpdateSerializer,
        parameters=[OpenApiParameter("update_id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
    )  # fmt: skip
    @action(detail=True, methods=["put"], url_path=r"updates/(?P<update_id>[^/]+)")
    def edit(self, request: Request, id: str, update_id: str) -> Response:
        """Change the words of an update; what it said before is kept."""
        update = find_update(self.get_object(), update_id)
        message = clean(EditSerializer, request.data)["message"]
        changed = services.edit_update(update_id=update.id, message=message, actor=self.principal())
        return Response(NoticeUpdateSerializer(changed).data)


@extend_schema_view(
    list=extend_schema(
        operation_id="status_subscribers_list", summary="Subscribers, addresses masked", parameters=[_PAGE_ID]
    )
)
class SubscriberViewSet(ApiViewSet):
    """Subscribers: see and remove; programs are added here, people subscribe by themselves."""

    queryset = Subscriber.objects.prefetch_related("components")
    serializer_class = SubscriberSerializer
    lookup_field = "id"
    cursor_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "status:subscribers",
        "create": "status:subscribers",
        "destroy": "status:subscribers",
    }
    secret_answers = frozenset({"create"})

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply `page_id`."""
        return _of_page(queryset, self.request)

    @extend_schema(
        operation_id="status_subscribers_create", summary="Have a program told", request=StatusWebhookSerializer,
        responses={201: StatusWebhookMadeSerializer},
        examples=[OpenApiExample("A chat bot", value={"url": "https://bot.example.org/status"}, request_only=True)],
    )  # fmt: skip
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a webhook; the answer shows its signing secret, this once."""
        values = clean(StatusWebhookSerializer, request.data)
        caller = self.principal()
        given = values.get("page_id")
        page = _one(Page, "page_id", given, caller) if given else services.default_page(actor=caller)
        wanted = set(values.get("component_ids", ()))
        components = list(Component.objects.filter(pk__in=wanted))
        if len(components) != len(wanted):
            raise Invalid({"component_ids": "there is no such component"})
        row, secret = services.add_webhook(
            page=page, url=values["url"], secret=values["secret"], components=components, actor=caller
        )
        return Response({**SubscriberSerializer(row).data, "secret": secret}, status=201)

    @extend_schema(operation_id="status_subscribers_delete", summary="Remove a subscriber", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a subscriber; nothing more is sent to the address."""
        services.remove_subscriber(subscriber_id=self.get_object().id, actor=self.principal())
        return Response(status=204)
