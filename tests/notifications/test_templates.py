"""Words that people write themselves: they can't break anything, and a bad one drops nothing."""

import json
from typing import Any

import pytest

from apps.core.errors import Invalid
from apps.core.models import Event
from apps.notifications import services
from apps.notifications.models import Channel, Delivery, Rule
from apps.notifications.services.common import touch_routes
from apps.notifications.templating import NAMES, BadTemplate, clean_template, compiled, rendered, values_of
from tests.factories.notifications import make_admin, make_channel, make_fact, make_rule
from tests.notifications.driving import send_all, tell
from tests.support.servers import RecordingReceiver

VALUES = {name: name.upper() for name in NAMES}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ level|upper }} {{ name }}", "LEVEL NAME"),
        ("{% if status == 'STATUS' %}yes{% else %}no{% endif %}", "yes"),
        ("{% if not note and level in 'a LEVEL b' %}yes{% elif by %}by{% endif %}", "by"),
        ("{{ note|default:'-' }} {{ name|lower|truncatechars:3 }}", "NOTE na…"),
        ("<b>{{ name }}</b>", "<b>NAME</b>"),
    ],
)
def test_placeholders_and_conditions_work(source: str, text: str) -> None:
    assert rendered(source, VALUES, most=100) == text


@pytest.mark.parametrize(
    "source",
    [
        "{% load os %}", "{% include 'settings' %}", "{% extends 'x' %}", "{% for a in name %}{{ a }}{% endfor %}",
        "{% with a=name %}{{ a }}{% endwith %}", "{% now 'Y' %}", "{% debug %}", "{% csrf_token %}", "{% url 'x' %}",
        "{{ name|ljust:1000000000 }}", "{{ name|add:name }}", "{{ name|safe }}", "{{ name.upper }}", "{{ request }}",
        "{{ settings.SECRET_KEY }}", "{{ name.__class__ }}", "{% if request %}x{% endif %}", "{{ name }",
        "{% if name %}", "{{ }}", "{{ name|nothing }}", "{% if a == b.c %}x{% endif %}",
    ],
)  # fmt: skip
def test_what_could_reach_further_is_refused_when_it_is_written(source: str) -> None:
    with pytest.raises(Invalid) as refused:
        clean_template(source, "body_template")
    assert "body_template" in refused.value.problems


def test_line_of_the_fault_is_named() -> None:
    with pytest.raises(BadTemplate, match="line 3"):
        compiled("one\ntwo\n{{ secret }}")
    with pytest.raises(BadTemplate, match="line 2"):
        compiled("one\n{% include 'x' %}")


def test_text_is_cut_and_values_are_bounded() -> None:
    values = values_of({"type": "alert.opened", "title": "x" * 10000, "message": "", "data": {}})
    assert len(values["title"]) == 2000
    assert rendered("{{ title }}" * 10, values, most=50) == "x" * 49 + "…"


@pytest.mark.django_db
def test_rule_s_words_come_before_the_channel_s(receiver: RecordingReceiver) -> None:
    one, two = make_channel(receiver.url + "/one"), make_channel(receiver.url + "/two")
    for channel in (one, two):
        change = {"title_template": "channel {{ name }}", "body_template": "{{ message }}!"}
        services.update_channel(actor=make_admin(), channel_id=channel.id, changes=change)
    make_rule(one, title_template="{{ level|upper }}: {{ name }}")
    tell(make_fact())
    send_all()
    said = {request.path: json.loads(request.body) for request in receiver.requests}
    assert said["/one"]["title"] == "CRITICAL: web-1" and said["/one"]["message"].endswith("!")
    assert said["/two"]["title"] == "channel web-1"


@pytest.mark.django_db
@pytest.mark.parametrize("model", [Rule, Channel])
def test_template_that_went_bad_falls_back_and_is_told_once(model: Any, receiver: RecordingReceiver) -> None:
    channel = make_channel(receiver.url)
    make_rule(channel)
    # Behind the services' back, as a change of the engine might leave it.
    model.objects.update(title_template="{% load os %}", body_template="{{ name")
    touch_routes()
    tell(make_fact(alert="a1"), make_fact(alert="a2"))
    send_all()
    assert [json.loads(request.body)["title"] for request in receiver.requests] == ["Critical: web-1"] * 2
    row = model.objects.get()
    assert "load" in row.template_error
    assert Event.objects.filter(name="system.alert", subject_id=str(row.id)).count() == 1
    assert Delivery.objects.filter(event_name="alert.opened", state="delivered").count() == 2
    if model is Rule:
        services.update_rule(actor=make_admin(), rule_id=row.id, changes={"title_template": "", "body_template": ""})
    else:
        services.update_channel(
            actor=make_admin(), channel_id=row.id, changes={"title_template": "", "body_template": ""}
        )
    row.refresh_from_db()
    assert row.template_error == ""


@pytest.mark.django_db
def test_template_that_says_nothing_leaves_the_default_text(receiver: RecordingReceiver) -> None:
    make_rule(make_channel(receiver.url), title_template="{% if note %}{{ note }}{% endif %}")
    tell(make_fact())
    send_all()
    assert json.loads(receiver.requests[0].body)["title"] == "Critical: web-1"
