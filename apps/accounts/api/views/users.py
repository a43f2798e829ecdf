"""Users and roles."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import serializers
from apps.accounts.api.filters import UserFilter
from apps.accounts.models import Role, User
from apps.accounts.permissions import VIEWER
from apps.accounts.selectors import user_by_id
from apps.accounts.selectors import users as all_users
from apps.accounts.services import passwords, roles, users
from apps.core.api.pagination import EnvelopePagination
from apps.core.api.views import ApiView, ApiViewSet, clean, expected_revision, idempotent, with_etag

_LIST: dict[str, Any] = {
    "summary": "Users",
    "parameters": [
        OpenApiParameter("search", str, description="Part of user name, email or full name."),
        OpenApiParameter("role", str, description="Name of a role."),
        OpenApiParameter("disabled", bool, description="Only disabled users, or only enabled ones."),
        OpenApiParameter("page", int, description="Page, from 1."),
        OpenApiParameter("page_size", int, description="Rows a page; more than the most is clamped."),
        OpenApiParameter("limit", int, description="Rows, instead of page_size."),
        OpenApiParameter("offset", int, description="Rows to pass over, instead of page."),
    ],
    "responses": serializers.UserListSerializer,
}


class UserViewSet(ApiViewSet):
    """/users."""

    queryset = User.objects.all()
    serializer_class = serializers.UserSerializer
    filterset_class = UserFilter
    codes: ClassVar[dict[str, str]] = {
        "list": "users:view",
        "retrieve": "users:view",
        "create": "users:create",
        "partial_update": "users:update",
        "destroy": "users:delete",
    }

    def get_queryset(self) -> Any:
        """Return all users; there is one tenant."""
        return all_users()

    def envelope(self, rows: Any, pages: EnvelopePagination) -> dict[str, Any]:
        """Return the contract's envelope, with the page's figures beside it."""
        return {"users": rows, "count": pages.count, "next": pages.next_link(), "previous": pages.previous_link()}

    @extend_schema(operation_id="users_list", **_LIST)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return users, disabled ones too."""
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="users_retrieve", summary="One user")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a user with its ETag."""
        user = user_by_id(kwargs["id"])
        return with_etag(Response(serializers.UserSerializer(user).data), user)

    @extend_schema(
        operation_id="users_create",
        summary="Create a user",
        request=serializers.NewUserSerializer,
        responses={201: serializers.UserSerializer},
        examples=[
            OpenApiExample(
                "An operator",
                {
                    "username": "kim",
                    "password": "correct horse battery",
                    "email": "kim@example.org",
                    "roles": ["operator"],
                },
                request_only=True,
            )
        ],
    )
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a user. Nobody can give roles that hold more than they hold themselves."""
        data = clean(serializers.NewUserSerializer, request.data)
        data["email"] = data.get("email") or ""
        user = users.create_user(**data, actor=self.principal())
        return with_etag(Response(serializers.UserSerializer(user).data, status=201), user)

    @extend_schema(
        operation_id="users_update",
        summary="Change a user",
        request=serializers.UserChangesSerializer,
        responses={200: serializers.UserSerializer, 409: OpenApiResponse(description="The last enabled admin.")},
    )
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what is given. The last enabled admin can't be demoted or disabled."""
        changes = clean(serializers.UserChangesSerializer, request.data)
        user = user_by_id(kwargs["id"])
        user = users.update_user(
            user_id=user.id, changes=changes, expected_revision=expected_revision(request, user), actor=self.principal()
        )
        return with_etag(Response(serializers.UserSerializer(user).data), user)

    @extend_schema(operation_id="users_disable", summary="Disable a user", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Disable a user: sessions end, keys are revoked at once. Users are never deleted."""
        users.disable_user(user_id=kwargs["id"], actor=self.principal())
        return Response(status=204)


class AdminUserViewSet(UserViewSet):
    """/admin/users: the same users, created by email."""

    codes: ClassVar[dict[str, str]] = {"list": "users:view", "create": "users:create"}

    @extend_schema(operation_id="admin_users_list", **_LIST)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return users, disabled ones too."""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        operation_id="admin_users_create",
        summary="Create a user by email",
        request=serializers.NewUserByEmailSerializer,
        responses={201: serializers.UserSerializer},
    )
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a user; the email is the user name where none is given, the role is viewer where none is given."""
        data = clean(serializers.NewUserByEmailSerializer, request.data)
        user = users.create_user(
            username=data.get("username", ""),
            email=data["email"],
            password=data["password"],
            full_name=data.get("full_name", ""),
            roles=[data.get("role", VIEWER)],
            actor=self.principal(),
        )
        return with_etag(Response(serializers.UserSerializer(user).data, status=201), user)


class UserPasswordView(ApiView):
    """PUT /users/{id}/password."""

    codes: ClassVar[dict[str, str]] = {"put": "users:update"}

    @extend_schema(
        operation_id="users_password",
        summary="Set a user's password",
        request=serializers.NewPasswordSerializer,
        responses={204: None},
    )
    def put(self, request: Request, id: str) -> Response:
        """Set somebody's password: their sessions end, and they must change it at the next login."""
        data = clean(serializers.NewPasswordSerializer, request.data)
        passwords.set_password_of(user_id=user_by_id(id).id, new_password=data["new_password"], actor=self.principal())
        return Response(status=204)


class RoleViewSet(ApiViewSet):
    """/roles."""

    queryset = Role.objects.all()
    serializer_class = serializers.RoleSerializer
    pagination_class = None
    filter_backends: list[Any] = []
    codes: ClassVar[dict[str, str]] = {
        "list": "roles:view",
        "create": "roles:create",
        "partial_update": "roles:update",
        "destroy": "roles:delete",
    }

    @extend_schema(operation_id="roles_list", summary="Roles", responses=serializers.RoleListSerializer)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return all roles with their permissions."""
        return Response({"roles": serializers.RoleSerializer(Role.objects.all(), many=True).data})

    @extend_schema(
        operation_id="roles_create",
        summary="Create a role",
        request=serializers.NewRoleSerializer,
        responses={201: serializers.RoleSerializer},
        examples=[
            OpenApiExample(
                "On call",
                {"name": "on-call", "description": "Takes alerts.", "permissions": ["dashboard:view", "alerts:*"]},
                request_only=True,
            )
        ],
    )
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a role of "resource:action", "resource:*" or "*". Nobody can grant more than they hold."""
        role = roles.create_role(**clean(serializers.NewRoleSerializer, request.data), actor=self.principal())
        return Response(serializers.RoleSerializer(role).data, status=201)

    @extend_schema(
        operation_id="roles_update",
        summary="Change a role",
        request=serializers.RoleChangesSerializer,
        responses={200: serializers.RoleSerializer, 409: OpenApiResponse(description="A built-in role.")},
    )
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change description or permissions; it holds for the role's users from the next request on."""
        changes = clean(serializers.RoleChangesSerializer, request.data)
        role = roles.update_role(name=kwargs["id"], **changes, actor=self.principal())
        return Response(serializers.RoleSerializer(role).data)

    @extend_schema(operation_id="roles_delete", summary="Delete a role", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a role that nobody has."""
        roles.delete_role(name=kwargs["id"], actor=self.principal())
        return Response(status=204)
