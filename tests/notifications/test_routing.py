"""Who is told of what."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.principals import principal_of_user
from apps.core.events.readers import read_once, readers
from apps.core.models import Event, ReaderCursor
from apps.notifications import quiet, services
from apps.notifications.models import Delivery, Escalation, Notification
from apps.notifications.services import routing
from apps.notifications.tasks import escalate_due
from tests.factories.accounts import make_user
from tests.factories.notifications import make_admin, make_channel, make_fact, make_rule, make_webhook
from tests.notifications.driving import tell

pytestmark = pytest.mark.django_db


def states(**filters: Any) -> list[tuple[str, str]]:
    return list(Delivery.objects.filter(**filters).order_by("id").values_list("event_name", "state"))


# --- inbox -----------------------------------------------------------------------------------------------------------


def test_alert_reaches_the_inbox_of_everybody_who_may_see_alerts() -> None:
    viewer, blind = make_user("viewer"), make_user("blind", permissions=["endpoints:view"])
    disabled = make_user("viewer")
    disabled.disabled = True
    disabled.save()
    tell(make_fact(thing="db-1"))
    row = Notification.objects.get(user=viewer)
    assert (row.title, row.message, row.level) == ("Critical: db-1", "db-1 does not answer", "critical")
    assert not Notification.objects.filter(user__in=[blind, disabled]).exists()


def test_inbox_row_emits_a_fact_that_only_its_owner_may_see() -> None:
    viewer = make_user("viewer")
    tell(make_fact())
    fact = Event.objects.get(name="notification")
    assert fact.audience == {"permission": "notifications:view", "owner_id": str(viewer.id)}
    assert fact.data["event"] == "alert.opened"


def test_notification_fact_is_not_told_again() -> None:
    make_user("viewer")
    channel = make_channel()
    make_rule(channel, events=["*"])
    tell(make_fact())
    told = list(Event.objects.filter(name="notification"))
    assert told
    tell(*told)
    assert Notification.objects.count() == Event.objects.filter(name="notification").count()
    assert not Delivery.objects.filter(event_name="notification").exists()


def test_own_act_is_not_told_to_the_one_who_did_it() -> None:
    me, colleague = make_user("operator"), make_user("operator")
    tell(make_fact("alert.acknowledged", actor=principal_of_user(me)))
    assert Notification.objects.filter(user=colleague).exists()
    assert not Notification.objects.filter(user=me).exists()


def test_other_events_reach_the_inbox_only_where_a_rule_names_them() -> None:
    make_user("viewer")
    tell(make_fact("server.offline", permission="servers:view"))
    assert not Notification.objects.exists()
    make_rule(events=["server.*", "system.alert"])
    tell(make_fact("server.offline", permission="servers:view"))
    assert Notification.objects.filter(event_name="server.offline").exists()


def test_rule_without_inbox_tells_only_its_channels() -> None:
    make_user("viewer")
    make_rule(make_channel(), events=["system.*", "channel.created"], inbox=False)
    tell(make_fact("channel.created", permission="channels:view"))
    assert not Notification.objects.exists()
    assert states(kind="channel") == [("channel.created", "pending")]


# --- channels --------------------------------------------------------------------------------------------------------


def test_channel_without_rules_gets_alerts_and_system_alerts_but_not_acknowledgements() -> None:
    make_channel()
    tell(make_fact(), make_fact("alert.acknowledged"), make_fact("alert.resolved"), make_fact("system.alert", "s"))
    assert [name for name, _ in states()] == ["alert.opened", "alert.resolved", "system.alert"]


def test_disabled_channel_gets_nothing() -> None:
    channel = make_channel()
    services.update_channel(actor=make_admin(), channel_id=channel.id, changes={"enabled": False})
    tell(make_fact())
    assert states() == []


@pytest.mark.parametrize(
    ("rule", "fact", "told"),
    [
        ({"levels": ["critical"]}, {"level": "critical"}, True),
        ({"levels": ["critical"]}, {"level": "warning"}, False),
        ({"sources": ["endpoint"]}, {}, True),
        ({"sources": ["heartbeat"]}, {}, False),
        ({"tags": ["db", "eu"]}, {"tags": ["eu"]}, True),
        ({"tags": ["db"]}, {"tags": ["eu"]}, False),
        ({"events": ["alert.resolved"]}, {}, False),
    ],
)
def test_filter_of_a_rule_decides(rule: dict[str, Any], fact: dict[str, Any], told: bool) -> None:
    make_rule(make_channel(), **rule)
    tell(make_fact(**fact))
    assert bool(states()) is told


def test_several_matching_rules_tell_a_channel_once() -> None:
    channel = make_channel()
    make_rule(channel)
    make_rule(channel, events=["alert.*"])
    tell(make_fact())
    assert states() == [("alert.opened", "pending")]


def test_channel_that_was_not_told_of_the_opening_is_not_told_of_the_end() -> None:
    channel = make_channel()
    make_rule(channel, levels=["critical"])
    tell(make_fact(level="warning"), make_fact("alert.resolved", level="critical"))
    row = Delivery.objects.get()
    assert (row.event_name, row.state) == ("alert.resolved", "suppressed")
    assert "never told" in row.reason


def test_channel_that_was_told_of_the_opening_is_told_of_the_end_whatever_its_filters_say() -> None:
    make_rule(make_channel(), levels=["critical"])
    tell(make_fact(level="critical"), make_fact("alert.resolved", level="info"))
    assert states() == [("alert.opened", "pending"), ("alert.resolved", "pending")]


def test_rule_that_names_only_resolved_gets_it() -> None:
    make_rule(make_channel(), events=["alert.resolved"])
    tell(make_fact(), make_fact("alert.resolved"))
    assert states() == [("alert.resolved", "pending")]


def test_second_alert_of_a_thing_within_the_throttle_time_is_suppressed_with_its_end() -> None:
    make_rule(make_channel(), throttle_s="10m", name="calm")
    for alert in ("a1", "a2"):
        tell(make_fact(alert=alert), make_fact("alert.resolved", alert))
    tell(make_fact(alert="a3", thing="web-2"))
    assert states() == [
        ("alert.opened", "pending"),
        ("alert.resolved", "pending"),
        ("alert.opened", "suppressed"),
        ("alert.resolved", "suppressed"),
        ("alert.opened", "pending"),
    ]
    assert "calm" in Delivery.objects.get(subject_id="a2", event_name="alert.opened").reason


def test_throttle_ends() -> None:
    make_rule(make_channel(), throttle_s=600)
    tell(make_fact(alert="a1"))
    Delivery.objects.update(event_at=timezone.now() - timedelta(seconds=601))
    tell(make_fact(alert="a2"))
    assert states() == [("alert.opened", "pending")] * 2


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return quiet hours that run now and end in an hour."""
    now = timezone.now()
    return {"start": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(hours=1):%H:%M}"}


def test_warning_in_quiet_hours_is_held_until_they_end(night: dict[str, Any]) -> None:
    make_rule(make_channel(), quiet_hours=night)
    tell(make_fact(level="warning"))
    row = Delivery.objects.get()
    assert row.held
    assert row.next_attempt_at is not None and row.next_attempt_at > timezone.now() + timedelta(minutes=50)


def test_critical_passes_quiet_hours(night: dict[str, Any]) -> None:
    make_rule(make_channel(), quiet_hours=night)
    tell(make_fact(level="critical"))
    assert not Delivery.objects.get().held


def test_what_opens_and_ends_in_quiet_hours_is_never_told(night: dict[str, Any]) -> None:
    make_rule(make_channel(), quiet_hours=night)
    tell(make_fact(level="warning"), make_fact("alert.resolved", level="warning"))
    assert states() == [("alert.opened", "suppressed"), ("alert.resolved", "suppressed")]
    assert set(Delivery.objects.values_list("reason", flat=True)) == {"Opened and resolved within the quiet hours."}


def test_escalation_in_quiet_hours_overtakes_the_held_opening(night: dict[str, Any]) -> None:
    make_rule(make_channel(), quiet_hours=night)
    tell(make_fact(level="warning"), make_fact("alert.escalated", level="critical"))
    assert states() == [("alert.opened", "suppressed"), ("alert.escalated", "pending")]
    assert not Delivery.objects.get(event_name="alert.escalated").held


def test_quiet_hours_over_midnight_follow_the_wall_clock_of_their_zone() -> None:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    hours = quiet.clean({"start": "22:00", "end": "07:00", "timezone": "Europe/Berlin", "days": ["fri"]})
    berlin = ZoneInfo("Europe/Berlin")
    # The night to 2026-03-29 is an hour shorter; it begins on a Saturday and is not quiet, the one before is.
    saturday = datetime(2026, 3, 28, 3, 0, tzinfo=berlin)
    assert quiet.held_until(hours, "warning", saturday) == datetime(2026, 3, 28, 7, 0, tzinfo=berlin)
    assert quiet.held_until(hours, "warning", saturday + timedelta(days=1)) is None
    every_day = quiet.clean({"start": "22:00", "end": "07:00", "timezone": "Europe/Berlin"})
    end = quiet.held_until(every_day, "warning", datetime(2026, 3, 29, 1, 30, tzinfo=berlin))
    assert end == datetime(2026, 3, 29, 7, 0, tzinfo=berlin)


# --- escalation ------------------------------------------------------------------------------------------------------


def test_alert_that_nobody_acknowledges_is_told_again_once() -> None:
    make_rule(make_channel(), escalate_after_s=60)
    fact = make_fact()
    tell(fact)
    escalate_due()
    assert Delivery.objects.count() == 1
    Escalation.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    escalate_due()
    escalate_due()
    again = Delivery.objects.order_by("-id")[0]
    assert Delivery.objects.count() == 2
    assert again.payload["title"].startswith("Still open after")
    assert again.message_id != str(fact.uid)


@pytest.mark.parametrize("name", ["alert.acknowledged", "alert.silenced", "alert.resolved"])
def test_reaction_cancels_the_escalation(name: str) -> None:
    make_rule(make_channel(), escalate_after_s=60)
    tell(make_fact(), make_fact(name))
    assert not Escalation.objects.exists()


def test_alert_that_gets_worse_after_its_acknowledgement_is_to_be_told_again() -> None:
    make_rule(make_channel(), escalate_after_s=60, events=["alert.*"])
    tell(make_fact(level="warning"), make_fact("alert.acknowledged"), make_fact("alert.escalated"))
    assert Escalation.objects.count() == 1


# --- webhooks --------------------------------------------------------------------------------------------------------


def test_webhook_gets_only_what_its_patterns_name() -> None:
    make_webhook(events=["alert.opened", "server.*"])
    tell(make_fact(), make_fact("alert.resolved"), make_fact("server.offline", permission="servers:view"))
    assert [name for name, _ in states()] == ["alert.opened", "server.offline"]


def test_webhook_gets_only_what_its_owner_may_read() -> None:
    operator = make_user("operator")
    make_webhook(owner=operator)
    tell(make_fact("user.created", permission="users:view"), make_fact("key.used", permission=""))
    assert states() == []


def test_event_named_outright_that_the_owner_may_not_read_leaves_a_reason_without_content() -> None:
    webhook = make_webhook(owner=make_user("operator"), events=["user.created"])
    tell(make_fact("user.created", permission="users:view"))
    row = Delivery.objects.get(destination_id=webhook.id)
    assert (row.state, row.payload) == ("suppressed", {})
    assert "may not read" in row.reason


def test_personal_fact_reaches_only_its_owners_webhook() -> None:
    mine, other = make_user("operator"), make_user("operator")
    webhook = make_webhook(owner=mine)
    make_webhook(owner=other)
    tell(make_fact("notification", audience={"permission": "notifications:view", "owner_id": str(mine.id)}))
    assert list(Delivery.objects.values_list("destination_id", flat=True)) == [webhook.id]


def test_webhook_of_a_disabled_owner_gets_nothing() -> None:
    owner = make_user("admin")
    make_webhook(owner=owner)
    owner.disabled = True
    owner.save()
    tell(make_fact())
    assert states(kind="webhook") == []


# --- the reader ------------------------------------------------------------------------------------------------------


def test_reader_routes_each_fact_once_and_sees_new_destinations_at_once() -> None:
    reader = readers["notifications.route"]
    read_once(reader)
    webhook = make_webhook()
    make_fact()
    while read_once(reader):
        pass
    ReaderCursor.objects.get(name="notifications.route")
    opened = Delivery.objects.filter(destination_id=webhook.id, event_name="alert.opened")
    assert opened.count() == 1
    services.delete_webhook(actor=make_admin(), webhook_id=webhook.id)
    make_fact(alert="a2")
    while read_once(reader):
        pass
    assert opened.count() == 1


def test_routes_are_read_again_only_after_a_change(django_assert_max_num_queries: Any) -> None:
    make_webhook(events=["system.alert"])
    tell(make_fact("server.created", permission="servers:view"))
    with django_assert_max_num_queries(1):
        routing.route(make_fact_unsaved())


def make_fact_unsaved() -> Event:
    return Event(
        name="server.created",
        subject_kind="server",
        subject_id="s",
        audience={"permission": "servers:view"},
        data={},
        seq=1,
    )
