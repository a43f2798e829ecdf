"""Sources of alerts: who may post, tokens, the API, posts at one moment, a process that is killed."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.alerts import services
from apps.alerts.models import Alert, AlertSource, ReceivedAlert
from apps.alerts.services import receiving
from apps.core.asgi.edge import _MASKED_PATH
from apps.core.errors import NotFound
from apps.core.models import Event
from apps.core.principals import system
from tests.factories.accounts import client_as, client_with_key, make_api_key, make_user
from tests.factories.alert_posts import alertmanager, make_source, post, prom_alert
from tests.factories.fleet import make_server

URL = "/api/v1/alerts/sources"


def add(client: Any, **values: Any) -> Any:
    return client.post(URL, {"name": "Prometheus", "kind": "alertmanager", **values}, format="json")


@pytest.mark.django_db
def test_source_is_made_changed_and_removed_and_its_token_shown_once() -> None:
    client = client_as("operator")
    made = add(client, tags=["berlin"])
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    token = made.data["token"]
    assert made.data["setup"]["url"].endswith(f"/alerts/in/{token}")
    assert f"credentials: {token}" in made.data["setup"]["snippet"]
    assert made.data["default_level"] == "warning"
    url = f"{URL}/{made.data['id']}"
    read = client.get(url)
    assert token not in read.content.decode()
    assert "<token>" in read.data["setup"]["snippet"]
    assert token.endswith(read.data["token_hint"])
    assert token not in str(list(Event.objects.values()))
    post(token, alertmanager(prom_alert()))
    assert client.get(url).data["state"]["last_outcome"]["opened"] == 1
    changed = client.put(url, {"default_level": "critical", "resolve_after_s": "12h"}, format="json")
    assert (changed.data["default_level"], changed.data["resolve_after_s"]) == ("critical", 43_200)
    stale = client.put(url, {"name": "x"}, format="json", headers={"If-Match": read["ETag"]})
    assert stale.status_code == 412
    renewed = client.post(f"{url}/rotate-token")
    assert post(token, alertmanager()).status_code == 404
    assert post(renewed.data["token"], alertmanager()).status_code == 202
    assert client.delete(url).status_code == 204
    alert = Alert.objects.get()
    assert (alert.status, alert.note) == ("resolved", "Its source was removed.")
    assert not ReceivedAlert.objects.exists()
    names = Event.objects.filter(name__startswith="alert_source.").order_by("id").values_list("name", flat=True)
    assert list(names) == [
        "alert_source.created", "alert_source.updated", "alert_source.token_rotated", "alert_source.deleted",
    ]  # fmt: skip
    assert _MASKED_PATH.sub(r"\1***", f"/alerts/in/{token}") == "/alerts/in/***"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"kind": "nagios"}, "kind", "give one of alertmanager"),
        ({"name": ""}, "name", "one line of 1 to 100"),
        ({"default_level": "bad"}, "default_level", "give one of info"),
        ({"tags": "x"}, "tags", "a list of at most 20 words"),
        ({"mapping": {"name": "a"}}, "mapping", "is for the generic kind alone"),
        ({"kind": "generic", "mapping": {"title": "a"}}, "mapping.title", "is not one of alerts"),
        ({"kind": "generic", "mapping": {"name": "a..b"}}, "mapping.name", "is not a JSON path"),
        ({"kind": "generic", "mapping": {"resolved": "ok"}}, "mapping.resolved", "a list of at most 50 words"),
        ({"resolve_after_s": 5}, "resolve_after_s", "between 1 minute and 366 days"),
        ({"enabled": "yes"}, "enabled", "give true or false"),
        ({"digest": "x"}, "digest", "is not a field of a source"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], field: str, words: str) -> None:
    answer = add(client_as("operator"), **values)
    assert answer.status_code == 422
    found = {".".join(map(str, row["loc"][1:])): row["msg"] for row in answer.data["detail"]}
    assert words in found[field]
    assert not AlertSource.objects.exists()


@pytest.mark.django_db
def test_names_are_unique_and_the_kind_stays() -> None:
    client = client_as("operator")
    made = add(client)
    assert "another source has this name" in add(client).data["detail"][0]["msg"]
    answer = client.put(f"{URL}/{made.data['id']}", {"kind": "grafana"}, format="json")
    assert answer.status_code == 422


@pytest.mark.django_db
def test_list_costs_the_same_for_many_and_a_bound_key_sees_none() -> None:
    for number in range(3):
        make_source(name=f"Source {number}")
    client = client_as("viewer")
    client.get(URL)
    with CaptureQueriesContext(connection) as few:
        assert client.get(URL).data["count"] == 3
        cost = len(few)
    for number in range(3, 12):
        make_source(name=f"Source {number}")
    with CaptureQueriesContext(connection) as many:
        assert client.get(URL).data["count"] == 12
        assert len(many) == cost
    bound = client_with_key(make_api_key(make_user("admin"), server_id=str(make_server().id))[1])
    source = AlertSource.objects.first()
    assert {bound.get(URL).status_code, bound.delete(f"{URL}/{source.id}").status_code} == {403}


@pytest.mark.django_db
def test_trial_opens_and_resolves_and_says_why_nobody_was_told() -> None:
    source, token = make_source()
    client = client_as("operator")
    found = client.post(f"{URL}/{source.id}/test").data
    assert (found["opened"], found["resolved"], found["told"], found["reason"]) == (True, True, True, "")
    assert Alert.objects.get(id=found["alert_id"]).status == "resolved"
    services.create_silence(actor=system("test"), matchers={"source": "external"}, duration_s=600, reason="quiet")
    found = client.post(f"{URL}/{source.id}/test").data
    assert (found["told"], found["opened"]) == (False, True)
    assert found["reason"].endswith("quiet")
    with pytest.raises(NotFound):
        services.try_source(source_id="0190a3c4-0000-7000-8000-000000000000", actor=system("test"))


@pytest.mark.django_db(transaction=True)
def test_identical_posts_at_one_moment_open_one_alert() -> None:
    _, token = make_source()
    body = alertmanager(*(prom_alert(f"f{number}") for number in range(8)))
    turned = {**body, "alerts": body["alerts"][::-1]}
    gate, answers = threading.Barrier(4), []

    def send(said: dict[str, Any]) -> None:
        gate.wait(10)
        try:
            answers.append(post(token, said).json())
        finally:
            connections.close_all()

    senders = [threading.Thread(target=send, args=(said,)) for said in (body, turned, body, turned)]
    for one in senders:
        one.start()
    for one in senders:
        one.join(60)
    assert [one["accepted"] for one in answers] == [8] * 4
    assert sum(one["opened"] for one in answers) == 8
    assert Alert.objects.count() == 8
    assert set(Alert.objects.values_list("count", flat=True)) == {4}


@pytest.mark.django_db(transaction=True)
def test_post_that_is_cut_off_is_not_answered_and_sent_again_loses_and_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, token = make_source()
    body = alertmanager(*(prom_alert(f"f{number}") for number in range(9)))
    take, calls = receiving._take_portion, []

    def die(*given: Any) -> int:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt  # the process ends here
        return take(*given)

    monkeypatch.setattr(receiving, "PORTION", 3)
    monkeypatch.setattr(receiving, "PORTION_MOST", 3)
    monkeypatch.setattr(receiving, "_take_portion", die)
    with pytest.raises(KeyboardInterrupt):
        post(token, body)
    before = Alert.objects.count()
    assert 0 < before < 9, "what came before is committed, what came after is not"
    answer = post(token, body).json()
    assert (answer["opened"], answer["ignored"]) == (9 - before, before)
    assert Alert.objects.count() == 9
    assert Event.objects.filter(name="alert.opened").count() == 9


@pytest.mark.django_db
def test_news_that_comes_while_the_sweep_looks_keeps_an_alert_open() -> None:
    source, token = make_source(resolve_after_s=3600)
    post(token, alertmanager(prom_alert()))
    later = timezone.now() + timedelta(hours=2)
    ReceivedAlert.objects.update(last_seen_at=later)
    assert services.end_silent(now=later + timedelta(minutes=59)) == 0
    assert services.end_silent(now=later + timedelta(minutes=61)) == 1
    assert source.received.get().state == "expired"
