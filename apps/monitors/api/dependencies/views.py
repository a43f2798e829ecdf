"""Views of dependencies."""

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiView, ApiViewSet, clean, idempotent
from apps.core.errors import Invalid, NotFound
from apps.core.registries import subjects
from apps.monitors.api.dependencies.serializers import (
    DependencySerializer,
    DependencyWriteSerializer,
    LinksSerializer,
)
from apps.monitors.models import Dependency
from apps.monitors.selectors.names import names_of
from apps.monitors.services import dependencies as services

MOST_CHILDREN = 500


@extend_schema_view(
    list=extend_schema(
        operation_id="dependencies_list",
        summary="Dependencies that people said",
        parameters=[
            OpenApiParameter("child", OpenApiTypes.STR, description="`kind:id` of what depends."),
            OpenApiParameter("parent", OpenApiTypes.STR, description="`kind:id` of what it depends on."),
        ],
    ),
    retrieve=extend_schema(operation_id="dependencies_retrieve", summary="One dependency"),
)
class DependencyViewSet(ApiViewSet):
    """Dependencies said by people; those that follow from addresses stand on each thing."""

    queryset = Dependency.objects.all()
    serializer_class = DependencySerializer
    lookup_field = "id"
    cursor_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "dependencies:view",
        "retrieve": "dependencies:view",
        "create": "dependencies:create",
        "destroy": "dependencies:delete",
    }

    def filter_queryset(self, queryset: Any) -> Any:
        """Apply `child` and `parent`.

        Raises:
            Invalid: one of them is not kind:id (422).
        """
        for end in ("child", "parent"):
            wanted = self.request.query_params.get(end)
            if wanted:
                kind, colon, id = wanted.partition(":")
                if not colon:
                    raise Invalid({end: "write it as kind:id, for example server:0190a3c4-..."}, where="query")
                queryset = queryset.filter(**{f"{end}_kind": kind, f"{end}_id": id})
        return queryset

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page; the names of a page are found in one query a kind."""
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        things = {(row.child_kind, row.child_id) for row in rows} | {(row.parent_kind, row.parent_id) for row in rows}
        context = {**self.get_serializer_context(), "names": names_of(things)}
        return self.get_paginated_response(self.get_serializer_class()(rows, many=True, context=context).data)

    @extend_schema(
        operation_id="dependencies_create",
        summary="Say that a thing depends on another",
        request=DependencyWriteSerializer,
        responses={201: DependencySerializer},
        examples=[
            OpenApiExample(
                "An endpoint behind a router",
                value={
                    "child_kind": "endpoint",
                    "child_id": "0190a3c4-0000-7000-8000-000000000000",
                    "parent_kind": "endpoint",
                    "parent_id": "0190a3c4-0000-7000-8000-000000000001",
                },
                request_only=True,
            )
        ],
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a dependency; 409 where it stands, 422 where it would close a circle."""
        row = services.create_dependency(actor=self.principal(), **clean(DependencyWriteSerializer, request.data))
        return Response(DependencySerializer(row).data, status=201)

    @extend_schema(operation_id="dependencies_delete", summary="Take a dependency back", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Take a dependency back."""
        services.delete_dependency(dependency_id=self.get_object().id, actor=self.principal())
        return Response(status=204)


class LinksView(ApiView):
    """What one thing depends on, and what depends on it."""

    codes: ClassVar[dict[str, str]] = {"get": "dependencies:view"}

    @extend_schema(
        operation_id="dependencies_of",
        summary="What a thing depends on, and what on it",
        parameters=[OpenApiParameter("kind", OpenApiTypes.STR, OpenApiParameter.PATH)],
        responses=LinksSerializer,
    )
    def get(self, request: Request, kind: str, id: str) -> Response:
        """Return both directions: said by people, and following from host names and addresses."""
        known = subjects.get(kind)
        found = (known.resolve(id) if known.resolve else id) if known and kind in services.kinds() else None
        name = known.find(found) if known and found else None
        if found is None or name is None:
            raise NotFound("There is no such thing.")
        principal = self.principal()
        if principal.bound_kind and (principal.bound_kind, principal.bound_id) != (kind, found):
            raise NotFound("There is no such thing.")
        body: dict[str, Any] = {
            "kind": kind,
            "id": found,
            "name": name,
            "parents": services.parents_of(kind, found),
            "children": services.children_of(kind, found)[:MOST_CHILDREN],
        }
        names = names_of((one.kind, one.id) for one in (*body["parents"], *body["children"]))
        return Response(LinksSerializer(body, context={"names": names}).data)
