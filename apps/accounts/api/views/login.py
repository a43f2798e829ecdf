"""Logging in and out by API."""

from typing import Any, ClassVar

from django.contrib.auth import logout
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import serializers
from apps.accounts.requests import address_of, user_agent_of
from apps.accounts.selectors import user_by_id
from apps.accounts.services import login, resets, sessions, users
from apps.accounts.services.sessions import TokenPair
from apps.core.api.permissions import PUBLIC
from apps.core.api.views import ApiView, clean


class PublicView(ApiView):
    """A view for callers who are nobody yet: a stale credential does not matter, the address is limited."""

    authentication_classes: list[Any] = []
    codes: ClassVar[dict[str, str]] = {"post": PUBLIC}
    throttle_scope = "login"


def _tokens(pair: TokenPair) -> dict[str, Any]:
    return {"token": pair.access, "access": pair.access, "refresh": pair.refresh, "expires_at": pair.expires_at}


class LoginView(PublicView):
    """POST /auth/login."""

    @extend_schema(
        operation_id="auth_login",
        summary="Log in",
        auth=[],
        request=serializers.LoginSerializer,
        responses={
            200: serializers.LoginAnswerSerializer,
            401: OpenApiResponse(description="Wrong credentials."),
            403: OpenApiResponse(description="Code `mfa_required`: send `otp`, too."),
            429: OpenApiResponse(description="Too many failures; `Retry-After` says how long to wait."),
        },
        examples=[
            OpenApiExample("By name", {"username": "admin", "password": "correct horse battery"}, request_only=True)
        ],
    )
    def post(self, request: Request) -> Response:
        """Log in with a user name or email; with a second factor set up, its code goes along as `otp`."""
        data = clean(serializers.LoginSerializer, request.data)
        session, pair = login.log_in(
            name=data.get("username") or data["email"],
            password=data["password"],
            otp=data.get("otp", ""),
            address=address_of(request),
            user_agent=user_agent_of(request),
        )
        answer = {**_tokens(pair), "user": session.user}
        return Response(serializers.LoginAnswerSerializer(answer).data)


class RefreshView(PublicView):
    """POST /auth/refresh."""

    throttle_scope = "anonymous"  # a client with many sessions refreshes them all at once

    @extend_schema(
        operation_id="auth_refresh",
        summary="Get new tokens",
        auth=[],
        request=serializers.RefreshSerializer,
        responses={
            200: serializers.TokensSerializer,
            401: OpenApiResponse(description="Used before, expired or ended."),
        },
    )
    def post(self, request: Request) -> Response:
        """Change a refresh token for a new pair. A token that is used twice ends the session."""
        _, pair = sessions.refresh_session(refresh=clean(serializers.RefreshSerializer, request.data)["refresh"])
        return Response(serializers.TokensSerializer(_tokens(pair)).data)


class LogoutView(ApiView):
    """POST /auth/logout."""

    codes: ClassVar[dict[str, str]] = {"post": "profile:logout"}

    @extend_schema(
        operation_id="auth_logout", summary="Log out", request=serializers.LogoutSerializer, responses={204: None}
    )
    def post(self, request: Request) -> Response:
        """End the session; its tokens are refused from then on."""
        clean(serializers.LogoutSerializer, request.data)
        sessions.log_out(actor=self.principal())
        if request.auth == "cookie":
            logout(request._request)
        return Response(status=204)


class RegisterView(PublicView):
    """POST /auth/register."""

    @extend_schema(
        operation_id="auth_register",
        summary="Register",
        auth=[],
        request=serializers.RegisterSerializer,
        responses={201: serializers.UserSerializer, 403: OpenApiResponse(description="Registration is switched off.")},
    )
    def post(self, request: Request) -> Response:
        """Create one's own account, where registration is switched on."""
        user = users.register_user(**clean(serializers.RegisterSerializer, request.data))
        return Response(serializers.UserSerializer(user_by_id(user.id)).data, status=201)


class PasswordResetView(PublicView):
    """POST /auth/password/reset."""

    @extend_schema(
        operation_id="auth_password_reset",
        summary="Ask for a link to set a new password",
        auth=[],
        request=serializers.ResetRequestSerializer,
        responses={202: serializers.AcceptedSerializer},
    )
    def post(self, request: Request) -> Response:
        """Mail a single-use link, where mail is configured. The answer is the same whether or not the user exists."""
        resets.request_reset(email=clean(serializers.ResetRequestSerializer, request.data)["email"])
        return Response({"detail": "If there is such a user and mail is configured, a link is on its way."}, status=202)
