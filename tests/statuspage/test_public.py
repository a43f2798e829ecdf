"""What visitors get: the page, JSON, feeds; no private name in any of them; served from memory and from copies."""

import json
import re
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.conf import settings as django_settings
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.statuspage import boards, services
from apps.statuspage.hot import DomainRoot, StatusApplication, parse
from apps.statuspage.models import Component, Page, StatusVersion
from apps.statuspage.selectors.public import pages_facts
from tests.factories.monitors import make_endpoint, record
from tests.factories.statuspage import ACTOR, make_component, make_notice, make_page
from tests.support.console import inline_scripts

pytestmark = pytest.mark.django_db

SECRETS = ("canary-monitor", "canary-target", "canary-error", "canary-author", "canary-note", "canary-hidden")


def told_page(**values: Any) -> Page:
    """Return a page with a component that is down, behind which everything has a telling name."""
    page = make_page(name="ACME Cloud", **values)
    endpoint = make_endpoint(name="canary-monitor", target="http://127.0.0.1:9/canary-target", tags=["canary-target"])
    record(endpoint, "up")
    record(endpoint, "down", error="canary-error: connection refused")
    component = make_component(page, endpoint, name="Web shop")
    hidden = make_component(page, name="canary-hidden", visible=False)
    services.update_component(
        component_id=component.id, actor=ACTOR,
        values={"override_status": "partial_outage", "override_note": "canary-note"},
    )  # fmt: skip
    Page.objects.filter(pk=page.pk).update(intro="Ask us anything.")
    make_notice(page, publish=True, components=[component, hidden], title="Payments fail")
    now = timezone.now()
    make_notice(
        page, publish=True, kind="maintenance", title="New database", components=[component],
        starts_at=now + timedelta(days=1), ends_at=now + timedelta(days=1, hours=2),
    )  # fmt: skip
    make_notice(page, title="canary-hidden draft")
    return page


async def ask(
    path: str, *, app: Any = None, method: str = "GET", address: str = "203.0.113.7", **headers: str
) -> dict[str, Any]:
    """Return what the hot application answers; {} where it hands the request on."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"host": "localhost", **headers}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "client": (address, 1),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
        "state": {},
    }
    await (app or StatusApplication())(scope, receive, send)
    if scope["state"].get("pass"):  # type: ignore[attr-defined]
        return {}
    return {
        "status": sent[0]["status"],
        "headers": {name.decode(): value.decode() for name, value in sent[0]["headers"]},
        "body": b"".join(message.get("body", b"") for message in sent[1:]),
    }


def test_page_says_how_things_are_without_scripts_or_cookies(client: Client) -> None:
    told_page()
    answer = client.get("/status")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "Partial System Outage" in page
    for word in ("ACME Cloud", "Web shop", "Payments fail", "We look into it.", "New database", "Partial outage"):
        assert word in page, word
    assert not answer.cookies
    assert inline_scripts(page) == []
    assert re.findall(r"""(?:src|href)=["']?(https?:|//)""", page) == []


def test_no_private_name_leaves_the_house(client: Client) -> None:
    page = told_page()
    for path in ("", ".json", "/feed.atom", "/history", "/calendar.ics"):
        content = client.get(f"/status{path}").content.decode()
        assert "Web shop" in content or path == ".json", path
        assert [secret for secret in SECRETS if secret in content] == [], path
        ids = [
            str(page.pk),
            *(str(row.pk) for row in page.components.all()),
            *(str(row.pk) for row in page.notices.all()),
        ]
        assert [one for one in ids if one in content] == [], path


def test_json_has_the_shape_that_is_promised(client: Client) -> None:
    told_page()
    answer = client.get("/status.json")
    data = answer.json()
    assert (data["global_status"], data["global_message"]) == ("partial_outage", "Partial System Outage")
    (component,) = data["components"]
    assert (component["name"], component["status"]) == ("Web shop", "partial_outage")
    assert len(component["days"]) == 90
    assert component["days"][-1]["date"] == timezone.now().date().isoformat()
    assert [one["title"] for one in data["active_incidents"]] == ["Payments fail"]
    assert [one["title"] for one in data["upcoming_maintenance"]] == ["New database"]
    assert answer["Content-Type"] == "application/json"


def test_bars_tell_no_data_from_good_days(client: Client) -> None:
    told_page()
    page = client.get("/status").content.decode()
    bars = re.findall(r'<i class="(\w+)" title="([^"]+)"', page)
    assert len(bars) == 90
    assert {tone for tone, _ in bars[:-1]} == {"none"}
    assert "no data" in bars[0][1]


def test_feed_is_valid_atom(client: Client) -> None:
    page = told_page()
    services.add_update(
        notice_id=page.notices.get(title="Payments fail").pk, state="identified", message="A & B <c>", actor=ACTOR
    )
    root = ElementTree.fromstring(client.get("/status/feed.atom").content)
    name = "{http://www.w3.org/2005/Atom}"
    assert root.tag == f"{name}feed"
    for required in ("id", "title", "updated"):
        assert root.findtext(name + required), required
    entries = root.findall(f"{name}entry")
    assert {entry.findtext(f"{name}title") for entry in entries} == {
        "Payments fail (Identified)",
        "New database (Scheduled)",
    }
    ids = [entry.findtext(f"{name}id") for entry in entries]
    assert len(set(ids)) == len(ids) == 2
    for entry in entries:
        assert timezone.datetime.fromisoformat(entry.findtext(f"{name}updated"))  # type: ignore[attr-defined]
        assert entry.find(f"{name}link").attrib["href"].startswith(django_settings.PUBLIC_URL)  # type: ignore[union-attr]
        assert entry.findtext(f"{name}content")
    assert "A & B <c>" in "".join(entry.findtext(f"{name}content") or "" for entry in entries)


def test_calendar_has_the_maintenance_in_folded_lines(client: Client) -> None:
    page = make_page()
    now = timezone.now()
    make_notice(
        page, publish=True, kind="maintenance", title="Größere Arbeiten, Teil 1; " + "und mehr " * 15,
        starts_at=now + timedelta(days=1), ends_at=now + timedelta(days=2),
    )  # fmt: skip
    content = client.get("/status/calendar.ics").content
    lines = content.split(b"\r\n")
    assert lines[0] == b"BEGIN:VCALENDAR"
    assert lines[-2:] == [b"END:VCALENDAR", b""]
    assert max(len(line) for line in lines) <= 75
    unfolded = content.replace(b"\r\n ", b"").decode()
    assert "SUMMARY:Größere Arbeiten\\, Teil 1\\; und mehr" in unfolded
    assert f"DTSTART:{now + timedelta(days=1):%Y%m%dT%H%M%SZ}" in unfolded


def test_draft_shows_nowhere_until_a_person_publishes_it(client: Client) -> None:
    page = make_page()
    notice = make_notice(page, title="Only a draft")
    assert all(
        "Only a draft" not in client.get(f"/status{one}").content.decode() for one in ("", ".json", "/feed.atom")
    )
    services.publish_notice(notice_id=notice.id, actor=ACTOR)
    assert all("Only a draft" in client.get(f"/status{one}").content.decode() for one in ("", ".json", "/feed.atom"))


def test_unpublished_page_is_404_and_so_is_an_unknown_one(client: Client) -> None:
    assert client.get("/status").status_code == 404
    make_page(slug="inside", published=False)
    for path in ("/status", "/status/inside", "/status.json", "/status/nothing"):
        assert client.get(path).status_code == 404, path


def test_host_picks_the_page_of_its_domain(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    make_page(name="Main")
    make_page(name="Other", slug="other", domain="status.example.org")
    assert "Main" in client.get("/status").content.decode()
    assert "Other" in client.get("/status", HTTP_HOST="status.example.org:8000").content.decode()
    assert "Other" in client.get("/status/other").content.decode()


def test_page_for_some_networks_is_shown_to_nobody_else_and_never_cached(client: Client) -> None:
    make_page(name="Inside only", allowed_networks=["10.0.0.0/8"])
    assert client.get("/status", REMOTE_ADDR="192.0.2.1").status_code == 404
    answer = client.get("/status", REMOTE_ADDR="10.1.2.3")
    assert (answer.status_code, answer["Cache-Control"]) == (200, "private, no-store")


def test_facts_take_as_many_queries_for_many_components_as_for_few() -> None:
    page = make_page()

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            pages_facts(timezone.now())
        return len(captured)

    make_component(page)
    make_notice(page, publish=True)
    few = count()
    for _ in range(5):
        make_component(page)
        make_notice(page, publish=True)
    assert count() == few


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/status", (None, "page")),
        ("/status/", (None, "page")),
        ("/status.json", (None, "json")),
        ("/status/feed.atom", (None, "feed")),
        ("/status/history", (None, "history")),
        ("/status/acme", ("acme", "page")),
        ("/status/acme/status.json", ("acme", "json")),
        ("/status/acme/history/", ("acme", "history")),
        ("/status/events", None),
        ("/status/subscribe/", None),
        ("/status/confirm", None),
        ("/status.html", None),
        ("/statusx", None),
        ("/status/acme.json", None),
        ("/status/status.json", None),
    ],
)
def test_paths_are_known_or_handed_on(path: str, expected: Any) -> None:
    assert parse(path) == expected


@pytest.mark.django_db(transaction=True)
async def test_short_way_answers_as_django_does_and_knows_what_the_visitor_has(async_client: Any) -> None:
    from asgiref.sync import sync_to_async

    await sync_to_async(told_page)()
    twin = await async_client.get("/status")
    first = await ask("/status")
    assert (first["status"], first["body"]) == (200, twin.content)
    again = await ask("/status", if_none_match=first["headers"]["etag"])
    assert (again["status"], again["body"]) == (304, b"")
    packed = await ask("/status", accept_encoding="gzip, br")
    assert packed["headers"]["content-encoding"] == "gzip"
    assert len(packed["body"]) < len(first["body"]) / 3
    assert await ask("/status", method="POST") == {}
    assert await ask("/status/events") == {}
    assert (await ask("/status/nothing"))["status"] == 404
    head = await ask("/status", method="HEAD")
    assert (head["status"], head["body"]) == (200, b"")
    assert head["headers"]["content-length"] == str(len(first["body"]))


@pytest.mark.django_db(transaction=True)
async def test_bare_address_of_a_domain_leads_to_its_page() -> None:
    from asgiref.sync import sync_to_async

    await sync_to_async(make_page)(domain="status.example.org")
    await sync_to_async(boards.store.refresh)()
    led = await ask("/", app=DomainRoot(), host="status.example.org")
    assert (led["status"], led["headers"]["location"]) == (302, "/status")
    assert await ask("/", app=DomainRoot(), host="localhost") == {}
    assert await ask("/admin/", app=DomainRoot(), host="status.example.org") == {}


def test_page_is_drawn_again_only_where_something_changed() -> None:
    page = make_page()
    store = boards.BoardStore()
    store.refresh()
    first = store.boards
    store.refresh()
    assert store.boards is first
    before = StatusVersion.objects.get().token
    make_notice(page, publish=True, title="Something new")
    assert StatusVersion.objects.get().token != before
    store.refresh()
    assert store.boards is not None
    assert b"Something new" in store.boards.by_slug[page.slug].bodies["page"].content


def test_copies_are_written_on_each_change_and_serve_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = told_page(slug="acme", allowed_networks=["10.0.0.0/8"])
    services.set_logo(
        page_id=page.pk, body=b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>', actor=ACTOR
    )
    store = boards.BoardStore()
    store.refresh()
    assert store.boards is not None
    drawn = store.boards.by_slug["acme"]
    assert (boards.folder() / "acme" / "index.html").read_bytes() == drawn.bodies["page"].content
    assert json.loads((boards.folder() / "acme" / "status.json").read_bytes())["global_status"] == "partial_outage"

    def broken(*_: Any, **__: Any) -> Any:
        raise DatabaseError("the database is away")

    with connection.execute_wrapper(broken):
        store.refresh()
        assert store.is_stale
        assert store.boards.by_slug["acme"] is drawn  # this process still has it in memory
        fresh = boards.BoardStore()  # one that starts now has not
        fresh.refresh()
        assert fresh.boards is not None
        served = fresh.boards.find(None, "localhost")
    assert served is not None
    assert {name: one.content for name, one in served.bodies.items()} == {
        name: one.content for name, one in drawn.bodies.items()
    }
    assert (served.may_read("10.1.1.1"), served.may_read("192.0.2.1")) == (True, False)
    store.refresh()
    assert not store.is_stale


def test_process_that_starts_serves_the_copies_at_once_and_what_is_true_after_its_first_look() -> None:
    page = make_page(name="Before")
    boards.BoardStore().refresh()
    services.update_page(page_id=page.pk, values={"name": "After"}, actor=ACTOR)
    store = boards.BoardStore()
    store.preload()
    assert store.boards is not None
    assert b"Before" in store.boards.by_slug[page.slug].bodies["page"].content
    store.refresh()
    assert b"After" in store.boards.by_slug[page.slug].bodies["page"].content


def test_poisoned_rows_take_no_other_page_along(client: Client) -> None:
    make_page(name="Good")
    for slug, values in (("shut", {"allowed_networks": ["nonsense"]}), ("odd", {"domain": "[x"})):
        page = make_page(slug=slug)
        Page.objects.filter(pk=page.pk).update(**values)
    lost = make_component(make_page(slug="lost"), name="Lost")
    Component.objects.filter(pk=lost.pk).update(source_id="no uuid")
    services.refresh_components()
    assert "Good" in client.get("/status").content.decode()
    assert client.get("/status/shut").status_code == 404
    assert client.get("/status/odd").status_code in (200, 404)
    assert client.get("/status/lost/status.json").json()["components"][0]["status"] == "no_data"


def test_without_copies_and_database_there_is_just_no_page() -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise DatabaseError("the database is away")

    with connection.execute_wrapper(broken):
        fresh = boards.BoardStore()
        assert fresh.current().find(None, "localhost") is None


def test_history_holds_what_ended_and_the_front_page_the_last_week(client: Client) -> None:
    page = make_page()
    now = timezone.now()
    for title, days in (("Yesterday", 1), ("Last month", 40), ("Long ago", 120)):
        notice = make_notice(page, publish=True, title=title)
        services.add_update(notice_id=notice.pk, state="resolved", message="Done.", actor=ACTOR)
        at = now - timedelta(days=days)
        page.notices.filter(pk=notice.pk).update(starts_at=at, ended_at=at)
    services.update_page(page_id=page.pk, values={"intro": "x"}, actor=ACTOR)
    front, history = client.get("/status").content.decode(), client.get("/status/history").content.decode()
    assert [title in front for title in ("Yesterday", "Last month", "Long ago")] == [True, False, False]
    assert [title in history for title in ("Yesterday", "Last month", "Long ago")] == [True, True, False]
