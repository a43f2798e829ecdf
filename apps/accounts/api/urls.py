"""Paths of the accounts' API, below /api/v1/."""

from django.urls import URLPattern, re_path

from apps.accounts.api.views import login, me, security, users

urlpatterns: list[URLPattern] = [
    re_path(r"^auth/login/?$", login.LoginView.as_view()),
    re_path(r"^auth/register/?$", login.RegisterView.as_view()),
    re_path(r"^auth/refresh/?$", login.RefreshView.as_view()),
    re_path(r"^auth/logout/?$", login.LogoutView.as_view()),
    re_path(r"^auth/password/reset/?$", login.PasswordResetView.as_view()),
    re_path(r"^auth/me/?$", me.MeView.as_view()),
    re_path(r"^auth/me/password/?$", me.MyPasswordView.as_view()),
    re_path(r"^auth/change-password/?$", me.ChangePasswordView.as_view()),
    re_path(r"^auth/mfa/setup/?$", me.MfaSetupView.as_view()),
    re_path(r"^auth/mfa/verify/?$", me.MfaVerifyView.as_view()),
    re_path(r"^auth/mfa/disable/?$", me.MfaDisableView.as_view()),
    re_path(r"^auth/ticket/?$", me.TicketView.as_view()),
    re_path(r"^users/?$", users.UserViewSet.as_view({"get": "list", "post": "create"})),
    re_path(
        r"^users/(?P<id>[^/]+)/?$",
        users.UserViewSet.as_view({"get": "retrieve", "put": "partial_update", "delete": "destroy"}),
    ),
    re_path(r"^users/(?P<id>[^/]+)/password/?$", users.UserPasswordView.as_view()),
    re_path(r"^admin/users/?$", users.AdminUserViewSet.as_view({"get": "list", "post": "create"})),
    re_path(r"^roles/?$", users.RoleViewSet.as_view({"get": "list", "post": "create"})),
    re_path(r"^roles/(?P<id>[^/]+)/?$", users.RoleViewSet.as_view({"put": "partial_update", "delete": "destroy"})),
    re_path(r"^api-keys/?$", security.ApiKeyViewSet.as_view({"post": "create"})),
    re_path(r"^api-keys/me/?$", security.ApiKeyViewSet.as_view({"get": "list"})),
    re_path(r"^api-keys/(?P<id>[^/]+)/?$", security.ApiKeyViewSet.as_view({"delete": "destroy"})),
    re_path(r"^security/?$", security.SecurityView.as_view()),
    re_path(r"^security/password-policy/?$", security.PasswordPolicyView.as_view()),
    re_path(r"^security/sessions/?$", security.SessionViewSet.as_view({"get": "list"})),
    re_path(r"^security/sessions/(?P<id>[^/]+)/?$", security.SessionViewSet.as_view({"delete": "destroy"})),
    re_path(r"^security/ip-rules/?$", security.IpRulesView.as_view()),
    re_path(r"^security/api-keys/?$", security.SecurityApiKeyViewSet.as_view({"get": "list", "post": "create"})),
    re_path(r"^security/api-keys/(?P<id>[^/]+)/?$", security.SecurityApiKeyViewSet.as_view({"delete": "destroy"})),
]
