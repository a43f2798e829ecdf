"""Heartbeats, ping keys and badges in the console."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.http import QueryDict
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from apps.accounts.principals import principal_of_user
from apps.monitors.models import Badge, Heartbeat, Ping, PingKey
from tests.factories.accounts import make_user
from tests.factories.heartbeats import make_badge, make_heartbeat, make_ping_key, ping
from tests.support.console import console_of

pytestmark = pytest.mark.django_db

BASE = "/admin/monitors"
T0 = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@pytest.fixture
def operator() -> Client:
    return console_of(make_user("operator"))


def text_of(client: Client, path: str) -> str:
    answer = client.get(path, follow=True)
    assert answer.status_code == 200, path
    return answer.content.decode()


FORM: dict[str, Any] = {
    "name": "Backup", "kind": "interval", "interval_seconds": "1h", "timezone": "UTC", "otherwise": "success",
}  # fmt: skip


def test_page_shows_what_the_doctor_says(operator: Client) -> None:
    heartbeat = make_heartbeat(cron="30 2 31 * *", timezone_name="Europe/Berlin")
    ping(heartbeat, "fail", exit_code=4)
    page = text_of(operator, f"{BASE}/heartbeat/{heartbeat.pk}/")
    assert "It does not run in" in page
    assert "exit code 4" in page
    assert "By the clock of Europe/Berlin." in page
    assert "02:30" in page


def test_form_previews_the_schedule_while_one_types(operator: Client) -> None:
    path = f"{BASE}/heartbeat/preview/"
    page = text_of(operator, f"{path}?kind=cron&cron=30+2+*+*+1&timezone=Europe/Berlin&grace_seconds=")
    assert "At 02:30 on Monday, Europe/Berlin" in page
    assert page.count("Mon ") == 10
    assert "minute field" in text_of(operator, f"{path}?kind=cron&cron=61+*+*+*+*")
    assert "Every 5 min" in text_of(operator, f"{path}?kind=interval&interval_seconds=5m")
    assert "Give a time such as" in text_of(operator, f"{path}?kind=interval&interval_seconds=soon")
    assert Client().get(path).status_code == 302


def test_form_adds_a_heartbeat_by_calendar_with_sources_and_words(operator: Client) -> None:
    key = make_ping_key()
    values = {
        **FORM, "kind": "calendar", "on_calendar": "Mon..Fri 09:00", "expected_sources": "db1, db2",
        "failure_keywords": "ERROR\nFATAL", "ping_key_id": str(key.pk),
    }  # fmt: skip
    assert operator.post(f"{BASE}/heartbeat/add/", values).status_code == 302
    row = Heartbeat.objects.get()
    assert (row.kind, row.cron, row.expected_pings, row.expected_sources) == (
        "calendar", "Mon..Fri 09:00", 2, ["db1", "db2"],
    )  # fmt: skip
    assert (row.failure_keywords, row.ping_key_id, row.slug) == (["ERROR", "FATAL"], key.pk, "backup")
    form = text_of(operator, f"{BASE}/heartbeat/{row.pk}/change/")
    assert "Mon..Fri 09:00" in form
    assert (
        operator.post(f"{BASE}/heartbeat/{row.pk}/change/", {**values, "name": "Nightly", "slug": "backup"}).status_code
        == 302
    )
    row.refresh_from_db()
    assert (row.name, row.slug, row.cron) == ("Nightly", "backup", "Mon..Fri 09:00")


def test_wrong_calendar_is_shown_at_its_field(operator: Client) -> None:
    answer = operator.post(f"{BASE}/heartbeat/add/", {**FORM, "kind": "calendar", "on_calendar": "Mon..Foo"})
    assert answer.status_code == 422
    assert "day-of-week" in answer.content.decode()


def test_log_of_ten_thousand_pings_is_walked_without_gap_or_repeat(operator: Client) -> None:
    heartbeat = make_heartbeat()
    begun = round(T0.timestamp() * 1000)
    Ping.objects.bulk_create(
        # Three at a time came in the same millisecond, so that a page ends in the middle of them.
        [Ping(num=heartbeat.num, at=begun + n // 3, n=n, kind="success", method="GET") for n in range(1, 10_001)],
        batch_size=500,
    )
    path = f"{BASE}/heartbeat/{heartbeat.pk}/log/"
    request: Any = RequestFactory().get(path)
    request.user = make_user("operator")
    request.principal = principal_of_user(request.user)
    request.session = operator.session
    seen: list[int] = []
    before, counts = "", set()
    while True:
        request.GET = QueryDict(f"before={before}")
        with CaptureQueriesContext(connection) as queries:
            answer = admin.site._registry[Heartbeat].log_view(request, str(heartbeat.pk))  # type: ignore[attr-defined]
        counts.add(len([query for query in queries if "monitors_ping" in query["sql"]]))
        shown = answer.context_data
        numbers = [one["one"].n for one in shown["pings"]]
        if len(seen) in (0, 100, 9_900):  # drawing a page takes as long as reading ten
            drawn = text_of(operator, f"{path}?before={before}")
            assert re.findall(r'data-label="No\.">(\d+)<', drawn) == [str(number) for number in numbers]
            assert (f"before={shown['before']}" in drawn) == bool(shown["before"])
        seen += numbers
        before = shown["before"]
        if not before:
            break
    assert seen == list(range(10_000, 0, -1))
    assert counts == {1}
    assert text_of(operator, f"{path}?kind=fail").count("<tr>") == 0
    assert operator.get(f"{path}?before=nonsense").status_code == 200


def test_log_is_drawn_anew_when_a_ping_comes_and_shows_bodies_as_text(operator: Client) -> None:
    heartbeat = make_heartbeat()
    ping(heartbeat, "fail", exit_code=3, body=b"<script>alert(1)</script>")
    page = text_of(operator, f"{BASE}/heartbeat/{heartbeat.pk}/log/")
    assert 'data-live="heartbeat.pinged' in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page


def test_ping_key_is_added_shown_renewed_and_removed(operator: Client) -> None:
    values = {"name": "Cluster", "enabled": "on", "create_limit": "5", "timezone": "UTC", "cron": "0 4 * * *"}
    assert operator.post(f"{BASE}/pingkey/add/", values).status_code == 302
    row = PingKey.objects.get()
    old = row.key
    page = text_of(operator, f"{BASE}/pingkey/{row.pk}/")
    assert f"/ping/k/{old}/" in page
    assert "0 4 * * * (UTC)" in page
    operator.post(f"{BASE}/pingkey/{row.pk}/do/renew/")
    row = PingKey.objects.get()
    assert row.key != old
    assert "0 of 5" in text_of(operator, f"{BASE}/pingkey/")
    assert operator.post(f"{BASE}/pingkey/{row.pk}/change/", {**values, "create_limit": "7"}).status_code == 302
    assert operator.post(f"{BASE}/pingkey/add/", values).status_code == 422  # the name is taken
    assert operator.post(f"{BASE}/pingkey/{row.pk}/delete/").status_code == 302
    assert not PingKey.objects.exists()


def test_badge_is_made_from_the_page_of_its_thing_and_revoked(operator: Client) -> None:
    heartbeat = make_heartbeat(name="Backup of db1")
    assert f"kind=heartbeat&amp;subject={heartbeat.pk}" in text_of(operator, f"{BASE}/heartbeat/{heartbeat.pk}/")
    values = {"kind": "heartbeat", "subject": "Backup of db1", "shows": "uptime", "days": "7", "label": "backups"}
    assert operator.post(f"{BASE}/badge/add/", values).status_code == 302
    row = Badge.objects.get()
    assert (row.subject, row.days) == (str(heartbeat.pk), 7)
    page = text_of(operator, f"{BASE}/badge/{row.pk}/")
    assert f"/badge/{row.token}.svg" in page
    assert "Backup of db1" in page
    assert f"/badge/{row.token}.svg" in text_of(operator, f"{BASE}/heartbeat/{heartbeat.pk}/")
    assert "Backup of db1" in text_of(operator, f"{BASE}/badge/")
    operator.post(f"{BASE}/badge/{row.pk}/delete/")
    assert Client().get(f"/badge/{row.token}.svg").status_code == 404


def test_badge_list_costs_the_same_for_few_and_many(operator: Client) -> None:
    counts = []
    for more in (2, 20):
        for _ in range(more):
            make_badge("heartbeat", str(make_heartbeat().pk))
        with CaptureQueriesContext(connection) as queries:
            text_of(operator, f"{BASE}/badge/")
        counts.append(len([query for query in queries if "monitors_" in query["sql"]]))
    assert counts[0] == counts[1]
