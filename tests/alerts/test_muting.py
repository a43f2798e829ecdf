"""Silences, maintenance and dependencies: who is told, when, and why not."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.alerts import services
from apps.alerts.models import Alert, Silence
from apps.alerts.services.silences import begin_and_end, create_silence
from apps.alerts.services.suppression import mend_orphans, review_due
from apps.core import runtime_settings
from apps.core.errors import Invalid
from apps.core.ids import new_id
from apps.core.models import Event
from apps.core.principals import system
from apps.monitors.models import Endpoint
from apps.monitors.services.certificates import create_certificate
from apps.monitors.services.dependencies import ancestors_of, children_of, create_dependency, parents_of
from apps.monitors.services.endpoints import create_endpoint
from apps.notifications.models import Delivery, Notification
from tests.factories.accounts import client_as, make_user, principal
from tests.factories.alerts import (
    endpoint_alert,
    endpoint_recovery,
    make_alert,
    run_spine,
    server_offline,
    server_online,
)
from tests.factories.fleet import make_server, push, snapshot
from tests.factories.heartbeats import make_heartbeat, ping
from tests.factories.notifications import make_channel

pytestmark = pytest.mark.django_db


def told(alert: Alert) -> list[str]:
    """Return what happened to an alert in the log."""
    rows = Event.objects.filter(subject_kind="alert", subject_id=str(alert.id)).order_by("id")
    return list(rows.values_list("name", flat=True))


def sent() -> list[str]:
    """Return what the ledger would send or has sent."""
    rows = Delivery.objects.exclude(state=Delivery.State.SUPPRESSED).order_by("id")
    return list(rows.values_list("event_name", flat=True))


def later(seconds: float) -> datetime:
    """Return a moment from now."""
    return timezone.now() + timedelta(seconds=seconds)


def endpoint_at(host: str, name: str = "shop") -> Endpoint:
    """Return an endpoint at a host."""
    return create_endpoint(actor=system("test"), values={"name": name, "endpoint_type": "tcp", "target": f"{host}:443"})


# --- silences ------------------------------------------------------------------------------------------------------


def test_silence_without_an_end_or_with_two_is_refused() -> None:
    for given in ({}, {"ends_at": later(60), "duration_s": 60}):
        with pytest.raises(Invalid) as caught:
            create_silence(actor=principal(), matchers={}, **given)  # type: ignore[arg-type]
        assert "ends_at" in caught.value.problems


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"matchers": {"entty": "web"}, "duration": "1h"}, "matchers.entty"),
        ({"matchers": {"level": "huge"}, "duration": "1h"}, "matchers.level"),
        ({"matchers": {}, "ends_at": "2001-01-01T00:00:00Z"}, "ends_at"),
        ({"matchers": {}, "duration": "3 bananas"}, "duration"),
        ({"matchers": {}, "duration": "800d"}, "duration"),
        ({"matchers": {}}, "ends_at"),
        ({"entity": "web", "duration": "1h"}, "entity"),
    ],
)
def test_wrong_silence_is_422_and_names_the_place(body: dict[str, Any], field: str) -> None:
    answer = client_as("operator").post("/api/v1/silence", body, format="json")
    assert answer.status_code == 422
    assert field in str(answer.json())


def test_alert_opened_under_a_silence_is_kept_and_nobody_is_told_until_it_ends() -> None:
    viewer = make_user("viewer")
    make_channel()
    silence = create_silence(actor=principal(), matchers={"entity": "sh*"}, duration_s=3600, reason="new disks")
    alert = make_alert(name="Shop")
    run_spine()
    assert alert.is_silenced and not alert.is_told
    assert told(alert) == ["alert.silenced"]
    assert sent() == [] and not Notification.objects.exists()
    decision = alert.decisions.get()
    assert (decision.outcome, decision.by, decision.facts["id"]) == ("suppressed", "silence", str(silence.id))
    begin_and_end(now=later(3601))
    run_spine()
    assert told(alert) == ["alert.silenced", "alert.opened"]
    assert sent() == ["alert.opened"] and Notification.objects.filter(user=viewer).count() == 1
    assert Event.objects.filter(name="silence.ended").count() == 1


def test_what_opened_and_ended_under_a_silence_is_never_told() -> None:
    make_user("viewer")
    make_channel()
    create_silence(actor=principal(), matchers={"source": "endpoint"}, duration_s=3600)
    endpoint = str(new_id())
    endpoint_alert(endpoint)
    endpoint_recovery(endpoint)
    run_spine()
    begin_and_end(now=later(3601))
    run_spine()
    alert = Alert.objects.get(subject_id=endpoint)
    assert told(alert) == ["alert.silenced", "alert.resolved"]
    assert sent() == [] and not Notification.objects.exists()
    assert [row.about for row in alert.decisions.all()] == ["opening", "end"]


def test_known_alert_that_is_silenced_is_told_again_when_it_still_stands() -> None:
    make_channel()
    alert = make_alert()
    run_spine()
    silence = create_silence(actor=principal(), matchers={"entity": alert.subject_id}, duration_s=3600)
    alert.refresh_from_db()
    assert alert.is_silenced and alert.is_told
    services.cancel_silence(silence_id=silence.id, actor=principal())
    run_spine()
    alert.refresh_from_db()
    assert not alert.is_silenced
    assert told(alert) == ["alert.opened", "alert.silenced", "alert.unsilenced"]
    assert sent() == ["alert.opened", "alert.unsilenced"]
    silence.refresh_from_db()
    assert silence.state == "cancelled" and silence.cancelled_by


def test_end_of_a_known_alert_is_told_even_under_a_silence() -> None:
    make_channel()
    alert = make_alert()
    run_spine()
    create_silence(actor=principal(), matchers={}, duration_s=3600)
    services.resolve_alert(alert_id=alert.id, actor=principal())
    run_spine()
    assert sent() == ["alert.opened", "alert.resolved"]


def test_silence_of_warnings_lets_what_becomes_critical_through() -> None:
    make_channel()
    create_silence(actor=principal(), matchers={"level": "warning"}, duration_s=3600)
    subject = str(new_id())
    alert = make_alert("warning", subject_id=subject)
    make_alert("critical", subject_id=subject)
    run_spine()
    assert told(alert) == ["alert.silenced", "alert.opened"]
    assert sent() == ["alert.opened"]


def test_what_got_worse_under_a_silence_is_told_as_worse_when_it_ends() -> None:
    subject = str(new_id())
    alert = make_alert("warning", subject_id=subject)
    create_silence(actor=principal(), matchers={}, duration_s=3600)
    make_alert("critical", subject_id=subject)
    begin_and_end(now=later(3601))
    assert told(alert) == ["alert.opened", "alert.silenced", "alert.silenced", "alert.escalated"]


def test_silence_that_begins_before_the_message_leaves_holds_it_back() -> None:
    make_channel()
    alert = make_alert()
    Silence.objects.create(ends_at=later(3600), created_by="somebody")  # nobody has looked yet
    run_spine()
    row = Delivery.objects.get(event_name="alert.opened")
    assert row.state == "suppressed" and "Silenced by somebody" in row.reason
    begin_and_end()
    begin_and_end(now=later(3601))
    run_spine()
    assert told(alert) == ["alert.opened", "alert.silenced", "alert.unsilenced"]
    assert sent() == ["alert.unsilenced"]


def test_all_filters_must_match() -> None:
    matchers = {"source": "endpoint", "entity": ["web-*", "db"], "level": "critical", "tag": "prod"}
    create_silence(actor=principal(), matchers=matchers, duration_s=60)
    assert make_alert("critical", name="web-1", tags=["prod"]).is_silenced
    assert not make_alert("warning", name="web-2", tags=["prod"]).is_silenced
    assert not make_alert("critical", name="mail", tags=["prod"]).is_silenced
    assert not make_alert("critical", name="web-3", tags=["test"]).is_silenced
    assert not make_alert("critical", name="web-4", tags=["prod"], source="server", kind="cpu").is_silenced


def test_api_lists_active_silences_with_what_they_mute_and_delete_keeps_the_row() -> None:
    alert = make_alert(name="web-1")
    client = client_as("operator")
    made = client.post(
        "/api/v1/silence", {"matchers": {"entity": "web-*"}, "duration": "2h", "reason": "disks"}, format="json"
    )
    assert made.status_code == 201, made.json()
    assert made.json()["muting"] == {"count": 1, "names": ["web-1"], "alert_ids": [str(alert.id)]}
    assert made.json()["warning"] is None
    everything = client.post("/api/v1/silence", {"duration_seconds": 60}, format="json").json()
    assert "EVERY" in everything["warning"] and everything["about"] == "every alert"
    assert [row["id"] for row in client.get("/api/v1/silence").json()["rules"]] == [everything["id"], made.json()["id"]]
    number = made.json()["id"]
    assert client.delete(f"/api/v1/silence/{number}").status_code == 204
    assert client.delete(f"/api/v1/silence/{number}").status_code == 409
    assert len(client.get("/api/v1/silence").json()["rules"]) == 1
    rows = client.get("/api/v1/silence?all=true").json()["rules"]
    assert {row["id"]: row["state"] for row in rows}[number] == "cancelled"
    assert client.get(f"/api/v1/silence/{number}").json()["cancelled_by"]
    names = set(Event.objects.filter(name__startswith="silence.").values_list("name", flat=True))
    assert names == {"silence.created", "silence.cancelled"}


def test_list_of_silences_takes_the_same_number_of_queries_for_any_number() -> None:
    client = client_as("viewer")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/api/v1/silence").status_code == 200
        return len(queries)

    create_silence(actor=principal(), matchers={"entity": "a"}, duration_s=60)
    make_alert()
    cost()
    one = cost()
    for name in "bcdefgh":
        create_silence(actor=principal(), matchers={"entity": name}, duration_s=60)
        make_alert(name=name)
    assert cost() <= one <= 8


# --- maintenance ---------------------------------------------------------------------------------------------------


def test_alert_under_maintenance_is_silenced_with_the_window_as_its_reason() -> None:
    client = client_as("operator")
    endpoint = endpoint_at("shop.example.org")
    body = {
        "title": "Upgrade",
        "kind": "once",
        "starts_at": later(-60).isoformat(),
        "ends_at": later(3600).isoformat(),
        "targets": [{"kind": "endpoint", "id": str(endpoint.id)}],
    }
    made = client.post("/api/v1/maintenance", body, format="json")
    assert made.status_code == 201, made.json()
    alert = make_alert(subject_id=str(endpoint.id))
    assert (alert.muted_by, alert.cause_name, alert.is_silenced) == ("maintenance", "Upgrade", True)
    assert client.post(f"/api/v1/maintenance/{made.json()['id']}/end", format="json").status_code == 200
    run_spine()
    review_due(now=later(3))
    assert told(alert) == ["alert.silenced", "alert.opened"]


# --- dependencies --------------------------------------------------------------------------------------------------


def test_endpoint_depends_on_the_server_whose_name_or_address_it_targets() -> None:
    server = make_server("web-1", host="web-1.example.org")
    push(server, snapshot())  # reports the address 10.0.0.5
    by_name, by_address = endpoint_at("web-1.example.org"), endpoint_at("10.0.0.5", "by address")
    loopback = endpoint_at("127.0.0.1", "loopback")
    for endpoint in (by_name, by_address):
        assert [(one.kind, one.id, one.is_manual) for one in parents_of("endpoint", endpoint.id)] == [
            ("server", str(server.id), False)
        ]
    assert parents_of("endpoint", loopback.id) == []
    assert {one.id for one in children_of("server", server.id)} == {str(by_name.id), str(by_address.id)}


def test_heartbeat_and_certificate_depend_on_the_server_too() -> None:
    server = make_server("web-1", host="198.51.100.7")
    heartbeat = make_heartbeat()
    assert parents_of("heartbeat", heartbeat.id) == []
    ping(heartbeat, remote_addr="198.51.100.7")
    certificate = create_certificate(actor=system("test"), values={"hostname": "198.51.100.7", "port": 443})
    for kind, id in (("heartbeat", heartbeat.id), ("certificate", certificate.id)):
        assert [(one.kind, one.id) for one in parents_of(kind, id)] == [("server", str(server.id))]
    assert [(one.kind, one.id) for one in children_of("server", server.id)] == [("certificate", str(certificate.id))]


def test_circle_of_dependencies_is_refused_and_names_both() -> None:
    first, second, third = (endpoint_at(f"{name}.example.org", name) for name in ("one", "two", "three"))
    actor = principal()

    def depend(child: Endpoint, parent: Endpoint) -> None:
        create_dependency(
            actor=actor, child_kind="endpoint", child_id=str(child.id), parent_kind="endpoint", parent_id=str(parent.id)
        )

    depend(first, second)
    depend(second, third)
    with pytest.raises(Invalid) as caught:
        depend(third, first)
    assert "circle" in str(caught.value.problems)
    assert set(ancestors_of("endpoint", first.id).values()) == {1, 2}


def test_api_of_dependencies_adds_shows_and_removes() -> None:
    server = make_server("router")
    endpoint = endpoint_at("shop.example.org")
    client = client_as("operator")
    body = {"child_kind": "endpoint", "child_id": str(endpoint.id), "parent_kind": "server", "parent_id": "router"}
    made = client.post("/api/v1/dependencies", body, format="json")
    assert made.status_code == 201, made.json()
    assert made.json()["parent"] == {"kind": "server", "id": str(server.id), "name": "router"}
    assert client.post("/api/v1/dependencies", body, format="json").status_code == 409
    wrong = client.post("/api/v1/dependencies", {**body, "parent_id": "nowhere"}, format="json")
    assert wrong.status_code == 422 and "parent_id" in str(wrong.json())
    links = client.get(f"/api/v1/dependencies/server/{server.slug}").json()
    assert [(one["name"], one["manual"]) for one in links["children"]] == [("shop", True)]
    assert len(client.get(f"/api/v1/dependencies?parent=server:{server.id}").json()["results"]) == 1
    assert client.delete(f"/api/v1/dependencies/{made.json()['id']}").status_code == 204
    names = Event.objects.filter(name__startswith="dependency.").order_by("id").values_list("name", flat=True)
    assert list(names) == ["dependency.created", "dependency.deleted"]


def test_list_of_dependencies_takes_the_same_number_of_queries_for_any_number() -> None:
    client = client_as("viewer")
    parent = endpoint_at("parent.example.org", "parent")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/api/v1/dependencies").status_code == 200
        return len(queries)

    def add(name: str) -> None:
        create_dependency(
            actor=principal(), child_kind="endpoint", child_id=str(endpoint_at(f"{name}.example.org", name).id),
            parent_kind="endpoint", parent_id=str(parent.id),
        )  # fmt: skip

    add("a")
    cost()
    one = cost()
    for name in "bcdef":
        add(name)
    assert cost() <= one <= 8


def test_host_with_thirty_children_down_is_one_message_and_thirty_recorded_outages() -> None:
    viewer = make_user("viewer")
    make_channel()
    server = make_server("web-1", host="web-1.example.org")
    children = [endpoint_at("web-1.example.org", f"site {number}") for number in range(30)]
    for child in children[:20]:  # most fail before anybody sees that the host is gone
        endpoint_alert(str(child.id))
    run_spine()
    assert sent() == []
    server_offline(server)
    for child in children[20:]:
        endpoint_alert(str(child.id))
    run_spine()
    review_due(now=later(31))
    run_spine()
    outages = Alert.objects.filter(source="endpoint")
    assert outages.count() == 30
    assert {alert.muted_by for alert in outages} == {"dependency"}
    assert {alert.cause_name for alert in outages} == {"web-1"}
    assert "Because of web-1" in outages[0].muted_reason
    assert sent() == ["alert.opened"] and Notification.objects.filter(user=viewer).count() == 1
    # The host comes back with all but one; that one is told once it had its time to recover.
    server_online(server)
    for child in children[1:]:
        endpoint_recovery(str(child.id))
    run_spine()
    assert sent() == ["alert.opened", "alert.resolved"]
    due = Alert.objects.unresolved().get(subject_id=str(children[0].id)).review_at
    ended = Alert.objects.get(source="server").resolved_at
    assert ended and due and timedelta(seconds=30) <= due - ended < timedelta(seconds=60)
    review_due(now=due - timedelta(seconds=1))
    run_spine()
    assert sent() == ["alert.opened", "alert.resolved"]
    review_due(now=due)
    run_spine()
    assert sent() == ["alert.opened", "alert.resolved", "alert.opened"]
    assert told(Alert.objects.get(subject_id=str(children[0].id))) == [
        "alert.suppressed",
        "alert.suppressed",
        "alert.opened",
    ]


def test_thing_whose_parent_is_well_is_told_after_the_wait() -> None:
    make_server("web-1", host="web-1.example.org")
    child = endpoint_at("web-1.example.org")
    endpoint_alert(str(child.id))
    run_spine()
    alert = Alert.objects.get(subject_id=str(child.id))
    assert (alert.muted_by, alert.decisions.get().outcome) == ("waiting", "held")
    assert alert.review_at == alert.opened_at + timedelta(seconds=30)
    assert review_due(now=alert.opened_at + timedelta(seconds=29)) == 0
    review_due(now=alert.review_at)
    assert told(alert) == ["alert.suppressed", "alert.opened"]
    assert [row.outcome for row in alert.decisions.all()] == ["held", "told"]


def test_wait_of_zero_tells_at_once() -> None:
    runtime_settings.change_settings(values={"alerts.dependency_wait_s": 0}, actor=principal("admin"))
    make_server("web-1", host="web-1.example.org")
    child = endpoint_at("web-1.example.org")
    assert make_alert(subject_id=str(child.id)).is_told


def test_busy_server_does_not_hide_that_its_site_is_down() -> None:
    server = make_server("web-1", host="web-1.example.org")
    child = endpoint_at("web-1.example.org")
    make_alert("critical", source="server", kind="cpu", subject_id=str(server.id), name="web-1", server_id=server.id)
    assert make_alert(subject_id=str(child.id)).muted_by == "waiting"


def test_chain_of_parents_names_the_remotest_that_is_down() -> None:
    server = make_server("host", host="host.example.org")
    middle, last = endpoint_at("host.example.org", "proxy"), endpoint_at("shop.example.org", "shop")
    create_dependency(
        actor=principal(), child_kind="endpoint", child_id=str(last.id), parent_kind="endpoint",
        parent_id=str(middle.id),
    )  # fmt: skip
    make_alert("critical", source="server", kind="offline", subject_id=str(server.id), name="host", server_id=server.id)
    make_alert("critical", subject_id=str(middle.id), name="proxy")
    alert = make_alert("critical", subject_id=str(last.id))
    assert (alert.muted_by, alert.cause_name) == ("dependency", "host")


def test_alert_whose_cause_is_gone_without_a_word_is_found_by_the_safety_net() -> None:
    alert = make_alert()
    values: dict[str, Any] = {
        "is_told": False, "muted_by": "dependency", "cause_kind": "server", "cause_id": str(UUID(int=7)),
    }  # fmt: skip
    Alert.objects.filter(id=alert.id).update(**values)
    assert mend_orphans() == 1
    assert review_due() == 1
    alert.refresh_from_db()
    assert alert.is_told and not alert.muted_by
