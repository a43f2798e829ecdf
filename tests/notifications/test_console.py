"""Channels, rules, words and the ledger in the console."""

import re
from typing import Any

import pytest
from django.urls import reverse

from apps.notifications.models import Channel, Delivery, Rule
from apps.notifications.transports import transports
from tests.factories.notifications import make_channel, make_fact, make_rule, make_webhook
from tests.notifications.driving import send_all, tell
from tests.notifications.services import SERVICES
from tests.support.console import console_as, inline_scripts
from tests.support.servers import RecordingReceiver, Reply

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Any:
    return console_as("admin")


def path(model: str, view: str, *args: Any) -> str:
    return reverse(f"admin:notifications_{model}_{view}", args=args)


def fields_of(page: str) -> set[str]:
    return set(re.findall(r'name="(config_[a-z_]+)"', page))


@pytest.mark.parametrize("kind", sorted(transports))
def test_form_of_a_kind_has_its_fields_alone(kind: str, admin: Any) -> None:
    page = admin.get(path("channel", "add") + f"?type={kind}")
    text = page.content.decode()
    assert page.status_code == 200 and inline_scripts(text) == []
    assert fields_of(text) == {f"config_{one.name}" for one in transports[kind].fields}
    assert transports[kind].note == "" or transports[kind].note.split(":")[0] in text
    assert ('name="digest_kind"' in text) is transports[kind].takes_summaries


@pytest.mark.parametrize("kind", sorted(SERVICES))
def test_channel_of_a_service_is_added_and_changed_by_form(kind: str, admin: Any, loopback_allowed: None) -> None:
    config = {
        f"config_{name}": value.replace("{url}", "http://127.0.0.1:9") for name, value in SERVICES[kind].config.items()
    }
    for one in transports[kind].fields:
        if one.default:
            config.setdefault(f"config_{one.name}", one.default)
    form = {"name": "Ops", "enabled": "on", "quiet_zone": "UTC", "digest_zone": "UTC", "most_messages": "0",
            "most_per_s": "5m", **config}  # fmt: skip
    answer = admin.post(path("channel", "add") + f"?type={kind}", form)
    assert answer.status_code == 302, re.findall(r'class="wrong".*?</span>', answer.content.decode())
    row = Channel.objects.get()
    shown = admin.get(path("channel", "change", row.pk)).content.decode()
    assert SERVICES[kind].secret not in shown and "***" in shown
    masked = {**form, "name": "Night", **{
        f"config_{one.name}": "***" for one in transports[kind].fields if one.secret and f"config_{one.name}" in config
    }}  # fmt: skip
    before = row.config
    assert admin.post(path("channel", "change", row.pk), masked).status_code == 302
    row.refresh_from_db()
    assert row.name == "Night" and row.config == before


def test_channel_keeps_its_manners_by_form(admin: Any) -> None:
    spare = make_channel(name="spare")
    form = {
        "name": "Ops", "enabled": "on", "config_url": "https://93.184.215.14/", "fallback": str(spare.pk),
        "most_messages": "10", "most_per_s": "5m", "quiet_start": "22:00", "quiet_end": "07:00",
        "quiet_zone": "Europe/Berlin", "quiet_except": ["critical"], "digest_kind": "at", "digest_at": "08:00",
        "digest_zone": "Europe/Berlin", "digest_days": ["mon"], "title_template": "{{ name }}",
    }  # fmt: skip
    assert admin.post(path("channel", "add") + "?type=webhook", form).status_code == 302
    row = Channel.objects.get(name="Ops")
    assert (row.fallback, row.most_messages, row.most_per_s) == (spare, 10, 300)
    assert row.digest == {"at": "08:00", "timezone": "Europe/Berlin", "days": ["mon"], "except_levels": []}
    page = admin.get(path("channel", "detail", row.pk)).content.decode()
    for words in ("spare", "10 in", "22:00 to 07:00", "on Mon at 08:00", "your own"):
        assert words in page
    wrong = admin.post(path("channel", "change", row.pk), {**form, "title_template": "{{ secret }}", "quiet_end": ""})
    assert wrong.status_code == 422
    assert "Give both times" in wrong.content.decode()
    wrong = admin.post(path("channel", "change", row.pk), {**form, "title_template": "{{ secret }}"})
    assert wrong.status_code == 422 and "there is no “secret”" in wrong.content.decode()


def test_rule_is_written_by_form_and_warns(admin: Any) -> None:
    channel = make_channel(name="ops")
    form = {
        "name": "Nights", "events": "alert.*", "levels": ["critical"], "subjects": "web-*, db-*",
        "channels": [str(channel.pk)], "enabled": "on", "order": "5", "stop": "on", "hours_start": "20:00",
        "hours_end": "06:00", "hours_zone": "Europe/Berlin", "digest_kind": "every", "digest_every": "30m",
        "quiet_zone": "UTC", "digest_zone": "UTC",
    }  # fmt: skip
    answer = admin.post(path("rule", "add"), form)
    assert answer.status_code == 302, re.findall(r'class="wrong".*?</span>', answer.content.decode())
    rule = Rule.objects.get()
    assert (rule.order, rule.stop, rule.subjects) == (5, True, ["web-*", "db-*"])
    assert rule.hours and rule.hours["start"] == "20:00" and rule.digest == {"every_s": 1800, "except_levels": []}
    page = admin.get(path("rule", "detail", rule.pk)).content.decode()
    assert "Nothing has ever been sent over “ops”" in page and "every 30 min" in page
    assert "Nothing has ever been sent" in admin.get(path("rule", "changelist")).content.decode()
    again = admin.post(path("rule", "change", rule.pk), {**form, "digest_kind": "every", "digest_every": ""})
    assert again.status_code == 422 and "Say how often" in again.content.decode()


def test_rules_are_tried_on_an_alert(admin: Any) -> None:
    make_rule(make_channel(name="ops"), name="crit", levels=["critical"])
    fact = make_fact(thing="db-7")
    empty = admin.get(path("rule", "preview"))
    assert empty.status_code == 200 and "db-7" in empty.content.decode()
    made_up = {"event": "alert.opened", "level": "warning", "source": "endpoint", "name": "web-1"}
    assert "The rule takes the level critical" in admin.get(path("rule", "preview"), made_up).content.decode()
    page = admin.get(path("rule", "preview"), {**made_up, "past": str(fact.seq)}).content.decode()
    assert "Critical: db-7" in page and "Told" in page
    assert not Delivery.objects.exists()
    assert console_as("operator").get(path("rule", "preview")).status_code == 403


def test_words_are_tried_on_an_alert(admin: Any) -> None:
    fact = make_fact(thing="db-7")
    form = {"past": str(fact.seq), "title_template": "{{ level|upper }} {{ name }}", "body_template": ""}
    assert "CRITICAL db-7" in admin.post(path("rule", "words"), form).content.decode()
    wrong = admin.post(path("rule", "words"), {**form, "body_template": "{% include 'x' %}"})
    assert wrong.status_code == 422 and "Invalid block tag" in wrong.content.decode()
    assert "{{ level }}" in admin.get(path("rule", "words")).content.decode()


def test_ledger_shows_filters_and_sends_again(admin: Any, receiver: RecordingReceiver) -> None:
    channel = make_channel(receiver.url, name="ops")
    receiver.answer_next(Reply(410, b"gone away"))
    tell(make_fact(thing="db-7"), make_fact("system.alert", "s1"))
    send_all()
    failed = Delivery.objects.get(event_name="alert.opened")
    page = admin.get(path("delivery", "changelist"), {"state": "failed", "to": str(channel.pk)}).content.decode()
    assert "Critical: db-7" in page and "Something is wrong" not in page
    detail = admin.get(path("delivery", "detail", failed.pk)).content.decode()
    assert "gone away" in detail and receiver.url in detail
    assert receiver.url not in console_as("operator").get(path("delivery", "detail", failed.pk)).content.decode()
    assert admin.post(path("delivery", "do", failed.pk, "again")).status_code == 302
    assert send_all() == 1
    assert console_as("viewer").get(path("delivery", "changelist")).status_code == 403


def test_what_programs_are_told_is_said_in_words_with_its_name_beside(admin: Any, loopback_allowed: None) -> None:
    webhook = make_webhook(events=["alert.opened"])
    tell(make_fact(thing="db-7"))
    row = Delivery.objects.get(destination_id=webhook.pk)
    for page in (
        admin.get(path("delivery", "changelist")),
        admin.get(path("delivery", "detail", row.pk)),
        admin.get(path("webhook", "detail", webhook.pk)),
    ):
        text = page.content.decode()
        assert ": db-7" in text and "alert.opened" in text and "alert.opened: db-7" not in text
    assert "<span>Waiting</span><b>1</b>" in text  # the figures say states as the badges do


def test_test_button_says_what_the_other_side_said(admin: Any, receiver: RecordingReceiver) -> None:
    channel = make_channel(receiver.url)
    receiver.answer_next(Reply(418, b"teapot"))
    url = path("channel", "do", channel.pk, "test")
    said = admin.post(url, follow=True).content.decode()
    assert "418" in said and "teapot" in said


def test_lists_make_the_same_queries_for_any_number(admin: Any, django_assert_max_num_queries: Any) -> None:
    for number in range(8):
        make_rule(make_channel(), name=f"rule {number}")
        tell(make_fact(alert=f"a{number}", thing=f"t{number}"))
    for model, most in (("rule", 16), ("delivery", 18), ("channel", 14)):
        admin.get(path(model, "changelist"))
        with django_assert_max_num_queries(most):
            admin.get(path(model, "changelist"))
