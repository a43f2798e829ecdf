"""Every route of the accounts against every kind of caller."""

import pytest
from rest_framework.test import APIClient

from apps.core.api.throttling import windows
from tests.factories.accounts import client_as, client_of, client_with_key, make_api_key, make_user

NOBODY = "00000000-0000-7000-8000-000000000000"

#: method, path, smallest role, body. A caller who may gets anything but 401 and 403.
ROWS = [
    ("POST", "/auth/logout", "viewer", {}),
    ("GET", "/auth/me", "viewer", None),
    ("PUT", "/auth/me", "viewer", {"full_name": "New Name"}),
    ("PUT", "/auth/me/password", "viewer", {}),
    ("POST", "/auth/change-password", "viewer", {}),
    ("POST", "/auth/mfa/setup", "viewer", {}),
    ("POST", "/auth/mfa/verify", "viewer", {"token": "000000"}),
    ("POST", "/auth/mfa/disable", "viewer", {"password": "x", "token": "000000"}),
    ("GET", "/users", "admin", None),
    ("POST", "/users", "admin", {}),
    ("GET", f"/users/{NOBODY}", "admin", None),
    ("PUT", f"/users/{NOBODY}", "admin", {}),
    ("DELETE", f"/users/{NOBODY}", "admin", None),
    ("PUT", f"/users/{NOBODY}/password", "admin", {"new_password": "whatever it is 1"}),
    ("GET", "/admin/users", "admin", None),
    ("POST", "/admin/users", "admin", {}),
    ("GET", "/roles", "viewer", None),
    ("POST", "/roles", "admin", {}),
    ("PUT", "/roles/none", "admin", {}),
    ("DELETE", "/roles/none", "admin", None),
    ("GET", "/api-keys/me", "viewer", None),
    ("POST", "/api-keys", "operator", {}),
    ("DELETE", f"/api-keys/{NOBODY}", "operator", None),
    ("GET", "/security", "admin", None),
    ("PUT", "/security", "admin", {}),
    ("GET", "/security/password-policy", "admin", None),
    ("PUT", "/security/password-policy", "admin", {}),
    ("GET", "/security/sessions", "admin", None),
    ("DELETE", f"/security/sessions/{NOBODY}", "admin", None),
    ("GET", "/security/ip-rules", "admin", None),
    ("PUT", "/security/ip-rules", "admin", {"rules": []}),
    ("GET", "/security/api-keys", "viewer", None),
    ("POST", "/security/api-keys", "operator", {}),
    ("DELETE", f"/security/api-keys/{NOBODY}", "operator", None),
    ("POST", "/auth/ticket", "viewer", {"path": "/ws"}),
]
PUBLIC = [
    ("POST", "/auth/login", {}),
    ("POST", "/auth/refresh", {}),
    ("POST", "/auth/password/reset", {"email": "nobody@example.org"}),
]
ROLES = ["anonymous", "viewer", "operator", "admin"]


def call(client: APIClient, method: str, path: str, body: object) -> int:
    windows.clear()
    status: int = getattr(client, method.lower())(f"/api/v1{path}", body, format="json").status_code
    return status


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path", "role", "body"), ROWS, ids=lambda value: str(value) if value else "")
def test_route_answers_each_persona_as_the_contract_says(method: str, path: str, role: str, body: object) -> None:
    for persona in ROLES:
        status = call(client_as(persona), method, path, body)
        if persona == "anonymous":
            assert status == 401
        elif ROLES.index(persona) < ROLES.index(role):
            assert status == 403, persona
        else:
            assert status not in (401, 403, 500), (persona, status)


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path", "role", "body"), ROWS, ids=lambda value: str(value) if value else "")
def test_server_key_is_refused_everything_about_accounts(method: str, path: str, role: str, body: object) -> None:
    _, secret = make_api_key(make_user("admin"), server_id=NOBODY)
    assert call(client_with_key(secret), method, path, body) == 403


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path", "body"), PUBLIC)
def test_public_route_answers_anybody_even_with_a_stale_credential(method: str, path: str, body: object) -> None:
    stale = APIClient()
    stale.credentials(HTTP_AUTHORIZATION="Bearer long-expired")
    for client in (APIClient(), stale):
        assert call(client, method, path, body) in (202, 422)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/auth/me", "/users", "/roles", "/security"])
def test_path_answers_with_and_without_a_slash(path: str) -> None:
    client = client_as("admin")
    assert call(client, "GET", path, None) == call(client, "GET", f"{path}/", None) == 200


@pytest.mark.django_db
def test_two_credentials_at_once_are_refused() -> None:
    user = make_user("admin")
    client = client_of(user)
    _, secret = make_api_key(user, role="viewer")
    answer = client.get("/api/v1/auth/me", HTTP_X_API_KEY=secret)
    assert (answer.status_code, answer.json()["code"]) == (401, "two_credentials")
    assert answer["WWW-Authenticate"] == "Bearer"
