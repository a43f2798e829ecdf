"""The API of heartbeats."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from apps.core.models import Event
from apps.monitors.models import Heartbeat, HeartbeatDay
from apps.monitors.services.pings import PingRequest, accept_pings
from tests.factories.accounts import client_as
from tests.factories.heartbeats import make_heartbeat, ping, state_of

pytestmark = pytest.mark.django_db

URL = "/api/v1/heartbeats"
T0 = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@pytest.fixture
def operator() -> APIClient:
    return client_as("operator")


def problems(response: Any) -> dict[str, str]:
    assert response.status_code == 422, response.content
    return {".".join(str(part) for part in row["loc"][1:]): row["msg"] for row in response.json()["detail"]}


def test_created_heartbeat_shows_its_address_and_defaults(operator: APIClient, settings: Any) -> None:
    response = operator.post(URL, {"name": "backup", "interval_seconds": "1h", "tags": ["db", "night"]})
    assert response.status_code == 201
    body = response.json()
    assert body["ping_url"] == f"{settings.PUBLIC_URL}/ping/{body['uuid']}"
    assert body["uuid"] != body["id"]
    assert (body["status"], body["interval_seconds"], body["grace_seconds"]) == ("new", 3600, 720)
    assert (body["tags"], body["next_runs"], body["ping_count"], body["schedule"]) == (
        ["db", "night"],
        [],
        0,
        "interval",
    )
    assert Event.objects.get(name="heartbeat.created").subject_id == body["id"]


def test_cron_heartbeat_lists_its_next_runs(operator: APIClient) -> None:
    asked_at = timezone.now()
    body = operator.post(URL, {"name": "nightly", "cron": "@daily", "timezone": "Europe/Berlin"}).json()
    assert (body["cron"], body["schedule"], body["early_seconds"]) == ("0 0 * * *", "cron", 300)
    runs = [datetime.fromisoformat(run) for run in body["next_runs"]]
    assert len(runs) == 10
    assert all(run > asked_at for run in runs)
    assert runs == sorted(runs)


@pytest.mark.parametrize(
    ("body", "field", "text"),
    [
        ({"interval_seconds": 9}, "interval_seconds", "10.."),
        ({"interval_seconds": "soon"}, "interval_seconds", "30m"),
        ({}, "interval_seconds", "cron"),
        ({"cron": "0 25 * * *"}, "cron", 'hour field "25"'),
        ({"cron": "0 1 * * *", "timezone": "Europe/Atlantis"}, "timezone", "IANA"),
        ({"cron": "0 1 * * *", "interval_seconds": 60}, "interval_seconds", "not both"),
        ({"cron": "0 * * * *", "early_seconds": 3600}, "early_seconds", "shorter"),
        ({"interval_seconds": 60, "name": " "}, "name", "blank"),
        ({"interval_seconds": 60, "tags": [""]}, "tags", ""),
        ({"interval_seconds": 60, "max_runtime_seconds": 0}, "max_runtime_seconds", "1.."),
    ],
)
def test_wrong_value_is_refused_at_its_field(operator: APIClient, body: dict[str, Any], field: str, text: str) -> None:
    found = problems(operator.post(URL, {"name": "x", **body}))
    assert any(name.startswith(field) and text in message for name, message in found.items()), found
    assert not Heartbeat.objects.exists()


def test_update_is_partial_and_moves_the_deadline(operator: APIClient) -> None:
    heartbeat = make_heartbeat(name="a", interval_seconds=3600, grace_seconds=60, tags=["x"])
    now = timezone.now()
    ping(heartbeat, at=now)
    response = operator.put(f"{URL}/{heartbeat.id}", {"interval_seconds": 7200, "tags": ["y"]})
    body = response.json()
    assert (response.status_code, body["name"], body["tags"], body["grace_seconds"]) == (200, "a", ["y"], 60)
    assert state_of(heartbeat).next_due_at == now + timedelta(hours=2)
    event = Event.objects.get(name="heartbeat.updated")
    assert (event.audit["before"], event.audit["after"]) == (
        {"interval_seconds": 3600, "tags": ["x"]},
        {"interval_seconds": 7200, "tags": ["y"]},
    )
    assert ping(heartbeat, at=now).status == 200


def test_changing_from_interval_to_cron_drops_the_interval(operator: APIClient) -> None:
    heartbeat = make_heartbeat()
    body = operator.put(f"{URL}/{heartbeat.id}", {"cron": "0 1 * * *"}).json()
    assert (body["cron"], body["interval_seconds"], body["schedule"]) == ("0 1 * * *", None, "cron")


def test_shorter_interval_alone_raises_no_alarm(operator: APIClient) -> None:
    heartbeat = make_heartbeat(interval_seconds=86_400)
    ping(heartbeat, at=timezone.now() - timedelta(hours=5))
    operator.put(f"{URL}/{heartbeat.id}", {"interval_seconds": 60})
    deadline = state_of(heartbeat).deadline
    assert deadline is not None
    assert deadline > timezone.now()


def test_update_with_an_old_etag_is_412(operator: APIClient) -> None:
    heartbeat = make_heartbeat()
    etag = operator.get(f"{URL}/{heartbeat.id}")["ETag"]
    assert operator.put(f"{URL}/{heartbeat.id}", {"name": "b"}, HTTP_IF_MATCH=etag).status_code == 200
    assert operator.put(f"{URL}/{heartbeat.id}", {"name": "c"}, HTTP_IF_MATCH=etag).status_code == 412


def test_pause_and_resume_refuse_the_wrong_state(operator: APIClient) -> None:
    heartbeat = make_heartbeat()
    ping(heartbeat)
    assert operator.post(f"{URL}/{heartbeat.id}/resume").status_code == 409
    assert operator.post(f"{URL}/{heartbeat.id}/pause").json()["status"] == "paused"
    assert operator.post(f"{URL}/{heartbeat.id}/pause").status_code == 409
    resumed = operator.post(f"{URL}/{heartbeat.id}/resume/").json()
    assert (resumed["status"], resumed["paused"]) == ("up", False)
    names = list(
        Event.objects.filter(name__in=["heartbeat.paused", "heartbeat.resumed"]).values_list("name", flat=True)
    )
    assert names == ["heartbeat.paused", "heartbeat.resumed"]


def test_deleted_heartbeat_is_gone_and_its_address_404(operator: APIClient) -> None:
    heartbeat = make_heartbeat()
    assert operator.delete(f"{URL}/{heartbeat.id}").status_code == 204
    assert operator.get(f"{URL}/{heartbeat.id}").status_code == 404
    assert ping(heartbeat).status == 404
    assert Event.objects.get(name="heartbeat.deleted").subject_id == str(heartbeat.id)


def test_list_filters_by_status_tags_and_text(operator: APIClient) -> None:
    one = make_heartbeat(name="alpha backup", tags=["db", "night"])
    make_heartbeat(name="beta", tags=["db"])
    ping(one)

    def found(query: str) -> list[str]:
        return [row["name"] for row in operator.get(f"{URL}?{query}").json()["results"]]

    assert found("") == ["alpha backup", "beta"]
    assert found("status=up") == ["alpha backup"]
    assert found("tag=db&tag=night") == ["alpha backup"]
    assert found("search=BET") == ["beta"]
    assert operator.get(f"{URL}?status=odd").status_code == 422


def test_list_costs_the_same_queries_for_one_row_and_for_many(operator: APIClient) -> None:
    counts = []
    for more in (1, 20):
        for _ in range(more):
            make_heartbeat(tags=["t"])
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(URL).status_code == 200
        counts.append(len([query for query in queries if "monitors_" in query["sql"]]))
    assert counts == [3, 3]  # the count, the rows with their states, the tags


def test_executions_pair_start_and_end_with_the_output(operator: APIClient) -> None:
    heartbeat, rid = make_heartbeat(), uuid4()
    ping(heartbeat, "start", T0, rid=rid)
    ping(heartbeat, "fail", T0 + timedelta(seconds=3), 2, rid=rid, body=b"disk full\n")
    ping(heartbeat, "start", T0 + timedelta(seconds=9))
    rows = operator.get(f"{URL}/{heartbeat.id}/executions").json()["results"]
    assert [(row["result"], row["exit_code"], row["duration_ms"]) for row in rows] == [
        ("running", None, None),
        ("failure", 2, 3000),
    ]
    assert rows[1]["output"] == "disk full\n"
    assert (rows[1]["started_at"], rows[1]["finished_at"]) == ("2026-01-05T09:00:00Z", "2026-01-05T09:00:03Z")
    assert rows[1]["rid"] == str(rid)


def test_pings_are_paged_by_cursor_without_gap_or_repeat(operator: APIClient) -> None:
    heartbeat = make_heartbeat()
    accept_pings(
        [PingRequest(heartbeat.uuid, at=T0 + timedelta(seconds=n), method="POST", body=b"x") for n in range(25)]
    )
    url, seen = f"{URL}/{heartbeat.id}/pings?limit=10", []
    while url:
        page = operator.get(url).json()
        assert page["count"] == 25
        seen += [row["n"] for row in page["results"]]
        url = page["next"]
    assert seen == list(range(25, 0, -1))
    row = operator.get(f"{URL}/{heartbeat.id}/pings").json()["results"][0]
    assert (row["kind"], row["method"], row["body"], row["at"]) == ("success", "POST", "x", "2026-01-05T09:00:24Z")


@pytest.mark.parametrize("cursor", ["x", "W10", "WzFd", "InRleHQi", "bnVsbA"])
def test_cursor_that_is_not_ours_is_422(operator: APIClient, cursor: str) -> None:
    assert operator.get(f"{URL}/{make_heartbeat().id}/pings?cursor={cursor}").status_code == 422


def test_daily_uptime_tells_no_data_from_down(operator: APIClient) -> None:
    heartbeat = make_heartbeat()
    now = timezone.now()
    HeartbeatDay.objects.create(num=heartbeat.num, day=int(now.timestamp() // 86400) - 1, ok=3, failed=0, missed=1)
    ping(heartbeat, at=now)
    rows = operator.get(f"{URL}/{heartbeat.id}/uptime/daily?days=3").json()
    assert [row["uptime_percent"] for row in rows] == [None, 75.0, 100.0]
    assert rows[2]["date"] == now.date().isoformat()
    assert len(operator.get(f"{URL}/{heartbeat.id}/uptime/daily").json()) == 90


def test_viewer_reads_and_changes_nothing() -> None:
    viewer, heartbeat = client_as("viewer"), make_heartbeat()
    assert viewer.get(f"{URL}/{heartbeat.id}").status_code == 200
    assert viewer.post(URL, {"name": "x", "interval_seconds": 60}).status_code == 403
    assert viewer.post(f"{URL}/{heartbeat.id}/pause").status_code == 403
    assert viewer.delete(f"{URL}/{heartbeat.id}").status_code == 403


def test_repeated_create_with_a_key_makes_one_heartbeat(operator: APIClient) -> None:
    for _ in range(2):
        response = operator.post(URL, {"name": "x", "interval_seconds": 60}, HTTP_IDEMPOTENCY_KEY="k1")
        assert response.status_code == 201
    assert Heartbeat.objects.count() == 1


@pytest.mark.parametrize("path", ["not-a-uuid", "00000000-0000-0000-0000-000000000000"])
def test_unknown_heartbeat_is_404_everywhere(operator: APIClient, path: str) -> None:
    for tail in ("", "/pings", "/executions", "/uptime/daily"):
        assert operator.get(f"{URL}/{path}{tail}").status_code == 404
