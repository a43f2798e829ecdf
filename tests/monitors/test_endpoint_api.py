"""The API of endpoint monitors."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.fields import sealed_value
from apps.core.models import Event
from apps.monitors.models import CheckResult, Endpoint, EndpointState
from tests.factories.accounts import client_as
from tests.factories.monitors import facts, make_endpoint, record, record_all
from tests.support.servers import http_server

pytestmark = pytest.mark.django_db

BODY = {
    "name": "Shop", "endpoint_type": "http", "target": "https://shop.example.org/health", "interval": "30s",
    "timeout": 5,
    "headers": {"Authorization": "Bearer s3cret", "X-Team": "shop"}, "tags": ["shop", "eu"],
}  # fmt: skip


def test_created_endpoint_is_unknown_and_shows_no_secret() -> None:
    answer = client_as("operator").post("/api/v1/endpoints", BODY, format="json")
    assert answer.status_code == 201, answer.data
    shown = answer.json()
    assert (shown["status"], shown["last_check_at"], shown["last_response_time_ms"], shown["last_error"]) == (
        "unknown", None, None, "",
    )  # fmt: skip
    assert (shown["interval"], shown["timeout"], shown["tags"]) == (30, 5, ["eu", "shop"])
    assert (shown["failure_threshold"], shown["recovery_threshold"], shown["expected_status"]) == (1, 1, "2xx")
    assert shown["headers"] == {"Authorization": "***", "X-Team": "***"}
    assert "s3cret" not in answer.content.decode()
    assert shown["uptime"] == {"1h": None, "24h": None, "7d": None, "30d": None, "90d": None, "1y": None}
    assert answer["ETag"]


def test_secret_headers_are_sealed_and_never_in_the_audit_trail() -> None:
    client = client_as("operator")
    pk = client.post("/api/v1/endpoints", BODY, format="json").json()["id"]
    client.put(f"/api/v1/endpoints/{pk}", {"headers": {"Authorization": "Bearer n3w"}}, format="json")
    endpoint = Endpoint.objects.get(pk=pk)
    assert "s3cret" not in (sealed_value(endpoint, "headers") or "") and "n3w" in endpoint.headers
    trail = "".join(str(event.audit) + str(event.data) for event in Event.objects.all())
    assert "s3cret" not in trail and "n3w" not in trail
    [updated] = facts("endpoint.updated")
    assert updated.audit["before"] == {"headers": "***"}


def test_masked_header_keeps_its_value() -> None:
    client = client_as("operator")
    pk = client.post("/api/v1/endpoints", BODY, format="json").json()["id"]
    answer = client.put(f"/api/v1/endpoints/{pk}/", {"headers": {"Authorization": "***", "X-New": "1"}}, format="json")
    assert answer.status_code == 200
    assert Endpoint.objects.get(pk=pk).headers == '{"Authorization": "Bearer s3cret", "X-New": "1"}'


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"target": "ftp://example.org/"}, "target"),
        ({"target": "http://169.254.169.254/latest"}, "target"),
        ({"target": "https://user:pass@example.org/"}, "target"),
        ({"endpoint_type": "tcp", "target": "example.org"}, "target"),
        ({"endpoint_type": "tcp", "target": "example.org:99999"}, "target"),
        ({"endpoint_type": "smoke"}, "endpoint_type"),
        ({"interval": 4}, "interval"),
        ({"interval": "soon"}, "interval"),
        ({"interval": "1e400"}, "interval"),
        ({"interval": 10**400}, "interval"),
        ({"timeout": "nan"}, "timeout"),
        ({"timeout": 31}, "timeout"),
        ({"timeout": 0.5}, "timeout"),
        ({"failure_threshold": 0}, "failure_threshold"),
        ({"recovery_threshold": 101}, "recovery_threshold"),
        ({"expected_status": "2xx,9"}, "expected_status"),
        ({"json_path": "a[x"}, "json_path"),
        ({"json_value": "ok"}, "json_value"),
        ({"headers": {"X Y": "1"}}, "headers"),
        ({"headers": {"Content-Length": "1"}}, "headers"),
        ({"headers": {"X-Line": "a\r\nb"}}, "headers"),
        ({"headers": {"X-New": "***"}}, "headers"),
        ({"method": "BREW"}, "method"),
        ({"method": "HEAD", "keyword": "x"}, "keyword"),
        ({"max_redirects": 21}, "max_redirects"),
        ({"degraded_over_ms": 0}, "degraded_over_ms"),
        ({"cert_warn_days": [0]}, "cert_warn_days"),
        ({"ca_pem": "no pem"}, "ca_pem"),
        ({"tags": ["x" * 65]}, "tags"),
    ],
)
def test_wrong_value_is_refused_by_its_name(change: dict[str, Any], field: str) -> None:
    answer = client_as("operator").post("/api/v1/endpoints", {**BODY, **change}, format="json")
    assert answer.status_code == 422, answer.data
    places = [place for entry in answer.json()["detail"] for place in entry["loc"]]
    assert field in places
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize("query", [f"page={10**30}", f"offset={10**30}", f"page={10**11}&page_size={10**30}"])
def test_page_beyond_all_rows_is_empty(query: str) -> None:
    make_endpoint()
    answer = client_as("viewer").get(f"/api/v1/endpoints?{query}")
    assert (answer.status_code, answer.json()["results"], answer.json()["count"]) == (200, [], 1)


def test_several_wrong_values_are_all_named() -> None:
    answer = client_as("operator").post("/api/v1/endpoints", {"interval": 2, "failure_threshold": 0}, format="json")
    places = {place for entry in answer.json()["detail"] for place in entry["loc"]}
    assert {"name", "target", "interval", "failure_threshold"} <= places


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("viewer", "get", "/api/v1/endpoints", 200),
        ("viewer", "post", "/api/v1/endpoints", 403),
        ("viewer", "put", "/api/v1/endpoints/{id}", 403),
        ("viewer", "delete", "/api/v1/endpoints/{id}", 403),
        ("viewer", "post", "/api/v1/endpoints/{id}/check", 403),
        ("viewer", "get", "/api/v1/endpoints/{id}", 200),
        ("viewer", "get", "/api/v1/endpoints/{id}/checks", 200),
        ("viewer", "get", "/api/v1/endpoints/{id}/uptime/daily", 200),
        ("viewer", "get", "/api/v1/dashboard/sparklines/", 200),
        ("anonymous", "get", "/api/v1/endpoints/", 401),
        ("anonymous", "get", "/api/v1/dashboard/sparklines", 401),
        ("operator", "delete", "/api/v1/endpoints/{id}/", 204),
    ],
)
def test_access_follows_the_role(role: str, method: str, path: str, status: int) -> None:
    endpoint = make_endpoint()
    client = client_as(role)
    assert getattr(client, method)(path.format(id=endpoint.pk), {}, format="json").status_code == status


def test_unknown_endpoint_is_not_found() -> None:
    client = client_as("operator")
    missing = "0190f3e2-7c1e-7b4a-9d0e-2f6a8c1b5d3e"
    for path in (missing, f"{missing}/checks", f"{missing}/uptime/daily", "no-uuid", "no-uuid/checks"):
        assert client.get(f"/api/v1/endpoints/{path}").status_code == 404


def test_pause_and_resume_by_put() -> None:
    endpoint = make_endpoint()
    client = client_as("operator")
    paused = client.put(f"/api/v1/endpoints/{endpoint.pk}", {"enabled": False}, format="json").json()
    assert (paused["enabled"], paused["status"], paused["next_check_at"]) == (False, "paused", None)
    again = client.put(f"/api/v1/endpoints/{endpoint.pk}", {"enabled": False}, format="json")
    assert again.status_code == 200
    resumed = client.put(f"/api/v1/endpoints/{endpoint.pk}", {"enabled": True}, format="json").json()
    assert (resumed["status"], resumed["next_check_at"] is not None) == ("unknown", True)
    names = list(Event.objects.filter(subject_kind="endpoint").order_by("id").values_list("name", flat=True))
    assert names == ["endpoint.created", "endpoint.paused", "endpoint.resumed"]


def test_shorter_interval_takes_the_timeout_along() -> None:
    endpoint = make_endpoint(interval_s=60, timeout_s=20)
    answer = client_as("operator").put(f"/api/v1/endpoints/{endpoint.pk}", {"interval": 5}, format="json")
    assert (answer.json()["interval"], answer.json()["timeout"]) == (5, 5)


def test_stale_etag_is_refused() -> None:
    endpoint = make_endpoint()
    client = client_as("operator")
    etag = client.get(f"/api/v1/endpoints/{endpoint.pk}")["ETag"]
    first = client.put(f"/api/v1/endpoints/{endpoint.pk}", {"name": "A"}, format="json", HTTP_IF_MATCH=etag)
    second = client.put(f"/api/v1/endpoints/{endpoint.pk}", {"name": "B"}, format="json", HTTP_IF_MATCH=etag)
    assert (first.status_code, second.status_code) == (200, 412)


def test_create_repeated_with_its_key_makes_one_endpoint() -> None:
    client = client_as("operator")
    answers = [
        client.post("/api/v1/endpoints", BODY, format="json", HTTP_IDEMPOTENCY_KEY="k1").json()["id"] for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert Endpoint.objects.count() == 1


def test_deleted_endpoint_is_gone_and_told() -> None:
    endpoint = make_endpoint()
    client = client_as("operator")
    assert client.delete(f"/api/v1/endpoints/{endpoint.pk}").status_code == 204
    assert client.get(f"/api/v1/endpoints/{endpoint.pk}").status_code == 404
    [event] = facts("endpoint.deleted")
    assert event.data == {"endpoint_id": str(endpoint.pk), "name": "Shop"}


# --- the list ----------------------------------------------------------------------------------------------------


def names(client: Any, query: str) -> list[str]:
    return [row["name"] for row in client.get(f"/api/v1/endpoints?{query}").json()["results"]]


def test_list_is_filtered() -> None:
    shop = make_endpoint(name="shop", tags=["eu", "web"])
    make_endpoint(name="database", endpoint_type="tcp", target="10.0.0.7:5432", tags=["eu"])
    make_endpoint(name="paused", enabled=False)
    record(shop, "down")
    client = client_as("viewer")
    assert names(client, "") == ["database", "paused", "shop"]
    assert names(client, "status=down") == ["shop"]
    assert names(client, "status=paused") == ["paused"]
    assert names(client, "tag=eu") == ["database", "shop"]
    assert names(client, "tag=eu&tag=web") == ["shop"]
    assert names(client, "search=10.0.0") == ["database"]
    assert names(client, "type=tcp") == ["database"]
    assert names(client, "ordering=-name") == ["shop", "paused", "database"]
    assert client.get("/api/v1/endpoints?status=purple").status_code == 422


def own_queries(client: Any, path: str) -> int:
    """Return how many queries of this app a request takes; who asks, and the settings in force, are others' matter."""
    with CaptureQueriesContext(connection) as context:
        assert client.get(path).status_code == 200
    return sum("monitors_" in query["sql"] for query in context.captured_queries)


def test_list_takes_five_queries_for_one_row_and_for_many() -> None:
    client = client_as("viewer")
    make_endpoint(name="a", tags=["eu"])
    # Count, rows with their states, tags, uptime of the hours and of the minutes.
    assert own_queries(client, "/api/v1/endpoints") == 5
    for number in range(20):
        record(make_endpoint(name=f"b{number}", tags=["eu", "web"]), "up")
    assert own_queries(client, "/api/v1/endpoints?page_size=10") == 5


# --- results -----------------------------------------------------------------------------------------------------


def test_checks_are_listed_newest_first_with_phases() -> None:
    endpoint = make_endpoint()
    record_all(endpoint, "udgn")
    record_all(make_endpoint(name="other"), "u")
    answer = client_as("viewer").get(f"/api/v1/endpoints/{endpoint.pk}/checks").json()
    assert answer["count"] == 4
    rows = answer["results"]
    assert [(row["status"], row["up"]) for row in rows] == [
        ("unknown", None), ("degraded", True), ("down", False), ("up", True),
    ]  # fmt: skip
    assert set(rows[0]["phases"]) == {"dns_ms", "connect_ms", "tls_ms", "first_byte_ms"}
    assert (rows[3]["latency_ms"], rows[2]["error"], rows[3]["manual"]) == (20.0, "it is down", False)


def test_checks_are_filtered_by_time_and_status_and_followed_by_cursor() -> None:
    endpoint = make_endpoint()
    start = timezone.now().replace(microsecond=0) - timedelta(hours=1)
    record_all(endpoint, "uduudd", start=start, step_s=60)
    client = client_as("viewer")
    path = f"/api/v1/endpoints/{endpoint.pk}/checks"
    assert client.get(path, {"status": "down"}).json()["count"] == 3
    inside = {"from": (start + timedelta(seconds=60)).isoformat(), "to": (start + timedelta(seconds=180)).timestamp()}
    assert client.get(path, inside).json()["count"] == 3
    seen, url = [], f"{path}?limit=4"
    while url:
        page = client.get(url).json()
        seen += [row["at"] for row in page["results"]]
        url = page["next"]
    assert len(seen) == 6 and seen == sorted(seen, reverse=True)
    for wrong in ({"from": "yesterday"}, {"status": "purple"}, {"limit": "x"}):
        assert client.get(path, wrong).status_code == 422


def test_check_now_returns_the_result_and_counts_nothing() -> None:
    with http_server() as server:
        endpoint = make_endpoint(target=server.url, enabled=False)
        answer = client_as("operator").post(f"/api/v1/endpoints/{endpoint.pk}/check")
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["up"], shown["status"], shown["status_code"], shown["manual"]) == (True, "up", 200, True)
    assert shown["latency_ms"] > 0 and shown["phases"]["connect_ms"] is not None
    assert CheckResult.objects.get().manual
    assert EndpointState.objects.get(num=endpoint.num).status == "paused"
    listed = client_as("viewer").get(f"/api/v1/endpoints/{endpoint.pk}/checks").json()["results"]
    assert [row["manual"] for row in listed] == [True]
    assert facts("endpoint.checked")[0].data["status"] == "up"


def test_uptime_daily_lists_the_days_asked_for() -> None:
    endpoint = make_endpoint()
    record_all(endpoint, "ud", step_s=1)
    client = client_as("viewer")
    days = client.get(f"/api/v1/endpoints/{endpoint.pk}/uptime/daily?days=7").json()
    assert len(days) == 7
    assert sum(day["down"] for day in days) == 1
    assert days[-1] == {"date": days[-1]["date"], "uptime_percent": None, "checks": 0, "down": 0}
    assert len(client.get(f"/api/v1/endpoints/{endpoint.pk}/uptime/daily/").json()) == 90
    assert client.get(f"/api/v1/endpoints/{endpoint.pk}/uptime/daily?days=0").status_code == 422


def test_sparklines_answer_for_all_endpoints_in_one_query() -> None:
    endpoints = [make_endpoint(name=str(number)) for number in range(4)]
    record_all(endpoints[0], "ud")
    client = client_as("viewer")
    assert own_queries(client, "/api/v1/dashboard/sparklines") == 1
    lines = client.get("/api/v1/dashboard/sparklines").json()
    assert set(lines) == {str(endpoint.pk) for endpoint in endpoints}
    assert lines[str(endpoints[0].pk)] == [20.0, None]
    assert client.get("/api/v1/dashboard/sparklines?range=24h").status_code == 200
    assert client.get("/api/v1/dashboard/sparklines?range=5y").status_code == 422


def test_detail_shows_the_certificate_with_the_days_left() -> None:
    endpoint = make_endpoint(target="https://shop.example.org/")
    ends = timezone.now() + timedelta(days=10)
    EndpointState.objects.filter(num=endpoint.num).update(
        certificate={"address": ["shop.example.org", 443], "subject": "CN=shop", "not_after": ends.isoformat(),
                     "problem": "", "error": ""}
    )  # fmt: skip
    shown = client_as("viewer").get(f"/api/v1/endpoints/{endpoint.pk}").json()["certificate"]
    assert shown["subject"] == "CN=shop" and 9.9 < shown["days_left"] <= 10
    assert "address" not in shown
