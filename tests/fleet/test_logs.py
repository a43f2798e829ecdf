"""Log lines: what is kept of what comes, who may send and see it, and how it is found."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core import runtime_settings
from apps.core.principals import system
from apps.fleet import log_retention
from apps.fleet.logs.entries import MESSAGE_BYTES
from apps.fleet.logs.words import matches, parse_words, places
from apps.fleet.models import LogEntry, LogState, Server
from apps.fleet.selectors import logs as selectors
from apps.fleet.services import create_server, delete_server
from tests.factories.accounts import client_as, client_with_key, make_api_key, make_user
from tests.factories.fleet import iso, make_server, now_ms
from tests.factories.logs import write_log
from tests.support.console import console_as

pytestmark = pytest.mark.django_db


@pytest.fixture
def web() -> Server:
    return make_server("web")


def messages(client: Any, **query: Any) -> list[str]:
    answer = client.get("/api/v1/logs", query)
    assert answer.status_code == 200, answer.content
    return [entry["message"] for entry in answer.json()["entries"]]


def test_good_lines_are_kept_and_each_bad_one_is_named(web: Server) -> None:
    entries: list[Any] = [
        {"message": "fine"},
        {"message": 5},
        "no object",
        {"message": "x", "level": "loud"},
        {"message": "x", "source": "syslog"},
        {"message": "x", "timestamp": "yesterday"},
        {"message": "x", "timestamp": iso(now_ms() - 400 * 86_400_000)},
        {"message": "x", "fields": [1]},
        {"message": "x", "agent_id": "nobody"},
        {"message": "fine too", "level": "WARN", "fields": {"n": 1, "password": "hush"}},
    ]
    key = make_api_key(make_user("operator"), role="operator")[1]
    answer = client_with_key(key).post("/api/v1/logs?agent_id=web", entries, format="json")
    assert answer.status_code == 202, answer.content
    body = answer.json()
    assert body["accepted"] == 2 and [one["index"] for one in body["refused"]] == list(range(1, 9))
    reasons = " ".join(one["reason"] for one in body["refused"])
    for word in ("message", "level", "source", "timestamp", "older", "fields", "agent_id"):
        assert word in reasons
    found = client_as("viewer").get("/api/v1/logs", {"q": "fine too"}).json()["entries"]
    assert [(one["level"], one["fields"]) for one in found] == [("warning", {"n": "1", "password": "***"})]
    assert LogState.objects.get(server=web).lines == 2


@pytest.mark.parametrize(
    ("body", "status"), [({}, 422), ("text", 422), ([{"message": "x"}] * 5001, 413)], ids=["object", "text", "many"]
)
def test_push_of_another_kind_is_refused_as_a_whole(body: Any, status: int) -> None:
    assert client_as("operator").post("/api/v1/logs", body, format="json").status_code == status
    assert not LogEntry.objects.exists()


def test_key_of_a_server_writes_and_reads_that_one_alone(web: Server) -> None:
    other = make_server("other")
    write_log(other, "of the other")
    client = client_with_key(make_api_key(make_user("operator"), server_id=str(web.id))[1])
    lines = [{"message": "mine"}, {"message": "mine too", "agent_id": "web"}, {"message": "x", "agent_id": "other"}]
    answer = client.post("/api/v1/logs", lines, format="json").json()
    assert answer["accepted"] == 2 and "another server" in answer["refused"][0]["reason"]
    assert set(messages(client)) == {"mine", "mine too"}
    assert client.get("/api/v1/logs", {"agent_id": "other"}).status_code == 404
    assert client_as("viewer").post("/api/v1/logs", lines, format="json").status_code == 403


def test_line_sent_twice_is_stored_once(web: Server) -> None:
    line = {"message": "once", "source": "journal", "source_name": "ssh.service", "entry_id": "s=1;i=2"}
    assert write_log(web, line, line).accepted == 2
    assert write_log(web, line, {**line, "source_name": "cron.service"}).accepted == 2
    assert LogEntry.objects.count() == 2 and LogState.objects.get(server=web).lines == 2
    assert write_log(make_server("twin"), line).accepted == 1
    assert LogEntry.objects.count() == 3


def test_secrets_are_masked_before_anything_is_written(web: Server) -> None:
    write_log(
        web,
        "login password=hunter2secret ok",
        'POST {"api_key": "abcdef123456"}',
        "fetch https://bob:tr0ub4dor@example.org/x",
        "Authorization: Bearer abcdefghijkl",
    )
    kept = "\n".join(LogEntry.objects.values_list("message", flat=True))
    for secret in ("hunter2secret", "abcdef123456", "tr0ub4dor", "abcdefghijkl"):
        assert secret not in kept
    assert kept.count("***") == 4 and "example.org/x" in kept
    assert messages(client_as("viewer"), q="hunter2secret") == []


def test_what_no_database_takes_is_replaced_and_what_is_too_long_cut(web: Server) -> None:
    colour = "\x1b[31mred\x1b[0m"
    long = "é" * MESSAGE_BYTES
    assert write_log(web, "nul\0 \ud800 end", colour, {"message": long, "fields": {"a": "x" * 5000}}).accepted == 3
    entries = client_as("viewer").get("/api/v1/logs").json()["entries"]
    cut = next(one for one in entries if one["truncated"])
    assert len(cut["message"].encode()) <= MESSAGE_BYTES and cut["message"].startswith("ééé")
    assert len(cut["fields"]["a"]) == 1000
    assert colour in [one["message"] for one in entries]  # raw; pages make it harmless
    assert [one["message"] for one in entries if "end" in one["message"]] == ["nul\ufffd ? end"]


def test_clock_far_ahead_is_marked_and_does_not_stay_on_top(web: Server) -> None:
    write_log(web, {"message": "ahead", "timestamp": iso(now_ms() + 30 * 86_400_000)})
    write_log(
        web, {"message": "soon", "timestamp": now_ms() + 60_000}, {"message": "old", "timestamp": now_ms() / 1000 - 60}
    )
    entries = client_as("viewer").get("/api/v1/logs").json()["entries"]
    assert [one["message"] for one in entries] == ["soon", "ahead", "old"]
    assert [one["clock_ahead_s"] for one in entries] == [None, 30 * 86_400, None]


WORDS = [
    ("disk", {"disk full on web-1", "the disk is fine"}),
    ("DISK full", {"disk full on web-1"}),
    ('"disk full"', {"disk full on web-1"}),
    ('"full disk"', set()),
    ("disk -full", {"the disk is fine"}),
    ("-disk", {"GET /api/orders 500", "Grüße aus dem Log"}),
    ("web-1", {"disk full on web-1"}),
    ("/api/orders", {"GET /api/orders 500"}),
    ("ord*", {"GET /api/orders 500"}),
    ("ord", set()),
    ("grüße", {"Grüße aus dem Log"}),
    ("500 orders", {"GET /api/orders 500"}),
    ("it's -fine", set()),
]


@pytest.mark.parametrize(("query", "expected"), WORDS, ids=[query for query, _ in WORDS])
def test_words_are_found_by_the_index_as_by_rules(web: Server, query: str, expected: set[str]) -> None:
    lines = ["disk full on web-1", "the disk is fine", "GET /api/orders 500", "Grüße aus dem Log"]
    write_log(web, *lines)
    assert set(messages(client_as("viewer"), q=query)) == expected
    assert {line for line in lines if matches(parse_words(query), line)} == expected


def test_highlights_say_where_the_words_stand() -> None:
    assert places(parse_words('full web-1 "on we"'), "Disk FULL on web-1") == [(5, 9), (13, 18)]
    assert places(parse_words("a -b"), "a b a") == [(0, 1), (4, 5)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"q": "***"}, "q"),
        ({"q": "x" * 501}, "q"),
        ({"level": "loud"}, "level"),
        ({"source": "syslog"}, "source"),
        ({"from": "soon"}, "from"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "from"),
        ({"limit": "-1"}, "limit"),
        ({"cursor": "zzz"}, "cursor"),
    ],
)
def test_filter_of_the_wrong_form_is_named(query: dict[str, str], field: str) -> None:
    answer = client_as("viewer").get("/api/v1/logs", query)
    assert answer.status_code == 422 and field in json.dumps(answer.json())


def test_filters_narrow_and_pages_join_without_gap_or_repeat(web: Server) -> None:
    at = now_ms() - 1000
    other = make_server("db")
    for n in range(25):
        level = "error" if n % 5 == 0 else "info"
        name = "nginx" if n % 2 else "cron"
        line = {
            "message": f"line {n}",
            "timestamp": at + n // 3,
            "level": level,
            "source": "docker",
            "source_name": name,
        }
        write_log(web if n < 20 else other, line)
    client = client_as("viewer")
    assert messages(client, level="error,critical") == [f"line {n}" for n in (20, 15, 10, 5, 0)]
    assert messages(client, agent_id="db", source="docker", source_name="nginx") == ["line 23", "line 21"]
    assert messages(client, source="journal") == []
    assert messages(client, **{"from": iso(at + 8)}) == ["line 24"]
    assert messages(client, to=iso(at + 1)) == ["line 2", "line 1", "line 0"]
    assert messages(client, limit=2, offset=1) == ["line 23", "line 22"]
    found: list[str] = []
    address: str | None = "/api/v1/logs?limit=7&q=line"
    while address:
        answer = client.get(address)
        assert answer.json()["total"] == 25 and answer["X-Total-Count"] == "25"
        found += [entry["message"] for entry in answer.json()["entries"]]
        address = answer.json()["next"]
    assert found == [f"line {n}" for n in reversed(range(25))]


def test_list_takes_the_same_queries_for_any_number_of_lines_and_servers(web: Server) -> None:
    client = client_as("viewer")

    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            messages(client, q="line")
        return len(queries)

    write_log(web, "line")
    count()
    few = count()
    for n in range(5):
        write_log(make_server(f"s{n}"), *(f"line {m}" for m in range(10)))
    assert count() == few


def test_context_is_of_the_same_source(web: Server) -> None:
    at = now_ms() - 1000
    for n in range(9):
        write_log(web, {"message": f"a{n}", "timestamp": at + n, "source_name": "a"})
        write_log(web, {"message": f"b{n}", "timestamp": at + n, "source_name": "b"})
    client = client_as("viewer")
    line = client.get("/api/v1/logs", {"q": "a4"}).json()["entries"][0]["id"]
    body = client.get(f"/api/v1/logs/{line}/context", {"before": 2, "after": 1}).json()
    assert [one["message"] for one in body["entries"]] == ["a2", "a3", "a4", "a5"]
    for wrong in ("1", "x", "9" * 30, "-1", "²"):
        assert client.get(f"/api/v1/logs/{wrong}/context").status_code == 404


def test_lines_go_by_age_by_size_and_with_their_server(web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    now = now_ms()
    write_log(web, {"message": "late", "timestamp": now - 2 * 86_400_000}, "news")
    change = {"retention.logs": 86_400, "retention.logs_mib_per_server": 1}
    runtime_settings.change_settings(values=change, actor=system("test"))
    runtime_settings.forget()
    assert log_retention.prune_logs(500) == 1
    assert list(LogEntry.objects.values_list("message", flat=True)) == ["news"]
    assert LogState.objects.get(server=web).lines == 1
    monkeypatch.setattr(log_retention, "MIB", 2000)
    write_log(web, *(f"{n} " + "x" * 500 for n in range(20)))
    while log_retention.prune_logs(2):
        pass
    state = LogState.objects.get(server=web)
    assert 0 < state.bytes <= 2000 and state.lines == LogEntry.objects.count()
    newest = LogEntry.objects.order_by("-id").values_list("message", flat=True)[0]
    assert newest.startswith("19 ")
    volume = client_as("viewer").get("/api/v1/logs/volumes").json()["servers"]
    assert [(one["agent_id"], one["bytes"]) for one in volume] == [("web", state.bytes)]
    delete_server(actor=system("test"), server=web)
    log_retention.prune_logs(500)
    assert not LogEntry.objects.exists()
    write_log(create_server(actor=system("test"), name="again"), "x")
    assert messages(client_as("viewer"), q="19") == []  # gone from the index too


def test_of_many_lines_only_so_many_are_counted(web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors, "COUNT_MOST", (4, 2))
    write_log(web, *(f"line {n}" for n in range(6)))
    client = client_as("viewer")
    answers = {q: client.get("/api/v1/logs", {"q": q}) for q in ("", "line", "line -5", "-5", "-line", "5")}
    totals = {q: answer.json()["total"] for q, answer in answers.items()}
    assert totals == {"": 4, "line": 4, "line -5": 4, "-5": 4, "-line": 0, "5": 1}
    inexact = [q for q, answer in answers.items() if answer.get("X-Total-Count-Exact") == "false"]
    assert inexact == ["", "line", "line -5", "-5"]


SEARCHES: list[dict[str, Any]] = [
    {"q": "-line"},
    {"q": "-5"},
    {"q": "line -even"},
    {"q": "even", "agent_id": "db"},
    {"q": "even", "source_name": "cron"},
    {"level": "debug"},
    {"source": "docker", "q": "lin*"},
    {"agent_id": "web", "source_name": "cron"},
    {"q": "odd", "offset": 7},
    {"offset": 1000},
]


@pytest.mark.parametrize("asked", SEARCHES, ids=str)
def test_search_without_time_goes_on_from_page_to_page_and_finds_the_same(
    web: Server, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    other = make_server("db")
    for n in range(60):
        line = {"message": f"line {n} {'odd' if n % 2 else 'even'}", "source_name": "cron" if n % 5 else "nginx"}
        line |= {"level": "debug" if n % 11 == 3 else "info", "source": "docker" if n % 7 == 1 else "journal"}
        write_log(other if n % 3 else web, line)
    client = client_as("viewer")
    whole = messages(client, **asked)
    for name, value in {"PAGE_MS": 0, "COUNT_MS": 0, "WALK_MS": 0, "STEP": 4}.items():
        monkeypatch.setattr(selectors, name, value)
    found: list[str] = []
    looked_to: list[str] = []
    answer = client.get("/api/v1/logs", {"limit": 3, **asked}).json()
    while True:
        found += [entry["message"] for entry in answer["entries"]]
        looked_to += [answer["looked_to"]] if answer["looked_to"] else []
        if answer["next"] is None:
            break
        answer = client.get(answer["next"]).json()
    assert found == whole
    assert looked_to == sorted(looked_to, reverse=True) and looked_to


def test_search_without_time_says_so_in_its_total(web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    write_log(web, *(f"line {n}" for n in range(10)))
    for name, value in {"PAGE_MS": 0, "COUNT_MS": 0, "WALK_MS": 0, "STEP": 4}.items():
        monkeypatch.setattr(selectors, name, value)
    answer = client_as("viewer").get("/api/v1/logs", {"q": "-8"})
    assert [one["message"] for one in answer.json()["entries"]] == ["line 9", "line 7", "line 6"]
    assert answer.json()["total"] == 3 and answer["X-Total-Count-Exact"] == "false"
    page = console_as("viewer").get("/admin/logs/?q=-8").content.decode()
    assert "At least 3 lines" in page and "looked at one by one" in page and "Look further back" in page
    page = console_as("viewer").get("/admin/logs/?q=-line").content.decode()
    assert "No line so far" in page and "No line fits so far" in page and "Look further back" in page
