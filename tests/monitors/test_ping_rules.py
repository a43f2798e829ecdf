"""Several expected pings for a run, and words in the body that say how it went."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.models import Event
from apps.monitors.models import Heartbeat, HeartbeatWindow, Ping
from apps.monitors.services.heartbeat_sweep import expire_due
from apps.monitors.services.pings import PingRequest, accept_pings
from tests.factories.accounts import client_as
from tests.factories.heartbeats import make_heartbeat, ping, state_of

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
NAMES = ["db1", "db2", "db3", "db4", "db5"]


def nightly(**values: Any) -> Heartbeat:
    """Return a job on five machines at two o'clock, whose clock has been started the day before."""
    heartbeat = make_heartbeat(cron="0 2 * * *", grace_seconds=1800, early_seconds=60, expected_sources=NAMES, **values)
    ping(heartbeat, at=T0 - timedelta(days=1), source="db1")
    return heartbeat


def come(heartbeat: Heartbeat, names: list[str], at: datetime = T0, **more: Any) -> None:
    for n, name in enumerate(names):
        ping(heartbeat, at=at + timedelta(seconds=n), source=name, **more)


def told(heartbeat: Heartbeat) -> list[tuple[str, str]]:
    names = ["heartbeat.deadline_missed", "heartbeat.failed", "heartbeat.recovered"]
    facts = Event.objects.filter(subject_id=str(heartbeat.id), name__in=names)
    return [(fact.name.partition(".")[2], fact.data.get("message", "")) for fact in facts.order_by("id")]


# --- several expected pings ----------------------------------------------------------------------------------------


def test_run_is_complete_when_all_sources_came() -> None:
    heartbeat = nightly()
    assert state_of(heartbeat).next_due_at == T0
    come(heartbeat, NAMES[:4])
    assert (state_of(heartbeat).status, state_of(heartbeat).next_due_at) == ("up", T0)
    come(heartbeat, NAMES[4:], T0 + timedelta(minutes=9))
    assert state_of(heartbeat).next_due_at == T0 + timedelta(days=1)
    expire_due(now=T0 + timedelta(minutes=30))
    assert (state_of(heartbeat).status, told(heartbeat)) == ("up", [])


def test_four_of_five_is_down_and_names_the_absent_source() -> None:
    heartbeat = nightly(name="backup")
    come(heartbeat, ["db1", "db2", "db4", "db5", "db1"])
    expire_due(now=T0 + timedelta(minutes=30))
    assert state_of(heartbeat).status == "down"
    [(name, message)] = told(heartbeat)
    assert name == "deadline_missed"
    assert "4 of 5 came, db3 is missing." in message
    come(heartbeat, ["db3"], T0 + timedelta(minutes=50))
    assert state_of(heartbeat).status == "up"
    assert [name for name, _ in told(heartbeat)] == ["deadline_missed", "recovered"]
    assert state_of(heartbeat).next_due_at == T0 + timedelta(days=1)


def test_late_source_of_one_night_does_not_stand_for_the_next() -> None:
    heartbeat = nightly()
    come(heartbeat, NAMES[:4])
    expire_due(now=T0 + timedelta(minutes=30))
    come(heartbeat, ["db5"], T0 + timedelta(days=1))
    assert state_of(heartbeat).status == "down"  # one of five of this night
    come(heartbeat, NAMES[:4], T0 + timedelta(days=1, minutes=1))
    assert state_of(heartbeat).status == "up"


def test_run_by_hand_in_between_counts_for_no_night() -> None:
    heartbeat = nightly()
    come(heartbeat, NAMES)
    come(heartbeat, ["db1"], T0 + timedelta(hours=12))
    come(heartbeat, NAMES[1:], T0 + timedelta(days=1))
    expire_due(now=T0 + timedelta(days=1, minutes=30))
    assert "4 of 5 came, db1 is missing" in told(heartbeat)[-1][1]


def test_source_that_comes_within_the_early_window_counts() -> None:
    heartbeat = nightly()
    come(heartbeat, NAMES, T0 - timedelta(seconds=60))
    assert state_of(heartbeat).next_due_at == T0 + timedelta(days=1)


def test_failure_of_one_source_is_down_at_once_and_its_success_completes_the_run() -> None:
    heartbeat = nightly(name="backup")
    come(heartbeat, NAMES[:4])
    ping(heartbeat, "fail", T0 + timedelta(minutes=1), 3, source="db5")
    assert state_of(heartbeat).status == "down"
    assert "db5 of backup reported a failure (exit code 3)" in told(heartbeat)[0][1]
    come(heartbeat, ["db5"], T0 + timedelta(minutes=5))
    assert (state_of(heartbeat).status, state_of(heartbeat).next_due_at) == ("up", T0 + timedelta(days=1))


def test_several_pings_without_names_are_counted() -> None:
    heartbeat = make_heartbeat(interval_seconds=3600, grace_seconds=60, expected_pings=3)
    for minute in (0, 1):
        ping(heartbeat, at=T0 + timedelta(minutes=minute))
    assert state_of(heartbeat).deadline == T0 + timedelta(seconds=3660)
    ping(heartbeat, at=T0 + timedelta(minutes=2))
    assert state_of(heartbeat).deadline == T0 + timedelta(minutes=2, seconds=3660)
    ping(heartbeat, at=T0 + timedelta(minutes=30))
    expire_due(now=T0 + timedelta(minutes=2, seconds=3660))
    assert "1 of 3 came." in told(heartbeat)[0][1]
    for minute in (64, 65, 66):  # a whole run, after the one that was missed
        ping(heartbeat, at=T0 + timedelta(minutes=minute))
    assert state_of(heartbeat).status == "up"


def test_starts_of_sources_make_runs_but_move_no_deadline() -> None:
    heartbeat = nightly()
    for name in NAMES[:2]:
        ping(heartbeat, "start", T0 + timedelta(seconds=1), source=name)
    assert (state_of(heartbeat).status, state_of(heartbeat).next_due_at) == ("started", T0)
    ping(heartbeat, at=T0 + timedelta(minutes=5), source="db1")
    expire_due(now=T0 + timedelta(minutes=30))
    assert "1 of 5 came, db2, db3, db4, db5 are missing" in told(heartbeat)[0][1]


def test_paused_and_resumed_heartbeat_begins_with_the_next_run() -> None:
    heartbeat = nightly(resume_on_ping=True)
    come(heartbeat, NAMES[:4])
    client = client_as("operator")
    assert client.post(f"/api/v1/heartbeats/{heartbeat.id}/pause").status_code == 200
    ping(heartbeat, at=T0 + timedelta(hours=1), source="db5")
    assert state_of(heartbeat).status == "up"
    assert state_of(heartbeat).next_due_at == T0 + timedelta(days=1)


def test_change_of_the_sources_begins_afresh() -> None:
    heartbeat = nightly()
    come(heartbeat, NAMES[:4])
    client = client_as("operator")
    answer = client.put(f"/api/v1/heartbeats/{heartbeat.id}", {"expected_sources": ["db1", "db2"], "expected_pings": 2})
    assert answer.status_code == 200
    assert not HeartbeatWindow.objects.exists()
    come(heartbeat, ["db1", "db2"], T0 + timedelta(minutes=2))
    assert state_of(heartbeat).next_due_at == T0 + timedelta(days=1)


def test_sources_are_shown_with_their_last_ping() -> None:
    heartbeat = nightly()
    come(heartbeat, ["db2", "web9"])
    window = HeartbeatWindow.objects.get(heartbeat=heartbeat)
    assert set(window.last) == {"db1", "db2", "web9"}
    assert window.seen == ["db2", "web9"]


# --- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("all DONE, 0 errors", "success", "up"), ("DONE but ERROR", "fail", "down"), ("BEGIN", "start", "started"),
        ("DONE after BEGIN", "success", "up"), ("error in lower case", "success", "up"), ("", "success", "up"),
    ],
)  # fmt: skip
def test_failure_words_win_over_success_words_over_start_words(body: str, kind: str, status: str) -> None:
    heartbeat = make_heartbeat(failure_keywords=["ERROR", "FATAL"], success_keywords=["DONE"], start_keywords=["BEGIN"])
    ping(heartbeat, body=body.encode())
    assert (Ping.objects.get(num=heartbeat.num).kind, state_of(heartbeat).status) == (kind, status)


@pytest.mark.parametrize(
    ("otherwise", "kind", "status"), [("success", "success", "up"), ("fail", "fail", "down"), ("log", "log", "new")]
)
def test_body_without_any_word_is_what_was_chosen(otherwise: str, kind: str, status: str) -> None:
    heartbeat = make_heartbeat(success_keywords=["DONE"], otherwise=otherwise)
    ping(heartbeat, body=b"nothing of note")
    assert (Ping.objects.get(num=heartbeat.num).kind, state_of(heartbeat).status) == (kind, status)


def test_failure_by_a_word_says_which() -> None:
    heartbeat = make_heartbeat(name="backup", failure_keywords=["ERROR"])
    ping(heartbeat, at=T0, exit_code=0, body=b"ERROR: disk full")
    [(name, message)] = told(heartbeat)
    assert name == "failed"
    assert message == 'backup reported a success at 2026-01-05 02:00 UTC, but its output contains "ERROR".'


@pytest.mark.parametrize("kind", ["start", "log"])
def test_words_judge_successes_alone(kind: str) -> None:
    heartbeat = make_heartbeat(failure_keywords=["ERROR"])
    ping(heartbeat, kind, body=b"ERROR")
    assert Ping.objects.get(num=heartbeat.num).kind == kind


def test_word_beyond_the_kept_part_of_a_body_counts_for_nothing() -> None:
    heartbeat = make_heartbeat(failure_keywords=["ERROR"])
    ping(heartbeat, body=b"x" * 99_998 + b"ER")
    assert state_of(heartbeat).status == "up"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"failure_keywords": ["x" * 201]}, "failure_keywords"), ({"otherwise": "fail"}, "otherwise"),
        ({"otherwise": "odd"}, "otherwise"), ({"expected_pings": 101}, "expected_pings"),
        ({"expected_sources": ["a", "b"], "expected_pings": 1}, "expected_pings"),
        ({"expected_sources": ["a" * 65]}, "expected_sources"),
    ],
)  # fmt: skip
def test_wrong_rules_are_refused_at_their_field(values: dict[str, Any], field: str) -> None:
    body = {"name": "x", "interval_seconds": 60, **values}
    response = client_as("operator").post("/api/v1/heartbeats", body, format="json")
    assert response.status_code == 422
    assert any(field in row["loc"] for row in response.json()["detail"])


# --- cost ----------------------------------------------------------------------------------------------------------


def _queries(batch: list[PingRequest]) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert all(answer.status == 200 for answer in accept_pings(batch))
    return len([query for query in queries if "SAVEPOINT" not in query["sql"]])


def test_batch_without_rules_pays_for_none_and_with_rules_the_same_for_few_and_many() -> None:
    plain = [make_heartbeat() for _ in range(30)]
    ruled = [make_heartbeat(expected_pings=2, failure_keywords=["ERROR"]) for _ in range(30)]
    for rows in (plain, ruled):
        accept_pings([PingRequest(row.uuid) for row in rows])
        accept_pings([PingRequest(row.uuid) for row in rows])
    without = _queries([PingRequest(row.uuid) for row in plain])
    few = _queries([PingRequest(row.uuid, source="a") for row in ruled[:2]])
    many = _queries([PingRequest(row.uuid, source="b") for row in ruled])
    assert few == many
    assert many <= without + 3  # rules, what has come, and keeping it
