"""API keys and tickets."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.authentication import principal_of_api_key, principals_of_api_keys
from apps.accounts.models import ApiKey, Session, Ticket, User
from apps.accounts.services.tickets import create_ticket, spend_ticket
from apps.core.errors import Invalid, Unauthenticated
from apps.core.models import Event
from apps.core.registries import SubjectKind, subjects
from tests.accounts.support import problems, signed_in
from tests.factories.accounts import client_as, client_of, client_with_key, make_api_key, make_role, make_user

pytestmark = pytest.mark.django_db


def test_created_key_is_shown_once_and_kept_as_a_hash() -> None:
    user = make_user("operator")
    client = client_of(user)
    answer = client.post("/api/v1/api-keys", {"name": "script", "role": "viewer"})
    assert answer.status_code == 201
    secret = answer.json()["key"]
    assert secret[:3] == "wk_"
    assert secret[11] == "_"
    assert secret[:11] == answer.json()["prefix"]
    assert secret not in str(list(ApiKey.objects.values())) + str(list(Event.objects.values()))
    assert secret not in client.get("/api/v1/api-keys/me").content.decode()
    assert client_with_key(secret).get("/api/v1/roles").status_code == 200
    assert client_with_key(secret).get("/api/v1/roles").status_code == 200


def test_key_is_accepted_as_a_bearer_token_too() -> None:
    _, secret = make_api_key(make_user("admin"), role="viewer")
    client = client_as("anonymous")
    assert client.get("/api/v1/roles", HTTP_AUTHORIZATION=f"Bearer {secret}").status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x"}, "role"),
        ({"name": "x", "role": "viewer", "server_id": "s"}, "role"),
        ({"name": "x", "role": "none"}, "role"),
        ({"name": "x", "server_id": "no-such-server"}, "server_id"),
        ({"name": "x", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"role": "viewer"}, "name"),
    ],
)
def test_wrong_values_are_422_at_their_field(body: dict[str, str], field: str) -> None:
    assert field in problems(client_as("operator").post("/api/v1/api-keys", body))


def test_key_above_ones_own_rights_is_403() -> None:
    answer = client_as("operator").post("/api/v1/api-keys", {"name": "x", "role": "admin"})
    assert (answer.status_code, answer.json()["code"]) == (403, "beyond_own_rights")


def test_key_never_holds_more_than_its_owner_has_now() -> None:
    user = make_user("admin")
    _, secret = make_api_key(user, role="admin")
    assert principal_of_api_key(secret).can("users:view")
    user.roles.set([make_role("viewer")])
    now = principal_of_api_key(secret)
    assert not now.can("users:view")
    assert now.can("roles:view")
    assert now.role == "viewer"


def test_keys_can_not_make_keys() -> None:
    _, secret = make_api_key(make_user("admin"), role="admin")
    answer = client_with_key(secret).post("/api/v1/api-keys", {"name": "x", "role": "viewer"})
    assert (answer.status_code, answer.json()["code"]) == (403, "person_required")


@pytest.mark.parametrize("change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now() - timedelta(1)}])
def test_revoked_or_expired_key_is_refused(change: dict[str, object]) -> None:
    key, secret = make_api_key(make_user("admin"), role="viewer")
    ApiKey.objects.filter(id=key.id).update(**change)
    assert client_with_key(secret).get("/api/v1/roles").status_code == 401


def test_key_of_a_disabled_owner_is_refused() -> None:
    user = make_user("admin")
    _, secret = make_api_key(user, role="viewer")
    User.objects.filter(id=user.id).update(disabled=True)
    assert client_with_key(secret).get("/api/v1/roles").status_code == 401


def test_right_prefix_with_wrong_secret_is_refused() -> None:
    _, secret = make_api_key(make_user("admin"), role="viewer")
    assert client_with_key(secret[:-1] + ("a" if secret[-1] != "a" else "b")).get("/api/v1/roles").status_code == 401


def test_owner_colleague_and_admin_see_and_revoke_what_they_may() -> None:
    owner, colleague, admin = make_user("operator"), make_user("operator"), make_user("admin")
    key, secret = make_api_key(owner, role="viewer")
    assert client_of(owner).get("/api/v1/security/api-keys").json()["count"] == 1
    assert client_of(colleague).get("/api/v1/security/api-keys").json()["count"] == 0
    assert client_of(admin).get("/api/v1/security/api-keys").json()["count"] == 1
    assert client_of(admin).get("/api/v1/api-keys/me").json()["count"] == 0
    assert client_of(colleague).delete(f"/api/v1/api-keys/{key.id}").status_code == 404
    assert client_of(admin).delete(f"/api/v1/security/api-keys/{key.id}").status_code == 204
    assert client_with_key(secret).get("/api/v1/roles").status_code == 401
    assert client_of(owner).delete(f"/api/v1/api-keys/{key.id}").status_code == 404
    assert Event.objects.filter(name="api_key.revoked").count() == 1


def test_key_for_a_server_is_bound_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"web-1": "Web 1"}
    monkeypatch.setitem(subjects._items, "server", SubjectKind(find=known.get, url=lambda _: ""))
    body = client_as("operator").post("/api/v1/api-keys", {"name": "agent", "server_id": "web-1"}).json()
    assert (body["server_id"], body["role"]) == ("web-1", "agent")
    caller = principal_of_api_key(body["key"])
    assert (caller.bound_kind, caller.bound_id, caller.role) == ("server", "web-1", "agent")
    assert caller.can("samples:push")
    assert not caller.can("alerts:view")


def test_many_keys_are_authenticated_with_the_same_outcome_in_three_queries(django_assert_max_num_queries) -> None:
    owner = make_user("admin")
    good, _ = zip(*[(make_api_key(owner, role="viewer")[1], 0) for _ in range(5)], strict=True)
    principals_of_api_keys(good)
    with django_assert_max_num_queries(3):
        found = principals_of_api_keys([*good, "wk_unknown1_x"])
    assert isinstance(found["wk_unknown1_x"], Unauthenticated)
    assert all(found[secret].can("roles:view") for secret in good)


def test_idempotency_key_makes_one_key_and_does_not_keep_its_secret() -> None:
    client = client_as("operator")
    answers = [
        client.post("/api/v1/api-keys", {"name": "x", "role": "viewer"}, HTTP_IDEMPOTENCY_KEY="once") for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert ApiKey.objects.count() == 1
    assert answers[0].json()["key"] not in answers[1].content.decode()


# --- tickets -----------------------------------------------------------------------------------------------------


def test_ticket_opens_its_path_once_as_its_caller() -> None:
    user = make_user("viewer")
    answer = client_of(user).post("/api/v1/auth/ticket", {"path": "/api/v1/containers/events/"}).json()
    assert spend_ticket(answer["ticket"], "/api/v1/containers/events").user_id == user.id
    with pytest.raises(Unauthenticated):
        spend_ticket(answer["ticket"], "/api/v1/containers/events")
    assert answer["ticket"] not in str(list(Ticket.objects.values()))


def test_ticket_for_another_path_or_past_its_minute_is_refused() -> None:
    actor = signed_in(make_user())
    ticket, _ = create_ticket(path="/ws", actor=actor)
    with pytest.raises(Unauthenticated):
        spend_ticket(ticket, "/ws/other")
    Ticket.objects.update(expires_at=timezone.now())
    with pytest.raises(Unauthenticated):
        spend_ticket(ticket, "/ws")


def test_ticket_dies_with_its_session_and_key() -> None:
    user = make_user("admin")
    ticket, _ = create_ticket(path="/ws", actor=signed_in(user))
    Session.objects.update(ended_at=timezone.now())
    with pytest.raises(Unauthenticated):
        spend_ticket(ticket, "/ws")
    key, secret = make_api_key(user, role="viewer")
    first, _ = create_ticket(path="/ws", actor=principal_of_api_key(secret))
    second, _ = create_ticket(path="/ws", actor=principal_of_api_key(secret))
    assert spend_ticket(first, "/ws").kind == "api_key"
    ApiKey.objects.filter(id=key.id).update(revoked_at=timezone.now())
    with pytest.raises(Unauthenticated):
        spend_ticket(second, "/ws")


@pytest.mark.parametrize("path", ["ws", "https://elsewhere.example.org/", "//elsewhere.example.org"])
def test_ticket_for_no_path_of_ours_is_422(path: str) -> None:
    with pytest.raises(Invalid):
        create_ticket(path=path, actor=signed_in(make_user()))


def test_stream_takes_a_ticket_once_and_other_views_take_none() -> None:
    client, nobody = client_as("viewer"), client_as("anonymous")
    path = "/api/v1/containers/events"
    ticket = client.post("/api/v1/auth/ticket", {"path": path}).json()["ticket"]
    assert nobody.get(path, {"ticket": ticket}).status_code == 200
    assert nobody.get(path, {"ticket": ticket}).status_code == 401
    elsewhere = client.post("/api/v1/auth/ticket", {"path": "/api/v1/auth/me"}).json()["ticket"]
    assert nobody.get("/api/v1/auth/me", {"ticket": elsewhere}).status_code == 401
