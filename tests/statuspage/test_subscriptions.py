"""Subscriptions: double opt-in, leaving by a signed link, nothing told about addresses."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.core.api.throttling import windows
from apps.notifications.models import Mail
from apps.statuspage import services
from apps.statuspage.addresses import unsubscribe_token
from apps.statuspage.models import Subscriber
from tests.factories.monitors import facts
from tests.factories.statuspage import ACTOR, make_component, make_page, make_subscriber

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _mail(settings: Any) -> None:
    settings.SMTP_URL = "smtp://127.0.0.1:2525?tls=none"


def subscribe(client: Client, email: str = "reader@example.org", **more: Any) -> Any:
    """Ask for mails as the page's form does."""
    windows.clear()
    return client.post("/status/subscribe", {"email": email, **more}, HTTP_ACCEPT="text/html,*/*")


def token_of(mail: Mail) -> str:
    """Return the token in a mail."""
    found = re.search(r"token=([\w.:-]+)", mail.text or "")
    assert found
    return found[1]


def test_subscription_counts_once_its_owner_says_yes(client: Client) -> None:
    make_page()
    assert subscribe(client).status_code == 202
    row = Subscriber.objects.get()
    assert row.state == "pending"
    token = token_of(Mail.objects.get())
    assert token not in row.token_hash
    page = client.get("/status/confirm", {"token": token})
    assert page.status_code == 200
    row.refresh_from_db()
    assert row.state == "pending"  # programs that open links confirm nothing
    assert client.post("/status/confirm", {"token": token}, HTTP_ACCEPT="text/html").status_code == 200
    row.refresh_from_db()
    assert (row.state, row.token_hash) == ("confirmed", "")
    assert client.post("/status/confirm", {"token": token}, HTTP_ACCEPT="text/html").status_code == 404
    assert facts("status.subscriber_asked")
    assert facts("status.subscriber_confirmed")[0].data["address"] == "r…@example.org"


def test_answer_is_the_same_for_known_and_unknown_addresses(client: Client) -> None:
    page = make_page()
    known = make_subscriber(page, "known@example.org")
    pending = subscribe(client, "pending@example.org")
    answers = [subscribe(client, address) for address in (known.email, "pending@example.org", "new@example.org")]
    assert {(answer.status_code, answer.content) for answer in answers} == {(pending.status_code, pending.content)}
    assert "known@example.org" not in answers[0].content.decode()


def test_address_is_mailed_once_in_a_while_whoever_asks(client: Client) -> None:
    make_page()
    for _ in range(4):
        subscribe(client)
        subscribe(client, "READER@example.org")
    assert Mail.objects.count() == 1
    Subscriber.objects.update(asked_at=timezone.now() - timedelta(minutes=11))
    subscribe(client)
    assert Mail.objects.count() == 2


def test_mails_that_ask_have_a_limit_an_hour(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.core.runtime_settings import change_settings

    make_page()
    change_settings(values={"statuspage.confirmations_per_hour": 2}, actor=ACTOR)
    for number in range(4):
        assert subscribe(client, f"reader-{number}@example.org").status_code == 202
    assert Mail.objects.count() == 2


def test_one_visitor_asks_only_so_often(client: Client) -> None:
    make_page()
    windows.clear()
    codes = [client.post("/status/subscribe", {"email": f"a{n}@example.org"}).status_code for n in range(7)]
    assert codes == [202] * 5 + [429] * 2


def test_token_of_yesterday_is_worth_nothing(client: Client) -> None:
    make_page()
    subscribe(client)
    token = token_of(Mail.objects.get())
    Subscriber.objects.update(token_until=timezone.now() - timedelta(seconds=1))
    assert client.get("/status/confirm", {"token": token}).status_code == 404
    assert client.post("/status/confirm", {"token": token}).status_code == 404
    assert Subscriber.objects.get().state == "pending"


def test_components_are_chosen_by_their_public_names_and_count_once_confirmed(client: Client) -> None:
    page = make_page()
    shop, hidden = make_component(page, name="Shop"), make_component(page, name="Hidden", visible=False)
    subscribe(client, components=["Shop", "Hidden", "Nothing"])
    row = Subscriber.objects.get()
    assert row.wanted == [str(shop.pk)]
    services.confirm_subscription(token=token_of(Mail.objects.get()), actor=ACTOR)
    assert list(row.components.all()) == [shop]
    assert hidden not in row.components.all()


def test_nobody_else_can_narrow_what_a_subscriber_gets(client: Client) -> None:
    page = make_page()
    make_component(page, name="Shop")
    row = make_subscriber(page, "reader@example.org")
    Subscriber.objects.update(asked_at=timezone.now() - timedelta(hours=1))
    subscribe(client, components=["Shop"])
    assert (row.components.count(), Subscriber.objects.get().state) == (0, "confirmed")


def test_signed_link_leaves_by_a_button_and_a_changed_one_does_not(client: Client) -> None:
    row = make_subscriber(make_page())
    token = unsubscribe_token(row)
    assert client.get("/status/unsubscribe", {"token": token}).status_code == 200
    assert Subscriber.objects.exists()
    other = token.replace(token[0], "1" if token[0] != "1" else "2", 1)
    assert client.post("/status/unsubscribe", {"token": other}).status_code == 404
    assert Subscriber.objects.exists()
    first = client.post("/status/unsubscribe", {"token": token}, HTTP_ACCEPT="text/html")
    again = client.post("/status/unsubscribe", {"token": token}, HTTP_ACCEPT="text/html")
    assert (first.status_code, first.content) == (again.status_code, again.content) == (200, first.content)
    assert not Subscriber.objects.exists()
    assert facts("status.subscriber_removed")


def test_what_is_no_address_is_refused_in_words(client: Client) -> None:
    make_page()
    windows.clear()
    answer = client.post("/status/subscribe", {"email": "nonsense"}, HTTP_ACCEPT="text/html")
    assert answer.status_code == 422
    assert "name@example.org" in answer.content.decode()
    as_json = client.post("/status/subscribe", {"email": "nonsense"}, content_type="application/json")
    assert as_json.json()["detail"][0]["loc"] == ["body", "email"]


def test_page_that_takes_no_subscriptions_has_no_form_and_sends_no_mail(client: Client) -> None:
    make_page(allow_subscriptions=False)
    assert "/status/subscribe" not in client.get("/status").content.decode()
    assert subscribe(client).status_code == 202
    assert not Mail.objects.exists()


def test_addresses_that_nobody_confirmed_are_forgotten() -> None:
    page = make_page()
    confirmed = make_subscriber(page)
    old = timezone.now() - timedelta(days=3)
    Subscriber.objects.create(page=page, email="never@example.org", asked_at=old)
    Subscriber.objects.filter(pk=confirmed.pk).update(asked_at=old)
    assert services.drop_unconfirmed() == 1
    assert list(Subscriber.objects.all()) == [confirmed]
