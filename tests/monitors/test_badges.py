"""Badges: made, shown to everybody who knows the address, revoked."""

from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from apps.core.models import Event
from apps.monitors.badges import CRIT, OK, Look, svg
from apps.monitors.models import Badge, HeartbeatDay
from tests.factories.accounts import client_as
from tests.factories.heartbeats import make_badge, make_heartbeat, ping
from tests.factories.monitors import make_endpoint

pytestmark = pytest.mark.django_db

URL = "/api/v1/badges"


@pytest.fixture
def operator() -> APIClient:
    return client_as("operator")


def shown(badge: Badge) -> tuple[str, str, str]:
    answer = Client().get(f"/badge/{badge.token}.json")
    assert answer.status_code == 200
    body = answer.json()
    return body["label"], body["message"], body["tone"]


def test_badge_is_made_shown_and_revoked(operator: APIClient, settings: Any) -> None:
    heartbeat = make_heartbeat(name="secret-project backup")
    body = operator.post(URL, {"kind": "heartbeat", "subject": str(heartbeat.id)}, format="json").json()
    address = body["urls"]["svg"]
    assert address.startswith(f"{settings.PUBLIC_URL}/badge/")
    assert address in body["snippets"]["markdown"]
    path = address.removeprefix(settings.PUBLIC_URL)
    answer = Client().get(path)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/svg+xml; charset=utf-8")
    assert (answer["Cache-Control"], answer["Access-Control-Allow-Origin"]) == ("public, max-age=30", "*")
    assert not answer.cookies
    assert b"waiting" in answer.content
    assert operator.delete(f"{URL}/{body['id']}").status_code == 204
    for form in ("svg", "json", "shields"):
        assert Client().get(body["urls"][form].removeprefix(settings.PUBLIC_URL)).status_code == 404
    assert list(Event.objects.filter(name__startswith="badge.").values_list("name", flat=True)) == [
        "badge.created",
        "badge.deleted",
    ]


def test_address_tells_nothing_but_the_status() -> None:
    heartbeat = make_heartbeat(name="secret-project", description="secret-host", tags=["secret-tag"])
    badge = make_badge("heartbeat", str(heartbeat.id))
    for form in ("svg", "json", "shields.json"):
        text = Client().get(f"/badge/{badge.token}.{form}").content.decode()
        for private in ("secret", str(heartbeat.id), str(heartbeat.uuid), str(badge.id)):
            assert private not in text


def test_tokens_are_random_and_kept_as_a_digest_and_sealed() -> None:
    subject = str(make_endpoint().id)
    tokens = {make_badge("endpoint", subject).token for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 32
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM monitors_badge")
        stored = str(cursor.fetchall())
    assert not any(token in stored for token in tokens)


@pytest.mark.parametrize("path", ["/badge/x.svg", "/badge/.svg", f"/badge/{'a' * 32}.json", "/badge/x.shields.json"])
def test_unknown_token_is_404(path: str) -> None:
    assert Client().get(path).status_code == 404


def test_status_follows_the_heartbeat() -> None:
    heartbeat = make_heartbeat()
    badge = make_badge("heartbeat", str(heartbeat.id), label="nightly")
    assert shown(badge) == ("nightly", "waiting", "quiet")
    ping(heartbeat)
    assert shown(badge) == ("nightly", "up", "ok")
    ping(heartbeat, "fail", exit_code=1)
    assert shown(badge) == ("nightly", "down", "crit")
    heartbeat.delete()
    assert Client().get(f"/badge/{badge.token}.json").status_code == 404


def test_tag_shows_the_worst_of_its_things() -> None:
    first, second = make_heartbeat(tags=["shop"]), make_heartbeat(tags=["shop"])
    badge = make_badge("tag", "shop")
    ping(first)
    ping(second)
    assert shown(badge) == ("status", "up", "ok")
    ping(second, "fail", exit_code=1)
    assert shown(badge) == ("status", "1 of 2 down", "crit")


def test_uptime_is_never_rounded_up_to_a_hundred() -> None:
    heartbeat = make_heartbeat()
    badge = make_badge("heartbeat", str(heartbeat.id), shows="uptime", days=7)
    assert shown(badge) == ("uptime 7 d", "no data", "quiet")
    today = int(timezone.now().timestamp() // 86_400)
    HeartbeatDay.objects.create(num=heartbeat.num, day=today - 1, ok=100_000, failed=1, missed=0)
    assert shown(badge) == ("uptime 7 d", "99.99 %", "ok")
    HeartbeatDay.objects.create(num=heartbeat.num, day=today - 2, ok=0, failed=0, missed=5_000)
    assert shown(badge)[1:] == ("95.23 %", "crit")


def test_last_ping_is_told_in_words() -> None:
    heartbeat = make_heartbeat()
    badge = make_badge("heartbeat", str(heartbeat.id), shows="last_ping")
    assert shown(badge)[1] == "never"
    ping(heartbeat, at=timezone.now() - timedelta(hours=3, minutes=20))
    assert shown(badge)[:2] == ("last run", "3 h ago")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "server", "subject": "x"}, "kind"), ({"kind": "heartbeat", "subject": "x"}, "subject"),
        ({"kind": "tag", "subject": "nobody"}, "subject"), ({"shows": "secrets"}, "shows"),
        ({"shows": "last_ping"}, "shows"), ({"days": 0}, "days"), ({"label": "a" * 61}, "label"),
    ],
)  # fmt: skip
def test_wrong_badge_is_refused_at_its_field(operator: APIClient, body: dict[str, Any], field: str) -> None:
    endpoint = make_endpoint()
    response = operator.post(URL, {"kind": "endpoint", "subject": str(endpoint.id), **body}, format="json")
    assert response.status_code == 422
    assert field in [row["loc"][-1] for row in response.json()["detail"]]


def test_picture_is_plain_xml_whatever_the_label() -> None:
    text = svg(Look('<script>alert("1")</script>&', "up ]]> ' \"", OK))
    root = ElementTree.fromstring(text)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
        "svg", "title", "clipPath", "rect", "g", "text",
    }  # fmt: skip
    assert "href" not in text
    assert "style" not in text
    assert svg(Look("a", "b", CRIT)) != svg(Look("a", "b", OK))


def test_shields_form_has_what_shields_asks_for() -> None:
    badge = make_badge("endpoint", str(make_endpoint().id), label="shop")
    body = Client().get(f"/badge/{badge.token}.shields.json").json()
    assert (body["schemaVersion"], body["label"], sorted(body)) == (
        1, "shop", ["color", "isError", "label", "message", "schemaVersion"],
    )  # fmt: skip


def test_list_costs_the_same_for_few_and_many_and_filters(operator: APIClient) -> None:
    one, two = make_heartbeat(), make_heartbeat()
    counts = []
    for heartbeat, more in ((one, 2), (two, 20)):
        for _ in range(more):
            make_badge("heartbeat", str(heartbeat.id))
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(URL).status_code == 200
        counts.append(len([query for query in queries if "monitors_" in query["sql"]]))
    assert counts == [2, 2]
    assert operator.get(f"{URL}?kind=heartbeat&subject={one.id}").json()["count"] == 2
    assert client_as("viewer").post(URL, {"kind": "heartbeat", "subject": str(one.id)}).status_code == 403
