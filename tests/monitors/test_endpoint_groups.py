"""Groups follow their members; trials leave nothing behind."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from apps.core.models import Event
from apps.monitors.checks import run_check
from apps.monitors.models import CheckResult, Endpoint, EndpointState
from apps.monitors.services.endpoint_configs import config_of
from apps.monitors.services.endpoints import delete_endpoint, pause_endpoint, update_endpoint
from tests.factories.accounts import client_as, principal
from tests.factories.monitors import facts, make_endpoint, record
from tests.support.servers import Reply, http_server, unused_port

pytestmark = pytest.mark.django_db(transaction=True)


def make_group(*members: Endpoint, **values: Any) -> Endpoint:
    ids = [str(member.pk) for member in members]
    return make_endpoint(
        **{"name": "All", "endpoint_type": "group", "target": "", "options": {"members": ids}, **values}
    )


def status_of(endpoint: Endpoint) -> tuple[str, str]:
    found = EndpointState.objects.get(num=endpoint.num)
    return found.status, found.last_error


def test_group_is_as_bad_as_the_worst_of_its_members_at_once() -> None:
    first, second = make_endpoint(name="A"), make_endpoint(name="B")
    group = make_group(first, second)
    record(first, "up")
    assert status_of(group) == ("up", "")
    record(second, "degraded")
    assert status_of(group) == ("degraded", "1 of 2 members is degraded: B.")
    record(first, "down")
    assert status_of(group) == ("down", "1 of 2 members is down: A.")
    [alert] = [
        fact for fact in facts("endpoint.alert") if fact.data["level"] == "critical" and fact.data["name"] == "All"
    ]
    assert alert.data["last_error"] == "1 of 2 members is down: A."
    record(first, "up")
    record(second, "up")
    assert status_of(group) == ("up", "")
    assert [fact.data["name"] for fact in facts("endpoint.recovery")].count("All") == 1


def test_unknown_counts_only_where_nothing_better_is_known() -> None:
    first, second = make_endpoint(name="A"), make_endpoint(name="B")
    group = make_group(first, second)
    assert asyncio.run(run_check(config_of(group))).status == "unknown"
    record(first, "up")
    record(second, "unknown")
    assert status_of(group)[0] == "up"
    record(first, "unknown")
    assert status_of(group) == ("unknown", "Nothing is known about any of its members yet.")


def test_groups_of_groups_follow_too() -> None:
    leaf = make_endpoint(name="Leaf")
    outer = make_group(make_group(leaf, name="Inner"), name="Outer")
    record(leaf, "down")
    assert status_of(outer) == ("down", "1 of 1 members is down: Inner.")


def test_paused_member_does_not_count_and_a_removed_one_leaves() -> None:
    first, second = make_endpoint(name="A"), make_endpoint(name="B")
    group = make_group(first, second)
    record(first, "down")
    record(second, "up")
    pause_endpoint(endpoint=first, actor=principal("operator"))
    assert status_of(group)[0] == "up"
    delete_endpoint(endpoint=first, actor=principal("operator"))
    group.refresh_from_db()
    assert group.options["members"] == [str(second.pk)] and list(group.members.all()) == [second]
    assert facts("endpoint.updated")[-1].audit["before"] == {"member": "A"}
    pause_endpoint(endpoint=second, actor=principal("operator"))
    assert status_of(group) == ("unknown", "Every member is paused.")


def test_circle_is_refused_by_the_member_that_makes_it() -> None:
    leaf = make_endpoint(name="Leaf")
    inner = make_group(leaf, name="Inner")
    outer = make_group(inner, name="Outer")
    client = client_as("operator")
    for members, name in (([str(outer.pk)], "Outer"), ([str(inner.pk), str(leaf.pk)], "Inner")):
        answer = client.put(f"/api/v1/endpoints/{inner.pk}", {"options": {"members": members}}, format="json")
        assert answer.status_code == 422
        assert f"“{name}” contains this group itself" in answer.content.decode()
    assert list(inner.members.all()) == [leaf]


def test_members_that_change_are_followed_and_former_ones_not() -> None:
    first, second = make_endpoint(name="A"), make_endpoint(name="B")
    group = make_group(first)
    group = update_endpoint(
        endpoint=group, actor=principal("operator"), values={"options": {"members": [str(second.pk)]}}
    )
    record(second, "down")
    assert status_of(group)[0] == "down"
    record(second, "up")
    record(first, "down")
    assert status_of(group)[0] == "up"


def test_poisoned_group_is_unknown_and_stops_nobody() -> None:
    member = make_endpoint()
    group = make_group(member)
    healthy = make_group(member, name="Healthy")
    Endpoint.objects.filter(pk=group.pk).update(options=7)
    record(member, "down")
    assert status_of(healthy)[0] == "down"


# --- trials ----------------------------------------------------------------------------------------------------------


def test_trial_of_a_configuration_answers_its_result_and_stores_nothing() -> None:
    with http_server() as server:
        body = {"endpoint_type": "http", "target": server.url}
        answer = client_as("operator").post("/api/v1/endpoints/test", body, format="json")
    assert answer.status_code == 200, answer.content
    shown = answer.json()
    assert (shown["status"], shown["up"], shown["status_code"], shown["endpoint_id"]) == ("up", True, 200, None)
    assert shown["phases"]["connect_ms"] is not None and shown["latency_ms"] > 0
    assert not Endpoint.objects.exists() and not CheckResult.objects.exists()
    [tested] = facts("endpoint.tested")
    assert (tested.data["endpoint_id"], tested.data["target"], tested.data["status"]) == (None, server.url, "up")


def test_trial_of_a_monitor_keeps_its_secrets_and_takes_changes_over_them() -> None:
    def handler(request: Any) -> Reply:
        return Reply(200 if request.headers.get("authorization") == "Bearer t0ken" else 401)

    with http_server(handler) as server:
        endpoint = make_endpoint(target=server.url, options={"auth": "bearer", "token": "t0ken"})
        client, path = client_as("operator"), f"/api/v1/endpoints/{endpoint.pk}/test"
        plain = client.post(path).json()
        kept = client.post(path, {"options": {"auth": "bearer", "token": "***"}}, format="json").json()
        other = client.post(path, {"options": {"token": "wrong"}}, format="json").json()
    assert (plain["status"], kept["status"], other["status"]) == ("up", "up", "down")
    assert plain["endpoint_id"] == str(endpoint.pk)
    assert not CheckResult.objects.exists() and endpoint.state.status == "unknown"
    assert "t0ken" not in str(list(Event.objects.values_list("data", "audit")))


def test_trial_ends_with_the_time_out_and_names_wrong_fields() -> None:
    client = client_as("operator")
    dead = {"endpoint_type": "tcp", "target": f"127.0.0.1:{unused_port()}", "inverse": True}
    assert client.post("/api/v1/endpoints/test", dead, format="json").json()["status"] == "up"
    answer = client.post("/api/v1/endpoints/test", {"endpoint_type": "tcp", "target": "nowhere"}, format="json")
    assert answer.status_code == 422
    assert "target" in [place for entry in answer.json()["detail"] for place in entry["loc"]]
    group = {"endpoint_type": "group", "options": {"members": [str(uuid4())]}}
    assert client.post("/api/v1/endpoints/test", group, format="json").status_code == 422


@pytest.mark.parametrize("path", ["/api/v1/endpoints/test", "/api/v1/endpoints/{id}/test"])
def test_trial_is_not_for_viewers(path: str) -> None:
    endpoint = make_endpoint()
    body = {"endpoint_type": "tcp", "target": "127.0.0.1:9"}
    assert client_as("viewer").post(path.format(id=endpoint.pk), body, format="json").status_code == 403
