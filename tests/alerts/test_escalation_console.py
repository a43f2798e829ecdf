"""Escalation and rehearsals in the console."""

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.alerts.models import Alert, EscalationPolicy, Threshold
from tests.factories.alerts import make_alert, run_spine
from tests.factories.heartbeats import make_heartbeat, ping
from tests.factories.monitors import make_endpoint, record
from tests.factories.notifications import make_channel, make_fact, make_rule
from tests.support.console import console_as

pytestmark = pytest.mark.django_db


def page(answer: Any) -> str:
    return answer.content.decode()


def test_policy_is_made_step_by_step_and_read_back_in_words() -> None:
    admin, chat = console_as("admin"), make_channel(name="chat")
    add = reverse("admin:alerts_escalationpolicy_add")
    assert "Step 1" in page(admin.get(add))
    form = {
        "name": "Nights", "position": "10", "enabled": "on", "levels": ["critical"], "remind_every_s": "1h",
        "step1_after": "5m", "step1_inbox": "on", "step2_after": "15m", "step2_channels": [str(chat.id)],
        "step2_repeat": "10m",
    }  # fmt: skip
    answer = admin.post(add, form, follow=True)
    text = page(answer)
    assert answer.status_code == 200
    assert "After 5 min without acknowledgement: tell everybody&#x27;s inbox." in text
    assert "After 15 min without acknowledgement: tell chat, and again every 10 min." in text
    policy = EscalationPolicy.objects.get()
    assert [step["after_s"] for step in policy.steps] == [300, 900]
    assert policy.remind_every_s == 3600
    change = page(admin.get(reverse("admin:alerts_escalationpolicy_change", args=[policy.pk])))
    assert 'value="15m"' in change
    assert "Nights" in page(admin.get(reverse("admin:alerts_escalationpolicy_changelist")))


def test_wrong_steps_are_refused_at_their_fields() -> None:
    admin = console_as("admin")
    add = reverse("admin:alerts_escalationpolicy_add")
    form = {"name": "Nights", "position": "1", "step1_after": "5m", "step1_inbox": "on", "step2_after": "5m"}
    answer = admin.post(add, {**form, "step2_inbox": "on"})
    assert answer.status_code == 422
    assert "Must be later than the step before it" in page(answer)
    assert "Fill in the steps before it first" in page(
        admin.post(add, {**form, "step2_after": "", "step3_after": "9m"})
    )
    assert not EscalationPolicy.objects.exists()


def test_policy_that_reaches_nobody_is_marked() -> None:
    admin, chat = console_as("admin"), make_channel(name="chat")
    admin.post(
        reverse("admin:alerts_escalationpolicy_add"),
        {"name": "Nights", "position": "1", "enabled": "on", "step1_after": "5m", "step1_channels": [str(chat.id)]},
    )
    type(chat).objects.filter(id=chat.id).update(enabled=False)
    text = page(admin.get(reverse("admin:alerts_escalationpolicy_detail", args=[EscalationPolicy.objects.get().pk])))
    assert "Step 1 reaches nobody." in text


def test_page_of_an_alert_shows_its_ladder_and_takes_it_for_a_while() -> None:
    operator, chat = console_as("operator"), make_channel(name="chat")
    EscalationPolicy.objects.create(
        name="Nights", steps=[{"after_s": 300, "channels": [str(chat.id)], "inbox": False, "repeat_s": 0}]
    )
    alert = make_alert("critical")
    run_spine()
    detail = reverse("admin:alerts_alert_detail", args=[alert.pk])
    text = page(operator.get(detail))
    assert 'id="alert-ladder"' in text
    assert "Nights" in text
    operator.post(reverse("admin:alerts_alert_do", args=[alert.pk, "acknowledge_for"]), {"note": "on it"})
    run_spine()
    taken = Alert.objects.get(pk=alert.pk)
    assert taken.acknowledged_until is not None
    assert taken.note == "on it"
    assert "Acknowledged by" in page(operator.get(detail))
    operator.post(reverse("admin:alerts_alert_do", args=[alert.pk, "unacknowledge"]))
    assert Alert.objects.get(pk=alert.pk).status == "active"


@pytest.mark.parametrize("model", ["alerts_threshold", "notifications_rule", "monitors_heartbeat", "monitors_endpoint"])
def test_forms_offer_to_try_their_values_on_the_past(model: str) -> None:
    admin = console_as("admin")
    rows: dict[str, Any] = {
        "alerts_threshold": lambda: Threshold.objects.first(),
        "notifications_rule": lambda: make_rule(make_channel()),
        "monitors_heartbeat": make_heartbeat,
        "monitors_endpoint": make_endpoint,
    }
    row = rows[model]()
    text = page(admin.get(reverse(f"admin:{model}_change", args=[row.pk])))
    assert "Try it on the past" in text
    assert f"?id={row.pk}" in text


def test_rehearsal_of_each_form_shows_what_would_have_happened() -> None:
    admin = console_as("admin")
    start = timezone.now() - timedelta(hours=2)
    threshold, heartbeat, endpoint = Threshold.objects.first(), make_heartbeat(name="backup"), make_endpoint()
    assert threshold is not None
    rule = make_rule(make_channel(), events=["alert.opened"])
    make_fact("alert.opened", "a1", thing="web-1")
    for minute in (0, 1, 9):
        ping(heartbeat, at=start + timedelta(minutes=minute))
    for minute, status in enumerate(["up", "down", "up"]):
        record(endpoint, status, at=start + timedelta(minutes=minute))
    forms: list[tuple[str, Any, dict[str, Any], str]] = [
        ("threshold", threshold,
         {"metric": "cpu", "comparison": "gte", "value": "80", "level": "warning", "for_s": "1m"},
         "stayed quiet"),
        ("rule", rule, {"name": "A rule", "events": "alert.opened", "order": "100", "inbox": "on", "enabled": "on"},
         "web-1"),
        ("schedule", heartbeat, {"kind": "interval", "interval_seconds": "60", "grace_seconds": "30"},
         "backup was expected at"),
        ("endpoint", endpoint, {"failure_threshold": "1", "recovery_threshold": "1"}, "is down"),
    ]  # fmt: skip
    for kind, row, values, expected in forms:
        answer = admin.post(f"{reverse('admin:rehearsal', args=[kind])}?id={row.pk}", values)
        assert answer.status_code == 200, (kind, page(answer))
        assert expected in page(answer), kind


def test_rehearsal_page_is_for_those_who_may_see_the_thing_and_says_what_is_wrong() -> None:
    path = reverse("admin:rehearsal", args=["rule"])
    assert console_as("operator").post(path, {"name": "x"}).status_code == 403
    wrong = console_as("admin").post(reverse("admin:rehearsal", args=["threshold"]), {"metric": "cpu", "value": "loud"})
    assert wrong.status_code == 422
    assert "Go back and correct it" in page(wrong)
    assert console_as("admin").get(reverse("admin:rehearsal", args=["weather"])).status_code == 404
