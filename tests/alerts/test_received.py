"""Alerts of other systems: each one's shape, what is news and what is not, hostile input."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.alerts import services
from apps.alerts.inbound.base import LABEL_CHARS, LABELS_MOST
from apps.alerts.models import Alert, AlertSource, ReceivedAlert
from apps.alerts.services import receiving
from apps.alerts.services.receiving import end_silent
from apps.alerts.services.why import why
from apps.core import runtime_settings
from apps.core.models import Event, Tag
from apps.core.principals import system
from tests.factories.accounts import principal
from tests.factories.alert_posts import (
    alertmanager,
    grafana,
    grafana_rule,
    healthchecks,
    make_source,
    post,
    prom_alert,
    uptime_kuma,
)
from tests.factories.alerts import run_spine, server_offline
from tests.factories.fleet import make_server

pytestmark = pytest.mark.django_db


def counts(answer: Any) -> dict[str, int]:
    """Return the figures of an answer that are not 0."""
    assert answer.status_code == 202, answer.content
    return {name: value for name, value in answer.json().items() if isinstance(value, int) and value}


def told() -> list[str]:
    return list(Event.objects.filter(name__startswith="alert.").order_by("id").values_list("name", flat=True))


# --- each system ---------------------------------------------------------------------------------------------------


def test_alertmanager_opens_escalates_and_resolves() -> None:
    source, token = make_source(tags=["berlin"], tag_labels=["team"])
    answer = post(token, alertmanager(prom_alert(), prom_alert("ffff", instance="web-2:9100", severity="page")))
    assert counts(answer) == {"accepted": 2, "opened": 2}
    slow, worse = Alert.objects.order_by("id")
    assert (slow.source, slow.kind, slow.level, slow.message) == (
        "external", "HighLatency", "warning", "Requests are slow",
    )  # fmt: skip
    assert slow.subject_name == "HighLatency on web-1:9100"
    assert slow.tags == ["berlin", "team:blue"]
    assert slow.evidence["labels"]["team"] == "blue"
    assert slow.evidence["annotations"]["description"].startswith("p99")
    assert slow.evidence["link"] == "http://prometheus.example.org:9090/graph?g0.expr=latency"
    assert slow.evidence["received_from"] == source.name
    assert worse.level == "critical"
    assert counts(post(token, alertmanager(prom_alert(severity="critical")))) == {"accepted": 1, "updated": 1}
    slow.refresh_from_db()
    assert (slow.level, slow.count) == ("critical", 2)
    group = alertmanager(prom_alert(status="resolved"), prom_alert("ffff"))
    assert counts(post(token, group)) == {"accepted": 2, "resolved": 1, "updated": 1}
    slow.refresh_from_db()
    assert slow.status == "resolved"
    assert slow.resolved_by == source.name
    assert told() == ["alert.opened", "alert.opened", "alert.escalated", "alert.resolved"]


def test_alerts_that_alertmanager_left_off_are_told() -> None:
    _, token = make_source()
    answer = post(token, alertmanager(prom_alert(), truncatedAlerts=12))
    assert answer.json()["warnings"] == [
        "The sender left 12 alerts of this group off; raise max_alerts of its webhook, or set it to 0."
    ]


def test_grafana_opens_and_resolves() -> None:
    _, token = make_source("grafana")
    assert counts(post(token, grafana())) == {"accepted": 1, "opened": 1}
    alert = Alert.objects.get()
    assert (alert.level, alert.value, alert.message) == ("critical", 96.5, "web-1 runs out of memory")
    assert alert.evidence["link"].endswith("viewPanel=4")
    assert counts(post(token, grafana("resolved"))) == {"accepted": 1, "resolved": 1}
    assert counts(post(token, grafana_rule())) == {"accepted": 1, "opened": 1}
    rule = Alert.objects.unresolved().get()
    assert (rule.subject_name, rule.level, rule.value) == ("Queue length", "warning", 100.0)
    assert counts(post(token, grafana_rule("pending"))) == {"accepted": 1, "ignored": 1}
    assert counts(post(token, grafana_rule("ok"))) == {"accepted": 1, "resolved": 1}


def test_uptime_kuma_opens_and_resolves() -> None:
    _, token = make_source("uptime_kuma")
    assert counts(post(token, uptime_kuma())) == {"accepted": 1, "opened": 1}
    alert = Alert.objects.get()
    assert (alert.subject_name, alert.level) == ("Shop", "critical")
    assert alert.message == "Shop is down: connect ECONNREFUSED"
    assert alert.evidence["labels"]["env"] == "prod"
    again = uptime_kuma(time="2026-03-01 10:51:35.527")  # it repeats itself with another time
    assert counts(post(token, again)) == {"accepted": 1, "ignored": 1}
    assert counts(post(token, uptime_kuma(2))) == {"accepted": 1, "ignored": 1}
    assert counts(post(token, uptime_kuma(1, "2026-03-01 11:00:00.000"))) == {"accepted": 1, "resolved": 1}
    assert counts(post(token, again)) == {"accepted": 1, "ignored": 1}, "late: it is over since"
    assert counts(post(token, uptime_kuma(0, "2026-03-01 12:00:00"))) == {"accepted": 1, "opened": 1}
    test = post(token, {"heartbeat": None, "monitor": None, "msg": "My notification Testing"})
    assert counts(test) == {"accepted": 1, "ignored": 1}
    assert "test" in test.json()["warnings"][0]
    expiring = {"heartbeat": None, "monitor": None, "msg": "[Shop][https://web-1] certificate will expire in 7 days"}
    assert counts(post(token, expiring)) == {"accepted": 1, "opened": 1}
    assert end_silent(now=timezone.now() + timedelta(hours=25)) == 1, "nobody takes such a message back"


def test_healthchecks_opens_and_resolves() -> None:
    _, token = make_source("healthchecks", default_level="warning")
    assert counts(post(token, healthchecks())) == {"accepted": 1, "opened": 1}
    alert = Alert.objects.get()
    assert (alert.subject_name, alert.level) == ("Nightly backup", "critical")
    assert alert.message == "Nightly backup is down: last ping 2026-03-01 03:00 UTC"
    assert counts(post(token, healthchecks("up"))) == {"accepted": 1, "resolved": 1}
    bare = healthchecks()["check"] | {"status": "down", "unique_key": "b"}  # $JSON alone
    assert counts(post(token, bare)) == {"accepted": 1, "opened": 1}
    assert counts(post(token, bare | {"status": "paused"})) == {"accepted": 1, "ignored": 1}


def test_generic_json_is_found_by_its_mapping() -> None:
    _, token = make_source(
        "generic",
        mapping={
            "alerts": "data.events", "name": "job.title", "message": "text", "status": "state", "level": "prio",
            "fingerprint": '["the id"]', "server": "at", "link": "more[0]", "resolved": ["done"],
        },
    )  # fmt: skip
    event = {"the id": 17, "job": {"title": "Backup"}, "text": "no space left", "prio": "P1", "state": "bad",
             "at": "db-1", "more": ["javascript:alert(1)"]}  # fmt: skip
    assert counts(post(token, {"data": {"events": [event]}})) == {"accepted": 1, "opened": 1}
    alert = Alert.objects.get()
    assert (alert.subject_name, alert.level, alert.message) == ("Backup on db-1", "critical", "no space left")
    assert "link" not in alert.evidence
    assert counts(post(token, {"data": {"events": [event | {"state": "done"}]}})) == {"accepted": 1, "resolved": 1}
    answer = post(token, {"events": []})
    assert answer.status_code == 422
    assert "the body has no data, where the source's mapping finds the alerts" in answer.json()["detail"][0]["msg"]


def test_generic_json_needs_no_mapping() -> None:
    _, token = make_source("generic")
    body = {"id": "b", "name": "Backup failed", "severity": "info", "host": "db1", "status": "firing"}
    assert counts(post(token, body)) == {"accepted": 1, "opened": 1}
    assert Alert.objects.get().level == "info"
    assert counts(post(token, [body | {"status": "resolved"}, {"id": "c"}])) == {
        "accepted": 2, "resolved": 1, "opened": 1,
    }  # fmt: skip


# --- what is news --------------------------------------------------------------------------------------------------


def test_repetition_changes_nothing_but_the_count() -> None:
    _, token = make_source()
    body = alertmanager(prom_alert())
    post(token, body)
    before = told()
    for _ in range(20):
        assert counts(post(token, body)) == {"accepted": 1, "ignored": 1}
    alert = Alert.objects.get()
    assert alert.count == 21
    assert told() == before
    post(token, alertmanager(prom_alert(status="resolved")))
    ended = told()
    assert counts(post(token, alertmanager(prom_alert(status="resolved")))) == {"accepted": 1, "ignored": 1}
    assert counts(post(token, body)) == {"accepted": 1, "ignored": 1}, "that outage is over"
    assert told() == ended
    later = alertmanager(prom_alert(start="2026-03-01T12:00:00Z"))
    assert counts(post(token, later)) == {"accepted": 1, "opened": 1}
    late_end = alertmanager(prom_alert(status="resolved"))
    assert counts(post(token, late_end)) == {"accepted": 1, "ignored": 1}, "the end of the outage before"
    assert Alert.objects.unresolved().count() == 1


def test_what_people_resolved_stays_so_until_it_begins_anew_or_gets_worse() -> None:
    _, token = make_source()
    post(token, alertmanager(prom_alert()))
    services.resolve_alert(alert_id=Alert.objects.get().id, actor=principal("operator"))
    changed = prom_alert() | {"annotations": {"summary": "Requests are still slow"}}
    assert counts(post(token, alertmanager(changed))) == {"accepted": 1, "ignored": 1}
    assert counts(post(token, alertmanager(prom_alert(severity="critical")))) == {"accepted": 1, "opened": 1}
    services.resolve_alert(alert_id=Alert.objects.unresolved().get().id, actor=principal("operator"))
    assert counts(post(token, alertmanager(prom_alert(start="2026-03-02T00:00:00Z")))) == {"accepted": 1, "opened": 1}


def test_end_that_the_sender_names_is_honoured() -> None:
    _, token = make_source()
    end = timezone.now() + timedelta(minutes=5)
    post(token, alertmanager(prom_alert() | {"endsAt": end.isoformat()}))
    assert end_silent(now=end - timedelta(seconds=1)) == 0
    assert end_silent(now=end + timedelta(seconds=1)) == 1
    alert = Alert.objects.get()
    assert (alert.status, alert.note) == ("resolved", "The end that its sender named has come.")
    assert counts(post(token, alertmanager(prom_alert()))) == {"accepted": 1, "opened": 1}, "it still fires"
    past = prom_alert() | {"endsAt": (timezone.now() - timedelta(minutes=1)).isoformat()}
    assert counts(post(token, alertmanager(past))) == {"accepted": 1, "resolved": 1}


def test_silence_of_a_source_ends_its_alerts_where_people_want_it() -> None:
    source, token = make_source("generic")
    assert source.resolve_after_s == 86_400, "it may never say that something is over"
    keeper, other = make_source("alertmanager")
    assert keeper.resolve_after_s is None
    post(other, alertmanager(prom_alert()))
    post(token, {"id": "b", "name": "Backup failed"})
    assert end_silent(now=timezone.now() + timedelta(hours=23)) == 0
    assert end_silent(now=timezone.now() + timedelta(hours=25)) == 1
    alert = Alert.objects.get(status="resolved")
    assert alert.subject_name == "Backup failed"
    assert alert.note.startswith("No news from A generic since ")
    assert end_silent(now=timezone.now() + timedelta(hours=25)) == 0
    receiving.prune_received(10, timezone.now() + timedelta(hours=1))
    assert [row.state for row in ReceivedAlert.objects.all()] == ["firing"], "what is open is not forgotten"


def test_alert_of_a_server_that_is_down_follows_from_it_and_why_says_so() -> None:
    server = make_server("web-1")
    server.tags.add(Tag.objects.create(name="prod"))
    server_offline(server)
    run_spine()
    source, token = make_source(default_level="info")
    post(token, alertmanager(prom_alert(severity="strange")))
    alert = Alert.objects.get(source="external")
    assert (alert.server_id, alert.tags, alert.level) == (server.id, ["prod"], "info")
    assert (alert.is_told, alert.muted_by, alert.cause_kind) == (False, "dependency", "server")
    story = why(alert)
    texts = [step["text"] for step in story["steps"]]
    assert texts[0].startswith("A alertmanager (Prometheus Alertmanager) posted it: Requests are slow. It began")
    assert texts[1] == "The sender calls it “strange”; it was taken as info."
    assert story["summary"].startswith("Nobody was told. Because of web-1: ")


def test_silence_of_a_tag_mutes_what_arrives() -> None:
    services.create_silence(actor=system("test"), matchers={"tag": "team:blue"}, duration_s=600)
    _, token = make_source(tag_labels=["team"])
    post(token, alertmanager(prom_alert()))
    assert Alert.objects.get().muted_by == "silence"
    assert told() == ["alert.silenced"]


# --- what is wrong, and what is hostile ----------------------------------------------------------------------------


def test_one_bad_alert_does_not_lose_the_others() -> None:
    source, token = make_source()
    bad = [prom_alert("1") | {"labels": ["x"]}, 7, prom_alert("2") | {"status": "maybe"},
           prom_alert("3") | {"startsAt": "yesterday"}]  # fmt: skip
    answer = post(token, {**alertmanager(), "alerts": [bad[0], prom_alert("4"), *bad[1:], prom_alert("5")]})
    assert counts(answer) == {"accepted": 2, "opened": 2}
    assert [(one["index"], one["field"]) for one in answer.json()["errors"]] == [
        (0, "labels"), (2, ""), (3, "status"), (4, "startsAt"),
    ]  # fmt: skip
    source.state.refresh_from_db()
    assert source.state.last_error == "Not taken: alert 1, labels: is not an object of names and values, and 3 more"
    answer = post(token, {**alertmanager(), "alerts": bad})
    assert answer.status_code == 422
    assert {tuple(row["loc"]) for row in answer.json()["detail"]} >= {("body", "alerts", "3", "startsAt")}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "The body is not JSON: Expecting property name enclosed in double quotes at line 1, column 2."),
        (b"", 400, "The body is not JSON"),
        (b"\xff\xfe", 400, "The body is not JSON"),
        (b"[" * 100_000, 400, "The JSON is nested too deeply."),
        (b'{"alerts": [NaN]}', 400, "NaN is no number of JSON"),
        (b"[]", 422, "give an object as Alertmanager posts it"),
        (b"{}", 422, "is missing; this address takes the webhook of Alertmanager"),
        (b'{"alerts": {}}', 422, "give a list of alerts"),
        (b'{"alerts": [' + b"0," * 5000 + b"0]}", 422, "at most 5000 alerts in one post, not 5001"),
        (b" " * (1024 * 1024 + 1), 413, "A post has at most 1048576 bytes"),
    ],
)  # fmt: skip
def test_body_that_is_none_is_refused_with_a_sentence(body: bytes, status: int, words: str) -> None:
    source, token = make_source()
    answer = post(token, body)
    assert answer.status_code == status
    assert words in str(answer.json()["detail"])
    if status != 413:  # the view reads no more than the header says
        source.state.refresh_from_db()
        assert words.rstrip(".") in source.state.last_error
        assert source.state.posts == 1


def test_strings_of_strangers_are_bounded_and_storable() -> None:
    _, token = make_source()
    labels = {f"label{number}": "x" * 3000 for number in range(200)} | {"n\x00ul": "a\x00b", "high": "\ud800"}
    hostile = prom_alert() | {
        "labels": {"alertname": "<script>alert(1)</script>" + "n" * 5000, "instance": "[::1", **labels},
        "annotations": {"summary": "s" * 100_000, "nested": {"deep": [1, 2]}},
        "generatorURL": "javascript:alert(1)",
        "fingerprint": "f" * 10_000,
        "startsAt": "9999-12-31T23:59:59+00:00",
    }
    assert counts(post(token, alertmanager(hostile, externalURL="ftp://x"))) == {"accepted": 1, "opened": 1}
    alert = Alert.objects.get()
    assert len(alert.message) == LABEL_CHARS
    assert len(alert.subject_name) <= 255
    assert len(alert.kind) <= 128
    assert len(alert.evidence["labels"]) == LABELS_MOST
    assert max(map(len, alert.evidence["labels"].values())) == LABEL_CHARS
    assert "link" not in alert.evidence
    assert "\x00" not in str(alert.evidence)
    assert ReceivedAlert.objects.get().starts_at is None, "a start in the future would make all news look old"
    assert counts(post(token, alertmanager(hostile | {"status": "resolved"}))) == {"accepted": 1, "resolved": 1}


def test_unknown_token_is_answered_like_a_wrong_one_and_neither_tells_more() -> None:
    source, token = make_source()
    services.update_source(source_id=source.id, actor=system("test"), values={"enabled": False})
    with CaptureQueriesContext(connection) as disabled:
        first = post(token, alertmanager(prom_alert()))
        cost = len(disabled)
    with CaptureQueriesContext(connection) as unknown:
        second = post("wka_" + "x" * 32, alertmanager(prom_alert()))
        assert len(unknown) == cost == 1
    nothing = Client().post("/alerts/in", "{}", content_type="application/json")
    assert first.status_code == second.status_code == nothing.status_code == 404
    assert first.json() == second.json() == nothing.json()
    assert not Alert.objects.exists()
    answers = {post("wka_guess", {}).status_code for _ in range(70)}
    assert answers == {404, 429}
    services.update_source(source_id=source.id, actor=system("test"), values={"enabled": True})
    assert post(token, alertmanager(prom_alert())).status_code == 202, "who knows a token is not kept out by a guesser"


def test_source_that_posts_too_often_is_told_when_to_go_on() -> None:
    runtime_settings.change_settings(values={"limits.alert_posts_per_minute": 2}, actor=principal("admin"))
    _, token = make_source()
    answers = [post(token, alertmanager()) for _ in range(3)]
    assert [one.status_code for one in answers] == [202, 202, 429]
    assert 0 < int(answers[-1]["Retry-After"]) <= 60
    assert post(make_source("grafana")[1], grafana()).status_code == 202, "others are not kept out"


def test_token_may_stand_in_a_header() -> None:
    _, token = make_source()
    answer = Client().post(
        "/alerts/in/", alertmanager(prom_alert()), content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip
    assert counts(answer) == {"accepted": 1, "opened": 1}


# --- load ----------------------------------------------------------------------------------------------------------


def test_big_post_is_taken_in_short_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    _, token = make_source()
    alerts = [prom_alert(f"{number:x}", instance=f"host-{number % 50}") for number in range(120)]
    portions: list[int] = []
    take = receiving._take_portion

    def noted(*given: Any) -> int:
        portions.append(take(*given))
        return portions[-1]

    monkeypatch.setattr(receiving, "_take_portion", noted)
    assert counts(post(token, alertmanager(*alerts))) == {"accepted": 120, "opened": 120}
    assert sum(portions) == 120
    assert len(portions) > 3
    monkeypatch.setattr(receiving, "BUDGET_S", 60.0)  # however slow the machine is
    with CaptureQueriesContext(connection) as again:
        assert counts(post(token, alertmanager(*alerts))) == {"accepted": 120, "ignored": 120}
        assert len(again) < 30, "what is known costs a few statements a portion"
    assert Alert.objects.filter(count=2).count() == 120
    assert AlertSource.objects.get().state.opened == 120
