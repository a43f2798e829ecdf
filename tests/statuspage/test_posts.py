"""Webhook subscribers: signed posts of what is published, at least once, in order."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.core.errors import Conflict, Invalid
from apps.core.net import run_sync
from apps.statuspage import services
from apps.statuspage.models import Post, Subscriber
from apps.statuspage.services import posts
from tests.factories.accounts import client_as
from tests.factories.statuspage import ACTOR, make_component, make_notice, make_page
from tests.support.console import console_as
from tests.support.servers import RecordingReceiver, Reply

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = [ip_network("127.0.0.0/8")]


def deliver() -> int:
    """Queue what waits and make one attempt of each post that is due; returns how many."""
    while services.send_mailings():
        pass
    results = [run_sync(posts.send_post(job)) for job in posts.claim_posts(50)]
    posts.record_posts(results)
    return len(results)


def test_program_gets_each_published_change_signed_and_in_order() -> None:
    page = make_page(slug="acme")
    with RecordingReceiver() as receiver:
        row, secret = services.add_webhook(page=page, url=f"{receiver.url}/hook", actor=ACTOR)
        notice = make_notice(page, publish=True, title="Payments fail")
        make_notice(page, title="canary-draft")
        services.add_update(notice_id=notice.id, state="resolved", message="Fixed.", actor=ACTOR)
        assert [deliver(), deliver(), deliver()] == [1, 1, 0]
        first, second = receiver.wait_for(2)
    bodies = [json.loads(request.body) for request in (first, second)]
    assert [body["type"] for body in bodies] == ["status.incident_created", "status.incident_resolved"]
    assert bodies[1]["data"]["message"] == "Fixed."
    assert str(notice.id) not in first.body.decode()
    headers = {name.lower(): value for name, value in dict(first.headers).items()}
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + first.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{signed}"
    assert Post.objects.filter(subscriber=row, delivered_at__isnull=False).count() == 2


def test_failed_post_is_tried_again_under_its_id_and_holds_back_the_next() -> None:
    page = make_page()
    with RecordingReceiver() as receiver:
        services.add_webhook(page=page, url=receiver.url, actor=ACTOR)
        notice = make_notice(page, publish=True)
        services.add_update(notice_id=notice.id, state="identified", message="Found.", actor=ACTOR)
        receiver.answer_next(Reply(status=500))
        assert deliver() == 1
        assert deliver() == 0  # neither before its time, nor the second before the first
        Post.objects.filter(attempts=1).update(next_attempt_at=timezone.now() - timedelta(seconds=1))
        assert [deliver(), deliver()] == [1, 1]
        requests = receiver.wait_for(3)
    ids = [{name.lower(): value for name, value in dict(one.headers).items()}["webhook-id"] for one in requests]
    assert ids[0] == ids[1] != ids[2]


def test_post_of_a_worker_that_died_is_sent_by_another() -> None:
    page = make_page()
    with RecordingReceiver() as receiver:
        services.add_webhook(page=page, url=receiver.url, actor=ACTOR)
        make_notice(page, publish=True)
        services.send_mailings()
        assert len(posts.claim_posts(10)) == 1
        assert posts.claim_posts(10) == []
        Post.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert deliver() == 1
        receiver.wait_for(1)


def test_post_that_nobody_takes_is_given_up_in_the_end() -> None:
    page = make_page()
    with RecordingReceiver() as receiver:
        receiver.answer(Reply(status=503))
        services.add_webhook(page=page, url=receiver.url, actor=ACTOR)
        make_notice(page, publish=True)
        for _ in range(20):
            deliver()
            Post.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=timezone.now())
    post = Post.objects.get()
    assert (post.attempts, post.next_attempt_at, post.delivered_at) == (len(posts.BACKOFF_S) + 1, None, None)
    assert "503" in post.error


def test_program_of_one_component_hears_of_that_alone() -> None:
    page = make_page()
    shop, blog = make_component(page), make_component(page)
    services.add_webhook(page=page, url="http://127.0.0.1:9/x", components=[blog], actor=ACTOR)
    make_notice(page, publish=True, components=[shop])
    make_notice(page, publish=True, components=[blog], title="Blog")
    while services.send_mailings():
        pass
    assert [post.payload["data"]["title"] for post in Post.objects.all()] == ["Blog"]


def test_address_that_is_refused_or_known_is_not_added(settings: Any) -> None:
    page = make_page()
    services.add_webhook(page=page, url="http://127.0.0.1:9/x", actor=ACTOR)
    with pytest.raises(Conflict):
        services.add_webhook(page=page, url="http://127.0.0.1:9/x", actor=ACTOR)
    settings.OUTBOUND_ALLOW = []
    with pytest.raises(Invalid, match="OUTBOUND_ALLOW"):
        services.add_webhook(page=page, url="http://127.0.0.1:9/y", actor=ACTOR)
    with pytest.raises(Invalid):
        services.add_webhook(page=page, url="http://127.0.0.1:9/z", secret="short", actor=ACTOR)


def test_secret_is_shown_once_and_never_again() -> None:
    make_page()
    client = client_as("operator")
    made = client.post("/api/v1/status/subscribers", {"url": "http://127.0.0.1:9/hook?key=private"})
    assert made.status_code == 201, made.content
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    listed = client.get("/api/v1/status/subscribers").content.decode()
    assert secret not in listed
    assert "private" not in listed
    assert Subscriber.objects.get().secret == secret
    assert client_as("viewer").post("/api/v1/status/subscribers", {"url": "http://127.0.0.1:9/"}).status_code == 403


def test_console_adds_a_webhook_and_shows_its_secret() -> None:
    page = make_page()
    browser: Client = console_as("operator")
    values = {"page": str(page.pk), "url": "http://127.0.0.1:9/hook"}
    answer = browser.post(reverse("admin:statuspage_subscriber_add"), values)
    row = Subscriber.objects.get()
    assert row.secret in answer.content.decode()
    shown = browser.get(reverse("admin:statuspage_subscriber_detail", args=[row.pk])).content.decode()
    assert row.secret not in shown
    assert "none yet" in shown
