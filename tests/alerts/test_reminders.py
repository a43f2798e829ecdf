"""Reminders: once an interval, to those who know of it, until somebody reacts; acknowledgements that end."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from apps.alerts import services
from apps.alerts.models import Alert, Reminder
from apps.alerts.services.reminders import end_acknowledgements, send_reminders
from apps.core.models import Event
from apps.core.runtime_settings import change_settings
from apps.notifications.models import Channel, Delivery
from tests.factories.accounts import client_as, principal
from tests.factories.alerts import make_alert, run_spine
from tests.factories.notifications import make_channel

pytestmark = pytest.mark.django_db
HOUR = 3600


def remind_hourly() -> None:
    """Have every alert reminded of once an hour."""
    services.create_policy(
        actor=principal(),
        values={"name": "Hourly", "steps": [{"after_s": 86400, "inbox": True}], "remind_every_s": HOUR},
    )


def opened() -> tuple[Alert, datetime]:
    """Return an alert that people were told of, and when its reminders' clock began."""
    alert = make_alert("critical")
    run_spine()
    return alert, Reminder.objects.get(alert=alert).base_at


def reminded(alert: Alert) -> list[Event]:
    return list(Event.objects.filter(name="alert.reminded", subject_id=str(alert.id)).order_by("id"))


def test_one_reminder_an_interval_says_how_long_it_has_been_going_on() -> None:
    channel, other = make_channel(name="chat"), make_channel(name="asleep")
    Channel.objects.filter(id=other.id).update(enabled=False)
    remind_hourly()
    alert, start = opened()
    for minute in range(0, 24 * 60 + 1, 10):  # more often than the interval, as the sweep does it
        send_reminders(now=start + timedelta(minutes=minute))
    assert len(reminded(alert)) == 24
    last = reminded(alert)[-1]
    assert last.data["count"] == 24
    assert "It has been going on for 1 d" in last.data["message"]
    rows = Delivery.objects.filter(event_name="alert.reminded")
    assert set(rows.values_list("destination_id", flat=True)) == {channel.id}
    assert rows.count() == 24
    assert rows[0].payload["title"].startswith("Still open after")


def test_intervals_that_were_lost_are_not_made_up_for_and_the_grid_stays() -> None:
    make_channel()
    remind_hourly()
    alert, start = opened()
    late = start + timedelta(hours=5, minutes=20)
    for _ in range(3):
        send_reminders(now=late)
    assert len(reminded(alert)) == 1
    assert Reminder.objects.get(alert=alert).due_at == start + timedelta(hours=6)


@pytest.mark.parametrize("how", ["acknowledge", "resolve"])
def test_reminders_stop_when_somebody_reacts(how: str) -> None:
    make_channel()
    remind_hourly()
    alert, start = opened()
    send_reminders(now=start + timedelta(hours=1))
    if how == "acknowledge":
        services.acknowledge_alert(alert_id=alert.id, actor=principal())
    else:
        services.resolve_alert(alert_id=alert.id, actor=principal())
    send_reminders(now=start + timedelta(hours=2))  # before any reader has seen it
    run_spine()
    send_reminders(now=start + timedelta(hours=3))
    assert len(reminded(alert)) == 1
    assert Reminder.objects.get(alert=alert).due_at is None


def test_silenced_alert_is_not_reminded_of_and_the_reason_is_kept() -> None:
    make_channel()
    remind_hourly()
    alert, start = opened()
    silence = services.create_silence(
        actor=principal(), matchers={"entity": alert.subject_id}, duration_s=86400, reason="a planned change"
    )
    send_reminders(now=start + timedelta(hours=1))
    assert reminded(alert) == []
    assert "a planned change" in Reminder.objects.get(alert=alert).reason
    services.cancel_silence(silence_id=silence.id, actor=principal())
    send_reminders(now=start + timedelta(hours=2))
    assert len(reminded(alert)) == 1


def test_setting_reminds_where_no_policy_says_otherwise() -> None:
    make_channel()
    change_settings(actor=principal("admin"), values={"alerts.remind_every": HOUR})
    alert, start = opened()
    send_reminders(now=start + timedelta(hours=1))
    assert len(reminded(alert)) == 1


def test_nothing_reminds_unless_somebody_wants_it() -> None:
    make_channel()
    make_alert("critical")
    run_spine()
    assert not Reminder.objects.exists()


def test_acknowledgement_for_a_time_ends_and_reminds_at_once() -> None:
    make_channel()
    alert = make_alert("critical")
    run_spine()
    client = client_as("operator")
    answer = client.post(f"/api/v1/alerts/{alert.id}/acknowledge", {"note": "on it", "for": "2h"})
    assert answer.status_code == 200, answer.json()
    until = Alert.objects.get(id=alert.id).acknowledged_until
    assert until is not None
    assert answer.json()["acknowledged_by"]
    assert end_acknowledgements(now=until - timedelta(seconds=1)) == 0
    assert end_acknowledgements(now=until) == 1
    run_spine()
    assert Alert.objects.get(id=alert.id).status == "active"
    assert Event.objects.get(name="alert.unacknowledged").actor["kind"] == "system"
    send_reminders(now=until)
    send_reminders(now=until + timedelta(days=2))
    assert len(reminded(alert)) == 1


def test_acknowledgement_is_taken_back_by_hand_only_while_it_stands() -> None:
    alert, client = make_alert("critical"), client_as("operator")
    path = f"/api/v1/alerts/{alert.id}/unacknowledge"
    assert client.post(path).status_code == 409
    client.post(f"/api/v1/alerts/{alert.id}/acknowledge", {"note": "mine"})
    assert client_as("viewer").post(path).status_code == 403
    assert client.post(path, {"note": "not mine"}).json()["status"] == "active"
    assert client.post(f"/api/v1/alerts/{alert.id}/acknowledge", {"for": "5"}).status_code == 422


WORK = """
import django, sys
django.setup()
from datetime import datetime
from apps.alerts.services.reminders import send_reminders
while send_reminders(now=datetime.fromisoformat(sys.argv[1]), limit=5):
    pass
"""


@pytest.mark.django_db(transaction=True)
def test_worker_that_is_killed_amid_reminders_neither_loses_nor_repeats_one() -> None:
    make_channel()
    remind_hourly()
    alerts = [make_alert("critical") for _ in range(60)]
    run_spine()
    now = max(Reminder.objects.values_list("due_at", flat=True)) + timedelta(seconds=1)
    root = Path(__file__).resolve().parents[2]
    of = connection.settings_dict
    url = f"sqlite:///{of['NAME']}"
    if connection.vendor == "postgresql":
        url = f"postgres://{of['USER']}:{of['PASSWORD']}@{of['HOST']}:{of['PORT'] or 5432}/{of['NAME']}"
    environment = {**os.environ, "DATABASE_URL": url, "WATCHKEEPER_TESTING": "1"}

    def work() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", WORK, now.isoformat()], cwd=root, env=environment)

    first = work()
    facts = Event.objects.filter(name="alert.reminded")
    while not facts.exists() and first.poll() is None:
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=60)
    done = facts.count()
    Reminder.objects.update(lease_until=timezone.now() - timedelta(seconds=1))  # as after the lease's time
    assert work().wait(timeout=120) == 0
    counts = Counter(facts.values_list("subject_id", flat=True))
    assert counts == Counter({str(alert.id): 1 for alert in alerts})
    assert done >= 1
    assert Delivery.objects.filter(event_name="alert.reminded").count() == len(alerts)
