"""One's own account."""

from typing import Any, ClassVar

from django.contrib.auth import update_session_auth_hash
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import serializers
from apps.accounts.models import User
from apps.accounts.requests import address_of
from apps.accounts.selectors import permission_codes_of, user_by_id
from apps.accounts.services import mfa, passwords, tickets, users
from apps.core.api.views import ApiView, clean, with_etag


class MeView(ApiView):
    """GET and PUT /auth/me."""

    codes: ClassVar[dict[str, str]] = {"get": "profile:view", "put": "profile:update"}

    def _answer(self, user: User) -> Response:
        principal = self.principal()
        user.permissions = permission_codes_of(principal)  # type: ignore[attr-defined]
        user.restriction = principal.restriction  # type: ignore[attr-defined]
        return with_etag(Response(serializers.MeSerializer(user).data), user)

    @extend_schema(operation_id="auth_me", summary="My profile", responses=serializers.MeSerializer)
    def get(self, request: Request) -> Response:
        """Return who asks, with the permissions held now. A key answers with its owner and the key's permissions."""
        return self._answer(user_by_id(self.principal().user_id))

    @extend_schema(
        operation_id="auth_me_update",
        summary="Change my profile",
        request=serializers.ProfileSerializer,
        responses=serializers.MeSerializer,
    )
    def put(self, request: Request) -> Response:
        """Change email, full name or time zone; a new email needs the password."""
        changes = clean(serializers.ProfileSerializer, request.data)
        user = users.update_own_profile(
            password=changes.pop("password", ""), changes=changes, address=address_of(request), actor=self.principal()
        )
        return self._answer(user)


_CHANGE: dict[str, Any] = {
    "summary": "Change my password",
    "request": serializers.ChangePasswordSerializer,
    "responses": {204: None, 422: OpenApiResponse(description="Wrong password, or the policy refuses the new one.")},
}


class _PasswordView(ApiView):
    def _change(self, request: Request) -> Response:
        data = clean(serializers.ChangePasswordSerializer, request.data)
        user = passwords.change_own_password(**data, address=address_of(request), actor=self.principal())
        if request.auth == "cookie":
            update_session_auth_hash(request._request, user)
        return Response(status=204)


class MyPasswordView(_PasswordView):
    """PUT /auth/me/password."""

    codes: ClassVar[dict[str, str]] = {"put": "profile:password"}

    @extend_schema(operation_id="auth_me_password", **_CHANGE)
    def put(self, request: Request) -> Response:
        """Change one's own password; all other sessions end."""
        return self._change(request)


class ChangePasswordView(_PasswordView):
    """POST /auth/change-password."""

    codes: ClassVar[dict[str, str]] = {"post": "profile:password"}

    @extend_schema(operation_id="auth_change_password", **_CHANGE)
    def post(self, request: Request) -> Response:
        """Change one's own password; all other sessions end."""
        return self._change(request)


class MfaSetupView(ApiView):
    """POST /auth/mfa/setup."""

    codes: ClassVar[dict[str, str]] = {"post": "profile:mfa"}

    @extend_schema(
        operation_id="auth_mfa_setup",
        summary="Begin to set up a second factor",
        request=None,
        responses=serializers.EnrolmentSerializer,
    )
    def post(self, request: Request) -> Response:
        """Make a seed for an authenticator app; it is inactive until one of its codes is verified."""
        return Response(serializers.EnrolmentSerializer(mfa.begin_enrolment(actor=self.principal())).data)


class MfaVerifyView(ApiView):
    """POST /auth/mfa/verify."""

    codes: ClassVar[dict[str, str]] = {"post": "profile:mfa"}

    @extend_schema(
        operation_id="auth_mfa_verify",
        summary="Switch the second factor on",
        request=serializers.CodeSerializer,
        responses=serializers.RecoveryCodesSerializer,
        examples=[OpenApiExample("A code", {"token": "123456"}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Confirm the first code; returns ten one-time recovery codes. All other sessions end."""
        code = clean(serializers.CodeSerializer, request.data)["token"]
        codes = mfa.confirm_enrolment(code=code, address=address_of(request), actor=self.principal())
        return Response({"recovery_codes": codes})


class MfaDisableView(ApiView):
    """POST /auth/mfa/disable."""

    codes: ClassVar[dict[str, str]] = {"post": "profile:mfa"}

    @extend_schema(
        operation_id="auth_mfa_disable",
        summary="Switch the second factor off",
        request=serializers.DisableMfaSerializer,
        responses={204: None},
    )
    def post(self, request: Request) -> Response:
        """Switch the second factor off, with the password and a code."""
        data = clean(serializers.DisableMfaSerializer, request.data)
        mfa.disable(password=data["password"], code=data["token"], address=address_of(request), actor=self.principal())
        return Response(status=204)


class TicketView(ApiView):
    """POST /auth/ticket."""

    codes: ClassVar[dict[str, str]] = {"post": "tickets:create"}

    @extend_schema(
        operation_id="auth_ticket",
        summary="Get a ticket for a stream or socket",
        request=serializers.TicketRequestSerializer,
        responses=serializers.TicketSerializer,
        examples=[OpenApiExample("A stream", {"path": "/api/v1/containers/events"}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Make a pass for one use of one path within 60 s, for clients that can't set a header."""
        path = clean(serializers.TicketRequestSerializer, request.data)["path"]
        ticket, expires_at = tickets.create_ticket(path=path, actor=self.principal())
        return Response(serializers.TicketSerializer({"ticket": ticket, "expires_at": expires_at}).data)
