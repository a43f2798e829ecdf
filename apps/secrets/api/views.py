"""Views of the vault."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.parameters import whole_number
from apps.core.api.views import ApiViewSet, expected_revision, idempotent, with_etag
from apps.core.errors import Forbidden, Invalid
from apps.secrets import selectors, services
from apps.secrets.api.serializers import (
    NewSecretSerializer,
    RotationSerializer,
    SecretChangeSerializer,
    SecretDetailSerializer,
    SecretRevealedSerializer,
    SecretSerializer,
)
from apps.secrets.models import Secret
from apps.secrets.references import users_of

_NEW = ("name", "value", "category", "description", "expires_at", "grace_s", "generate")
_ROTATION = ("value", "generate", "expires_at")
_EXAMPLES = [
    OpenApiExample(
        "A value that people have",
        value={"name": "db password", "value": "correct horse", "category": "password"},
        request_only=True,
    ),
    OpenApiExample(
        "A key pair that is made",
        value={"name": "deploy key", "category": "ssh_key", "generate": {"kind": "ed25519"}},
        request_only=True,
    ),
]


def _values(request: Request, allowed: Iterable[str]) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise Invalid({"": "give an object"})
    values = dict(request.data.items())
    unknown = {name: "is not a field of this call" for name in values if name not in set(allowed)}
    if unknown:
        raise Invalid(unknown)
    return values


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "").lower()
    if text not in ("", "true", "false", "1", "0"):
        raise Invalid({name: "give true or false"}, where="query")
    return text in ("true", "1")


class SecretViewSet(ApiViewSet):
    """The vault."""

    queryset = Secret.objects.order_by("name")
    serializer_class = SecretSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "secrets:view",
        "retrieve": "secrets:view",
        "expiring": "secrets:view",
        "create": "secrets:manage",
        "partial_update": "secrets:manage",
        "destroy": "secrets:manage",
        "rotate": "secrets:manage",
    }

    def shown(self, rows: Sequence[Secret]) -> Any:
        """Return rows for an answer: two questions for all of them, and one for each kind of user."""
        keys = [row.pk for row in rows]
        context = {"public_parts": selectors.public_parts(keys), "used_by": users_of(keys) if keys else {}}
        return SecretSerializer(rows, many=True, context=context).data

    def answer(self, secret: Secret, *, status: int = 200, **context: Any) -> Response:
        """Return one secret as an answer."""
        known = {"public_parts": selectors.public_parts([secret.pk]), "used_by": users_of([secret.pk]), **context}
        make = SecretRevealedSerializer if "revealed" in context else SecretDetailSerializer
        headers = {"Cache-Control": "no-store"} if context.get("revealed") else None
        return with_etag(Response(make(secret, context=known).data, status=status, headers=headers), secret)

    @extend_schema(
        operation_id="secrets_list",
        summary="Secrets by name, without their values",
        parameters=[
            OpenApiParameter("category", OpenApiTypes.STR, enum=Secret.Category.values),
            OpenApiParameter("search", OpenApiTypes.STR, description="Part of the name or the description."),
        ],
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of the secrets."""
        rows = self.get_queryset()
        category = request.query_params.get("category")
        if category:
            if category not in Secret.Category.values:
                raise Invalid({"category": f"give one of {', '.join(Secret.Category.values)}"}, where="query")
            rows = rows.filter(category=category)
        search = request.query_params.get("search", "").strip()
        if search:
            rows = rows.filter(name__icontains=search) | rows.filter(description__icontains=search)
        page = self.paginate_queryset(rows)
        assert page is not None
        return self.get_paginated_response(self.shown(page))

    @extend_schema(
        operation_id="secrets_expiring",
        summary="Secrets that end soon or have ended, the earliest first",
        parameters=[OpenApiParameter("days", OpenApiTypes.INT, description="How far ahead; 30 where absent.")],
        responses=SecretSerializer(many=True),
    )
    @action(detail=False, methods=["get"], url_path="expiring")
    def expiring(self, request: Request) -> Response:
        """Return a page of the secrets that end within `days`."""
        days = whole_number(request, "days", default=30, least=0, most=3650)
        page = self.paginate_queryset(selectors.ending_secrets(self.principal(), days=days))
        assert page is not None
        return self.get_paginated_response(self.shown(page))

    @extend_schema(
        operation_id="secrets_retrieve",
        summary="One secret; its value only where reveal=true, and audited",
        parameters=[
            OpenApiParameter("reveal", OpenApiTypes.BOOL, description="Needs `secrets:reveal`; audited and limited."),
            OpenApiParameter("version", OpenApiTypes.INT, description="A former value, while its grace lasts."),
        ],
        responses=SecretRevealedSerializer,
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one secret with its versions, its latest uses and its ETag."""
        secret = self.get_object()
        if not _flag(request, "reveal"):
            return self.answer(secret, revealed=None)
        if not self.principal().can("secrets:reveal"):
            raise Forbidden("This needs the permission secrets:reveal.")
        number = whole_number(request, "version", default=0, least=1, most=2**31 - 1) or None
        revealed = services.reveal_secret(secret_id=secret.pk, actor=self.principal(), version=number)
        return self.answer(secret, revealed=revealed)

    @extend_schema(
        operation_id="secrets_create",
        summary="Put a secret into the vault",
        request=NewSecretSerializer,
        responses={201: SecretDetailSerializer},
        examples=_EXAMPLES,
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a secret with its value or one that is made; the answer does not hold it."""
        values = _values(request, _NEW)
        secret = services.create_secret(actor=self.principal(), **{"name": None, **values})
        return self.answer(secret, status=201)

    @extend_schema(
        operation_id="secrets_update",
        summary="Change a secret",
        request=SecretChangeSerializer,
        responses=SecretDetailSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Change the named fields; a `value` rotates it. `If-Match` is honoured."""
        secret = self.get_object()
        changed = services.update_secret(
            secret_id=secret.pk,
            actor=self.principal(),
            values=_values(request, [name for name in _NEW if name != "generate"]),
            expected_revision=expected_revision(request, secret),
        )
        return self.answer(changed)

    @extend_schema(operation_id="secrets_delete", summary="Remove a secret", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a secret with all its values; 409 names its users while something uses it."""
        secret = self.get_object()
        services.delete_secret(
            secret_id=secret.pk, actor=self.principal(), expected_revision=expected_revision(request, secret)
        )
        return Response(status=204)

    @extend_schema(
        operation_id="secrets_rotate",
        summary="Give a secret a new value",
        request=RotationSerializer,
        responses=SecretDetailSerializer,
    )
    @action(detail=True, methods=["post"], url_path="rotate")
    def rotate(self, request: Request, id: str) -> Response:
        """Make the given or a generated value the current one; the former stays readable for its grace."""
        secret = self.get_object()
        changed = services.rotate_secret(
            secret_id=secret.pk,
            actor=self.principal(),
            expected_revision=expected_revision(request, secret),
            **_values(request, _ROTATION),
        )
        return self.answer(changed)
