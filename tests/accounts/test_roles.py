"""Roles and the permission matrix."""

import pytest

from apps.accounts.models import Role
from apps.accounts.permissions import CODES, codes_of_role, is_known
from apps.accounts.services.roles import sync_roles
from apps.core.models import Event
from tests.accounts.support import problems
from tests.factories.accounts import client_as, client_of, make_role, make_user

pytestmark = pytest.mark.django_db


def test_built_in_roles_follow_the_matrix_after_an_upgrade() -> None:
    Role.objects.filter(name="viewer").update(permissions=["old:code"])
    assert sync_roles() == 1
    assert Role.objects.get(name="viewer").permissions == codes_of_role("viewer")
    assert Role.objects.get(name="admin").permissions == ["*"]
    assert sync_roles() == 0


def test_custom_role_is_created_and_its_rights_hold_at_once() -> None:
    admin = client_as("admin")
    body = {"name": "on-call", "description": "Takes alerts.", "permissions": ["roles:view", "alerts:*"]}
    answer = admin.post("/api/v1/roles", body)
    assert answer.status_code == 201
    assert answer.json() == {**body, "id": "on-call", "permissions": ["alerts:*", "roles:view"], "is_system": False}
    user = make_user("on-call", permissions=None)
    client = client_of(user)
    assert client.get("/api/v1/roles").status_code == 200
    assert client.get("/api/v1/users").status_code == 403
    assert admin.put("/api/v1/roles/on-call", {"permissions": ["users:view"]}).status_code == 200
    assert client.get("/api/v1/roles").status_code == 403
    assert client.get("/api/v1/users").status_code == 200
    assert Event.objects.get(name="role.updated").audit["before"]["permissions"] == ["alerts:*", "roles:view"]


@pytest.mark.parametrize("code", ["nonsense", "users:fly", "nothing:*", "**", "users"])
def test_unknown_permission_is_422(code: str) -> None:
    body = {"name": "x", "permissions": [code]}
    assert "permissions" in problems(client_as("admin").post("/api/v1/roles", body))


@pytest.mark.parametrize("name", ["", "two words", "a/b", "x" * 65])
def test_wrong_name_is_422(name: str) -> None:
    assert "name" in problems(client_as("admin").post("/api/v1/roles", {"name": name, "permissions": []}))


def test_built_in_and_used_roles_stay() -> None:
    admin = client_as("admin")
    make_user("on-call", permissions=["alerts:view"])
    assert admin.put("/api/v1/roles/viewer", {"permissions": []}).json()["code"] == "system_role"
    assert admin.delete("/api/v1/roles/admin").json()["code"] == "system_role"
    assert admin.delete("/api/v1/roles/on-call").json()["code"] == "role_in_use"
    make_role("unused", ["alerts:view"])
    assert admin.delete("/api/v1/roles/unused").status_code == 204
    assert admin.delete("/api/v1/roles/unused").status_code == 404
    assert admin.post("/api/v1/roles", {"name": "ON-CALL", "permissions": []}).status_code == 409


@pytest.mark.parametrize("permissions", [["*"], ["users:*"], ["users:view", "webhooks:create"]])
def test_nobody_makes_a_role_that_holds_more_than_they_do(permissions: list[str]) -> None:
    client = client_of(make_user("role-maker", permissions=["roles:*", "users:view", "alerts:view"]))
    assert client.post("/api/v1/roles", {"name": "more", "permissions": permissions}).status_code == 403
    assert client.post("/api/v1/roles", {"name": "less", "permissions": ["alerts:view"]}).status_code == 201
    assert client.put("/api/v1/roles/less", {"permissions": permissions}).status_code == 403


def test_role_list_names_everything() -> None:
    roles = {role["id"]: role for role in client_as("viewer").get("/api/v1/roles").json()["roles"]}
    assert {"viewer", "operator", "admin"} <= set(roles)
    assert roles["admin"]["is_system"]


def test_last_role_with_all_rights_can_not_lose_them() -> None:
    make_role("root", ["*"])
    client = client_of(make_user("root", permissions=["*"]))
    answer = client.put("/api/v1/roles/root", {"permissions": ["users:view"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")


def test_every_code_of_the_matrix_is_known_and_held_by_its_role() -> None:
    for code, permission in CODES.items():
        assert is_known(code)
        assert permission.role == "admin" or code in codes_of_role(permission.role)
        assert permission.meaning.endswith(".")
