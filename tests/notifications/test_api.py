"""The API's rows, as each persona sees them."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.principals import principal_of_user
from apps.core.models import Event
from apps.notifications.models import Channel, Delivery, Notification, Rule, Webhook
from tests.factories.accounts import client_as, client_of, client_with_key, make_api_key, make_user
from tests.factories.notifications import PUBLIC_URL, make_channel, make_fact, make_rule, make_webhook
from tests.notifications.driving import send_all, tell
from tests.support.servers import RecordingReceiver, Reply

pytestmark = pytest.mark.django_db
BASE = "/api/v1"
NOBODY = "0192f0c4-0000-7000-8000-000000000000"

#: method, path, smallest role; the answers of those below are 401 and 403.
ROWS = [
    ("get", "/notifications", "viewer"),
    ("get", "/notifications/unread-count", "viewer"),
    ("put", f"/notifications/{NOBODY}/read", "viewer"),
    ("put", "/notifications/read-all", "viewer"),
    ("get", "/notifications/channels", "admin"),
    ("post", "/notifications/channels", "admin"),
    ("put", f"/notifications/channels/{NOBODY}", "admin"),
    ("delete", f"/notifications/channels/{NOBODY}", "admin"),
    ("get", "/notifications/rules", "admin"),
    ("post", "/notifications/rules", "admin"),
    ("put", f"/notifications/rules/{NOBODY}", "admin"),
    ("delete", f"/notifications/rules/{NOBODY}", "admin"),
    ("get", "/channels", "viewer"),
    ("post", "/channels", "admin"),
    ("put", f"/channels/{NOBODY}", "admin"),
    ("delete", f"/channels/{NOBODY}", "admin"),
    ("post", f"/channels/{NOBODY}/test", "admin"),
    ("post", f"/channels/{NOBODY}/rules", "admin"),
    ("delete", f"/channels/{NOBODY}/rules/{NOBODY}", "admin"),
    ("get", "/webhooks", "viewer"),
    ("post", "/webhooks", "operator"),
    ("get", f"/webhooks/{NOBODY}", "viewer"),
    ("put", f"/webhooks/{NOBODY}", "operator"),
    ("delete", f"/webhooks/{NOBODY}", "operator"),
    ("post", f"/webhooks/{NOBODY}/test", "operator"),
    ("get", f"/webhooks/{NOBODY}/deliveries", "viewer"),
    ("post", f"/webhooks/{NOBODY}/deliveries/{NOBODY}/redeliver", "operator"),
    ("get", "/channels/types", "viewer"),
    ("post", "/notification-rules/preview", "admin"),
    ("post", "/notification-templates/preview", "admin"),
    ("get", "/deliveries", "operator"),
    ("get", f"/deliveries/{NOBODY}", "operator"),
    ("post", f"/deliveries/{NOBODY}/redeliver", "operator"),
]
ROLES = ["anonymous", "viewer", "operator", "admin"]


@pytest.mark.parametrize(("method", "path", "smallest"), ROWS)
def test_row_is_open_from_its_smallest_role_on(method: str, path: str, smallest: str) -> None:
    for role in ROLES:
        for slash in ("", "/"):
            answer = getattr(client_as(role), method)(f"{BASE}{path}{slash}", {}, format="json")
            if role == "anonymous":
                assert answer.status_code == 401
            elif ROLES.index(role) < ROLES.index(smallest):
                assert answer.status_code == 403
            else:
                assert answer.status_code in (200, 404, 422), answer.content


def test_key_bound_to_a_server_sees_nothing_here() -> None:
    _, secret = make_api_key(make_user("admin"), server_id=NOBODY)
    for _, path, _ in (row for row in ROWS if row[0] == "get"):
        assert client_with_key(secret).get(BASE + path).status_code == 403


# --- inbox -----------------------------------------------------------------------------------------------------------


def test_inbox_is_ones_own_and_reading_counts_down() -> None:
    owner, stranger = make_user("viewer"), make_user("viewer")
    tell(make_fact(alert="a1"), make_fact(alert="a2"))
    client = client_of(owner)
    page = client.get(f"{BASE}/notifications", {"limit": 1, "unread": "true"}).json()
    assert page["count"] == 2 and len(page["results"]) == 1 and page["next"]
    row = page["results"][0]
    assert row["event"] == "alert.opened" and row["is_read"] is False
    assert client_of(stranger).put(f"{BASE}/notifications/{row['id']}/read").status_code == 404
    assert client.put(f"{BASE}/notifications/{row['id']}/read").json()["is_read"] is True
    assert client.put(f"{BASE}/notifications/{row['id']}/read").status_code == 200
    assert client.get(f"{BASE}/notifications/unread-count").json() == {"count": 1, "unread_count": 1}
    assert client.put(f"{BASE}/notifications/read-all").json() == {"marked_count": 1}
    assert client.get(f"{BASE}/notifications?unread=true").json()["count"] == 0
    assert Notification.objects.visible_to(principal_of_user(stranger)).unread().count() == 2
    assert client.get(f"{BASE}/notifications?unread=perhaps").status_code == 422


def test_inbox_list_makes_the_same_queries_for_any_number(django_assert_max_num_queries: Any) -> None:
    client = client_of(make_user("viewer"))
    for number in range(12):
        tell(make_fact(alert=f"a{number}"))
    client.get(f"{BASE}/notifications")
    with django_assert_max_num_queries(6):
        assert len(client.get(f"{BASE}/notifications").json()["results"]) == 12


# --- channels --------------------------------------------------------------------------------------------------------

CHANNEL = {"name": "On call", "type": "webhook", "config": {"url": PUBLIC_URL, "headers": {"Authorization": "t0p"}}}


@pytest.fixture
def admin() -> APIClient:
    return client_as("admin")


def test_channel_is_created_masked_and_audited(admin: APIClient) -> None:
    answer = admin.post(f"{BASE}/channels", CHANNEL, format="json")
    assert answer.status_code == 201 and answer["ETag"]
    body = answer.json()
    assert body["config"] == {"url": PUBLIC_URL, "headers": {"Authorization": "***"}}
    assert (body["enabled"], body["health"]) == (True, "unknown")
    assert "t0p" not in json.dumps(list(Event.objects.values("data", "audit")), default=str)
    assert "t0p" not in str(Channel.objects.values("config").get())
    assert [row["id"] for row in admin.get(f"{BASE}/notifications/channels").json()["results"]] == [body["id"]]


def test_channel_list_below_admin_shows_no_configuration() -> None:
    make_channel()
    row = client_as("operator").get(f"{BASE}/channels").json()["results"][0]
    assert set(row) == {"id", "name", "type", "enabled", "health"}


def test_url_of_a_channel_may_stand_beside_its_type(admin: APIClient) -> None:
    answer = admin.post(f"{BASE}/channels", {"name": "short", "url": PUBLIC_URL}, format="json")
    assert answer.status_code == 201 and answer.json()["config"]["url"] == PUBLIC_URL


def test_second_channel_of_a_name_is_a_conflict(admin: APIClient) -> None:
    admin.post(f"{BASE}/channels", CHANNEL, format="json")
    answer = admin.post(f"{BASE}/notifications/channels", CHANNEL, format="json")
    assert answer.status_code == 409 and answer.json()["code"] == "duplicate_name"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "pigeon"}, ["body", "type"]),
        ({"config": {}}, ["body", "config", "url"]),
        ({"config": {"url": "http://10.0.0.1/"}}, ["body", "config", "url"]),
        ({"config": {"url": "http://169.254.169.254/latest"}}, ["body", "config", "url"]),
        ({"config": {"url": PUBLIC_URL, "secret": "short"}}, ["body", "config", "secret"]),
        ({"name": " "}, ["body", "name"]),
    ],
)
def test_wrong_channel_is_refused_with_its_field(admin: APIClient, change: dict[str, Any], field: list[str]) -> None:
    answer = admin.post(f"{BASE}/channels", {**CHANNEL, **change}, format="json")
    assert answer.status_code == 422
    assert field in [row["loc"] for row in answer.json()["detail"]]


def test_private_target_is_refused_with_the_setting_that_allows_it(admin: APIClient) -> None:
    for body in ({"name": "x", "url": "http://10.1.2.3/hook"}, {"name": "x", "url": "http://localhost:9/hook"}):
        answer = admin.post(f"{BASE}/channels", body, format="json")
        assert answer.status_code == 422 and "OUTBOUND_ALLOW=" in answer.json()["error"]["message"]
        answer = admin.post(f"{BASE}/webhooks", body, format="json")
        assert answer.status_code == 422 and "OUTBOUND_ALLOW=" in answer.json()["error"]["message"]


def test_channel_change_keeps_masked_secrets_and_checks_the_revision(admin: APIClient) -> None:
    made = admin.post(f"{BASE}/channels", CHANNEL, format="json")
    path = f"{BASE}/channels/{made.json()['id']}"
    change = {"name": "Night", "config": {"headers": {"Authorization": "***", "X-A": "b"}}}
    answer = admin.put(path, change, format="json", HTTP_IF_MATCH=made["ETag"])
    assert answer.status_code == 200 and answer.json()["revision"] == 2
    stored = json.loads(Channel.objects.get().config or "")
    assert stored == {"url": PUBLIC_URL, "headers": {"Authorization": "t0p", "X-A": "b"}}
    assert admin.put(path, {"enabled": False}, format="json", HTTP_IF_MATCH=made["ETag"]).status_code == 412
    assert admin.delete(path).status_code == 204
    assert admin.put(path, {"enabled": False}, format="json").status_code == 404


def test_channel_test_returns_what_the_other_side_said(admin: APIClient, receiver: RecordingReceiver) -> None:
    channel = make_channel(receiver.url)
    receiver.answer_next(Reply(418, b"teapot"))
    body = admin.post(f"{BASE}/channels/{channel.id}/test")
    assert body.status_code == 200
    assert (body.json()["status"], body.json()["status_code"], body.json()["body"]) == ("failed", 418, "teapot")
    assert admin.post(f"{BASE}/channels/{channel.id}/test").json()["status"] == "delivered"
    assert json.loads(receiver.requests[0].body)["type"] == "test"
    assert Event.objects.filter(name="channel.tested").count() == 2


# --- rules -----------------------------------------------------------------------------------------------------------


def test_rule_is_created_changed_and_shown_in_the_words_of_the_contract(admin: APIClient) -> None:
    channel = make_channel()
    body = {
        "name": "Databases",
        "event_types": ["alert.*"],
        "filter": {"level": "critical", "tag": ["db"]},
        "channel_ids": [str(channel.id)],
        "throttle": "10m",
        "escalate_after": 1800,
        "quiet_hours": {"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"},
    }
    answer = admin.post(f"{BASE}/notifications/rules", body, format="json")
    assert answer.status_code == 201, answer.json()
    shown = answer.json()
    assert shown["events"] == ["alert.*"]
    assert shown["filter"] == {"level": ["critical"], "source": [], "tag": ["db"], "subject": [], "server": []}
    assert (shown["throttle"], shown["escalate_after"]) == (600, 1800)
    assert shown["quiet_hours"]["start"] == "22:00" and shown["quiet_hours"]["except_levels"] == ["critical"]
    path = f"{BASE}/notifications/rules/{shown['id']}"
    changed = admin.put(path, {"throttle": 0, "quiet_hours": None, "escalate_after": None}, format="json").json()
    assert (changed["throttle"], changed["quiet_hours"], changed["escalate_after"], changed["revision"]) == (
        0,
        None,
        None,
        2,
    )
    assert admin.get(f"{BASE}/notifications/rules").json()["count"] == 1
    assert admin.delete(path).status_code == 204
    assert list(Event.objects.filter(name__startswith="rule.").order_by("id").values_list("name", flat=True)) == [
        "rule.created", "rule.updated", "rule.deleted",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"events": ["alert.opend"]}, "events"),
        ({"events": []}, "events"),
        ({"events": ["endpoint.check_result"]}, "events"),
        ({"filter": {"level": ["awful"]}}, "levels"),
        ({"channel_ids": [NOBODY]}, "channel_ids"),
        ({"throttle": "soon"}, "throttle"),
        ({"throttle": -5}, "throttle"),
        ({"quiet_hours": {"start": "25:00", "end": "07:00"}}, "quiet_hours"),
        ({"hours": {"start": "08:00", "end": "08:00"}}, "hours"),
        ({"digest": {"every": "5s"}}, "digest"),
        ({"digest": {"every": "1h", "at": "08:00"}}, "digest"),
        ({"digest": {"at": "08:00", "timezone": "Mars/Base"}}, "digest"),
        ({"filter": {"server": ["no-such-server"]}}, "servers"),
        ({"title_template": "{{ title"}, "title_template"),
        ({"title_template": "{{ secret }}"}, "title_template"),
        ({"body_template": "{% include 'x' %}"}, "body_template"),
        ({"body_template": "x" * 4001}, "body_template"),
        ({"order": -1}, "order"),
        ({"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Mars/Base"}}, "quiet_hours"),
        ({"escalate_after": "30m"}, "escalate_after"),
        ({"name": ""}, "name"),
    ],
)
def test_wrong_rule_is_refused_with_its_field(admin: APIClient, change: dict[str, Any], field: str) -> None:
    answer = admin.post(f"{BASE}/notifications/rules", {"name": "x", "events": ["alert.*"], **change}, format="json")
    assert answer.status_code == 422
    assert field in [row["loc"][1] for row in answer.json()["detail"]]


def test_rule_of_a_channel_is_added_and_taken_off(admin: APIClient) -> None:
    one, two = make_channel(), make_channel()
    answer = admin.post(f"{BASE}/channels/{one.id}/rules", {"events": ["alert.opened"]}, format="json")
    assert answer.status_code == 201 and answer.json()["channel_ids"] == [str(one.id)]
    shared = make_rule(one, two)
    assert admin.delete(f"{BASE}/channels/{two.id}/rules/{answer.json()['id']}").status_code == 404
    assert admin.delete(f"{BASE}/channels/{one.id}/rules/{answer.json()['id']}").status_code == 204
    assert admin.delete(f"{BASE}/channels/{one.id}/rules/{shared.id}").status_code == 204
    assert list(Rule.objects.get().channels.all()) == [two]


# --- webhooks --------------------------------------------------------------------------------------------------------


def test_secret_made_here_is_shown_once() -> None:
    client = client_as("operator")
    body = {"url": PUBLIC_URL, "events": ["alert.*", "task.*"]}
    answer = client.post(f"{BASE}/webhooks", body, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    secret = answer.json()["secret"]
    assert answer.status_code == 201 and secret.startswith("whsec_")
    again = client.post(f"{BASE}/webhooks", body, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    assert again.status_code == 201 and again["Idempotent-Replayed"] == "true"
    assert secret not in again.content.decode() and Webhook.objects.count() == 1
    path = f"{BASE}/webhooks/{answer.json()['id']}"
    for shown in (client.get(path), client.get(f"{BASE}/webhooks"), client.put(path, {"name": "n"}, format="json")):
        assert secret not in shown.content.decode()
    assert Webhook.objects.get().secret == secret


def test_given_secret_is_kept_and_never_shown() -> None:
    given = "whsec_" + "B" * 40
    answer = client_as("operator").post(f"{BASE}/webhooks", {"url": PUBLIC_URL, "secret": given}, format="json")
    assert answer.json()["secret"] == "***" and answer.json()["events"] == ["*"]
    assert Webhook.objects.get().secret == given


@pytest.mark.parametrize(
    "change", [{"secret": "hush"}, {"events": ["nonsense.*"]}, {"url": "ftp://example.org/"}, {"url": ""}]
)
def test_wrong_webhook_is_refused(change: dict[str, Any]) -> None:
    answer = client_as("operator").post(f"{BASE}/webhooks", {"url": PUBLIC_URL, **change}, format="json")
    assert answer.status_code == 422


def test_rotation_shows_the_new_secret_once() -> None:
    owner = make_user("operator")
    webhook = make_webhook(owner=owner)
    answer = client_of(owner).put(f"{BASE}/webhooks/{webhook.id}", {"rotate_secret": True}, format="json").json()
    assert answer["secret"].startswith("whsec_") and answer["previous_secret_until"]


def test_operator_can_not_turn_an_admins_webhook_towards_himself() -> None:
    webhook = make_webhook(owner=make_user("admin"))
    answer = client_as("operator").put(
        f"{BASE}/webhooks/{webhook.id}", {"url": "https://93.184.215.15/"}, format="json"
    )
    assert answer.status_code == 403
    owned = make_webhook(owner=make_user("operator"))
    assert client_as("operator").put(f"{BASE}/webhooks/{owned.id}", {"name": "new"}, format="json").status_code == 200


def test_webhook_made_by_a_key_never_gets_more_than_the_key_may_read() -> None:
    admin_user = make_user("admin")
    _, secret = make_api_key(admin_user, role="operator")
    make_user("operator")
    answer = client_with_key(secret).post(f"{BASE}/webhooks", {"url": PUBLIC_URL}, format="json")
    assert answer.status_code == 201
    tell(make_fact("user.created", permission="users:view"), make_fact())
    assert list(Delivery.objects.values_list("event_name", flat=True)) == ["alert.opened"]


def test_detail_has_statistics_and_the_ledger_has_attempts(receiver: RecordingReceiver) -> None:
    webhook = make_webhook(receiver.url, events=["alert.*"])
    receiver.answer_next(Reply(500, b"no"))
    tell(make_fact(alert="a1"), make_fact(alert="a2"))
    send_all()
    client = client_as("viewer")
    statistics = client.get(f"{BASE}/webhooks/{webhook.id}").json()["statistics"]
    assert (statistics["total"], statistics["delivered"], statistics["pending"], statistics["attempts"]) == (2, 1, 1, 2)
    page = client.get(f"{BASE}/webhooks/{webhook.id}/deliveries?limit=1").json()
    assert page["count"] == 2 and "cursor=" in page["next"]
    first = client.get(page["next"]).json()["results"][0]
    assert (first["state"], first["attempt_count"]) == ("pending", 1) and first["next_attempt_at"]
    attempt = first["attempts"][0]
    assert (attempt["status_code"], attempt["response"]) == (500, "no")
    assert attempt["request"]["headers"]["webhook-signature"] == "v1,***"
    assert first["payload"]["type"] == "alert.opened"
    assert client.get(f"{BASE}/webhooks/{webhook.id}/deliveries?state=odd").status_code == 422


def test_ledger_hides_payloads_that_the_reader_may_not_see() -> None:
    webhook = make_webhook()
    tell(make_fact("user.created", permission="users:view"))
    path = f"{BASE}/webhooks/{webhook.id}/deliveries"
    assert client_as("viewer").get(path).json()["results"][0]["payload"] is None
    assert client_as("admin").get(path).json()["results"][0]["payload"]["type"] == "user.created"


def test_ledger_makes_the_same_queries_for_any_number(django_assert_max_num_queries: Any) -> None:
    webhook = make_webhook()
    for number in range(10):
        tell(make_fact(alert=f"a{number}"))
    client = client_as("viewer")
    client.get(f"{BASE}/webhooks/{webhook.id}/deliveries")
    with django_assert_max_num_queries(7):
        assert len(client.get(f"{BASE}/webhooks/{webhook.id}/deliveries").json()["results"]) == 10


def test_redeliver_is_accepted_for_what_came_to_its_end_only(receiver: RecordingReceiver) -> None:
    webhook = make_webhook(receiver.url, events=["alert.*"])
    tell(make_fact())
    client, path = client_as("operator"), f"{BASE}/webhooks/{webhook.id}/deliveries"
    first = Delivery.objects.get()
    assert client.post(f"{path}/{first.uid}/redeliver").status_code == 409
    send_all()
    answer = client.post(f"{path}/{first.uid}/redeliver")
    assert answer.status_code == 202 and answer.json()["message_id"] == first.message_id
    assert Event.objects.filter(name="webhook.redelivered", subject_id=str(webhook.id)).count() == 1
    other = make_webhook(receiver.url)
    assert client.post(f"{BASE}/webhooks/{other.id}/deliveries/{first.uid}/redeliver").status_code == 404
    assert send_all() == 1
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


def test_webhook_test_answers_200_whatever_the_other_side_said(receiver: RecordingReceiver) -> None:
    webhook = make_webhook(receiver.url)
    client = client_as("operator")
    assert client.post(f"{BASE}/webhooks/{webhook.id}/test").json()["status_code"] == 200
    assert Event.objects.filter(name="webhook.tested", subject_id=str(webhook.id)).count() == 1
    receiver.answer(Reply(500))
    body = client.post(f"{BASE}/webhooks/{webhook.id}/test")
    assert body.status_code == 200 and body.json()["status"] == "failed" and body.json()["latency_ms"] > 0


def test_disabling_a_webhook_suppresses_what_waits_and_deleting_removes_it() -> None:
    owner = make_user("operator")
    webhook = make_webhook(owner=owner, events=["alert.*"])
    tell(make_fact())
    client = client_of(owner)
    assert client.put(f"{BASE}/webhooks/{webhook.id}", {"enabled": False}, format="json").json()["enabled"] is False
    assert Delivery.objects.get().state == "suppressed"
    assert client.delete(f"{BASE}/webhooks/{webhook.id}").status_code == 204
    assert client.get(f"{BASE}/webhooks/{webhook.id}").status_code == 404


# --- types, previews, the ledger -------------------------------------------------------------------------------------


def test_types_list_every_transport_with_its_fields_and_notes() -> None:
    rows = {row["type"]: row for row in client_as("viewer").get(f"{BASE}/channels/types").json()}
    assert {"email", "slack", "discord", "teams", "telegram", "ntfy", "gotify", "pushover", "pagerduty", "opsgenie",
            "webhook", "matrix", "mattermost", "rocketchat", "apprise"} <= set(rows)  # fmt: skip
    assert "Best effort" in rows["apprise"]["note"]
    server = next(field for field in rows["telegram"]["fields"] if field["name"] == "server")
    assert (server["default"], server["required"]) == ("https://api.telegram.org", False)
    assert not rows["pagerduty"]["takes_summaries"]


def test_channel_keeps_its_manners(admin: APIClient) -> None:
    spare = make_channel()
    manners = {
        "fallback_id": str(spare.id), "most_messages": 10, "most_per": "5m", "digest": {"every": "30m"},
        "quiet_hours": {"from": "22:00", "to": "07:00"}, "title_template": "{{ name }}",
    }  # fmt: skip
    made = admin.post(f"{BASE}/channels", {**CHANNEL, **manners}, format="json")
    assert made.status_code == 201, made.json()
    body = made.json()
    assert (body["fallback_id"], body["most_messages"], body["most_per"]) == (str(spare.id), 10, 300)
    assert body["digest"] == {"every_s": 1800, "except_levels": []} and body["quiet_hours"]["start"] == "22:00"
    path = f"{BASE}/channels/{body['id']}"
    # What is shown can be sent back as it is.
    assert admin.put(path, {"digest": body["digest"], "fallback_id": None}, format="json").json()["fallback_id"] is None
    wrongs: list[dict[str, Any]] = [
        {"fallback_id": body["id"]}, {"most_messages": -1}, {"digest": {"at": "25:00"}},
    ]  # fmt: skip
    for wrong in wrongs:
        answer = admin.put(path, wrong, format="json")
        assert answer.status_code == 422
        assert next(iter(wrong)) in [row["loc"][1] for row in answer.json()["detail"]]


def test_rule_preview_tells_who_and_why_not(admin: APIClient) -> None:
    channel = make_channel(name="ops")
    rule = make_rule(channel, name="crit", levels=["critical"])
    path = f"{BASE}/notification-rules/preview"
    made = {"level": "warning", "subject": {"kind": "endpoint", "id": "e1", "name": "web-1"}}
    answer = admin.post(path, made, format="json")
    assert answer.status_code == 200, answer.json()
    first = answer.json()["answers"][0]
    assert (first["rule_id"], first["outcome"]) == (str(rule.id), "not told") and "warning" in first["reason"]
    tried = {**made, "rule_id": str(rule.id), "rule": {"filter": {"level": ["warning"]}}}
    assert admin.post(path, tried, format="json").json()["answers"][0]["outcome"] == "told"
    rule.refresh_from_db()
    assert rule.levels == ["critical"]
    fact = make_fact(alert=NOBODY)
    past = admin.post(path, {"alert_id": NOBODY}, format="json").json()
    assert past["fact"]["event"] == fact.name and past["answers"][0]["outcome"] == "told"
    assert not Delivery.objects.exists()
    wrongs: list[dict[str, Any]] = [
        {"alert_id": client_uuid()}, {"seq": 10**9}, {"event": "no.such"}, {"rule": {"events": []}},
        {"level": "awful"},
    ]  # fmt: skip
    for wrong in wrongs:
        assert admin.post(path, wrong, format="json").status_code == 422


def client_uuid() -> str:
    return "0192f0c4-0000-7000-8000-00000000dead"


def test_template_preview_shows_the_words_or_the_line_of_the_fault(admin: APIClient) -> None:
    path = f"{BASE}/notification-templates/preview"
    fact = make_fact()
    body = {"seq": fact.seq, "title_template": "{{ level|upper }} {{ name }}"}
    answer = admin.post(path, body, format="json").json()
    assert (answer["title"], answer["names"]["name"]) == ("CRITICAL web-1", "web-1")
    assert answer["message"] == "web-1 does not answer"
    wrong = admin.post(path, {"body_template": "one\n{{ secret }}"}, format="json")
    assert wrong.status_code == 422 and "line 2" in wrong.json()["error"]["message"]


def test_ledger_lists_filters_and_sends_again(receiver: RecordingReceiver) -> None:
    channel = make_channel(receiver.url, name="ops", headers={"Authorization": "t0p"})
    receiver.answer_next(Reply(410))
    tell(make_fact(), make_fact("system.alert", "s1"))
    send_all()
    client = client_as("operator")
    page = client.get(f"{BASE}/deliveries").json()
    assert page["count"] == 2
    failed = client.get(f"{BASE}/deliveries", {"state": "failed", "destination_id": str(channel.id)}).json()["results"]
    assert [row["event"] for row in failed] == ["alert.opened"]
    assert failed[0]["destination"] == {"kind": "channel", "id": str(channel.id), "name": "ops"}
    # Where exactly it went is configuration: an admin's to see.
    assert failed[0]["attempts"][0]["request"] == {}
    shown = client_as("admin").get(f"{BASE}/deliveries/{failed[0]['id']}").json()
    assert shown["attempts"][0]["request"]["url"].startswith(receiver.url)
    again = client.post(f"{BASE}/deliveries/{failed[0]['id']}/redeliver")
    assert again.status_code == 202 and again.json()["message_id"] == failed[0]["message_id"]
    assert client.post(f"{BASE}/deliveries/{again.json()['id']}/redeliver").status_code == 409
    assert Event.objects.filter(name="channel.redelivered").count() == 1
    assert send_all() == 1
    for wrong in ({"state": "lost"}, {"kind": "pigeon"}, {"destination_id": "x"}, {"seq": "x"}):
        assert client.get(f"{BASE}/deliveries", wrong).status_code == 422


def test_whole_ledger_makes_the_same_queries_for_any_number(django_assert_max_num_queries: Any) -> None:
    make_channel()
    client = client_as("operator")
    for number in range(30):
        tell(make_fact(alert=f"a{number}"))
    client.get(f"{BASE}/deliveries")
    with django_assert_max_num_queries(9):
        assert len(client.get(f"{BASE}/deliveries").json()["results"]) == 30


def test_rules_with_their_warnings_make_the_same_queries_for_any_number(
    admin: APIClient, django_assert_max_num_queries: Any
) -> None:
    for _ in range(10):
        make_rule(make_channel(), make_channel())
    admin.get(f"{BASE}/notifications/rules")
    with django_assert_max_num_queries(7):
        rows = admin.get(f"{BASE}/notifications/rules").json()["results"]
    assert len(rows) == 10 and rows[0]["warnings"]
