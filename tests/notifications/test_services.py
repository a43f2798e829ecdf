"""Every transport to a service keeps the same contract, against a local host that answers as the real one does."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.core.errors import Invalid
from apps.core.net import run_sync
from apps.notifications import services
from apps.notifications.models import Delivery
from apps.notifications.transports import Message, Outcome, transports
from apps.notifications.transports.posting import cut, cut_bytes, cut_utf16
from tests.factories.notifications import make_admin, make_channel, make_fact
from tests.notifications.driving import send_all, tell
from tests.notifications.services import SERVICES, TOKEN, answer, body_of, config_for, strings
from tests.support.servers import RecordingReceiver, Reply

LINK = "https://watch.example.org/admin/alerts/alert/1/"
OPENED = Message(
    id="0192f0c4-0000-7000-8000-000000000001",
    event="alert.opened",
    body=b"{}",
    title="Critical: web-1",
    text="web-1 does not answer",
    level="critical",
    url=LINK,
    thread="abc123",
    subject="web-1",
    kind="alert",
    tags=("prod",),
    at=datetime(2026, 1, 31, 12, 0, tzinfo=UTC),
)
RESOLVED = replace(OPENED, event="alert.resolved", title="Resolved: web-1", text="web-1 answers again", level="info")
HOSTILE = "@everyone <b>bold</b> <!channel> <script>x</script> [click](https://evil.example) *s* `c` @here"
KINDS = sorted(SERVICES)


def send(kind: str, url: str, message: Message = OPENED) -> Outcome:
    return run_sync(transports[kind].send(config_for(kind, url), message))


@pytest.fixture
def service(request: Any, receiver: RecordingReceiver) -> RecordingReceiver:
    receiver.answer(SERVICES[request.node.callspec.params["kind"]].good)
    return receiver


@pytest.mark.parametrize("kind", KINDS)
def test_message_arrives_with_level_name_text_and_link(kind: str, service: RecordingReceiver) -> None:
    outcome = send(kind, service.url)
    assert outcome.ok, outcome.error
    assert outcome.status_code in (200, 202) and outcome.latency_ms is not None
    (request,) = service.requests
    assert (request.method, request.path) == (SERVICES[kind].method, SERVICES[kind].path)
    said = "\n".join(SERVICES[kind].texts(body_of(request))).replace("\\", "")
    for part in ("Critical: web-1", "web-1 does not answer", LINK):
        assert part in said


@pytest.mark.parametrize("kind", KINDS)
def test_end_of_an_alert_arrives_too(kind: str, service: RecordingReceiver) -> None:
    assert send(kind, service.url, RESOLVED).ok
    said = "\n".join(strings(body_of(service.requests[0]))) + service.requests[0].target
    assert "Resolved: web-1" in said.replace("\\", "") or "resolve" in said or "close" in said


@pytest.mark.parametrize("kind", KINDS)
def test_credentials_are_shown_nowhere(kind: str, service: RecordingReceiver) -> None:
    service.answer(answer(500, f"no: {SERVICES[kind].secret}"))
    outcome = send(kind, service.url)
    shown = json.dumps([dict(outcome.request), outcome.error, outcome.response])
    assert SERVICES[kind].secret not in shown and "hush" not in shown
    masked = transports[kind].mask(config_for(kind, service.url))
    assert "hush" not in json.dumps(masked)


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_name_calls_nobody_and_is_no_markup(kind: str, service: RecordingReceiver) -> None:
    assert send(kind, service.url, replace(OPENED, title=HOSTILE, text=HOSTILE, subject="web-1")).ok
    body = body_of(service.requests[0])
    assert all("@everyone" not in text and "@here" not in text for text in strings(body))
    if kind == "slack":
        assert all(block["text"]["type"] == "plain_text" for block in body["attachments"][0]["blocks"][:2])
        assert "<!channel>" not in body["text"] + body["attachments"][0]["fallback"]
    if kind == "discord":
        assert body["allowed_mentions"] == {"parse": []}
    if kind in ("discord", "mattermost", "rocketchat"):
        assert all("[click](" not in text and "*s*" not in text.replace("\\*", "") for text in strings(body))
    if kind == "matrix":
        assert "<b>" not in body["formatted_body"] and "<script>" not in body["formatted_body"]
        assert body["m.mentions"] == {}
    if kind == "teams":
        card = body["attachments"][0]["content"]
        assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert "parse_mode" not in body and "html" not in body


@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_are_cut_to_what_the_service_takes(kind: str, service: RecordingReceiver) -> None:
    assert send(kind, service.url, replace(OPENED, title="Ü" * 5000, text="<&ä😀" * 20000)).ok
    body = body_of(service.requests[0])
    for text, most in SERVICES[kind].limits(body):
        length = len(text.encode("utf-16-le")) // 2 if kind == "telegram" else len(text)
        length = len(text.encode()) if kind in ("ntfy", "teams", "matrix") else length
        assert 0 < length <= most
    assert "…" in "".join(strings(body))


@pytest.mark.parametrize("kind", KINDS)
def test_service_that_is_asked_too_often_is_left_alone(kind: str, service: RecordingReceiver) -> None:
    reply, wait = SERVICES[kind].busy
    service.answer(reply)
    outcome = send(kind, service.url)
    assert not outcome.ok and not outcome.gone and outcome.status_code == 429
    assert outcome.retry_after_s == (wait or None)


@pytest.mark.parametrize("kind", KINDS)
def test_refusal_is_for_good_and_a_fault_of_theirs_is_not(kind: str, service: RecordingReceiver) -> None:
    service.answer(SERVICES[kind].refused)
    refused = send(kind, service.url)
    assert not refused.ok and refused.gone and str(SERVICES[kind].refused.status) in refused.error
    service.answer(Reply(503, b"<html>busy</html>"))
    busy = send(kind, service.url)
    assert not busy.ok and not busy.gone and busy.error == "The other side answered 503 Service Unavailable."


@pytest.mark.django_db
@pytest.mark.parametrize("kind", KINDS)
def test_channel_tells_the_story_of_an_alert(kind: str, service: RecordingReceiver) -> None:
    config = {name: text.replace("{url}", service.url) for name, text in SERVICES[kind].config.items()}
    make_channel(type=kind, **config)
    tell(make_fact(), make_fact("alert.resolved"))
    assert send_all() == 2
    assert {row.state for row in Delivery.objects.all()} == {"delivered"}


# --- single services -------------------------------------------------------------------------------------------------


def test_answer_that_does_not_say_yes_is_a_failure(receiver: RecordingReceiver) -> None:
    for kind, said in (("telegram", {"ok": False}), ("pushover", {"status": 0}), ("rocketchat", {"success": False})):
        receiver.answer(answer(200, said))
        assert not send(kind, receiver.url).ok


def test_pagerduty_knows_an_alert_by_one_key_from_opening_to_end(receiver: RecordingReceiver) -> None:
    receiver.answer(SERVICES["pagerduty"].good)
    for message in (OPENED, replace(OPENED, event="alert.acknowledged"), RESOLVED):
        send("pagerduty", receiver.url, message)
    seen = [body_of(request) for request in receiver.requests]
    assert [body["event_action"] for body in seen] == ["trigger", "acknowledge", "resolve"]
    assert {body["dedup_key"] for body in seen} == {"abc123"}
    assert seen[0]["payload"]["severity"] == "critical" and seen[0]["routing_key"] == TOKEN


def test_opsgenie_closes_by_the_alias_it_created_with(receiver: RecordingReceiver) -> None:
    receiver.answer(SERVICES["opsgenie"].good)
    for message in (OPENED, replace(OPENED, event="alert.acknowledged"), RESOLVED):
        send("opsgenie", receiver.url, message)
    assert body_of(receiver.requests[0])["alias"] == "abc123"
    assert [request.target for request in receiver.requests[1:]] == [
        "/v2/alerts/abc123/acknowledge?identifierType=alias", "/v2/alerts/abc123/close?identifierType=alias",
    ]  # fmt: skip
    assert receiver.requests[0].headers["authorization"] == f"GenieKey {TOKEN}"


@pytest.mark.parametrize("kind", ["pagerduty", "opsgenie"])
def test_test_leaves_nothing_open_where_alerts_are_kept(kind: str, receiver: RecordingReceiver) -> None:
    receiver.answer(SERVICES[kind].good)
    assert send(kind, receiver.url, replace(OPENED, event="test")).ok
    assert len(receiver.requests) == 2
    last = receiver.requests[1].target + receiver.requests[1].body.decode()
    assert "resolve" in last or "/close" in last


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["pagerduty", "opsgenie"])
def test_service_that_keeps_alerts_takes_no_summaries(kind: str, receiver: RecordingReceiver) -> None:
    config = {name: text.replace("{url}", receiver.url) for name, text in SERVICES[kind].config.items()}
    channel = make_channel(type=kind, **config)
    for change in ({"digest": {"every": "10m"}}, {"most_messages": 5}):
        with pytest.raises(Invalid, match="by itself"):
            services.update_channel(actor=make_admin(), channel_id=channel.id, changes=change)


def test_matrix_repeats_under_the_same_transaction(receiver: RecordingReceiver) -> None:
    receiver.answer(SERVICES["matrix"].good)
    send("matrix", receiver.url)
    send("matrix", receiver.url)
    assert len({request.target for request in receiver.requests}) == 1


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("telegram", {"token": "nonsense"}, "config.token"),
        ("telegram", {"chat": "my chat"}, "config.chat"),
        ("ntfy", {"topic": "a/b"}, "config.topic"),
        ("matrix", {"room": "#alias:example.org"}, "config.room"),
        ("slack", {"url": "ftp://hooks.slack.com/"}, "config.url"),
        ("apprise", {"url": "nothing://like/that"}, "config.url"),
        ("apprise", {"url": "syslog://"}, "config.url"),
    ],
)
def test_wrong_field_is_named(kind: str, change: dict[str, Any], field: str) -> None:
    given = SERVICES[kind].config if kind in SERVICES else {}
    filled = {name: text.replace("{url}", "https://93.184.215.14") for name, text in given.items()}
    with pytest.raises(Invalid) as refused:
        transports[kind].clean_config({**filled, **change})
    assert list(refused.value.problems) == [field]


def test_texts_are_cut_by_what_the_service_counts() -> None:
    assert cut("abcdef", 4) == "abc…"
    assert cut_bytes("ääää", 7) == "ää…" and len(cut_bytes("ääää", 7).encode()) <= 7
    assert cut_utf16("😀😀😀", 5) == "😀😀…"


# --- apprise ---------------------------------------------------------------------------------------------------------


def test_library_sends_in_a_process_of_its_own(receiver: RecordingReceiver) -> None:
    config = transports["apprise"].clean_config({"url": f"json://127.0.0.1:{receiver.port}/{TOKEN}"})
    outcome = run_sync(transports["apprise"].send(config, OPENED))
    assert outcome.ok, outcome.error
    body = json.loads(receiver.requests[0].body)
    assert body["title"] == "Critical: web-1" and LINK in body["message"] and body["type"] == "failure"
    assert TOKEN not in json.dumps(dict(outcome.request)) + outcome.response


def test_library_reaches_only_what_the_policy_allows(receiver: RecordingReceiver, settings: Any) -> None:
    config = transports["apprise"].clean_config({"url": f"json://127.0.0.1:{receiver.port}/"})
    settings.OUTBOUND_ALLOW = []
    outcome = run_sync(transports["apprise"].send(config, OPENED))
    assert not outcome.ok and "OUTBOUND_ALLOW" in outcome.error
    assert receiver.requests == []


def test_library_that_is_refused_says_so(receiver: RecordingReceiver) -> None:
    receiver.answer(Reply(500, b"no"))
    outcome = run_sync(transports["apprise"].send({"url": f"json://127.0.0.1:{receiver.port}/{TOKEN}"}, OPENED))
    assert not outcome.ok and "500" in outcome.error and TOKEN not in outcome.error
