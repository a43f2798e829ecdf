"""The log's pages: what they show, what they make harmless, and the forms of rules."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.fleet.admin import logs
from apps.fleet.logs.shown import harmless, marked
from apps.fleet.logs.words import parse_words
from apps.fleet.models import LogRule, Server
from tests.factories.fleet import make_server
from tests.factories.logs import make_log_rule, write_log
from tests.support.console import console_as

pytestmark = pytest.mark.django_db


@pytest.fixture
def web() -> Server:
    return make_server("web")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1b]0;title\x07b", "ab"),
        ("bell\x07", "bell\u2407"),
        ("over\rwritten", "over\u240dwritten"),
        ("tab\tand\nbreak", "tab\tand\nbreak"),
        ("txt.\u202egpj", "txt.\ufffdgpj"),
        ("unfinished \x1b[31", "unfinished \u241b[31"),
    ],
)
def test_what_could_do_harm_on_a_screen_does_not(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_marks_stand_around_the_words_and_nothing_else_is_markup() -> None:
    shown = marked("<b>disk</b> \x1b[1mDisk\x1b[0m & more", parse_words("disk"))
    assert shown == "&lt;b&gt;<mark>disk</mark>&lt;/b&gt; <mark>Disk</mark> &amp; more"


def test_page_of_an_empty_log_says_how_to_send(web: Server) -> None:
    page = console_as("operator").get("/admin/logs/").content.decode()
    assert "No log line yet" in page and "/api/v1/logs" in page and "X-API-Key" in page
    write_log(web, "x")
    page = console_as("viewer").get("/admin/logs/?q=nothing").content.decode()
    assert "No line fits" in page


def test_page_finds_marks_and_leads_to_the_lines_around(web: Server) -> None:
    write_log(web, {"message": "disk <full>", "level": "error", "fields": {"unit": "<x>"}}, "all is well")
    client = console_as("viewer")
    page = client.get("/admin/logs/?q=disk&level=error&server=web&span=3600").content.decode()
    assert "<mark>disk</mark> &lt;full&gt;" in page and "&lt;x&gt;" in page and "all is well" not in page
    assert "level=error" in page.split('data-stream="')[1].split('"')[0]
    address = page.split('class="at" href="')[1].split('"')[0]
    around = client.get(address).content.decode()
    assert "all is well" in around and "is-chosen" in around
    assert client.get("/admin/logs/1/").status_code == 404
    assert "disk &lt;full&gt;" in client.get(f"/admin/fleet/server/{web.pk}/").content.decode()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("q=***", 422),
        ("server=nobody", 422),
        ("before=x&span=y&level=loud&source=syslog", 200),
        ("before=99999999999999999999&span=999999999999", 200),
        ("span=²&before=²", 200),
    ],
)
def test_page_bears_any_query(web: Server, query: str, status: int) -> None:
    assert console_as("viewer").get(f"/admin/logs/?{query}").status_code == status


def test_pages_lead_to_older_lines(web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LINES", 3)
    write_log(web, *(f"line {n}" for n in range(5)))
    client = console_as("viewer")
    page = client.get("/admin/logs/?q=line").content.decode()
    address = page.split('class="wk-button" href="?q=line')[1].split('"')[0]
    older = client.get("/admin/logs/?q=line" + address.replace("&amp;", "&")).content.decode()
    assert [f"line</mark> {n}<" in older for n in range(5)] == [True, True, False, False, False]


def test_page_takes_the_same_queries_for_any_number_of_lines(web: Server) -> None:
    client = console_as("viewer")

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/admin/logs/").status_code == 200
        return len(queries)

    write_log(web, "line")
    count()
    few = count()
    for n in range(4):
        write_log(make_server(f"s{n}"), *(f"line {m}" for m in range(10)))
    assert count() == few


def test_rules_are_added_changed_and_removed(web: Server) -> None:
    client = console_as("operator")
    values: dict[str, Any] = {
        "name": "OOM", "kind": "words", "pattern": "oom", "levels": ["error"], "server": "", "tag": "", "source": "",
        "source_name": "", "count": "1", "window_s": "5m", "severity": "critical", "quiet_s": "10m", "enabled": "on",
    }  # fmt: skip
    wrong = client.post("/admin/fleet/logrule/add/", {**values, "kind": "regex", "pattern": "("})
    assert wrong.status_code == 422 and "not a regular expression" in wrong.content.decode()
    assert client.post("/admin/fleet/logrule/add/", values).status_code == 302
    rule = LogRule.objects.get()
    assert (rule.window_s, rule.levels, rule.server) == (300, ["error"], None)
    write_log(web, {"message": "oom", "level": "error"})
    assert "open on web" in client.get("/admin/fleet/logrule/").content.decode()
    page = client.get(f"/admin/fleet/logrule/{rule.pk}/").content.decode()
    assert "open on web" in page
    changed = client.post(f"/admin/fleet/logrule/{rule.pk}/change/", {**values, "server": str(web.pk)})
    assert changed.status_code == 302
    rule.refresh_from_db()
    assert rule.server == web
    assert client.post(f"/admin/fleet/logrule/{rule.pk}/delete/").status_code == 302
    assert not LogRule.objects.exists()


def test_viewer_sees_rules_and_changes_none() -> None:
    rule = make_log_rule()
    client = console_as("viewer")
    assert client.get("/admin/fleet/logrule/").status_code == 200
    assert client.get("/admin/fleet/logrule/add/").status_code == 403
    assert client.post(f"/admin/fleet/logrule/{rule.pk}/delete/").status_code == 403
