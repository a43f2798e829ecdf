"""Rules about log lines: what counts, when it is told, and how it ends."""

from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from apps.alerts.models import Alert
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.models import LogEntry, LogRule, LogRuleState, Server
from apps.fleet.services import delete_server, update_server
from apps.fleet.services.log_rules import (
    delete_log_rule,
    end_quiet_alerts,
    forget_rules,
    is_reached,
    update_log_rule,
)
from tests.factories.accounts import client_as
from tests.factories.alerts import run_spine
from tests.factories.fleet import make_server, now_ms
from tests.factories.logs import make_log_rule, write_log

pytestmark = pytest.mark.django_db
ACTOR = system("test")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    forget_rules()


@pytest.fixture
def web() -> Server:
    return make_server("web", tags=["front"])


def told() -> list[tuple[str, int]]:
    """Return (name, lines matched) of what was said about log rules."""
    rows = Event.objects.filter(name__in=("log.alert", "log.recovery")).order_by("id")
    return [(row.name, row.data["matched"]) for row in rows]


def test_lines_open_one_ordinary_alert_and_quiet_ends_it(web: Server) -> None:
    rule = make_log_rule(count=3, window_s=60, severity="critical", quiet_s=60)
    write_log(web, "error 1", "all is well", "error 2")
    assert told() == []
    write_log(web, "an Error again: password=hush123")
    run_spine()
    alert = Alert.objects.get()
    assert (alert.source, alert.kind, alert.subject_id, alert.level) == ("log", str(rule.id), str(web.id), "critical")
    assert alert.server_id == web.id and "front" in alert.tags and "hush123" not in alert.message
    assert alert.evidence["matched"] == 3 and LogEntry.objects.filter(id=int(alert.evidence["line_id"])).exists()
    write_log(web, "error 4")
    assert told() == [("log.alert", 3)]  # at most once a minute
    assert end_quiet_alerts(now_ms() + 30_000) == 0
    assert end_quiet_alerts(now_ms() + 61_000) == 1
    run_spine()
    alert.refresh_from_db()
    assert not alert.is_open and told()[-1] == ("log.recovery", 4)
    write_log(web, "error 5", "error 6")
    assert len(told()) == 2  # a new count has begun


def test_what_goes_on_is_told_again_after_a_minute(web: Server) -> None:
    make_log_rule()
    write_log(web, "error")
    run_spine()
    LogRuleState.objects.update(told_at=now_ms() - 61_000)
    write_log(web, "error", "error")
    assert told() == [("log.alert", 1), ("log.alert", 3)]


@pytest.mark.parametrize(
    ("values", "line", "counts"),
    [
        ({"pattern": '"out of memory"'}, {"message": "Out of memory: killed 5"}, True),
        ({"pattern": "error -test"}, {"message": "error in test"}, False),
        ({"pattern": "", "levels": ["error", "critical"]}, {"message": "x", "level": "fatal"}, True),
        ({"pattern": "", "levels": ["error"]}, {"message": "x", "level": "info"}, False),
        ({"pattern": r"status=5\d\d", "kind": "regex"}, {"message": "GET / status=503"}, True),
        ({"pattern": r"^x", "kind": "regex"}, {"message": "y x"}, False),
        ({"source": "docker"}, {"message": "error", "source": "journal"}, False),
        ({"source_name": "nginx"}, {"message": "error", "source_name": "nginx"}, True),
        ({"tag": "front"}, {"message": "error"}, True),
        ({"tag": "back"}, {"message": "error"}, False),
        ({"enabled": False}, {"message": "error"}, False),
    ],
)
def test_what_counts(web: Server, values: dict[str, Any], line: dict[str, Any], counts: bool) -> None:
    make_log_rule(**values)
    write_log(web, line)
    assert bool(told()) is counts


def test_each_server_counts_for_itself(web: Server) -> None:
    make_log_rule(count=2)
    make_log_rule("Only db", server=make_server("db"))
    write_log(web, "error")
    write_log(make_server("cache"), "error")
    assert told() == []


def test_window_goes_by_the_lines_own_time_in_any_order(web: Server) -> None:
    assert is_reached([0, 5, 9], 3, 9) and not is_reached([0, 5, 10], 3, 9) and not is_reached([1], 2, 99)
    make_log_rule(count=3, window_s=10)
    at = now_ms() - 3_600_000
    for seconds in (0, 20, 40, 25):
        write_log(web, {"message": "error", "timestamp": at + seconds * 1000})
    assert told() == []
    write_log(web, {"message": "error", "timestamp": at + 18_000})
    assert len(told()) == 1


def test_line_counts_once_and_not_at_all_where_it_was_not_written(web: Server) -> None:
    make_log_rule(count=2)
    line = {"message": "error", "entry_id": "1"}
    write_log(web, line, line)
    write_log(web, line)
    assert told() == []
    with transaction.atomic():
        write_log(web, "error")
        assert len(told()) == 1
        transaction.set_rollback(True)
    assert told() == [] and LogEntry.objects.count() == 1
    write_log(web, "error")
    assert told() == [("log.alert", 2)]


def test_expression_that_takes_too_long_is_switched_off_and_told_of(web: Server) -> None:
    rule = make_log_rule(kind="regex", pattern=r"(a|aa)+$")
    outcome = write_log(web, "a" * 60 + "!", "fine")
    assert outcome.accepted == 2
    rule.refresh_from_db()
    assert not rule.enabled and "50 ms" in rule.problem
    assert Event.objects.filter(name="system.alert", subject_id=str(rule.id)).exists()
    assert Event.objects.filter(name="log_rule.updated").exists()
    changed = update_log_rule(rule_id=rule.id, actor=ACTOR, values={"pattern": "a!$", "enabled": True})
    assert changed.problem == ""


def test_what_is_open_ends_with_its_rule_its_meaning_or_its_server(web: Server) -> None:
    rules = [make_log_rule(name) for name in ("one", "two", "three")]
    write_log(web, "error")
    run_spine()
    assert Alert.objects.unresolved().count() == 3
    update_log_rule(rule_id=rules[0].id, actor=ACTOR, values={"severity": "info"})
    assert len(told()) == 3
    update_log_rule(rule_id=rules[0].id, actor=ACTOR, values={"enabled": False})
    delete_log_rule(rule_id=rules[1].id, actor=ACTOR)
    run_spine()
    assert Alert.objects.unresolved().count() == 1
    delete_server(actor=ACTOR, server=web)
    run_spine()
    assert not Alert.objects.unresolved().exists()


def test_rules_over_the_api() -> None:
    server = make_server("web")
    client = client_as("operator")
    answer = client.post("/api/v1/log-rules", {"name": "OOM", "pattern": "oom", "server": "web"}, format="json")
    assert answer.status_code == 201, answer.content
    rule = answer.json()
    assert UUID(rule["server"]) == server.id and rule["open"] == []
    assert client.post("/api/v1/log-rules", {"name": "OOM", "pattern": "x"}, format="json").status_code == 409
    write_log(server, "oom")
    path = f"/api/v1/log-rules/{rule['id']}"
    read = client.get(path)
    assert read.json()["open"] == ["web"]
    assert client.put(path, {"count": 5}, format="json", HTTP_IF_MATCH='"x-1"').status_code == 412
    assert client.put(path, {"count": 5}, format="json", HTTP_IF_MATCH=read["ETag"]).json()["count"] == 5
    assert client_as("viewer").get("/api/v1/log-rules").json()["count"] == 1
    assert client.delete(path).status_code == 204
    names = set(Event.objects.filter(name__startswith="log_rule.").values_list("name", flat=True))
    assert names == {"log_rule.created", "log_rule.updated", "log_rule.deleted"}
    assert not LogRule.objects.exists()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"pattern": "("}, "pattern"),
        ({"kind": "words", "pattern": "--"}, "pattern"),
        ({"pattern": ""}, "pattern"),
        ({"count": 0}, "count"),
        ({"window_s": 100_000}, "window_s"),
        ({"quiet_s": 1}, "quiet_s"),
        ({"levels": ["loud"]}, "levels"),
        ({"server": "nobody"}, "server"),
        ({"name": ""}, "name"),
        ({"severity": "fatal"}, "severity"),
        ({"server": "web", "tag": "front"}, "tag"),
    ],
)
def test_rule_of_the_wrong_form_is_refused_by_field(web: Server, values: dict[str, Any], field: str) -> None:
    body = {"name": "x", "pattern": "error", "kind": "regex", **values}
    answer = client_as("operator").post("/api/v1/log-rules", body, format="json")
    assert answer.status_code == 422 and field in str(answer.json()), answer.content


def test_rule_follows_the_tags_of_servers(web: Server) -> None:
    make_log_rule(tag="new")
    write_log(web, "error")
    update_server(actor=ACTOR, server=web, changes={"tags": ["new"]})
    forget_rules()
    write_log(web, "error")
    assert told() == [("log.alert", 1)]
