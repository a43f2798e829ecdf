"""Addresses by ping key and slug, by both ways in."""

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from django.db import connection

from apps.core.models import Event
from apps.core.principals import system
from apps.monitors.models import Heartbeat, Ping
from apps.monitors.services import ping_keys
from apps.monitors.services.ping_keys import update_ping_key
from apps.monitors.services.pings import NOWHERE, PingRequest, accept_pings
from apps.monitors.services.slug_pings import SlugAddress
from tests.factories.accounts import client_as
from tests.factories.heartbeats import make_heartbeat, make_ping_key, state_of
from tests.monitors.test_ping_http import Call, raw, twin

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/v1/ping-keys"


@pytest.fixture(params=[raw, twin], ids=["raw", "twin"])
def call(request: pytest.FixtureRequest) -> Iterator[Call]:
    yield request.param


@pytest.mark.parametrize(
    ("word", "kind", "status"),
    [("", "success", "up"), ("/", "success", "up"), ("/start", "start", "started"), ("/fail", "fail", "down"),
     ("/7", "fail", "down"), ("/0/", "success", "up"), ("/log", "log", "new")],
)  # fmt: skip
def test_slug_stands_for_the_heartbeat_of_the_key(call: Call, word: str, kind: str, status: str) -> None:
    key = make_ping_key()
    heartbeat = make_heartbeat(name="Nightly Backup", ping_key_id=key.pk)
    reply = call(f"/ping/k/{key.key}/nightly-backup{word}")
    assert (reply.status, reply.body) == (200, b"OK")
    assert (Ping.objects.get(num=heartbeat.num).kind, state_of(heartbeat).status) == (kind, status)


def test_capitals_in_a_slug_make_no_difference(call: Call) -> None:
    key = make_ping_key()
    heartbeat = make_heartbeat(slug="web1.example.org-backup", ping_key_id=key.pk)
    assert call(f"/ping/k/{key.key}/WEB1.Example.org-backup").status == 200
    assert state_of(heartbeat).ping_count == 1


def test_unknown_slug_is_404_without_create(call: Call) -> None:
    key = make_ping_key()
    assert call(f"/ping/k/{key.key}/nobody").status == 404
    assert call(f"/ping/k/{key.key}/nobody?create=0").status == 404
    assert not Heartbeat.objects.exists()


def test_first_ping_adds_the_heartbeat_with_the_defaults_of_the_key(call: Call) -> None:
    key = make_ping_key(name="cluster", cron="0 4 * * *", timezone_name="Asia/Tokyo", grace_seconds=900, tags=["auto"])
    assert call(f"/ping/k/{key.key}/db1-backup/start?create=1").status == 201
    assert call(f"/ping/k/{key.key}/db1-backup?create=1").status == 200
    row = Heartbeat.objects.get()
    assert (row.name, row.slug, row.cron, row.timezone, row.grace_seconds) == (
        "db1-backup", "db1-backup", "0 4 * * *", "Asia/Tokyo", 900,
    )  # fmt: skip
    assert [tag.name for tag in row.tags.all()] == ["auto"]
    assert (state_of(row).ping_count, state_of(row).status) == (2, "up")
    assert Event.objects.get(name="heartbeat.created").actor_name == "Watchkeeper (ping key cluster)"


def test_limit_of_a_key_is_kept(call: Call) -> None:
    key = make_ping_key(create_limit=2)
    statuses = [call(f"/ping/k/{key.key}/job-{n}?create=1").status for n in range(4)]
    assert statuses == [201, 201, 409, 409]
    assert Heartbeat.objects.count() == 2
    assert b"Raise its limit" in call(f"/ping/k/{key.key}/job-9?create=1").body
    assert call(f"/ping/k/{key.key}/job-1?create=1").status == 200


def test_slug_of_several_heartbeats_is_409(call: Call) -> None:
    key = make_ping_key()
    for _ in range(2):
        make_heartbeat(slug="twice", ping_key_id=key.pk)
    reply = call(f"/ping/k/{key.key}/twice?create=1")
    assert reply.status == 409
    assert b"2 heartbeats of this key" in reply.body
    assert not Ping.objects.exists()


def test_key_opens_its_own_heartbeats_alone_and_nothing_once_off_renewed_or_removed(call: Call) -> None:
    key, other = make_ping_key(), make_ping_key()
    make_heartbeat(slug="job", ping_key_id=other.pk)
    make_heartbeat(slug="job")
    assert call(f"/ping/k/{key.key}/job").status == 404
    assert call(f"/ping/k/{'x' * 40}/job?create=1").status == 404
    secret, actor = other.key, system("tests")
    update_ping_key(ping_key_id=other.pk, actor=actor, changes={"enabled": False})
    assert call(f"/ping/k/{secret}/job").status == 404
    update_ping_key(ping_key_id=other.pk, actor=actor, changes={"enabled": True})
    assert call(f"/ping/k/{secret}/job").status == 200
    renewed = ping_keys.renew_ping_key(ping_key_id=other.pk, actor=actor)
    assert call(f"/ping/k/{secret}/job").status == 404
    assert call(f"/ping/k/{renewed.key}/job").status == 200
    ping_keys.delete_ping_key(ping_key_id=other.pk, actor=actor)
    assert call(f"/ping/k/{renewed.key}/job?create=1").status == 404
    assert Heartbeat.objects.count() == 2


@pytest.mark.parametrize("slug", ["a%20b", "-x", "ä", "x" * 101])
def test_slug_that_is_none_adds_nothing(call: Call, slug: str) -> None:
    key = make_ping_key()
    assert call(f"/ping/k/{key.key}/{slug}?create=1").status == 409
    assert not Heartbeat.objects.exists()


def test_other_methods_and_words_are_refused(call: Call) -> None:
    key = make_ping_key()
    make_heartbeat(slug="job", ping_key_id=key.pk)
    assert call(f"/ping/k/{key.key}/job", "DELETE").status == 405
    assert call(f"/ping/k/{key.key}/job/done").status == 400
    assert call(f"/ping/k/{key.key}").status == 404


def test_source_is_taken_from_query_and_header() -> None:
    key = make_ping_key()
    heartbeat = make_heartbeat(slug="job", ping_key_id=key.pk, expected_sources=["a", "b"])
    for address in (f"/ping/k/{key.key}/job?source=a", f"/ping/{heartbeat.uuid}?source=b"):
        assert raw(address).status == 200
    assert set(heartbeat.window.last) == {"a", "b"}


def test_new_slugs_in_one_batch_beside_known_and_unknown_ones() -> None:
    key = make_ping_key(create_limit=2)
    known = make_heartbeat()
    address = SlugAddress(key.key, "job", create=True)
    batch = [
        PingRequest(NOWHERE, slug=address), PingRequest(known.uuid), PingRequest(NOWHERE, slug=address),
        PingRequest(NOWHERE, slug=SlugAddress(key.key, "job")), PingRequest(NOWHERE, slug=SlugAddress("no", "job")),
    ]  # fmt: skip
    assert [answer.status for answer in accept_pings(batch)][1:2] == [200]
    assert batch[4].uuid == NOWHERE
    row = Heartbeat.objects.get(ping_key=key)
    assert state_of(row).ping_count == 3
    assert state_of(known).ping_count == 1


def test_first_pings_at_the_same_time_add_one_heartbeat() -> None:
    key = make_ping_key(create_limit=5)
    statuses: list[int] = []

    def send() -> None:
        try:
            statuses.append(accept_pings([PingRequest(NOWHERE, slug=SlugAddress(key.key, "job", True))])[0].status)
        finally:
            connection.close()

    threads = [Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 200, 201]
    assert state_of(Heartbeat.objects.get()).ping_count == 4


# --- the API of keys -----------------------------------------------------------------------------------------------


def test_key_is_made_shown_changed_renewed_and_removed(settings: Any) -> None:
    operator = client_as("operator")
    body = operator.post(URL, {"name": "cluster", "interval_seconds": "1h", "tags": ["x"]}, format="json").json()
    assert body["url"] == f"{settings.PUBLIC_URL}/ping/k/{body['key']}/"
    assert (body["interval_seconds"], body["create_limit"], body["heartbeats"]) == (3600, 100, 0)
    path = f"{URL}/{body['id']}"
    make_heartbeat(ping_key_id=body["id"])
    assert operator.get(URL).json()["results"][0]["heartbeats"] == 1
    changed = operator.put(path, {"cron": "@daily", "create_limit": 3}, format="json")
    assert (changed.json()["cron"], changed.json()["interval_seconds"]) == ("0 0 * * *", None)
    assert operator.put(path, {"name": "y"}, format="json", HTTP_IF_MATCH='"x-1"').status_code == 412
    renewed = operator.post(f"{path}/renew").json()
    assert renewed["key"] != body["key"]
    assert operator.delete(path).status_code == 204
    assert operator.get(path).status_code == 404
    assert Heartbeat.objects.count() == 1
    names = list(Event.objects.filter(name__startswith="ping_key.").order_by("id").values_list("name", flat=True))
    assert names == ["ping_key.created", "ping_key.updated", "ping_key.renewed", "ping_key.deleted"]
    facts = str(list(Event.objects.values_list("data", "audit")))
    assert body["key"] not in facts
    assert renewed["key"] not in facts


def test_viewers_see_no_keys_and_not_those_of_heartbeats() -> None:
    key = make_ping_key()
    heartbeat = make_heartbeat(ping_key_id=key.pk)
    viewer = client_as("viewer")
    assert viewer.get(URL).status_code == 403
    assert key.key not in viewer.get(f"/api/v1/heartbeats/{heartbeat.id}").content.decode()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "taken"}, "name"), ({"create_limit": -1}, "create_limit"), ({"cron": "x"}, "cron"),
        ({"interval_seconds": 1}, "interval_seconds"), ({"timezone": "Mars"}, "timezone"), ({"tags": [""]}, "tags"),
        ({"cron": "@daily", "interval_seconds": 60}, "interval_seconds"),
    ],
)  # fmt: skip
def test_wrong_key_is_refused_at_its_field(values: dict[str, Any], field: str) -> None:
    make_ping_key(name="taken")
    response = client_as("operator").post(URL, {"name": "new", **values}, format="json")
    assert response.status_code == 422
    assert any(field in row["loc"] for row in response.json()["detail"])


def test_key_is_kept_as_a_digest_and_sealed() -> None:
    key = make_ping_key()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM monitors_pingkey")
        assert key.key not in str(cursor.fetchall())
