"""Servers: adding, changing, removing, listing, and who may."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.errors import Conflict, Invalid, PreconditionFailed
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.models import Server
from apps.fleet.selectors import find_server
from apps.fleet.services import delete_server, ensure_local_server, update_server
from tests.factories.accounts import client_as, client_with_key, make_api_key, make_user, principal
from tests.factories.fleet import make_server, push, snapshot

pytestmark = pytest.mark.django_db
ACTOR = system("test")


def test_server_created_gets_slug_from_name_and_unknown_status() -> None:
    answer = client_as("operator").post("/api/v1/servers", {"name": "Web Ümläut 1", "tags": ["web", "eu"]})
    assert answer.status_code == 201
    body = answer.json()
    assert (body["slug"], body["agent_id"], body["status"], body["health_status"]) == (
        "web-umlaut-1",
        "web-umlaut-1",
        "unknown",
        "unknown",
    )
    assert (body["port"], body["tags"], body["last_seen"]) == (22, ["eu", "web"], None)
    assert answer["ETag"]
    event = Event.objects.get(name="server.created")
    assert event.data["slug"] == "web-umlaut-1" and event.audience["server_id"] == body["id"]
    assert event.audit["after"]["tags"] == ["eu", "web"]


def test_second_server_of_a_name_gets_another_slug() -> None:
    assert [make_server("web").slug for _ in range(3)] == ["web", "web-2", "web-3"]


def test_slug_of_a_host_name_keeps_its_parts_apart() -> None:
    assert make_server("db-2.example.com").slug == "db-2-example-com"


@pytest.mark.parametrize("name", ["pending", "me", "ws", "local", "memories", "enroll"])
def test_reserved_word_as_name_does_not_become_the_slug(name: str) -> None:
    assert make_server(name).slug == f"{name}-2"


@pytest.mark.parametrize(
    "slug", ["local", "pending", "With Blank", "-x", "a" * 65, "0198c0de-0000-7000-8000-000000000000"]
)
def test_slug_of_a_wrong_form_is_refused(slug: str) -> None:
    with pytest.raises(Invalid):
        make_server("x", slug=slug)


def test_slug_that_is_taken_is_a_conflict() -> None:
    make_server("a", slug="one")
    assert client_as("operator").post("/api/v1/servers", {"name": "b", "slug": "one"}).status_code == 409


def test_create_without_name_names_the_field() -> None:
    answer = client_as("operator").post("/api/v1/servers", {"port": 99999})
    assert answer.status_code == 422
    assert {row["loc"][-1] for row in answer.json()["detail"]} == {"name", "port"}


def test_create_repeated_with_its_key_makes_one_server() -> None:
    client = client_as("operator")
    first, second = (client.post("/api/v1/servers", {"name": "x"}, headers={"Idempotency-Key": "k1"}) for _ in range(2))
    assert first.json() == second.json()
    assert Server.objects.count() == 1


def test_either_slug_or_id_names_the_server_everywhere() -> None:
    server = make_server("web")
    push(server, snapshot())
    client = client_as("viewer")
    for ref in (server.slug, str(server.id)):
        assert client.get(f"/api/v1/servers/{ref}").json()["id"] == str(server.id)
        assert client.get(f"/api/v1/metrics/{ref}").json()["agent_id"] == "web"
        assert client.get(f"/api/v1/history?agent_id={ref}").json()["server_id"] == str(server.id)
        assert client.get(f"/api/v1/processes/?agent_id={ref}").json()["agent_id"] == "web"


def test_unknown_server_is_not_found() -> None:
    client = client_as("viewer")
    for path in (
        "servers/nope",
        "metrics/nope",
        "metrics/nope/history",
        "history",
        "processes",
        "processes/1",
        "export/metrics",
    ):
        assert client.get(f"/api/v1/{path}").status_code == 404, path


def test_partial_change_keeps_the_rest_and_tells_before_and_after() -> None:
    server = make_server("web", host="10.0.0.1", tags=["a"])
    answer = client_as("operator").put(
        f"/api/v1/servers/{server.slug}/", {"host": "10.0.0.2", "tags": ["b"], "unknown": 1}
    )
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["host"], answer.json()["revision"]) == ("web", "10.0.0.2", 2)
    event = Event.objects.get(name="server.updated")
    assert event.audit["before"] == {"host": "10.0.0.1", "tags": ["a"]}
    assert event.audit["after"] == {"host": "10.0.0.2", "tags": ["b"]}


def test_change_to_the_same_values_is_no_event() -> None:
    server = make_server("web")
    update_server(actor=ACTOR, server=server, changes={"name": "web"})
    assert not Event.objects.filter(name="server.updated").exists()


def test_change_of_an_outdated_state_is_refused() -> None:
    server = make_server("web")
    client = client_as("operator")
    etag = client.get(f"/api/v1/servers/{server.slug}")["ETag"]
    assert client.put(f"/api/v1/servers/{server.slug}", {"name": "b"}, headers={"If-Match": etag}).status_code == 200
    assert client.put(f"/api/v1/servers/{server.slug}", {"name": "c"}, headers={"If-Match": etag}).status_code == 412
    with pytest.raises(PreconditionFailed):
        update_server(actor=ACTOR, server=server, changes={"name": "c"}, revision=1)


def test_server_removed_is_gone_with_its_state() -> None:
    server = make_server("web")
    push(server, snapshot())
    client = client_as("operator")
    assert client.delete(f"/api/v1/servers/{server.slug}").status_code == 204
    assert client.get(f"/api/v1/servers/{server.slug}").status_code == 404
    assert Event.objects.filter(name="server.deleted").count() == 1


def test_own_host_can_not_be_removed_or_renumbered_while_it_feeds_itself() -> None:
    server = ensure_local_server()
    assert (server.slug, server.is_local) == ("local", True)
    assert ensure_local_server().id == server.id
    with pytest.raises(Conflict):
        delete_server(actor=ACTOR, server=server)
    with pytest.raises(Conflict):
        update_server(actor=ACTOR, server=server, changes={"slug": "other"})


def test_list_is_a_bare_array_with_total_and_link() -> None:
    for number in range(3):
        make_server(f"s{number}")
    answer = client_as("viewer").get("/api/v1/servers?page_size=2")
    assert [row["name"] for row in answer.json()] == ["s0", "s1"]
    assert answer["X-Total-Count"] == "3"
    assert 'rel="next"' in answer["Link"] and "page=2" in answer["Link"]


def test_list_filters_by_status_words_and_all_tags() -> None:
    both = make_server("alpha", tags=["a", "b"], host="10.1.1.1")
    make_server("beta", tags=["a"])
    push(both, snapshot())
    client = client_as("viewer")

    def names(query: str) -> list[str]:
        return [row["name"] for row in client.get(f"/api/v1/servers?{query}").json()]

    assert names("status=online") == ["alpha"]
    assert names("status=unknown") == ["beta"]
    assert names("health_status=healthy") == ["alpha"]
    assert names("search=10.1.") == ["alpha"]
    assert names("tag=a") == ["alpha", "beta"]
    assert names("tag=a&tag=b") == ["alpha"]
    assert client.get("/api/v1/servers?status=asleep").status_code == 422


def test_list_needs_the_same_few_queries_for_many_servers() -> None:
    client = client_as("viewer")
    counts = []
    for total in (2, 12):
        while Server.objects.count() < total:
            push(make_server(tags=["x", "y"]), snapshot())
        client.get("/api/v1/servers")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert len(client.get("/api/v1/servers?page_size=1000").json()) == total
        counts.append(len([q for q in queries.captured_queries if "fleet_" in q["sql"] or "core_tag" in q["sql"]]))
    assert counts == [3, 3]


@pytest.mark.parametrize(
    ("role", "read", "write"),
    [("anonymous", 401, 401), ("viewer", 200, 403), ("operator", 200, 201), ("admin", 200, 201)],
)
def test_access_is_as_the_contract_says(role: str, read: int, write: int) -> None:
    server = make_server("web")
    push(server, snapshot())
    client = client_as(role)
    for path in (
        "servers",
        "servers/web",
        "metrics/web",
        "metrics/web/history",
        "history?agent_id=web",
        "processes?agent_id=web",
        "processes/10?agent_id=web",
        "export/metrics?agent_id=web",
    ):
        assert client.get(f"/api/v1/{path}").status_code == read, path
    assert client.post("/api/v1/servers", {"name": "new"}).status_code == write
    assert client.put("/api/v1/servers/web", {"description": "x"}).status_code == (200 if write == 201 else write)
    assert client.post("/api/v1/metrics/web", snapshot()).status_code == (202 if write == 201 else write)
    assert client.delete("/api/v1/servers/new").status_code == (204 if write == 201 else write)


def test_key_bound_to_a_server_sees_that_server_alone() -> None:
    mine, other = make_server("mine"), make_server("other")
    push(mine, snapshot())
    _, secret = make_api_key(make_user("operator"), server_id=str(mine.id))
    client = client_with_key(secret)
    assert [row["slug"] for row in client.get("/api/v1/servers").json()] == ["mine"]
    assert client.get("/api/v1/metrics/mine").status_code == 200
    assert client.get("/api/v1/metrics/other").status_code == 404
    assert client.get("/api/v1/history?agent_id=other").status_code == 404
    assert client.post("/api/v1/servers", {"name": "x"}).status_code == 403
    assert client.delete(f"/api/v1/servers/{other.id}").status_code == 403


def test_find_server_without_a_name_is_this_host() -> None:
    assert (
        find_server(None, principal("viewer", make_user("viewer"))).slug == "local" if ensure_local_server() else False
    )


@pytest.mark.parametrize("wanted", [True, False])
def test_own_host_is_a_server_from_the_first_start_on(settings: Any, wanted: bool) -> None:
    settings.LOCAL_SERVER = wanted
    for _ in range(2):
        call_command("prepare", stdout=StringIO())
    assert list(Server.objects.values_list("slug", flat=True)) == (["local"] if wanted else [])
