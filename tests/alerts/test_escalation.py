"""Escalation: policies, and the ladder that an alert climbs until somebody reacts."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.alerts import services
from apps.alerts.models import Alert, EscalationPolicy, EscalationStep, Silence
from apps.alerts.services.ladder import LOOK_AGAIN_S, climb_ladders
from apps.core.ids import new_id
from apps.core.models import Event
from apps.notifications.models import Channel, Delivery, Notification
from apps.notifications.services.channels import update_channel
from tests.factories.accounts import client_as, make_user, principal
from tests.factories.alerts import make_alert, run_spine
from tests.factories.notifications import make_channel
from tests.notifications.driving import send_once

pytestmark = pytest.mark.django_db
FIRST, SECOND = 300, 900


def make_policy(*channels: Channel, **values: Any) -> EscalationPolicy:
    """Return a policy whose steps tell one channel each, the first after 5 min, the next 10 min later."""
    steps = [{"after_s": FIRST + 600 * index, "channels": [str(one.id)]} for index, one in enumerate(channels)]
    return services.create_policy(actor=principal(), values={"name": "Nights", "steps": steps, **values})


def begun(alert: Alert) -> datetime:
    """Let the readers catch up; returns when the ladder's clock began."""
    run_spine()
    return EscalationStep.objects.filter(alert=alert, state="waiting").get().started_at


def climb(at: datetime) -> None:
    """Sweep until nothing is due any more, as if it were `at`."""
    for _ in range(20):
        if not climb_ladders(now=at):
            return
    raise AssertionError("the sweep never comes to rest")


def told(alert: Alert) -> list[str]:
    """Return the names of the channels that steps were sent to, in order."""
    names = dict(Channel.objects.values_list("id", "name"))
    rows = Delivery.objects.filter(event_name="alert.step_reached", subject_id=str(alert.id), state="pending")
    return [names[one] for one in rows.order_by("id").values_list("destination_id", flat=True)]


def states(alert: Alert) -> list[tuple[int, str]]:
    return list(EscalationStep.objects.filter(alert=alert).order_by("id").values_list("number", "state"))


def test_step_after_step_is_told_while_nobody_acknowledges() -> None:
    chat, phone = make_channel(name="chat"), make_channel(name="phone")
    make_policy(chat, phone)
    alert = make_alert("critical")
    start = begun(alert)
    climb(start + timedelta(seconds=FIRST - 1))
    assert told(alert) == []
    climb(start + timedelta(seconds=FIRST))
    assert told(alert) == ["chat"]
    climb(start + timedelta(seconds=SECOND - 1))
    assert told(alert) == ["chat"]
    climb(start + timedelta(seconds=SECOND))
    climb(start + timedelta(seconds=SECOND + 3600))
    assert told(alert) == ["chat", "phone"]
    fact = Event.objects.filter(name="alert.step_reached").order_by("id").last()
    assert fact is not None
    assert (fact.data["step"], fact.data["policy"]) == (2, "Nights")
    row = Delivery.objects.filter(event_name="alert.step_reached").order_by("id").last()
    assert row is not None
    assert row.reason == "Escalation step 2 of “Nights”."
    assert "Still open after" in row.payload["title"]


def test_acknowledgement_in_the_first_step_cancels_the_next() -> None:
    chat, phone = make_channel(name="chat"), make_channel(name="phone")
    make_policy(chat, phone)
    alert = make_alert("critical")
    start = begun(alert)
    climb(start + timedelta(seconds=FIRST))
    services.acknowledge_alert(alert_id=alert.id, actor=principal(), note="on it")
    climb(start + timedelta(seconds=SECOND))  # the reader has not even seen it: the row decides
    assert told(alert) == ["chat"]
    assert states(alert) == [(1, "told"), (2, "cancelled")]
    assert EscalationStep.objects.get(state="cancelled").reason.startswith("Acknowledged by")


def test_recovery_cancels_the_ladder_and_whom_a_step_told_is_told_of_the_end() -> None:
    phone = make_channel(name="phone")
    services_rule = make_channel(name="other")
    make_policy(phone)
    alert = make_alert("critical")
    start = begun(alert)
    climb(start + timedelta(seconds=FIRST))
    services.clear_alert(source="endpoint", kind="availability", subject_id=alert.subject_id, actor=principal())
    run_spine()
    climb(start + timedelta(seconds=SECOND))
    ends = Delivery.objects.filter(event_name="alert.resolved", state="pending")
    assert set(ends.values_list("destination_id", flat=True)) == {phone.id, services_rule.id}
    assert ends.count() == 2


@pytest.mark.parametrize("how", ["acknowledge", "silence"])
def test_step_that_waits_to_be_sent_stays_when_somebody_reacts_before(how: str) -> None:
    make_policy(make_channel(name="phone"))
    alert = make_alert("critical")
    climb(begun(alert) + timedelta(seconds=FIRST))
    Delivery.objects.exclude(event_name="alert.step_reached").delete()
    if how == "acknowledge":
        services.acknowledge_alert(alert_id=alert.id, actor=principal())
    else:
        hold(alert)
    assert send_once() == []
    row = Delivery.objects.get(event_name="alert.step_reached")
    assert row.state == "suppressed"
    assert row.reason.startswith("Acknowledged by") or "a planned change" in row.reason


def test_alert_given_back_begins_its_ladder_anew() -> None:
    chat = make_channel(name="chat")
    make_policy(chat)
    alert = make_alert("critical")
    begun(alert)
    services.acknowledge_alert(alert_id=alert.id, actor=principal())
    run_spine()
    assert states(alert) == [(1, "cancelled")]
    services.unacknowledge_alert(alert_id=alert.id, actor=principal())
    start = begun(alert)
    assert Event.objects.filter(name="alert.unacknowledged").count() == 1
    climb(start + timedelta(seconds=FIRST))
    assert told(alert) == ["chat"]
    assert EscalationStep.objects.filter(alert=alert).order_by("-id").values_list("round", flat=True).first() == 2


def test_muted_alert_does_not_climb_and_the_reason_is_kept() -> None:
    chat = make_channel(name="chat")
    make_policy(chat)
    alert = make_alert("critical")
    start = begun(alert)
    hold(alert)
    climb(start + timedelta(seconds=FIRST))
    climb(start + timedelta(seconds=FIRST + 60))
    assert told(alert) == []
    assert states(alert) == [(1, "waiting"), (1, "suppressed")]  # one row of the reason, however long it lasts
    assert "a planned change" in EscalationStep.objects.get(state="suppressed").reason
    release(alert)
    climb(start + timedelta(seconds=FIRST + 120))
    assert told(alert) == []  # people hear of it now; the ladder begins now
    climb(start + timedelta(seconds=FIRST + 120 + FIRST))
    assert told(alert) == ["chat"]


def hold(alert: Alert) -> None:
    """Silence it for ten days."""
    services.create_silence(
        actor=principal(), matchers={"entity": alert.subject_id}, duration_s=864000, reason="a planned change"
    )


def release(alert: Alert) -> None:
    """End that."""
    services.cancel_silence(silence_id=Silence.objects.get().id, actor=principal())
    run_spine()


def test_steps_that_fell_due_while_nothing_ran_follow_one_another_as_they_were_set() -> None:
    chat, phone = make_channel(name="chat"), make_channel(name="phone")
    make_policy(chat, phone)
    alert = make_alert("critical")
    start = begun(alert)
    late = start + timedelta(hours=5)
    climb(late)
    assert told(alert) == ["chat"]
    climb(late + timedelta(seconds=SECOND - FIRST))
    assert told(alert) == ["chat", "phone"]


def test_last_step_is_repeated_until_somebody_reacts() -> None:
    chat = make_channel(name="chat")
    services.create_policy(
        actor=principal(),
        values={"name": "Loud", "steps": [{"after_s": "5m", "channels": [str(chat.id)], "repeat_s": 600}]},
    )
    alert = make_alert("critical")
    start = begun(alert)
    for minutes in (5, 15, 25):
        climb(start + timedelta(minutes=minutes))
    assert told(alert) == ["chat"] * 3
    services.resolve_alert(alert_id=alert.id, actor=principal())
    climb(start + timedelta(minutes=35))
    assert told(alert) == ["chat"] * 3


def test_inbox_of_everybody_is_told_where_the_step_says_so() -> None:
    reader = make_user("viewer")
    services.create_policy(actor=principal(), values={"name": "Inbox", "steps": [{"after_s": 60, "inbox": True}]})
    alert = make_alert("critical")
    start = begun(alert)
    climb(start + timedelta(seconds=60))
    run_spine()
    assert Notification.objects.filter(user=reader, event_name="alert.step_reached").count() == 1


def test_step_whose_channel_is_switched_off_says_that_nobody_could_be_told() -> None:
    chat = make_channel(name="chat")
    make_policy(chat)
    alert = make_alert("critical")
    start = begun(alert)
    update_channel(actor=principal("admin"), channel_id=chat.id, changes={"enabled": False})
    climb(start + timedelta(seconds=FIRST))
    row = EscalationStep.objects.get(alert=alert)
    assert row.reason.startswith("Nobody could be told")
    assert row.told[0]["reason"] == "The channel is disabled."
    assert Delivery.objects.get(event_name="alert.step_reached").state == "suppressed"


def test_first_policy_that_fits_counts_and_a_worse_level_may_hand_over() -> None:
    chat, phone = make_channel(name="chat"), make_channel(name="phone")
    make_policy(phone, name="Critical", levels=["critical"], position=1)
    make_policy(chat, name="Rest", position=2)
    alert = make_alert("warning", subject_id="s1")
    begun(alert)
    assert EscalationStep.objects.get(alert=alert).policy_name == "Rest"
    make_alert("critical", subject_id="s1")
    run_spine()
    assert list(EscalationStep.objects.filter(alert=alert).order_by("id").values_list("policy_name", "state")) == [
        ("Rest", "cancelled"),
        ("Critical", "waiting"),
    ]


def test_changed_steps_count_for_ladders_that_run() -> None:
    chat, phone = make_channel(name="chat"), make_channel(name="phone")
    policy = make_policy(chat)
    alert = make_alert("critical")
    start = begun(alert)
    services.update_policy(
        policy_id=policy.id, actor=principal(), values={"steps": [{"after_s": 1200, "channels": [str(phone.id)]}]}
    )
    climb(timezone.now() + timedelta(seconds=FIRST + 5))
    assert told(alert) == []
    climb(start + timedelta(seconds=1200))
    assert told(alert) == ["phone"]


@pytest.mark.parametrize("change", ["off", "removed", "shorter"])
def test_ladder_ends_with_its_policy(change: str) -> None:
    chat, phone = make_channel(name="chat"), make_channel(name="phone")
    policy = make_policy(chat, phone)
    alert = make_alert("critical")
    start = begun(alert)
    climb(start + timedelta(seconds=FIRST))
    if change == "off":
        services.update_policy(policy_id=policy.id, actor=principal(), values={"enabled": False})
    elif change == "removed":
        services.delete_policy(policy_id=policy.id, actor=principal())
    else:
        services.update_policy(policy_id=policy.id, actor=principal(), values={"steps": policy.steps[:1]})
    climb(start + timedelta(seconds=SECOND))
    assert told(alert) == ["chat"]
    assert states(alert)[-1] == (2, "cancelled")
    assert EscalationStep.objects.filter(state="cancelled").get().reason


class Model:
    """What a ladder of two steps does, in the simplest words; it is looked at from time to time, as by the sweep."""

    def __init__(self) -> None:
        self.begun: datetime | None = None
        self.next = 0
        self.look: datetime | None = None  # while it is held back: when it is looked at again
        self.is_silenced = False
        self.waits_for_silence = False  # it opened in a silence: nobody knows of it yet
        self.told: list[str] = []

    def begin(self, at: datetime) -> None:
        self.begun, self.next, self.look, self.waits_for_silence = at, 0, None, False

    def stop(self) -> None:
        self.begun, self.look, self.waits_for_silence = None, None, False

    def sweep(self, at: datetime) -> None:
        while self.begun and self.next < 2:
            due = self.look or self.begun + timedelta(seconds=(FIRST, SECOND)[self.next])
            if due > at:
                return
            if self.is_silenced:
                self.look = at + timedelta(seconds=LOOK_AGAIN_S)
            elif self.look:
                self.begin(at)  # people hear of it only now
            else:
                self.told.append(("chat", "phone")[self.next])
                self.next += 1


ACTIONS = ("ack", "unack", "resolve", "fail", "wait", "silence", "unsilence")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(1, 700)), max_size=12))
def test_any_sequence_tells_what_a_simple_model_tells(steps: list[tuple[str, int]]) -> None:
    for table in (EscalationStep, EscalationPolicy, Delivery, Alert, Channel, Silence):
        table.objects.all().delete()
    make_policy(make_channel(name="chat"), make_channel(name="phone"))
    thing, now, model = str(new_id()), timezone.now(), Model()
    seen: set[int] = set()
    silence: Silence | None = None
    for action, seconds in [("fail", 1), *steps]:
        found = Alert.objects.unresolved().filter(subject_id=thing).first()
        if action == "fail" and found is None:
            make_alert("critical", subject_id=thing)
            if model.is_silenced:
                model.waits_for_silence = True
            else:
                model.begin(now)
        elif action == "ack" and found:
            services.acknowledge_alert(alert_id=found.id, actor=principal())
            model.stop()
        elif action == "unack" and found and found.status == "acknowledged":
            services.unacknowledge_alert(alert_id=found.id, actor=principal())
            model.begin(now)
        elif action == "resolve" and found:
            services.resolve_alert(alert_id=found.id, actor=principal())
            model.stop()
        elif action == "silence" and silence is None:
            silence = services.create_silence(
                actor=principal(), matchers={"entity": thing}, duration_s=30 * 86400, reason="a planned change"
            )
            model.is_silenced = True
        elif action == "unsilence" and silence is not None:
            services.cancel_silence(silence_id=silence.id, actor=principal())
            silence, model.is_silenced = None, False
            if model.waits_for_silence:
                model.begin(now)
        run_spine()
        # The clock of the test is ours: a ladder that began just now began at our `now`.
        for row in EscalationStep.objects.filter(state="waiting", number=1).exclude(id__in=seen):
            seen.add(row.id)
            row.due_at += now - row.started_at
            row.started_at = now
            row.save()
        for second in range(30, seconds + 30, 30):
            at = now + timedelta(seconds=min(second, seconds))
            climb(at)
            seen.update(EscalationStep.objects.values_list("id", flat=True))
            model.sweep(at)
        now += timedelta(seconds=seconds)
    names = dict(Channel.objects.values_list("id", "name"))
    rows = Delivery.objects.filter(event_name="alert.step_reached").order_by("id")
    assert [names[row.destination_id] for row in rows] == model.told
    waiting = EscalationStep.objects.filter(state="waiting").count()
    assert waiting == int(bool(model.begun) and model.next < 2)


# --- the API ---------------------------------------------------------------------------------------------------------


def test_policy_is_added_changed_with_etag_and_removed() -> None:
    client, chat = client_as("admin"), make_channel(name="chat")
    body = {"name": "Nights", "levels": ["critical"], "steps": [{"after_s": "5m", "channels": [str(chat.id)]}]}
    made = client.post("/api/v1/escalation-policies", body)
    assert made.status_code == 201, made.json()
    row = made.json()
    assert row["steps"] == [{"after_s": 300, "channels": [str(chat.id)], "inbox": False, "repeat_s": 0}]
    assert row["warnings"] == []
    path = f"/api/v1/escalation-policies/{row['id']}"
    assert client.put(path, {"name": "Days"}, HTTP_IF_MATCH='"wrong"').status_code == 412
    assert client.put(path, {"name": "Days"}, HTTP_IF_MATCH=made["ETag"]).json()["name"] == "Days"
    assert client_as("viewer").get(path).json()["name"] == "Days"
    assert client_as("operator").delete(path).status_code == 403
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    names = Event.objects.filter(subject_kind="escalation_policy").order_by("id").values_list("name", flat=True)
    assert list(names) == ["escalation_policy.created", "escalation_policy.updated", "escalation_policy.deleted"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": ""}, "name"),
        ({"steps": []}, "steps"),
        ({"steps": [{"after_s": 60}]}, "steps.0.channels"),
        ({"steps": [{"after_s": "soon", "inbox": True}]}, "steps.0.after_s"),
        ({"steps": [{"inbox": True}]}, "steps.0.after_s"),
        ({"steps": [{"after_s": 60, "inbox": True}, {"after_s": 60, "inbox": True}]}, "steps.1.after_s"),
        ({"steps": [{"after_s": 60, "channels": ["x"]}]}, "steps.0.channels"),
        ({"steps": [{"after_s": 60, "channels": ["0190a3c4-0000-7000-8000-000000000000"]}]}, "steps.0.channels"),
        ({"steps": [{"after_s": 60, "inbox": True, "loud": 1}]}, "steps.0.loud"),
        ({"steps": [{"after_s": 60, "inbox": True, "repeat_s": 5}]}, "steps.0.repeat_s"),
        ({"levels": ["loud"]}, "levels"),
        ({"position": -1}, "position"),
        ({"remind_every_s": 5}, "remind_every_s"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_wrong_policy_is_422_at_its_place(change: dict[str, Any], place: str) -> None:
    body = {"name": "Nights", "steps": [{"after_s": 300, "inbox": True}], **change}
    answer = client_as("admin").post("/api/v1/escalation-policies", body)
    assert answer.status_code == 422
    assert ".".join(str(part) for part in answer.json()["detail"][0]["loc"][1:]) == place


def test_policies_warn_of_what_would_not_do_what_it_says() -> None:
    chat = make_channel(name="chat")
    make_policy(chat, name="Everything", position=1)
    make_policy(chat, name="Never", position=2, levels=["critical"])
    services.create_policy(
        actor=principal(),
        values={
            "name": "Repeats",
            "position": 0,
            "tags": ["x"],
            "steps": [
                {"after_s": 60, "channels": [str(chat.id)], "repeat_s": 600},
                {"after_s": 120, "channels": [str(chat.id)]},
            ],
        },
    )
    update_channel(actor=principal("admin"), channel_id=chat.id, changes={"enabled": False})
    rows = client_as("admin").get("/api/v1/escalation-policies").json()["results"]
    warned = {row["name"]: " ".join(row["warnings"]) for row in rows}
    assert [row["name"] for row in rows] == ["Repeats", "Everything", "Never"]
    assert "“Everything” stands before it" in warned["Never"]
    assert "Step 1 reaches nobody" in warned["Everything"]
    assert "Step 1 is never repeated" in warned["Repeats"]


def test_list_of_policies_takes_the_same_number_of_queries_for_any_number() -> None:
    client, chat = client_as("viewer"), make_channel(name="chat")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/api/v1/escalation-policies").status_code == 200
        return len(queries)

    make_policy(chat)
    cost()
    one = cost()
    for number in range(12):
        make_policy(chat, chat, name=f"p{number}")
    assert cost() <= one <= 9


def test_ladder_of_an_alert_is_shown_with_what_would_follow() -> None:
    chat, phone = make_channel(name="chat"), make_channel(name="phone")
    make_policy(chat, phone)
    alert = make_alert("critical")
    client = client_as("viewer")
    assert client.get(f"/api/v1/alerts/{alert.id}/escalation").json()["state"] == "none"
    start = begun(alert)
    climb(start + timedelta(seconds=FIRST))
    with CaptureQueriesContext(connection) as queries:
        body = client.get(f"/api/v1/alerts/{alert.id}/escalation").json()
    assert len(queries) <= 12
    assert (body["policy"], body["state"]) == ("Nights", "running")
    assert [(one["number"], one["state"]) for one in body["steps"]] == [(1, "told"), (2, "waiting")]
    assert body["steps"][0]["channels"] == [
        {"id": str(chat.id), "name": "chat", "state": "pending", "reason": ANY_STEP}
    ]
    assert client.get("/api/v1/alerts/nothing/escalation").status_code == 404


ANY_STEP = "Escalation step 1 of “Nights”."
