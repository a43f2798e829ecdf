"""The alerts' API: lists, filters, transitions, limits."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.alerts.models import Threshold
from tests.factories.accounts import client_as
from tests.factories.alerts import make_alert

pytestmark = pytest.mark.django_db


def test_list_shows_alerts_newest_first_with_the_limits() -> None:
    old, new = make_alert(), make_alert("critical")
    body = client_as("viewer").get("/api/v1/alerts").json()
    assert [row["id"] for row in body["alerts"]] == [str(new.id), str(old.id)]
    assert body["config"]["cpu"] == {"warning": 80.0, "critical": 95.0}


def test_list_is_filtered_by_status_level_and_type() -> None:
    alert = make_alert("critical")
    make_alert("warning", kind="disk:/var", source="server")
    client = client_as("operator")
    assert client.post(f"/api/v1/alerts/{alert.id}/acknowledge", {"note": "mine"}).status_code == 200
    assert [row["id"] for row in client.get("/api/v1/alerts?status=acknowledged").json()["alerts"]] == [str(alert.id)]
    assert [row["type"] for row in client.get("/api/v1/alerts?type=disk").json()["alerts"]] == ["disk"]
    assert len(client.get("/api/v1/alerts?level=critical").json()["alerts"]) == 1
    assert client.get("/api/v1/alerts?level=huge").status_code == 422


def test_list_takes_the_same_number_of_queries_for_any_number_of_rows() -> None:
    client = client_as("viewer")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/api/v1/alerts").status_code == 200
        return len(queries)

    make_alert()
    cost()  # fills what a process keeps for a second
    one = cost()
    for _ in range(20):
        make_alert()
    assert cost() <= one <= 8


def test_resolved_alert_is_409_for_both_transitions() -> None:
    alert = make_alert()
    client = client_as("operator")
    assert client.post(f"/api/v1/alerts/{alert.id}/resolve/").status_code == 200
    assert client.post(f"/api/v1/alerts/{alert.id}/resolve/").status_code == 409
    assert client.post(f"/api/v1/alerts/{alert.id}/acknowledge/").json()["code"] == "wrong_state"


def test_active_list_leaves_resolved_ones_out() -> None:
    make_alert()
    alert = make_alert()
    client = client_as("operator")
    client.post(f"/api/v1/alerts/{alert.id}/resolve")
    assert len(client.get("/api/v1/alerts/active").json()["alerts"]) == 1


def test_config_sets_limits_all_or_nothing() -> None:
    client = client_as("operator")
    assert client.post("/api/v1/alerts/config", {"cpu": {"warning": 70, "critical": 90}}).json()["cpu"] == {
        "warning": 70.0,
        "critical": 90.0,
    }
    refused = client.post("/api/v1/alerts/config", {"memory": {"warning": 50}, "disk": {"warning": 95, "critical": 90}})
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "disk"]
    assert Threshold.objects.get(server=None, metric="memory", level="warning").value == 85


@pytest.mark.parametrize("body", [{"gpu": {"warning": 1}}, {"cpu": {"warning": "hot"}}, {}, {"cpu": {"loud": 3}}])
def test_config_of_the_wrong_form_is_422(body: dict) -> None:
    assert client_as("operator").post("/api/v1/alerts/config", body).status_code == 422


def test_threshold_is_added_changed_with_etag_and_removed() -> None:
    client = client_as("operator")
    made = client.post(
        "/api/v1/alerts/thresholds",
        {"metric_type": "swap", "threshold_value": 50, "comparison": "gt", "for": "5m", "level": "critical"},
    )
    assert made.status_code == 201, made.json()
    row = made.json()
    assert (row["for"], row["server_id"]) == (300, None)
    path = f"/api/v1/alerts/thresholds/{row['id']}"
    assert client.put(path, {"threshold_value": 60}, HTTP_IF_MATCH='"wrong"').status_code == 412
    changed = client.put(path, {"threshold_value": 60}, HTTP_IF_MATCH=made["ETag"])
    assert changed.json()["threshold_value"] == 60
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_second_threshold_for_the_same_metric_and_level_is_409() -> None:
    client = client_as("operator")
    assert client.post("/api/v1/alerts/thresholds", {"metric_type": "cpu", "threshold_value": 50}).status_code == 409


@pytest.mark.parametrize(
    "change",
    [
        {"threshold_value": 120},
        {"metric_type": "weather"},
        {"for": "soon"},
        {"surprise": 1},
        {"clear_value": 99, "comparison": "gt"},
    ],
)
def test_threshold_with_a_wrong_value_is_422(change: dict) -> None:
    body = {"metric_type": "swap", "threshold_value": 50} | change
    assert client_as("operator").post("/api/v1/alerts/thresholds", body).status_code == 422


def test_create_with_idempotency_key_is_answered_twice_and_done_once() -> None:
    client = client_as("operator")
    body = {"metric_type": "swap", "threshold_value": 50}
    first = client.post("/api/v1/alerts/thresholds", body, HTTP_IDEMPOTENCY_KEY="abc")
    again = client.post("/api/v1/alerts/thresholds", body, HTTP_IDEMPOTENCY_KEY="abc")
    assert first.json() == again.json()
    assert Threshold.objects.filter(metric="swap").count() == 1
    other = client.post("/api/v1/alerts/thresholds", body | {"level": "critical"}, HTTP_IDEMPOTENCY_KEY="abc")
    assert other.status_code == 422
