"""At least once, in order, with an id that repeats."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.utils import timezone

from apps.core.models import Event
from apps.core.net import run_sync
from apps.notifications import services
from apps.notifications.models import Attempt, Channel, Delivery, Webhook
from apps.notifications.services import sending
from tests.factories.accounts import make_user
from tests.factories.notifications import make_admin, make_channel, make_fact, make_webhook
from tests.notifications.driving import let_time_pass, lose_leases, send_all, send_once, tell
from tests.support.servers import RecordingReceiver, Reply, Request

pytestmark = pytest.mark.django_db


def names(receiver: RecordingReceiver) -> list[str]:
    return [json.loads(request.body)["type"] for request in receiver.requests]


def verify(request: Request, secret: str) -> bool:
    """Check a request as a receiver does, by the words of Standard Webhooks."""
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return expected in request.headers["webhook-signature"].split(" ")


def test_webhook_receives_a_signed_message_that_verifies(receiver: RecordingReceiver) -> None:
    webhook = make_webhook(receiver.url, events=["alert.*"])
    fact = make_fact(value=97.5, threshold=95)
    tell(fact)
    assert send_all() == 1
    request = receiver.requests[0]
    body = json.loads(request.body)
    assert verify(request, webhook.secret)
    assert request.headers["webhook-id"] == str(fact.uid) == body["id"]
    assert request.headers["content-type"] == "application/json"
    assert abs(int(request.headers["webhook-timestamp"]) - timezone.now().timestamp()) < 60
    assert (body["type"], body["seq"], body["data"]["value"]) == ("alert.opened", fact.seq, 97.5)
    assert body["subject"] == {"kind": "alert", "id": "a1", "name": "web-1"}
    row = Delivery.objects.get()
    assert (row.state, row.attempts, row.tries.get().status_code) == ("delivered", 1, 200)
    webhook.state.refresh_from_db()
    assert webhook.state.health == "healthy"


def test_changed_body_does_not_verify(receiver: RecordingReceiver) -> None:
    webhook = make_webhook(receiver.url)
    tell(make_fact())
    send_all()
    request = receiver.requests[0]
    forged = Request(request.method, request.target, request.headers, request.body + b" ")
    assert not verify(forged, webhook.secret)


def test_both_secrets_sign_while_one_is_replaced(receiver: RecordingReceiver) -> None:
    webhook = make_webhook(receiver.url)
    old = webhook.secret
    changed, new = services.update_webhook(
        actor=make_admin(), webhook_id=webhook.id, changes={"rotate_secret": True, "events": ["alert.*"]}
    )
    tell(make_fact())
    send_all()
    assert new and new != old
    assert verify(receiver.requests[0], old) and verify(receiver.requests[0], new)
    Webhook.objects.filter(id=webhook.id).update(previous_secret_until=timezone.now() - timedelta(seconds=1))
    tell(make_fact(alert="a2"))
    send_all()
    assert verify(receiver.requests[1], new) and not verify(receiver.requests[1], old)


def test_failed_attempt_is_repeated_with_the_same_id_until_it_is_taken(receiver: RecordingReceiver) -> None:
    make_webhook(receiver.url, events=["alert.*"])
    tell(make_fact())
    receiver.answer_next(Reply(500, b"broken"), Reply(302, headers={"Location": "/elsewhere"}))
    for _ in range(3):
        send_once()
        let_time_pass()
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert [try_.status_code for try_ in Attempt.objects.all()] == [500, 302, 200]
    assert Attempt.objects.first().response == "broken"  # type: ignore[union-attr]
    assert Delivery.objects.get().state == "delivered"


def test_waits_grow_and_end_after_a_day(receiver: RecordingReceiver, settings: Any) -> None:
    make_webhook(receiver.url, events=["alert.*"])
    tell(make_fact())
    receiver.answer(Reply(503))
    for wait in sending.BACKOFF_S:
        send_once()
        row = Delivery.objects.get()
        assert row.next_attempt_at is not None
        left = (row.next_attempt_at - row.tries.last().at).total_seconds()  # type: ignore[union-attr]
        assert 0.89 * wait <= left <= 1.11 * wait
        let_time_pass()
    send_once()
    row = Delivery.objects.get()
    assert (row.state, row.attempts, row.next_attempt_at) == ("failed", sending.MOST_ATTEMPTS, None)
    assert "503" in row.reason


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(receiver: RecordingReceiver, form: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=7200), usegmt=True)
    header = {"seconds": "7200", "date": date}[form]
    make_webhook(receiver.url, events=["alert.*"])
    tell(make_fact())
    receiver.answer(Reply(429, headers={"Retry-After": header}))
    send_once()
    row = Delivery.objects.get()
    assert row.next_attempt_at is not None
    assert 5000 < (row.next_attempt_at - row.tries.get().at).total_seconds() <= 7201


def test_message_waits_for_the_one_before_it_about_the_same_subject_only(receiver: RecordingReceiver) -> None:
    make_webhook(receiver.url, events=["alert.*"])
    receiver.answer_next(Reply(500))
    tell(make_fact(alert="a1"))
    send_once()
    tell(make_fact("alert.resolved", "a1"), make_fact(alert="a2"))
    send_all()
    assert [json.loads(request.body)["subject"]["id"] for request in receiver.requests] == ["a1", "a2"]
    let_time_pass()
    send_all()
    assert names(receiver)[2:] == ["alert.opened", "alert.resolved"]


def test_order_holds_while_an_attempt_runs(receiver: RecordingReceiver) -> None:
    make_webhook(receiver.url, events=["alert.*"])
    tell(make_fact(), make_fact("alert.resolved"))
    jobs = sending.claim_due(10)
    assert [job.delivery.event_name for job in jobs] == ["alert.opened"]
    assert sending.claim_due(10) == []


def test_lost_lease_is_taken_over_and_sent_with_the_same_id(receiver: RecordingReceiver) -> None:
    make_webhook(receiver.url, events=["alert.*"])
    tell(make_fact())
    run_sync(sending.send(sending.claim_due(10)[0]))  # the worker dies before it writes the result
    assert send_once() == []
    lose_leases()
    assert len(send_once()) == 1
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert len(receiver.requests) == 2
    assert Delivery.objects.get().state == "delivered"


def test_result_of_a_suppressed_delivery_does_not_revive_it(receiver: RecordingReceiver) -> None:
    webhook = make_webhook(receiver.url, events=["alert.*"])
    tell(make_fact())
    jobs = sending.claim_due(10)
    services.update_webhook(actor=make_admin(), webhook_id=webhook.id, changes={"enabled": False})
    sending.record_results([run_sync(sending.send(job)) for job in jobs])
    row = Delivery.objects.get()
    assert (row.state, row.tries.count()) == ("suppressed", 1)


def test_receiver_that_hangs_takes_only_its_share_of_the_senders(receiver: RecordingReceiver) -> None:
    make_webhook(receiver.url, events=["alert.*"])
    other = make_channel(receiver.url)
    for number in range(20):
        tell(make_fact(alert=f"a{number}"))
    Delivery.objects.filter(destination_id=other.id).exclude(subject_id="a19").delete()
    jobs = sending.claim_due(64)
    assert len([job for job in jobs if job.delivery.kind == "webhook"]) == sending.AT_ONCE_PER_DESTINATION
    assert len([job for job in jobs if job.delivery.destination_id == other.id]) == 1
    assert sending.claim_due(64) == []


def test_private_target_is_refused_at_sending_too(receiver: RecordingReceiver, settings: Any) -> None:
    make_webhook(receiver.url, events=["alert.*"])
    settings.OUTBOUND_ALLOW = []
    tell(make_fact())
    send_once()
    assert receiver.requests == []
    assert "OUTBOUND_ALLOW" in Attempt.objects.get().error


def test_one_failed_delivery_does_not_disable_the_destination(receiver: RecordingReceiver) -> None:
    webhook = make_webhook(receiver.url, events=["alert.*"])
    receiver.answer(Reply(410))
    tell(make_fact())
    send_once()
    webhook.refresh_from_db()
    assert webhook.enabled
    assert Delivery.objects.get().state == "failed"


@pytest.mark.parametrize("kind", ["webhook", "channel"])
def test_destination_that_fails_for_good_is_disabled_and_told(receiver: RecordingReceiver, kind: str) -> None:
    row: Any = make_webhook(receiver.url, events=["alert.*"]) if kind == "webhook" else make_channel(receiver.url)
    receiver.answer(Reply(410))
    for number in range(5):
        tell(make_fact(alert=f"a{number}"))
    send_all()
    row.refresh_from_db()
    assert not row.enabled and "in a row" in row.disabled_reason
    told = Event.objects.get(name="system.alert", subject_kind=kind)
    assert row.name in told.data["title"]
    disabled = {"webhook": "webhook.disabled", "channel": "channel.disabled"}[kind]
    assert Event.objects.filter(name=disabled).count() == 1
    update = services.update_webhook if kind == "webhook" else services.update_channel
    update(actor=make_admin(), changes={"enabled": True}, **{f"{kind}_id": row.id})
    row.refresh_from_db()
    assert row.enabled and row.disabled_reason == ""
    assert type(row.state).objects.get(pk=row.pk).consecutive_failures == 0


def test_success_resets_the_count_of_failures(receiver: RecordingReceiver) -> None:
    webhook = make_webhook(receiver.url, events=["alert.*"])
    receiver.answer_next(Reply(410), Reply(410), Reply(200), Reply(410))
    for number in range(4):
        tell(make_fact(alert=f"a{number}"))
        send_once()
    webhook.refresh_from_db()
    assert webhook.enabled
    assert webhook.state.consecutive_failures == 1


def test_owner_who_loses_the_right_before_sending_gets_nothing(receiver: RecordingReceiver) -> None:
    owner = make_user("operator")
    make_webhook(receiver.url, owner=owner, events=["alert.*"])
    tell(make_fact())
    owner.roles.clear()
    assert send_all() == 0
    row = Delivery.objects.get()
    assert (row.state, receiver.requests) == ("suppressed", [])
    assert "may not read" in row.reason


def test_channel_whose_opening_failed_for_good_is_not_told_of_the_end(receiver: RecordingReceiver) -> None:
    make_channel(receiver.url)
    tell(make_fact(), make_fact("alert.resolved"))
    receiver.answer_next(Reply(410))
    send_all()
    assert names(receiver) == ["alert.opened"]
    assert Delivery.objects.get(event_name="alert.resolved").state == "suppressed"


def test_removed_channel_suppresses_what_waits(receiver: RecordingReceiver) -> None:
    channel = make_channel(receiver.url)
    tell(make_fact())
    services.delete_channel(actor=make_admin(), channel_id=channel.id)
    assert send_all() == 0
    assert Delivery.objects.get().state == "suppressed"


def test_channel_message_carries_words_for_people(receiver: RecordingReceiver) -> None:
    make_channel(receiver.url, headers={"Authorization": "Bearer t0p"})
    tell(make_fact(value=97.5, threshold=95.0))
    send_all()
    request = receiver.requests[0]
    body = json.loads(request.body)
    assert body["title"] == "Critical: web-1"
    assert "97.5" in body["message"] and "95" in body["message"]
    assert request.headers["authorization"] == "Bearer t0p"
    kept = Attempt.objects.get().request
    assert kept["headers"]["Authorization"] == "***"
    assert "t0p" not in json.dumps(kept)


def test_channel_whose_kind_is_gone_is_tried_again_later(receiver: RecordingReceiver) -> None:
    channel = make_channel(receiver.url)
    Channel.objects.filter(id=channel.id).update(type="pigeon")
    tell(make_fact())
    assert send_once() == []
    row = Delivery.objects.get()
    assert (row.state, row.attempts) == ("pending", 1)
    assert "pigeon" in row.reason


def test_redelivered_message_carries_the_same_id(receiver: RecordingReceiver) -> None:
    make_webhook(receiver.url, events=["alert.*"])
    tell(make_fact())
    send_all()
    first = Delivery.objects.get()
    again = services.redeliver(actor=make_admin(), delivery=first)
    send_all()
    assert again.uid != first.uid
    assert [request.headers["webhook-id"] for request in receiver.requests] == [first.message_id] * 2
    assert receiver.requests[0].body == receiver.requests[1].body


def test_test_message_is_recorded_and_counts_for_health_only(receiver: RecordingReceiver) -> None:
    webhook = make_webhook(receiver.url)
    receiver.answer_next(Reply(500, b"x" * 5000))
    result = services.try_webhook(actor=make_admin(), webhook=webhook)
    assert (result.status, result.outcome.status_code, len(result.outcome.response)) == ("failed", 500, 2000)
    webhook.state.refresh_from_db()
    assert (webhook.state.health, webhook.state.consecutive_failures) == ("failing", 0)
    assert verify(receiver.requests[0], webhook.secret)
    assert Delivery.objects.get(event_name="test").state == "failed"
    assert send_all() == 0
