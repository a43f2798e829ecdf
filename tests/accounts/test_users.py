"""Users: created, changed, disabled; the last admin; one's own profile and password."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import ApiKey, Session, User
from apps.accounts.services import users
from apps.core.errors import Conflict
from apps.core.models import Event
from apps.core.principals import Principal
from tests.accounts.support import demand, problems, secure
from tests.factories.accounts import (
    PASSWORD,
    client_as,
    client_of,
    client_with_key,
    make_api_key,
    make_user,
    principal,
)

NEW = "a fresh passphrase 77"


def new_user(**more: Any) -> dict[str, Any]:
    return {"username": "kim", "password": NEW, "email": "kim@example.org", "roles": ["operator"], **more}


@pytest.mark.django_db
def test_created_user_can_log_in_and_is_audited_without_the_password() -> None:
    answer = client_as("admin").post("/api/v1/users", new_user())
    assert answer.status_code == 201
    assert answer.json()["roles"] == ["operator"]
    assert User.objects.get(username="kim").check_password(NEW)
    event = Event.objects.get(name="user.created")
    assert NEW not in str(event.data) + str(event.audit)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (new_user(username="no spaces"), "username"),
        (new_user(username="someone@else.org"), "username"),
        (new_user(password="short"), "password"),
        (new_user(password="password123"), "password"),
        (new_user(email="nonsense"), "email"),
        (new_user(roles=["none"]), "roles"),
    ],
)
def test_wrong_values_are_422_at_their_field(body: dict[str, Any], field: str) -> None:
    assert field in problems(client_as("admin").post("/api/v1/users", body))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "changed",
    [{"username": "KIM", "email": "x@example.org"}, {"username": "other", "email": "KIM@example.org"}],
)
def test_name_or_email_taken_in_other_case_is_409(changed: dict[str, Any]) -> None:
    make_user(username="kim")
    assert client_as("admin").post("/api/v1/users", new_user(**changed)).status_code == 409


@pytest.mark.django_db
def test_nobody_takes_an_email_by_which_somebody_else_logs_in() -> None:
    client = client_as("admin")
    assert client.post("/api/v1/admin/users", {"email": "kim@example.org", "password": NEW}).status_code == 201
    other = make_user(username="other")
    answer = client.put(f"/api/v1/users/{other.id}", {"email": "kim@example.org"})
    assert answer.status_code == 409


@pytest.mark.django_db
def test_admin_users_takes_the_email_as_name_and_viewer_as_role() -> None:
    body = (
        client_as("admin")
        .post("/api/v1/admin/users", {"email": "lee@example.org", "password": NEW, "full_name": "Lee"})
        .json()
    )
    assert (body["username"], body["roles"], body["full_name"]) == ("lee@example.org", ["viewer"], "Lee")


@pytest.mark.django_db
def test_list_filters_by_text_role_and_state() -> None:
    client = client_as("admin")
    make_user("operator", "kim")
    User.objects.filter(id=make_user("viewer", "gone").id).update(disabled=True)

    def names(query: str) -> list[str]:
        return [user["username"] for user in client.get(f"/api/v1/users?{query}").json()["users"]]

    assert names("search=KI") == ["kim"]
    assert names("role=operator") == ["kim"]
    assert names("disabled=true") == ["gone"]
    assert len(names("disabled=false")) == 2
    assert client.get("/api/v1/users?page_size=1")["Link"].endswith('rel="next"')


@pytest.mark.django_db
def test_list_costs_the_same_for_many_users(django_assert_max_num_queries: Any) -> None:
    client = client_as("admin")
    for _ in range(10):
        make_user()
    client.get("/api/v1/users")
    with django_assert_max_num_queries(5):
        client.get("/api/v1/users")


@pytest.mark.django_db
def test_put_changes_only_what_is_given_and_minds_the_etag() -> None:
    client, user = client_as("admin"), make_user("viewer", "kim")
    first = client.get(f"/api/v1/users/{user.id}")
    answer = client.put(f"/api/v1/users/{user.id}", {"full_name": "Kim"}, HTTP_IF_MATCH=first["ETag"])
    assert (answer.json()["full_name"], answer.json()["email"]) == ("Kim", "kim@example.org")
    assert answer["ETag"] != first["ETag"]
    assert client.put(f"/api/v1/users/{user.id}", {"full_name": "Lee"}, HTTP_IF_MATCH=first["ETag"]).status_code == 412
    event = Event.objects.get(name="user.updated")
    assert event.audit["before"] == {"full_name": ""}
    assert event.audit["after"] == {"full_name": "Kim"}


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["nonsense", "0198f000-0000-7000-8000-000000000000"])
def test_unknown_user_is_404(path: str) -> None:
    assert client_as("admin").get(f"/api/v1/users/{path}").status_code == 404


@pytest.mark.django_db
def test_disabling_ends_sessions_and_keys_at_once_and_for_good() -> None:
    admin, user = client_as("admin"), make_user("operator")
    client = client_of(user)
    key, secret = make_api_key(user, role="viewer")
    assert admin.delete(f"/api/v1/users/{user.id}").status_code == 204
    assert client.get("/api/v1/auth/me").status_code == 401
    assert client_with_key(secret).get("/api/v1/auth/me").status_code == 401
    assert admin.put(f"/api/v1/users/{user.id}", {"disabled": False}).json()["disabled"] is False
    assert client.get("/api/v1/auth/me").status_code == 401
    assert client_with_key(secret).get("/api/v1/auth/me").status_code == 401
    assert ApiKey.objects.get(id=key.id).revoked_at


@pytest.mark.django_db
@pytest.mark.parametrize("changes", [{"disabled": True}, {"roles": ["viewer"]}, {"roles": []}])
def test_last_enabled_admin_can_not_be_lost(changes: dict[str, Any]) -> None:
    admin = make_user("admin")
    client = client_of(admin)
    User.objects.filter(id=make_user("admin").id).update(disabled=True)
    answer = client.put(f"/api/v1/users/{admin.id}", changes)
    assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    assert client.delete(f"/api/v1/users/{admin.id}").status_code == 409
    assert client.get("/api/v1/users").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_two_admins_demoting_each_other_at_once_leave_one() -> None:
    one, other = make_user("admin"), make_user("admin")
    # Made before either begins: both act with the rights of before.
    pairs = ((principal(user=one), other), (principal(user=other), one))
    outcomes: list[str] = []

    def demote(actor: Principal, target: User) -> None:
        try:
            users.update_user(user_id=target.id, changes={"roles": ["viewer"]}, actor=actor)
            outcomes.append("done")
        except Conflict:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=demote, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["done", "refused"]
    assert User.objects.filter(roles__name="admin").count() == 1


@pytest.mark.django_db
def test_user_manager_grants_no_more_than_held_and_does_not_touch_the_mightier() -> None:
    manager = client_of(make_user("user-manager", permissions=["users:*", "alerts:view"]))
    admin, viewer = make_user("admin"), make_user("helper", permissions=["alerts:view"])
    assert manager.put(f"/api/v1/users/{viewer.id}", {"roles": ["admin"]}).status_code == 403
    assert manager.post("/api/v1/users", new_user(roles=["admin"])).status_code == 403
    assert manager.put(f"/api/v1/users/{admin.id}/password", {"new_password": NEW}).status_code == 403
    assert manager.put(f"/api/v1/users/{admin.id}", {"email": "mine@example.org"}).status_code == 403
    assert manager.delete(f"/api/v1/users/{admin.id}").status_code == 403
    assert manager.put(f"/api/v1/users/{viewer.id}", {"roles": ["helper", "user-manager"]}).status_code == 200


@pytest.mark.django_db
def test_password_set_by_an_admin_must_be_changed_at_the_next_login() -> None:
    admin, user = client_as("admin"), make_user("admin", "kim")
    old = client_of(user)
    assert admin.put(f"/api/v1/users/{user.id}/password", {"new_password": NEW}).status_code == 204
    assert old.get("/api/v1/auth/me").status_code == 401
    client = client_of(User.objects.get(id=user.id))
    refused = client.get("/api/v1/users")
    assert (refused.status_code, refused.json()["code"]) == (403, "password_change_required")
    body = {"current_password": NEW, "new_password": "another passphrase 88"}
    assert client.post("/api/v1/auth/change-password", body).status_code == 204
    assert client.get("/api/v1/users").status_code == 200


@pytest.mark.django_db
def test_own_password_change_keeps_this_session_and_ends_the_others() -> None:
    user = make_user()
    client, other = client_of(user), client_of(user)
    url = "/api/v1/auth/me/password"
    assert "current_password" in problems(client.put(url, {"current_password": "no", "new_password": NEW}))
    assert client.put(url, {"current_password": PASSWORD, "new_password": NEW}).status_code == 204
    assert client.get("/api/v1/auth/me").status_code == 200
    assert other.get("/api/v1/auth/me").status_code == 401
    assert "new_password" in problems(client.put(url, {"current_password": NEW, "new_password": PASSWORD}))  # history


@pytest.mark.django_db
def test_password_older_than_the_policy_allows_must_be_changed() -> None:
    user = make_user("admin")
    client = client_of(user)
    demand(max_age_days=30)
    assert client.get("/api/v1/users").status_code == 200
    User.objects.update(password_changed_at=timezone.now() - timedelta(days=31))
    assert client.get("/api/v1/users").json()["code"] == "password_change_required"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("policy", "password"),
    [
        ({"min_length": 20}, "only eighteen char"),
        ({"uppercase": True}, "lower case alone 1!"),
        ({"lowercase": True}, "UPPER CASE ALONE 1!"),
        ({"digit": True}, "No Digit In Here!"),
        ({"symbol": True}, "No Symbol In Here 1"),
        ({}, "kim@example.org"),
    ],
)
def test_policy_is_enforced_wherever_a_password_is_set(policy: dict[str, Any], password: str) -> None:
    client, user = client_as("admin"), make_user(username="kim")
    demand(**policy)
    assert "new_password" in problems(client.put(f"/api/v1/users/{user.id}/password", {"new_password": password}))
    body = {"current_password": PASSWORD, "new_password": password}
    assert "new_password" in problems(client_of(user).put("/api/v1/auth/me/password", body))
    secure(registration=True)
    registered = {"username": "kim@example.org", "email": "kim@example.org", "password": password}
    User.objects.filter(id=user.id).update(username="was-kim", email=None)
    assert "password" in problems(client_as("anonymous").post("/api/v1/auth/register", registered))


@pytest.mark.django_db
def test_profile_changes_and_a_new_email_needs_the_password() -> None:
    user = make_user(username="kim")
    client = client_of(user)
    url = "/api/v1/auth/me"
    answer = client.put(url, {"full_name": "Kim", "timezone": "Europe/Berlin"})
    assert answer.json().get("timezone") == "Europe/Berlin", answer.content
    assert "timezone" in problems(client.put(url, {"timezone": "Mars/Olympus"}))
    assert "password" in problems(client.put(url, {"email": "new@example.org"}))
    assert "password" in problems(client.put(url, {"email": "new@example.org", "password": "wrong"}))
    assert client.put(url, {"email": "new@example.org", "password": PASSWORD}).json()["email"] == "new@example.org"
    assert client.put(url, {"roles": ["admin"], "disabled": True}).json()["roles"] == ["viewer"]


@pytest.mark.django_db
def test_registration_is_off_at_first_and_gives_the_default_role() -> None:
    client = client_as("anonymous")
    body = {"username": "new", "email": "new@example.org", "password": NEW}
    refused = client.post("/api/v1/auth/register", body)
    assert (refused.status_code, refused.json()["code"]) == (403, "registration_disabled")
    secure(registration=True)
    assert client.post("/api/v1/auth/register", body).json()["roles"] == ["viewer"]
    assert not Session.objects.exists()
