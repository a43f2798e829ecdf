"""Host agents and workers over the API."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.agents.models import HostAgent
from apps.agents.services import connected, enrolment_status, seen
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.models import Server
from tests.factories.accounts import client_as, client_with_key, make_api_key, make_user
from tests.factories.agents import make_host, make_host_agent, make_token
from tests.factories.fleet import make_server, push, snapshot

pytestmark = pytest.mark.django_db
URL = "/api/v1/agents"
WORKERS = "/api/v1/workers"


def _fields(answer: Any) -> set[str]:
    assert answer.status_code == 422, answer.content
    return {str(one["loc"][-1]) for one in answer.json()["detail"]}


def test_agent_added_by_hand_enrols_with_its_own_token_and_no_other_host_does() -> None:
    operator = client_as("operator")
    made = operator.post(f"{URL}/", {"id": "web-1", "name": "web 1", "tags": ["web"]}, format="json")
    assert made.status_code == 201 and made["Cache-Control"] == "no-store"
    body = made.json()
    assert (body["id"], body["status"], body["kind"], body["is_approved"]) == ("web-1", "pending", "host", False)
    assert operator.get(f"{URL}/web-1").json().get("enrolment_token") is None
    assert Event.objects.get(name="agent.created").audit["after"]["slug"] == "web-1"
    host = make_host()
    asked = host.asks(body["enrolment_token"])
    assert asked.request.agent_id and HostAgent.objects.count() == 1
    refused = client_as("operator").post(f"{URL}/pending/{asked.request.pk}/approve")
    assert refused.status_code == 403  # adding is not approving
    assert client_as("admin").post(f"{URL}/pending/{asked.request.pk}/approve").json()["id"] == "web-1"
    assert "BEGIN" in enrolment_status(poll_token=asked.poll_token).certificate
    taken = operator.post(URL, {"id": "web-1"}, format="json")
    assert (taken.status_code, taken.json()["code"]) == (409, "agent_exists")


def test_agent_joins_a_server_that_is_there_already() -> None:
    server = make_server("web 1", slug="web-1")
    push(server, snapshot())
    operator = client_as("operator")
    made = operator.post(URL, {"id": "web-1"}, format="json").json()
    assert made["server_id"] == str(server.id) and Server.objects.count() == 1
    assert operator.delete(f"{URL}/web-1").status_code == 204
    assert Server.objects.filter(pk=server.pk).exists()  # what it measured stays
    assert operator.get(f"{URL}/web-1").status_code == 404
    assert operator.post(URL, {"id": "web-1"}, format="json").status_code == 201
    Server.objects.filter(pk=server.pk).update(is_local=True)
    HostAgent.objects.all().delete()
    assert operator.post(URL, {"id": "web-1"}, format="json").json()["code"] == "local_server"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"name"}),
        ({"name": "x", "llm_provider": "anthropic", "role": "general"}, {"llm_provider", "role"}),
        ({"name": "x", "kind": "llm"}, {"kind"}),
        ({"name": "x", "id": "enrolment-tokens"}, {"slug"}),
        ({"name": "x", "id": "no blanks"}, {"id"}),
        ({"name": "x", "tags": ["t" * 65]}, {"tags"}),
    ],
)
def test_wrong_agent_is_refused_by_field(body: dict[str, Any], fields: set[str]) -> None:
    answer = client_as("operator").post(URL, body, format="json")
    if fields == {"tags"}:
        assert answer.status_code == 422
    else:
        assert _fields(answer) == fields
    assert not HostAgent.objects.exists()


def test_list_filters_by_kind_status_words_and_tags() -> None:
    online, _ = make_host_agent("web-1", tags=["web"])
    make_host_agent("db-1", tags=["db"])
    client = client_as("operator")
    client.post(URL, {"name": "later"}, format="json")
    connected(agent=online, owner="web:1", token="t")

    def found(**query: Any) -> list[str]:
        answer = client.get(f"{URL}/", query)
        assert answer.status_code == 200, answer.content
        return [one["id"] for one in answer.json()["agents"]]

    assert found() == ["db-1", "later", "web-1"]
    assert found(status_filter="online") == ["web-1"] and found(status_filter="offline") == ["db-1"]
    assert found(status_filter="pending") == ["later"] and found(kind="host", search="WEB") == ["web-1"]
    assert found(tag="db") == ["db-1"] and found(kind="llm") == [] and found(role="general") == []
    assert _fields(client.get(URL, {"status_filter": "asleep"})) == {"status_filter"}


def test_list_takes_as_many_queries_for_many_as_for_few() -> None:
    client = client_as("viewer")

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert client.get(URL).status_code == 200
        return len(found)

    make_host_agent()
    queries()
    few = queries()
    for _ in range(4):
        make_host_agent()
    assert queries() == few <= 5


def test_change_honours_the_etag_and_renames_the_server() -> None:
    make_host_agent("web-1")
    client = client_as("operator")
    tag = client.get(f"{URL}/web-1")["ETag"]
    changed = client.patch(f"{URL}/web-1", {"name": "Web 1", "group": "edge", "max_agents": 2}, format="json")
    assert (changed.json()["name"], changed.json()["group"], changed.json()["max_agents"]) == ("Web 1", "edge", 2)
    assert changed["ETag"] != tag
    assert client.patch(f"{URL}/web-1", {"group": "x"}, format="json", HTTP_IF_MATCH=tag).status_code == 412
    event = Event.objects.get(name="agent.updated")
    assert event.audit["before"]["group"] == "" and event.audit["after"]["group"] == "edge"
    assert Server.objects.get(slug="web-1").name == "Web 1"


def test_revocation_is_for_admins_and_counts_at_once() -> None:
    agent, _ = make_host_agent("web-1")
    connected(agent=agent, owner="web:1", token="t")
    assert client_as("operator").post(f"{URL}/web-1/revoke").status_code == 403
    assert seen(connections={agent.pk: "t"}) == set()
    revoked = client_as("admin").post(f"{URL}/web-1/revoke", {"reason": "sold"}, format="json")
    assert (revoked.json()["status"], revoked.json()["certificate_ends_at"]) == ("revoked", None)
    assert seen(connections={agent.pk: "t"}) == {agent.pk}
    assert client_as("operator").delete(f"{URL}/web-1").status_code == 204
    names = list(Event.objects.filter(name__startswith="agent.").order_by("id").values_list("name", flat=True))
    assert names[-3:] == ["agent.revoked", "agent.status", "agent.deleted"]


def test_key_bound_to_a_server_sees_and_reports_for_that_one_alone() -> None:
    own, _ = make_host_agent("mine")
    make_host_agent("other")
    client = client_with_key(make_api_key(make_user("admin"), server_id=str(own.server_id))[1])
    load = {"cpu_usage_percent": 12.5, "memory_usage_percent": 40, "disk_usage_percent": 7}
    answer = client.post(f"{WORKERS}/mine/heartbeat", load, format="json")
    assert answer.json() == {"status": "online", "is_approved": True}
    assert client.post(f"{WORKERS}/other/heartbeat", load, format="json").status_code == 404
    tasks = client.get(f"{WORKERS}/mine/tasks").json()
    assert (tasks["count"], tasks["results"]) == (0, [])
    assert client.get(f"{WORKERS}/other/tasks").status_code == 404
    assert client.get(URL).status_code == 403 and client.post(f"{URL}/mine/revoke").status_code == 403
    wrong = client.post(f"{WORKERS}/mine/heartbeat", {"cpu_usage_percent": 101}, format="json")
    assert _fields(wrong) == {"cpu_usage_percent"}
    (row,) = (r for r in client_as("admin").get("/api/v1/admin/workers").json()["results"] if r["id"] == "mine")
    assert (row["cpu_usage_percent"], row["status"]) == (12.5, "online")


def test_worker_registers_waits_and_is_approved_beforehand() -> None:
    operator, admin = client_as("operator"), client_as("admin")
    facts = {"hostname": "w1", "cpu_cores": 8, "memory_total_mb": 16_000, "ip_address": "10.0.0.9", "os_info": "Linux"}
    made = operator.post(f"{WORKERS}/register", {"name": "w 1", **facts}, format="json")
    body = made.json()
    assert (made.status_code, body["id"], body["status"], body["is_approved"]) == (201, "w-1", "pending", False)
    again = operator.post(f"{WORKERS}/register", {"name": "w 1", "cpu_cores": 16}, format="json")
    assert (again.status_code, again.json()["enrolment_token"]) == (200, "")
    waits = operator.post(f"{WORKERS}/w-1/heartbeat", {"cpu_usage_percent": 1}, format="json").json()
    assert waits == {"status": "pending", "is_approved": False}
    path = "/api/v1/admin/workers/w-1/approve"
    assert operator.patch(path, {"is_approved": True}, format="json").status_code == 403
    approved = admin.patch(path, {"is_approved": True, "group": "batch"}, format="json").json()
    assert (approved["status"], approved["group"]) == ("pending", "batch")  # its host has yet to prove a key
    asked = make_host("w1").asks(body["enrolment_token"])
    assert asked.request.status == "approved"  # let in at once: it was approved before
    assert operator.get(f"{WORKERS}/overview").json() == {
        "total_workers": 1, "online_workers": 0, "pending_workers": 0, "total_cpu_cores": 16,
        "total_memory_mb": 16_000, "total_active_agents": 0,
    }  # fmt: skip
    assert admin.patch(path, {"is_approved": False}, format="json").json()["status"] == "revoked"
    assert _fields(admin.patch(path, {}, format="json")) == {"is_approved"}


def test_approval_of_a_worker_decides_about_the_host_that_waits() -> None:
    operator, admin = client_as("operator"), client_as("admin")
    for name, verdict, status in (("a", True, "offline"), ("b", False, "rejected")):
        token = operator.post(f"{WORKERS}/register", {"name": name}, format="json").json()["enrolment_token"]
        asked = make_host().asks(token)
        answer = admin.patch(f"/api/v1/admin/workers/{name}/approve", {"is_approved": verdict}, format="json")
        assert answer.json()["status"] == status
        asked.request.refresh_from_db()
        assert asked.request.status == ("approved" if verdict else "rejected")
    assert Event.objects.filter(name="agent.status", data__status="rejected").count() == 1
    assert operator.post(f"{URL}/b/enrolment-token").status_code == 201
    assert operator.get(f"{URL}/b").json()["status"] == "pending"  # another host may ask


def test_repeated_creation_with_a_key_never_shows_the_token_again() -> None:
    client = client_as("operator")
    body, key = {"name": "web 1"}, {"Idempotency-Key": "k1"}
    first = client.post(URL, body, format="json", headers=key)
    second = client.post(URL, body, format="json", headers=key)
    assert first.json()["enrolment_token"] and second["Idempotent-Replayed"] == "true"
    assert "wke_" not in second.content.decode() and HostAgent.objects.count() == 1


def test_figures_count_agents_by_status() -> None:
    agent, _ = make_host_agent()
    make_host_agent()
    connected(agent=agent, owner="web:1", token="t")
    make_host().asks(make_token())
    text = APIClient().get("/metrics").content.decode()
    assert 'watchkeeper_host_agents{status="online"} 1.0' in text
    assert 'watchkeeper_host_agents{status="offline"} 1.0' in text and "watchkeeper_hosts_waiting 1.0" in text


def test_nobody_else_reads_tokens_or_waiting_hosts() -> None:
    assert APIClient().get(f"{URL}/pending").status_code == 401
    assert client_as("viewer").get(f"{URL}/pending").status_code == 403
    assert client_as("operator").get(f"{URL}/enrolment-tokens").status_code == 403
    assert system("x").can("agents:approve")
