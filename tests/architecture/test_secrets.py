"""No secret is ever rendered: sealed values are planted and looked for in every answer and page."""

import json
import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.core.api.throttling import windows
from apps.core.fields import MASK, SealedTextField
from apps.core.models import Event
from apps.core.principals import system
from apps.core.runtime_settings import change_settings
from apps.monitors.models import Endpoint
from apps.notifications.models import Channel, Webhook
from tests.contract.rows import given, owed, own
from tests.factories.accounts import client_of, make_user
from tests.factories.console import consoles, one_of_everything
from tests.support.console import console_of

pytestmark = pytest.mark.django_db

SECRET = "whsec_" + "Y2FuYXJ5LW9mLWEtd2ViaG9vay10aGF0LW11c3Qtbm90LWxlYWs="
CANARIES = {
    "header": "canary-of-a-header",
    "channel": "canary-of-a-channel",
    "option": "canary-of-an-option",
    "webhook": SECRET,
    "setting": "canary-of-a-setting",
}


@pytest.fixture
def owner() -> User:
    """An admin: who may see everything may still not see these."""
    return make_user("admin")


@pytest.fixture
def rows(owner: User) -> dict[type, Any]:
    """One of everything, with a canary in each sealed field."""
    made = one_of_everything(owner)
    endpoint: Endpoint = made[Endpoint]
    endpoint.headers = json.dumps({"Authorization": f"Bearer {CANARIES['header']}"})
    endpoint.options = {"auth": "basic", "username": "watch", "password": MASK}
    endpoint.secrets = json.dumps({"password": CANARIES["option"]})
    endpoint.save()
    channel: Channel = made[Channel]
    channel.config = json.dumps({"url": "https://93.184.216.34/x", "headers": {"Authorization": CANARIES["channel"]}})
    channel.save()
    webhook: Webhook = made[Webhook]
    webhook.secret = CANARIES["webhook"]
    webhook.save()
    address = f"https://93.184.216.34/{CANARIES['setting']}"
    change_settings(values={"outside_heartbeat.url": address}, actor=system("test"))
    return made


def leaks(text: str) -> list[str]:
    """Return which canaries stand in the text."""
    return [name for name, canary in CANARIES.items() if canary in text]


def test_every_sealed_field_is_known_to_this_test() -> None:
    found = {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, SealedTextField)
    }
    assert found == {
        "core.StoredSetting.secret",
        "fleet.CommandBatch.inputs",  # variables and input of a command; never offered by API or console
        "secrets.SecretVersion.value",  # shown where it is asked for by name, each time audited
        "monitors.Endpoint.headers",
        "monitors.Endpoint.secrets",
        "monitors.PingKey.key",  # shown to whoever may ping with it: it is what they paste into jobs
        "monitors.Badge.token",  # a public address, shown to whoever may see the badge
        "notifications.Channel.config",
        "notifications.Webhook.secret",
        "notifications.Webhook.previous_secret",
        "statuspage.Subscriber.secret",  # shown once, where a webhook is added
        "notifications.Mail.text",  # never offered by API or console
        "accounts.TotpDevice.seed",  # shown once, at its enrolment
        "agents.CertificateAuthority.key",  # never shown
        "agents.AgentRequest.body",  # never offered by API or console
    }


def test_no_answer_of_the_api_holds_a_secret(owner: User, rows: dict[type, Any]) -> None:
    client = client_of(owner)
    ids = {
        "endpoints": rows[Endpoint].pk,
        "channels": rows[Channel].pk,
        "webhooks": rows[Webhook].pk,
    }
    for row in [*given(), *own()]:
        if row.method != "GET" or row.key in owed() or "stream" in row.path or "events" in row.path:
            continue
        kind = next((name for name in ids if f"/{name}/" in row.path), "")
        path = re.sub(r"\{[^}]+\}", str(ids.get(kind, rows[Endpoint].pk)), row.path)
        windows.clear()
        answer = client.get(path)
        content = b"".join(answer) if getattr(answer, "streaming", False) else answer.content  # type: ignore[arg-type]
        assert not leaks(content.decode(errors="replace")), path


def test_no_page_of_the_console_holds_a_secret(owner: User, rows: dict[type, Any]) -> None:
    client: Client = console_of(owner)
    for console in consoles():
        row = rows[console.model]
        for view, arguments in (("changelist", []), ("change", [quote(row.pk)])):
            name = f"admin:{console.opts.app_label}_{console.opts.model_name}_{view}"
            answer = client.get(reverse(name, args=arguments), follow=True)
            assert not leaks(answer.content.decode(errors="replace")), name


def test_no_fact_holds_a_secret(owner: User, rows: dict[type, Any]) -> None:
    client = client_of(owner)
    changed = {
        f"/api/v1/endpoints/{rows[Endpoint].pk}": {
            "headers": {"X-Key": CANARIES["header"]},
            "options": {"auth": "basic", "password": CANARIES["option"]},
        },
        f"/api/v1/webhooks/{rows[Webhook].pk}": {"secret": CANARIES["webhook"]},
    }
    for path, body in changed.items():
        answer = client.put(path, body)
        assert answer.status_code == 200, (path, answer.content)
        assert not leaks(answer.content.decode())
    facts = list(Event.objects.values_list("data", "audit", "subject_name"))
    assert not leaks(json.dumps(facts, default=str))


def test_rule_bites_on_a_page_that_shows_a_secret() -> None:
    assert leaks(f"<p>{CANARIES['header']}</p>") == ["header"]
