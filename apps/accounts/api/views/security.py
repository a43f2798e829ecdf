"""API keys, sessions, security settings, password policy, IP rules."""

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import serializers
from apps.accounts.api.filters import SessionFilter
from apps.accounts.models import ApiKey, IpRule, Session
from apps.accounts.policies import PASSWORD_POLICY, SECURITY
from apps.accounts.requests import address_of
from apps.accounts.selectors import live_keys, live_sessions, own_keys
from apps.accounts.services import api_keys, security, sessions
from apps.core.api.views import ApiView, ApiViewSet, clean, idempotent
from apps.core.errors import Invalid

_CREATE: dict[str, Any] = {
    "summary": "Create an API key",
    "request": serializers.NewApiKeySerializer,
    "responses": {201: serializers.ApiKeyWithSecretSerializer},
    "examples": [
        OpenApiExample("With a role", {"name": "deploy script", "role": "operator"}, request_only=True),
        OpenApiExample("For a server", {"name": "web-1", "server_id": "web-1"}, request_only=True),
    ],
}


class _KeyViewSet(ApiViewSet):
    """What both paths of the keys share."""

    queryset = ApiKey.objects.all()
    serializer_class = serializers.ApiKeySerializer
    filter_backends: list[Any] = []
    secret_answers = frozenset({"create"})

    def _create(self, request: Request) -> Response:
        data = clean(serializers.NewApiKeySerializer, request.data)
        key, secret = api_keys.create_api_key(
            name=data["name"],
            role=data.get("role") or "",
            server_id=data.get("server_id") or "",
            expires_at=data.get("expires_at"),
            actor=self.principal(),
        )
        key.key = secret  # type: ignore[attr-defined]
        return Response(serializers.ApiKeyWithSecretSerializer(key).data, status=201)

    def _destroy(self, key_id: str) -> Response:
        api_keys.revoke_api_key(key_id=key_id, actor=self.principal())
        return Response(status=204)


class ApiKeyViewSet(_KeyViewSet):
    """/api-keys."""

    codes: ClassVar[dict[str, str]] = {
        "list": "api_keys:view",
        "create": "api_keys:create",
        "destroy": "api_keys:delete",
    }

    def get_queryset(self) -> Any:
        """Return the caller's own keys."""
        return own_keys(self.principal()) if not getattr(self, "swagger_fake_view", False) else ApiKey.objects.none()

    @extend_schema(operation_id="api_keys_mine", summary="My API keys")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return the caller's own keys that are not revoked."""
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="api_keys_create", **_CREATE)
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a key with a role not above one's own, or bound to one server. It is shown this once."""
        return self._create(request)

    @extend_schema(operation_id="api_keys_revoke", summary="Revoke an API key", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Revoke a key; it is refused from the next request on."""
        return self._destroy(kwargs["id"])


class SecurityApiKeyViewSet(_KeyViewSet):
    """/security/api-keys: the same, and everybody's for an admin."""

    codes: ClassVar[dict[str, str]] = {
        "list": "api_keys:view",
        "create": "api_keys:create",
        "destroy": "api_keys:delete",
    }

    def get_queryset(self) -> Any:
        """Return the keys that the caller may see."""
        return live_keys(self.principal()) if not getattr(self, "swagger_fake_view", False) else ApiKey.objects.none()

    @extend_schema(operation_id="security_api_keys_list", summary="API keys")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one's own keys; an admin gets everybody's."""
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="security_api_keys_create", **_CREATE)
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a key with a role not above one's own, or bound to one server. It is shown this once."""
        return self._create(request)

    @extend_schema(operation_id="security_api_keys_revoke", summary="Revoke an API key", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Revoke a key; it is refused from the next request on."""
        return self._destroy(kwargs["id"])


class SessionViewSet(ApiViewSet):
    """/security/sessions."""

    queryset = Session.objects.all()
    serializer_class = serializers.SessionSerializer
    filterset_class = SessionFilter
    codes: ClassVar[dict[str, str]] = {"list": "sessions:view", "destroy": "sessions:delete"}

    def get_queryset(self) -> Any:
        """Return the sessions that count now."""
        if getattr(self, "swagger_fake_view", False):
            return Session.objects.none()
        return live_sessions(self.principal())

    @extend_schema(operation_id="security_sessions_list", summary="Active sessions")
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return the logins that count now, by browser and by API."""
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="security_sessions_end", summary="End a session", responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """End a session; its tokens are refused and its sockets closed."""
        sessions.end_session(session_id=kwargs["id"], actor=self.principal())
        return Response(status=204)


def _body(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise Invalid({"": "Send a JSON object."})
    return dict(request.data)


class SecurityView(ApiView):
    """/security."""

    codes: ClassVar[dict[str, str]] = {"get": "security:view", "put": "security:update"}

    @extend_schema(
        operation_id="security_retrieve", summary="Security settings", responses=serializers.SecuritySerializer
    )
    def get(self, request: Request) -> Response:
        """Return session lifetime, lockout, roles that demand a second factor, registration and allowed origins."""
        return Response(security.settings_of(SECURITY))

    @extend_schema(
        operation_id="security_update",
        summary="Change security settings",
        request=serializers.SecuritySerializer,
        responses={
            200: serializers.SecuritySerializer,
            422: OpenApiResponse(description="An unknown or wrong setting."),
        },
        examples=[
            OpenApiExample("Demand a second factor of admins", {"mfa_required_roles": ["admin"]}, request_only=True)
        ],
    )
    def put(self, request: Request) -> Response:
        """Change what is given, all of it or nothing."""
        return Response(security.update_security(changes=_body(request), actor=self.principal()))


class PasswordPolicyView(ApiView):
    """/security/password-policy."""

    codes: ClassVar[dict[str, str]] = {"get": "security:view", "put": "security:update"}

    @extend_schema(
        operation_id="security_password_policy",
        summary="Password policy",
        responses=serializers.PasswordPolicySerializer,
    )
    def get(self, request: Request) -> Response:
        """Return what is demanded of a password."""
        return Response(security.settings_of(PASSWORD_POLICY))

    @extend_schema(
        operation_id="security_password_policy_update",
        summary="Change the password policy",
        request=serializers.PasswordPolicySerializer,
        responses={
            200: serializers.PasswordPolicySerializer,
            422: OpenApiResponse(description="An unknown or wrong setting."),
        },
    )
    def put(self, request: Request) -> Response:
        """Change what is given; it is enforced wherever a password is set from then on."""
        return Response(security.update_password_policy(changes=_body(request), actor=self.principal()))


class IpRulesView(ApiView):
    """/security/ip-rules."""

    codes: ClassVar[dict[str, str]] = {"get": "security:view", "put": "security:update"}

    @extend_schema(operation_id="security_ip_rules", summary="IP rules", responses=serializers.IpRulesSerializer)
    def get(self, request: Request) -> Response:
        """Return the allow and block lists."""
        return Response({"rules": serializers.IpRuleSerializer(IpRule.objects.all(), many=True).data})

    @extend_schema(
        operation_id="security_ip_rules_update",
        summary="Replace the IP rules",
        request=serializers.IpRulesSerializer,
        responses={
            200: serializers.IpRulesSerializer,
            422: OpenApiResponse(description="A wrong CIDR, or the rules would lock the caller out."),
        },
        examples=[
            OpenApiExample(
                "Only the office",
                {"rules": [{"cidr": "203.0.113.0/24", "action": "allow", "note": "office"}]},
                request_only=True,
            )
        ],
    )
    def put(self, request: Request) -> Response:
        """Replace the lists. Blocked is blocked; where anything is allowed by name, the rest is not."""
        rules = clean(serializers.IpRulesSerializer, _body(request))["rules"]
        found = security.replace_ip_rules(rules=rules, address=address_of(request), actor=self.principal())
        return Response({"rules": serializers.IpRuleSerializer(found, many=True).data})
