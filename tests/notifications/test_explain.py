"""Who would be told, by which rule, and why the others not; and that routing does what was said."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from apps.core.registries import delivery_holds
from apps.notifications import selectors, services
from apps.notifications.models import Channel, ChannelState, Delivery, Notification, Rule
from apps.notifications.routing import MadeFact, why_not
from apps.notifications.services import sending
from apps.notifications.services.routing import route_many
from tests.factories.accounts import make_user
from tests.factories.notifications import make_admin, make_channel, make_fact, make_rule, make_webhook
from tests.notifications.driving import send_all, tell
from tests.support.servers import RecordingReceiver

pytestmark = pytest.mark.django_db


def lines(fact: Any, *, at: datetime | None = None, **more: Any) -> list[tuple[str, str, str, str]]:
    answers = selectors.explain_routing(fact, at=at or timezone.now(), **more)
    return [(answer.kind, answer.destination, answer.rule, answer.outcome) for answer in answers]


def reason_of(fact: Any, rule: Rule) -> str:
    return next(one.reason for one in selectors.explain_routing(fact, at=timezone.now()) if one.rule_id == rule.id)


def test_explanation_writes_nothing() -> None:
    make_rule(make_channel(), throttle_s=60)
    make_webhook()
    before = (Delivery.objects.count(), Notification.objects.count(), ChannelState.objects.count())
    selectors.explain_routing(make_fact(), at=timezone.now())
    assert (Delivery.objects.count(), Notification.objects.count(), ChannelState.objects.count()) == before


@pytest.mark.parametrize(
    ("rule", "fact", "word"),
    [
        ({"enabled": False}, {}, "switched off"),
        ({"events": ["system.alert"]}, {}, "system.alert"),
        ({"levels": ["critical"]}, {"level": "warning"}, "warning"),
        ({"sources": ["heartbeat"]}, {}, "endpoint"),
        ({"tags": ["db"]}, {"tags": ["web"]}, "web"),
        ({"subjects": ["db-*"]}, {"thing": "web-1"}, "web-1"),
        ({"hours": {"start": "00:00", "end": "00:01", "days": ["mon"]}}, {}, "00:00"),
    ],
)
def test_rule_that_does_not_take_a_fact_says_why(rule: dict[str, Any], fact: dict[str, Any], word: str) -> None:
    made = make_rule(make_channel(), **rule)
    event = make_fact(**fact)
    # A minute of the week in which the last row's rule counts after all:
    if rule.get("hours") and not why_not(made, event, event.at):
        event.at += timedelta(minutes=5)
    reason = why_not(made, event, event.at)
    assert word in reason
    assert ("rule", "", made.name, "not told") in lines(event, at=event.at)


@pytest.mark.parametrize("pattern", ["web-*", "WEB-1", "endpoint:web-1", "endpoint:*", "*"])
def test_subject_is_matched_by_name_id_or_kind(pattern: str) -> None:
    rule = make_rule(make_channel(), subjects=[pattern])
    event = make_fact(thing="web-1")
    assert why_not(rule, event, event.at) == ""


def test_server_is_matched_by_its_id() -> None:
    rule = make_rule(make_channel())
    rule.servers = ["0192f0c4-0000-7000-8000-000000000001"]
    mine = make_fact(server_id="0192f0c4-0000-7000-8000-000000000001")
    other, none = make_fact(server_id="0192f0c4-0000-7000-8000-000000000002"), make_fact()
    assert [bool(why_not(rule, fact, fact.at)) for fact in (mine, other, none)] == [False, True, True]


def test_hours_of_a_rule_follow_its_zone() -> None:
    rule = make_rule(make_channel(), hours={"start": "08:00", "end": "18:00", "timezone": "Europe/Berlin"})
    berlin = ZoneInfo("Europe/Berlin")
    fact = make_fact()
    for month in (1, 7):  # the same by the clock on the wall in winter and summer
        assert why_not(rule, fact, datetime(2026, month, 5, 8, 0, tzinfo=berlin)) == ""
        assert why_not(rule, fact, datetime(2026, month, 5, 7, 59, tzinfo=berlin))
        assert why_not(rule, fact, datetime(2026, month, 5, 18, 0, tzinfo=berlin))


def test_rules_are_asked_in_order_and_stop_ends_the_asking() -> None:
    one, two = make_channel(name="one"), make_channel(name="two")
    make_rule(two, name="later", order=20)
    make_rule(one, name="first", order=10, stop=True)
    fact = make_fact()
    assert lines(fact)[:2] == [("channel", "one", "first", "told"), ("rule", "", "later", "not told")]
    tell(fact)
    assert list(Delivery.objects.values_list("destination_id", flat=True)) == [one.id]


def test_end_reaches_whoever_was_told_even_behind_a_stop() -> None:
    one, two = make_channel(), make_channel()
    make_rule(two, name="later", order=20)
    tell(make_fact())
    make_rule(one, name="first", order=10, stop=True)
    tell(make_fact("alert.resolved"))
    assert Delivery.objects.filter(destination_id=two.id, event_name="alert.resolved", state="pending").exists()


def test_every_destination_is_explained() -> None:
    make_user("viewer")
    quiet = make_channel(name="night")
    make_rule(quiet, name="nights", quiet_hours=_now())
    make_channel(name="default")
    off = make_channel(name="off")
    make_rule(off, name="switched")
    services.update_channel(actor=make_admin(), channel_id=off.id, changes={"enabled": False})
    make_webhook(name="ci", events=["alert.*"])
    found = lines(make_fact(level="warning"))
    assert ("channel", "night", "nights", "held") in found
    assert ("channel", "default", "", "told") in found
    assert ("channel", "off", "switched", "suppressed") in found
    assert ("webhook", "ci", "", "told") in found
    assert [line[0] for line in found].count("inbox") == 1


def _now() -> dict[str, Any]:
    now = timezone.now()
    return {"start": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(hours=1):%H:%M}"}


def test_proposed_rule_is_tried_without_being_stored() -> None:
    from apps.notifications.routing import read_routes

    channel = make_channel(name="one")
    proposed = services.proposed_route({"levels": ["critical"], "channel_ids": [str(channel.id)]})
    routes = read_routes().with_rule(proposed)
    assert lines(MadeFact(subject_id="x", data={"level": "critical"}), routes=routes)[0][3] == "told"
    assert lines(MadeFact(subject_id="x", data={"level": "warning"}), routes=routes)[0][3] == "not told"
    assert not Rule.objects.exists()


@pytest.mark.parametrize("level", ["warning", "critical"])
@pytest.mark.parametrize("name", ["alert.opened", "alert.acknowledged", "alert.resolved", "system.alert"])
def test_routing_does_what_the_explanation_said(name: str, level: str) -> None:
    channels = [make_channel(name=f"c{number}") for number in range(5)]
    make_rule(channels[0], channels[1], events=["alert.*"], levels=["critical"], order=1)
    make_rule(channels[1], channels[2], quiet_hours=_now(), order=2)
    make_rule(channels[3], digest={"every": "1h"}, throttle_s=60, order=3)
    services.update_channel(
        actor=make_admin(), channel_id=channels[4].id, changes={"most_messages": 1, "most_per_s": 60}
    )
    tell(make_fact(alert="a0", level=level, thing="t0"), make_fact(alert="a1", level=level, thing="t1"))
    fact = make_fact(name, "a1", level=level, thing="t1")
    said = {
        one.destination: one.outcome
        for one in selectors.explain_routing(fact, at=timezone.now())
        if one.kind == "channel" and one.outcome != "not told"
    }
    tell(fact)
    names = dict(Channel.objects.values_list("id", "name"))
    done = {
        names[row.destination_id]: "held" if row.held and row.state == "pending" else
        "suppressed" if row.state == "suppressed" else "told"
        for row in Delivery.objects.filter(event_seq=fact.seq, kind="channel")
    }  # fmt: skip
    assert done == said


# --- what other parts hold back --------------------------------------------------------------------------------------


@pytest.fixture
def silenced(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the alerts that a part holds back from now on."""
    alerts: set[str] = set()
    monkeypatch.setitem(
        delivery_holds._items,
        "test",
        lambda keys: {
            key: "A silence lies over it." for key in keys if key[0] != "alert.resolved" and key[2] in alerts
        },
    )
    return alerts


def test_what_is_held_back_is_not_told_and_the_ledger_says_why(silenced: set[str]) -> None:
    make_user("viewer")
    make_channel()
    silenced.add("a1")
    fact = make_fact()
    assert lines(fact)[0][3] == "suppressed"
    tell(fact)
    row = Delivery.objects.get()
    assert (row.state, row.reason) == ("suppressed", "A silence lies over it.")
    assert not Notification.objects.exists()


def test_silence_that_begins_after_the_routing_still_holds(receiver: RecordingReceiver, silenced: set[str]) -> None:
    make_channel(receiver.url)
    tell(make_fact())
    silenced.add("a1")
    assert send_all() == 0
    assert Delivery.objects.get().reason == "A silence lies over it."
    tell(make_fact("alert.resolved"))
    send_all()
    assert receiver.requests == []


# --- cost ------------------------------------------------------------------------------------------------------------


def test_mass_outage_costs_a_few_statements_per_hundred_facts(django_assert_max_num_queries: Any) -> None:
    make_user("viewer")
    make_rule(make_channel(), make_channel(), throttle_s=60, escalate_after_s=60)
    services.update_channel(actor=make_admin(), channel_id=make_channel().id, changes={"most_messages": 5})
    make_webhook(events=["alert.*"])
    facts = [make_fact(alert=f"a{number}", thing=f"t{number}") for number in range(100)]
    with django_assert_max_num_queries(60):
        route_many(facts)
    assert Delivery.objects.filter(event_name="alert.opened").count() == 100 * 4
    assert Notification.objects.filter(event_name="alert.opened").count() >= 100


def test_many_facts_together_end_as_one_by_one() -> None:
    channel = make_channel()
    make_rule(channel, throttle_s=600)
    story = [("alert.opened", "a1"), ("alert.resolved", "a1"), ("alert.opened", "a2"), ("alert.resolved", "a2")]
    facts = [make_fact(name, alert) for name, alert in story]
    route_many(facts)
    together = list(Delivery.objects.order_by("id").values_list("event_name", "state", "reason"))
    Delivery.objects.all().delete()
    for fact in facts:
        route_many([fact])
    assert list(Delivery.objects.order_by("id").values_list("event_name", "state", "reason")) == together
    assert [state for _, state, _ in together] == ["pending", "pending", "suppressed", "suppressed"]


# --- warnings --------------------------------------------------------------------------------------------------------


def warnings(rule: Rule) -> list[str]:
    return selectors.warnings_of(selectors.rules_with_channels().get(id=rule.id))


def test_rule_warns_of_channels_that_do_not_work() -> None:
    one = make_channel(name="one")
    rule = make_rule(one)
    assert warnings(rule) == ["Nothing has ever been sent over “one”; send a test."]
    ChannelState.objects.update(health="healthy")
    assert warnings(rule) == []
    ChannelState.objects.update(health="failing", last_error="no route")
    assert warnings(rule) == ["No channel of this rule works now.", "“one” fails: no route"]
    services.update_channel(actor=make_admin(), channel_id=one.id, changes={"enabled": False})
    assert "disabled" in warnings(rule)[1]
    services.update_channel(actor=make_admin(), channel_id=one.id, changes={"fallback_id": make_channel(name="two").id})
    assert warnings(rule) == ["“one” is disabled; “two” is told in its place."]


def test_rule_that_tells_nobody_warns() -> None:
    assert "tells nobody" in warnings(make_rule(inbox=False))[0]


def test_claim_of_one_process_is_not_disturbed_by_a_pause(receiver: RecordingReceiver) -> None:
    channel = make_channel(receiver.url)
    make_channel(receiver.url)
    ChannelState.objects.filter(channel=channel).update(retry_at=timezone.now() + timedelta(minutes=1))
    tell(make_fact())
    assert [job.delivery.destination_id != channel.id for job in sending.claim_due(10)] == [True]
