"""The sweeps in a real runner, keep times, health and metrics."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import close_old_connections
from django.utils import timezone

from apps.core.runner import runner
from apps.notifications import checks, selectors, tasks
from apps.notifications.models import Attempt, ChannelState, Delivery, Mail, Notification
from tests.factories.accounts import make_user
from tests.factories.notifications import make_channel, make_fact, make_webhook
from tests.notifications.driving import send_all, tell
from tests.support.servers import RecordingReceiver, Reply


@pytest.mark.django_db(transaction=True)
def test_sweep_sends_through_the_runner_until_everything_has_arrived(receiver: RecordingReceiver) -> None:
    make_webhook(receiver.url, events=["alert.*"])
    for number in range(20):
        tell(make_fact(alert=f"a{number}"), make_fact("alert.resolved", f"a{number}"))
    give_up = time.monotonic() + 30
    while Delivery.objects.filter(next_attempt_at__isnull=False).exists() and time.monotonic() < give_up:
        tasks.send_due()
        time.sleep(0.05)
    close_old_connections()
    assert Delivery.objects.filter(state="delivered").count() == 40 == len(receiver.requests)
    assert runner().free(tasks.LANE, tasks.AT_ONCE) == tasks.AT_ONCE


@pytest.mark.django_db
def test_old_deliveries_go_but_never_open_ones(receiver: RecordingReceiver) -> None:
    make_webhook(receiver.url, events=["alert.*"])
    receiver.answer_next(Reply(200), Reply(500))
    tell(make_fact(alert="a1"))
    send_all()
    tell(make_fact(alert="a2"))
    send_all()
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    assert tasks.prune_deliveries(500) == 1
    assert Delivery.objects.get().subject_id == "a2"
    assert Attempt.objects.count() == 1
    Attempt.objects.update(at=timezone.now() - timedelta(days=31))
    assert tasks.prune_attempts(500) == 1


@pytest.mark.django_db
def test_old_inbox_messages_go() -> None:
    make_user("viewer")
    tell(make_fact())
    assert tasks.prune_inbox(500) == 0
    Notification.objects.update(created_at=timezone.now() - timedelta(days=91))
    assert tasks.prune_inbox(500) == 1


@pytest.mark.django_db
def test_mail_health_says_off_ok_and_degraded(settings: Any, loopback_allowed: None) -> None:
    settings.SMTP_URL = ""
    assert checks.mail_health().status == "off"
    channel = make_channel(
        type="email", host="127.0.0.1", tls="none", to=["a@example.org"], **{"from": "b@example.org"}
    )
    assert checks.mail_health().status == "ok"
    ChannelState.objects.filter(channel=channel).update(health="failing")
    assert checks.mail_health().status == "degraded"
    assert not Mail.objects.exists()


@pytest.mark.django_db
def test_delivery_health_notices_that_nothing_is_sent() -> None:
    make_webhook()
    tell(make_fact())
    assert checks.delivery_health().status == "ok"
    Delivery.objects.update(next_attempt_at=timezone.now() - timedelta(minutes=5))
    assert "waiting" in checks.delivery_health().detail


@pytest.mark.django_db
def test_metrics_count_open_deliveries_and_failing_destinations() -> None:
    make_webhook()
    tell(make_fact())
    figures = {name: rows for name, _, _, rows in checks.collect(per_object=True)}
    assert figures["watchkeeper_deliveries_open"] == [({}, Delivery.objects.filter(state="pending").count())]
    assert figures["watchkeeper_destination_healthy"][0][1] == 1


@pytest.mark.django_db
def test_fate_of_a_fact_names_every_destination_and_why(receiver: RecordingReceiver) -> None:
    webhook = make_webhook(receiver.url, events=["alert.*"])
    fact = make_fact()
    tell(fact)
    send_all()
    assert fact.seq is not None
    assert [(row["destination"], row["state"]) for row in selectors.fate_of(fact.seq)] == [(webhook.name, "delivered")]
