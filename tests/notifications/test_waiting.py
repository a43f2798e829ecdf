"""What is not told at once: quiet hours, digests, limits of channels; and who steps in for a channel that fails."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from apps.core.errors import Invalid
from apps.notifications import digests, quiet, services
from apps.notifications.models import Channel, ChannelState, Delivery
from apps.notifications.services import sending, summaries
from tests.factories.notifications import make_admin, make_channel, make_fact, make_rule, make_webhook
from tests.notifications.driving import let_time_pass, send_all, send_once, tell
from tests.support.servers import RecordingReceiver, Reply

pytestmark = pytest.mark.django_db
BERLIN = ZoneInfo("Europe/Berlin")


def end_wait() -> None:
    """Let what is held be due, and tell it."""
    Delivery.objects.filter(held=True, state="pending").update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    summaries.tell_held()


def bodies(receiver: RecordingReceiver) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in receiver.requests]


def change(channel: Channel, **changes: Any) -> Channel:
    return services.update_channel(actor=make_admin(), channel_id=channel.id, changes=changes)


def night() -> dict[str, Any]:
    """Return quiet hours that run now."""
    now = timezone.now()
    return {"start": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(hours=1):%H:%M}"}


# --- summaries -------------------------------------------------------------------------------------------------------


def test_what_quiet_hours_held_is_told_in_one_summary_when_they_end(receiver: RecordingReceiver) -> None:
    make_rule(make_channel(receiver.url), quiet_hours=night())
    tell(*[make_fact(alert=f"a{number}", thing=f"web-{number}", level="warning") for number in range(3)])
    assert send_all() == 0
    end_wait()
    assert send_all() == 1
    (body,) = bodies(receiver)
    assert body["type"] == "summary" and body["data"]["count"] == 3
    assert [item["subject"]["id"] for item in body["data"]["items"]] == ["a0", "a1", "a2"]
    assert "web-1" in body["message"]
    rows = Delivery.objects.filter(event_name="alert.opened")
    assert {row.state for row in rows} == {"bundled"}
    assert {row.bundle.message_id for row in rows if row.bundle} == {body["id"]}


def test_single_held_message_leaves_as_it_is(receiver: RecordingReceiver) -> None:
    make_rule(make_channel(receiver.url), quiet_hours=night())
    tell(make_fact(level="warning"))
    end_wait()
    send_all()
    assert [body["type"] for body in bodies(receiver)] == ["alert.opened"]


def test_quiet_hours_of_a_channel_hold_what_no_rule_names(receiver: RecordingReceiver) -> None:
    change(make_channel(receiver.url), quiet_hours=night())
    tell(make_fact(level="warning", alert="a1"), make_fact(level="critical", alert="a2"))
    assert list(Delivery.objects.order_by("id").values_list("held", "waits_for")) == [(True, "quiet"), (False, "")]


def test_end_that_follows_a_summary_waits_until_the_summary_has_arrived(receiver: RecordingReceiver) -> None:
    make_rule(make_channel(receiver.url), quiet_hours=night())
    tell(*[make_fact(alert=f"a{number}", thing=f"web-{number}", level="warning") for number in range(2)])
    end_wait()
    tell(make_fact("alert.resolved", "a1", thing="web-1", level="critical"))
    receiver.answer_next(Reply(503))
    send_once()
    assert send_all() == 0
    let_time_pass()
    send_all()
    assert [body["type"] for body in bodies(receiver)] == ["summary", "summary", "alert.resolved"]


def test_end_after_a_summary_that_never_arrived_is_not_told(receiver: RecordingReceiver) -> None:
    channel = make_channel(receiver.url)
    make_rule(channel, quiet_hours=night())
    tell(*[make_fact(alert=f"a{number}", thing=f"web-{number}", level="warning") for number in range(2)])
    end_wait()
    receiver.answer(Reply(410))
    send_all()
    tell(make_fact("alert.resolved", "a1", thing="web-1", level="critical"))
    send_all()
    assert Delivery.objects.get(event_name="alert.resolved").state == "suppressed"


# --- digests ---------------------------------------------------------------------------------------------------------


def test_digest_equals_the_ledger_of_its_period(receiver: RecordingReceiver) -> None:
    channel = change(make_channel(receiver.url), digest={"at": "08:00", "timezone": "Europe/Berlin"})
    facts = [make_fact(alert=f"a{number}", thing=f"web-{number}", level="critical") for number in range(4)]
    tell(*facts, make_fact("alert.resolved", "a1", thing="web-1"))
    assert send_all() == 0
    held = set(Delivery.objects.filter(destination_id=channel.id).values_list("uid", flat=True))
    end_wait()
    send_all()
    (body,) = bodies(receiver)
    assert {item["delivery_id"] for item in body["data"]["items"]} == {str(uid) for uid in held}
    assert body["data"]["count"] == 5
    told_in = Delivery.objects.filter(state="bundled", bundle__message_id=body["id"])
    assert set(told_in.values_list("uid", flat=True)) == held


def test_digest_lets_a_level_through_and_keeps_the_rest() -> None:
    make_rule(make_channel(), digest={"every": "30m", "except_levels": ["critical"]})
    tell(make_fact(alert="a1", level="critical"), make_fact(alert="a2", level="warning"))
    assert list(Delivery.objects.order_by("id").values_list("held", "waits_for")) == [(False, ""), (True, "digest")]


@pytest.mark.parametrize(
    ("digest", "at", "due"),
    [
        ({"every": "30m"}, datetime(2026, 3, 1, 10, 14, tzinfo=UTC), datetime(2026, 3, 1, 10, 30, tzinfo=UTC)),
        ({"every": "30m"}, datetime(2026, 3, 1, 10, 30, tzinfo=UTC), datetime(2026, 3, 1, 11, 0, tzinfo=UTC)),
        # The clocks go forward in the night to the 29th: 08:00 in Berlin is then 06:00 and no longer 07:00 UTC.
        ({"at": "08:00", "timezone": "Europe/Berlin"}, datetime(2026, 3, 28, 7, 30, tzinfo=UTC),
         datetime(2026, 3, 29, 6, 0, tzinfo=UTC)),
        # 02:30 does not exist on the 29th.
        ({"at": "02:30", "timezone": "Europe/Berlin"}, datetime(2026, 3, 28, 12, 0, tzinfo=UTC),
         datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        # 02:30 comes twice on 2026-10-25; once is enough.
        ({"at": "02:30", "timezone": "Europe/Berlin"}, datetime(2026, 10, 25, 0, 40, tzinfo=UTC),
         datetime(2026, 10, 26, 1, 30, tzinfo=UTC)),
        ({"at": "09:00", "timezone": "Asia/Tokyo", "days": ["mon"]}, datetime(2026, 11, 22, 0, 0, tzinfo=UTC),
         datetime(2026, 11, 23, 0, 0, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_digest_is_due_by_the_clock_of_its_zone(digest: dict[str, Any], at: datetime, due: datetime) -> None:
    assert digests.due_after(digests.clean(digest), "critical", at) == due


def test_digest_that_falls_into_quiet_hours_waits_for_their_end() -> None:
    zone = {"timezone": "Europe/Berlin"}
    channel = make_channel()
    make_rule(channel, digest={"at": "03:00", **zone}, quiet_hours={"start": "22:00", "end": "07:00", **zone})
    tell(make_fact(level="warning"))
    row = Delivery.objects.get()
    assert row.next_attempt_at is not None
    assert f"{row.next_attempt_at.astimezone(BERLIN):%H:%M}" == "07:00"


# --- limits ----------------------------------------------------------------------------------------------------------


def test_five_hundred_alerts_are_so_many_messages_and_one_summary(receiver: RecordingReceiver) -> None:
    channel = change(make_channel(receiver.url), most_messages=10, most_per_s=300)
    from apps.notifications.services.routing import route_many

    route_many([make_fact(alert=f"a{number}", thing=f"web-{number}") for number in range(500)])
    assert send_all() == 10
    end_wait()
    Delivery.objects.filter(event_name="alert.opened", state="delivered").update(
        created_at=timezone.now() - timedelta(seconds=301)
    )
    assert send_all() == 1
    seen = bodies(receiver)
    assert [body["type"] for body in seen] == ["alert.opened"] * 10 + ["summary"]
    assert seen[-1]["data"]["count"] == 490
    assert "and 470 more" in seen[-1]["message"]
    rows = Delivery.objects.filter(destination_id=channel.id, event_name="alert.opened")
    assert rows.filter(state="delivered").count() + rows.filter(state="bundled").count() == 500
    assert not rows.filter(state="bundled", reason="").exists()


def test_message_does_not_overtake_those_that_wait_for_room() -> None:
    channel = change(make_channel(), most_messages=1, most_per_s=60)
    tell(make_fact(alert="a1"), make_fact(alert="a2"))
    Delivery.objects.filter(held=False).update(created_at=timezone.now() - timedelta(seconds=61))
    tell(make_fact(alert="a3"))
    rows = Delivery.objects.filter(destination_id=channel.id).order_by("id")
    assert [row.held for row in rows] == [False, True, True]
    assert rows[1].next_attempt_at == rows[2].next_attempt_at


def test_end_of_an_alert_that_waits_for_room_waits_with_it(receiver: RecordingReceiver) -> None:
    change(make_channel(receiver.url), most_messages=1, most_per_s=60)
    tell(make_fact(alert="a1"), make_fact(alert="a2", thing="db"), make_fact("alert.resolved", "a2", thing="db"))
    send_all()
    end_wait()
    send_all()
    assert [body["type"] for body in bodies(receiver)] == ["alert.opened", "summary"]
    assert [item["event"] for item in bodies(receiver)[1]["data"]["items"]] == ["alert.opened", "alert.resolved"]


def test_other_side_that_asks_for_rest_gets_it_for_all_that_waits(receiver: RecordingReceiver) -> None:
    channel = make_channel(receiver.url)
    receiver.answer_next(Reply(429, b"slow down", {"Retry-After": "120"}))
    tell(make_fact(alert="a1"))
    send_once()
    tell(make_fact(alert="a2"))
    assert send_all() == 0
    state = ChannelState.objects.get(channel=channel)
    assert state.retry_at is not None and state.retry_at > timezone.now() + timedelta(seconds=110)
    ChannelState.objects.update(retry_at=timezone.now() - timedelta(seconds=1))
    let_time_pass()
    assert send_all() == 2


# --- fallbacks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def spare(loopback_allowed: None) -> Any:
    with RecordingReceiver() as running:
        yield running


def test_third_failure_is_told_over_the_fallback_within_a_minute(
    receiver: RecordingReceiver, spare: RecordingReceiver
) -> None:
    second = make_channel(spare.url)
    first = change(make_channel(receiver.url), fallback_id=second.id)
    receiver.answer(Reply(500))
    fact = make_fact()
    tell(fact)
    assert sum(sending.BACKOFF_S[:2]) * 1.1 < 60
    for _ in range(3):
        send_once()
        let_time_pass()
    send_all()
    assert [body["id"] for body in bodies(spare)] == [str(fact.uid)]
    primary, stand_in = Delivery.objects.order_by("id")
    assert (primary.state, primary.attempts, primary.destination_id) == ("failed", 3, first.id)
    assert second.name in primary.reason
    assert (stand_in.state, stand_in.destination_id, stand_in.in_place_of_id) == ("delivered", second.id, primary.id)
    first.refresh_from_db()
    assert first.enabled and first.state.consecutive_failures == 0
    tell(make_fact("alert.resolved"))
    send_all()
    assert [body["type"] for body in bodies(spare)] == ["alert.opened", "alert.resolved"]


def test_end_that_was_routed_before_the_fallback_stepped_in_follows_it(
    receiver: RecordingReceiver, spare: RecordingReceiver
) -> None:
    change(make_channel(receiver.url), fallback_id=make_channel(spare.url).id)
    receiver.answer(Reply(410))
    tell(make_fact(), make_fact("alert.resolved"))
    send_all()
    assert [body["type"] for body in bodies(spare)] == ["alert.opened", "alert.resolved"]


def test_disabled_channel_is_stood_in_for(receiver: RecordingReceiver, spare: RecordingReceiver) -> None:
    second = make_channel(spare.url)
    first = change(make_channel(receiver.url), fallback_id=second.id)
    change(first, enabled=False)
    tell(make_fact())
    send_all()
    assert len(bodies(spare)) == 1 and bodies(receiver) == []
    rows = {row.destination_id: row for row in Delivery.objects.all()}
    assert rows[first.id].state == "suppressed" and second.name in rows[first.id].reason
    assert rows[second.id].in_place_of_id == rows[first.id].id


def test_fallback_without_a_rule_is_told_only_when_needed(receiver: RecordingReceiver) -> None:
    change(make_channel(receiver.url), fallback_id=make_channel().id)
    tell(make_fact())
    assert Delivery.objects.count() == 1


def test_fallback_that_is_told_anyway_is_told_once(receiver: RecordingReceiver, spare: RecordingReceiver) -> None:
    second = make_channel(spare.url)
    first = change(make_channel(receiver.url), fallback_id=second.id)
    make_rule(first, second)
    receiver.answer(Reply(410))
    tell(make_fact())
    send_all()
    assert len(bodies(spare)) == 1


def test_what_waits_for_a_channel_that_is_given_up_goes_to_its_fallback(
    receiver: RecordingReceiver, spare: RecordingReceiver
) -> None:
    first = change(make_channel(receiver.url), fallback_id=make_channel(spare.url).id)
    receiver.answer(Reply(410))
    tell(*[make_fact(alert=f"a{number}") for number in range(6)])
    send_all()
    first.refresh_from_db()
    assert not first.enabled
    assert sorted(body["subject"]["id"] for body in bodies(spare)) == [f"a{number}" for number in range(6)]


def test_fallbacks_never_lead_in_a_circle() -> None:
    one, two, three = make_channel(), make_channel(), make_channel()
    change(one, fallback_id=two.id)
    change(two, fallback_id=three.id)
    with pytest.raises(Invalid, match="lead back"):
        change(three, fallback_id=one.id)
    with pytest.raises(Invalid, match="lead back"):
        change(one, fallback_id=one.id)


# --- again -----------------------------------------------------------------------------------------------------------


def test_message_that_is_sent_again_leaves_whatever_happened_since(receiver: RecordingReceiver) -> None:
    channel = make_channel(receiver.url)
    receiver.answer_next(Reply(410))
    tell(make_fact(), make_fact("alert.resolved"))
    send_all()
    end = Delivery.objects.get(event_name="alert.resolved")
    assert end.state == "suppressed"
    services.redeliver(actor=make_admin(), delivery=end)
    send_all()
    assert [body["id"] for body in bodies(receiver)[1:]] == [end.message_id]
    assert Delivery.objects.filter(destination_id=channel.id).order_by("-id")[0].state == "delivered"


def test_quiet_hours_of_a_channel_are_checked_by_field() -> None:
    with pytest.raises(Invalid) as refused:
        change(make_channel(), quiet_hours={"start": "22:00", "end": "07:00", "days": ["someday"]})
    assert list(refused.value.problems) == ["quiet_hours.days"]
    assert quiet.is_within(None, timezone.now())


def test_held_message_of_a_removed_channel_goes_nowhere() -> None:
    channel = change(make_channel(), digest={"every": "10m"})
    make_webhook(events=["alert.resolved"])
    tell(make_fact())
    services.delete_channel(actor=make_admin(), channel_id=channel.id)
    end_wait()
    assert send_all() == 0
    assert Delivery.objects.get().state == "suppressed"
