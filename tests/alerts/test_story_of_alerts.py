"""What changed before an alert, why people were told or not, repeats, and the cost of a fact."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.alerts.models import Alert
from apps.alerts.services import evidence
from apps.alerts.services.alerts import resolve_alert
from apps.alerts.services.silences import create_silence
from apps.core import runtime_settings
from apps.core.ids import new_id
from apps.core.models import Event
from apps.core.principals import system
from apps.monitors.services.endpoints import update_endpoint
from apps.notifications.models import Attempt, Delivery
from tests.factories.accounts import client_as, principal
from tests.factories.alerts import endpoint_alert, make_alert, run_spine
from tests.factories.fleet import make_server
from tests.factories.monitors import make_endpoint, record_all
from tests.factories.notifications import make_channel, make_rule

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_held() -> None:
    evidence.forget()


def test_evidence_names_what_changed_near_it_in_the_last_half_hour_and_nothing_else() -> None:
    actor = principal("operator")
    server = make_server("web-1", host="web-1.example.org", actor=actor)
    endpoint = make_endpoint(target="http://web-1.example.org/", tags=["shop"])
    other = make_endpoint(name="Other", target="http://other.example.org/")
    friend = make_endpoint(name="Friend", target="http://friend.example.org/", tags=["shop"])
    Event.objects.update(at=timezone.now() - timedelta(hours=2))  # all of that was long ago
    update_endpoint(endpoint=endpoint, actor=actor, values={"interval_s": 120})
    update_endpoint(endpoint=other, actor=actor, values={"interval_s": 120})
    update_endpoint(endpoint=friend, actor=actor, values={"interval_s": 120})
    runtime_settings.change_settings(values={"alerts.flap_flips": 20}, actor=actor)
    make_alert("warning", source="server", kind="cpu", subject_id=str(server.id), name="web-1", server_id=server.id)
    evidence.forget()  # it looks for what is new a few times a second only
    alert = make_alert("critical", subject_id=str(endpoint.id), tags=["shop"], evidence={"target": "t"})
    assert alert.evidence["target"] == "t"
    found = [(one["event"], one["what"], one["near"]) for one in alert.evidence["changes"]]
    assert found == [
        ("alert.opened", "web-1", "server"),
        ("setting.changed", "alerts.flap_flips", "platform"),
        ("endpoint.updated", "Friend", "tag"),
        ("endpoint.updated", "Shop", "subject"),
    ]
    changed = alert.evidence["changes"][3]
    assert changed["by"] == actor.name and "interval_s" in changed["fields"]
    update_endpoint(endpoint=endpoint, actor=actor, values={"interval_s": 180})
    alert.refresh_from_db()
    assert len(alert.evidence["changes"]) == 4  # frozen


def test_repeats_are_one_alert_that_counts_them() -> None:
    subject, repeats = str(new_id()), 400
    for _ in range(repeats):
        make_alert("critical", subject_id=subject)
    alert = Alert.objects.get(subject_id=subject)
    assert alert.count == repeats
    assert Event.objects.filter(name="alert.opened", subject_id=str(alert.id)).count() == 1
    assert client_as("viewer").get(f"/api/v1/alerts/{alert.id}").json()["count"] == repeats


def test_opening_costs_the_same_number_of_queries_whatever_is_open_already() -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            make_alert("critical", name="x")
        return len(queries)

    cost()
    one = cost()
    for number in range(30):
        make_alert("critical", name=f"other {number}")
    assert cost() <= one <= 16


def test_why_of_a_silenced_alert_names_the_silence() -> None:
    endpoint = make_endpoint(failure_threshold=2)
    record_all(endpoint, "uudd")
    create_silence(actor=principal(), matchers={"entity": "Shop"}, duration_s=3600, reason="new disks")
    run_spine()
    alert = Alert.objects.get(subject_id=str(endpoint.id))
    body = client_as("viewer").get(f"/api/v1/alerts/{alert.id}/why").json()
    assert body["summary"].startswith("Nobody was told. Silenced by")
    steps = {one["step"]: one for one in body["steps"]}
    assert [one["status"] for one in steps["seen"]["details"]["checks"]] == ["up", "up", "down", "down"]
    assert "2 failures in a row" in steps["condition"]["text"]
    assert (steps["silence"]["outcome"], "new disks" in steps["silence"]["text"]) == ("suppressed", True)
    assert steps["maintenance"]["text"] == "It was not under maintenance."
    assert [one["step"] for one in body["steps"]][:4] == ["seen", "condition", "opened", "maintenance"]


def test_why_replays_routing_attempts_and_answers() -> None:
    channel, quiet = make_channel(name="Pager"), make_channel(name="Quiet")
    make_rule(channel, name="Critical ones", levels=["critical"])
    make_rule(quiet, name="Only databases", sources=["server"])
    alert = make_alert("critical", message="shop is down")
    run_spine()
    delivery = Delivery.objects.get(destination_id=channel.id)
    Attempt.objects.create(delivery=delivery, status_code=503, error="", latency_ms=20)
    Attempt.objects.create(delivery=delivery, status_code=200, latency_ms=20)
    Delivery.objects.filter(id=delivery.id).update(state="delivered", settled_at=timezone.now(), next_attempt_at=None)
    body = client_as("viewer").get(f"/api/v1/alerts/{alert.id}/why").json()
    assert body["summary"] == "Told to Pager."
    text = "\n".join(one["text"] for one in body["steps"])
    assert "Pager: that it opened arrived." in text and "2 attempts, the last: HTTP 200." in text
    assert "The rule “Only databases” does not take it" in text
    assert "No silence matched." in text and "Nothing it depends on was down." in text


def test_why_shows_each_message_under_the_fact_that_it_told_of() -> None:
    make_rule(make_channel(name="Pager"), name="All")
    alert = make_alert("critical", message="shop is down")
    run_spine()
    resolve_alert(alert_id=alert.id, actor=principal())
    run_spine()
    steps = client_as("viewer").get(f"/api/v1/alerts/{alert.id}/why").json()["steps"]
    told = [one["details"]["event"] for one in steps if one["step"] == "delivery"]
    assert told == ["alert.opened", "alert.resolved"]


def test_why_of_an_outage_behind_a_dead_host_names_the_host() -> None:
    server = make_server("web-1", host="web-1.example.org")
    endpoint = make_endpoint(target="http://web-1.example.org/")
    make_alert("critical", source="server", kind="offline", subject_id=str(server.id), name="web-1")
    endpoint_alert(str(endpoint.id))
    run_spine()
    alert = Alert.objects.get(subject_id=str(endpoint.id))
    body = client_as("viewer").get(f"/api/v1/alerts/{alert.id}/why").json()
    assert "Because of web-1" in body["summary"]
    step = next(one for one in body["steps"] if one["step"] == "dependency")
    assert (step["outcome"], step["details"]["id"]) == ("suppressed", str(server.id))
    row = client_as("viewer").get(f"/api/v1/alerts/{alert.id}").json()
    assert (row["told"], row["muted_by"], row["cause"]["name"]) == (False, "dependency", "web-1")


def test_why_of_nothing_is_404() -> None:
    assert client_as("viewer").get(f"/api/v1/alerts/{new_id()}/why").status_code == 404
    assert client_as("viewer").get("/api/v1/alerts/nonsense/why").status_code == 404


def test_actor_of_the_platform_is_not_named_as_a_person() -> None:
    endpoint = make_endpoint()
    update_endpoint(endpoint=endpoint, actor=system("test"), values={"interval_s": 120})
    alert = make_alert("critical", subject_id=str(endpoint.id))
    assert {one["by"] for one in alert.evidence["changes"]} == {""}
