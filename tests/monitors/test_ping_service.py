"""Accepting batches of pings: state, log, runs, facts, thinning, both databases alike."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core import disk
from apps.core.models import Event
from apps.monitors.models import HeartbeatDay, Ping, Run
from apps.monitors.services.pings import PING_BODY_LIMIT, PingRequest, accept_pings
from tests.factories.heartbeats import make_heartbeat, ping, state_of

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 1, 5, 9, 0, 0, 123456, tzinfo=UTC)


def facts(name: str) -> list[Event]:
    return list(Event.objects.filter(name=name).order_by("id"))


def test_success_sets_the_next_deadline() -> None:
    heartbeat = make_heartbeat(interval_seconds=3600, grace_seconds=300)
    assert ping(heartbeat, at=T0).status == 200
    state = state_of(heartbeat)
    assert (state.status, state.last_ping_at, state.ping_count) == ("up", T0, 1)
    assert state.next_due_at == T0 + timedelta(hours=1)
    assert state.deadline == T0 + timedelta(hours=1, minutes=5)
    assert state.wake_at == state.next_due_at


def test_unknown_uuid_is_404_beside_known_ones() -> None:
    heartbeat = make_heartbeat()
    answers = accept_pings([PingRequest(uuid4()), PingRequest(heartbeat.uuid), PingRequest(uuid4())])
    assert [answer.status for answer in answers] == [404, 200, 404]
    assert state_of(heartbeat).ping_count == 1


def test_unknown_uuids_are_limited_by_address_and_known_ones_never() -> None:
    heartbeat = make_heartbeat()
    answers = accept_pings([PingRequest(uuid4(), remote_addr="192.0.2.1") for _ in range(61)])
    assert (answers[59].status, answers[60].status) == (404, 429)
    assert 1 <= answers[60].retry_after_s <= 60
    assert ping(heartbeat, remote_addr="192.0.2.1").status == 200
    assert ping(uuid4(), remote_addr="192.0.2.2").status == 404


def test_batch_applies_in_order_and_counts_every_ping() -> None:
    heartbeat, other = make_heartbeat(), make_heartbeat()
    batch = []
    for n in range(120):
        batch.append(PingRequest(heartbeat.uuid, at=T0 + timedelta(milliseconds=n)))
    batch.append(PingRequest(other.uuid, "fail", 7, at=T0))
    batch.append(PingRequest(heartbeat.uuid, "fail", 2, at=T0 + timedelta(seconds=1)))
    assert {answer.status for answer in accept_pings(batch)} == {200}
    state = state_of(heartbeat)
    assert (state.ping_count, state.status, state.last_exit_code) == (121, "down", 2)
    assert Ping.objects.filter(num=heartbeat.num).count() == 60
    assert (state_of(other).status, state_of(other).last_exit_code) == ("down", 7)


def test_many_pings_in_one_millisecond_are_all_kept() -> None:
    heartbeat = make_heartbeat()
    accept_pings([PingRequest(heartbeat.uuid, at=T0) for _ in range(50)])
    accept_pings([PingRequest(heartbeat.uuid, at=T0) for _ in range(10)])
    assert list(Ping.objects.filter(num=heartbeat.num).order_by("pk").values_list("n", flat=True)) == list(range(1, 61))


def test_failure_and_recovery_are_facts_once() -> None:
    heartbeat = make_heartbeat(name="backup", tags=["db", "night"])
    for kind, code, s in (("success", None, 0), ("fail", 9, 1), ("fail", 9, 2), ("success", 0, 61), ("success", 0, 62)):
        ping(heartbeat, kind, T0 + timedelta(seconds=s), code)
    failed, recovered = facts("heartbeat.failed"), facts("heartbeat.recovered")
    assert [(e.subject_id, e.data["exit_code"], e.level, e.tags) for e in failed] == [
        (str(heartbeat.id), 9, "critical", ["db", "night"])
    ]
    assert "exit code 9" in failed[0].data["message"]
    assert [e.data["downtime_s"] for e in recovered] == [60.0]


def test_run_started_in_one_batch_and_ended_in_another_is_one_execution() -> None:
    heartbeat, rid = make_heartbeat(), uuid4()
    ping(heartbeat, "start", T0, rid=rid)
    assert state_of(heartbeat).status == "started"
    assert Run.objects.get(num=heartbeat.num).result == "running"
    ping(heartbeat, "fail", T0 + timedelta(seconds=5), 4, rid=rid)
    run = Run.objects.get(num=heartbeat.num)
    assert (run.result, run.exit_code, run.duration_ms, run.rid) == ("failure", 4, 5000, rid)
    assert state_of(heartbeat).last_duration_ms == 5000


def test_flood_of_runs_is_thinned_and_its_state_right() -> None:
    heartbeat = make_heartbeat()
    for block in range(4):
        batch = []
        for n in range(50):
            at = T0 + timedelta(milliseconds=100 * block + n)
            batch += [PingRequest(heartbeat.uuid, "start", at=at), PingRequest(heartbeat.uuid, "success", 0, at=at)]
        accept_pings(batch)
    ping(heartbeat, "start", T0 + timedelta(seconds=1))
    ping(heartbeat, "success", T0 + timedelta(seconds=2), 0)
    state = state_of(heartbeat)
    assert (state.ping_count, state.open_runs, state.status, state.last_duration_ms) == (402, 0, "up", 1000)
    assert Run.objects.filter(num=heartbeat.num).count() == 30
    assert not Run.objects.filter(num=heartbeat.num, result="running").exists()


def test_log_ping_is_kept_and_changes_no_state() -> None:
    heartbeat = make_heartbeat()
    ping(heartbeat, "log", T0, body=b"halfway")
    assert (state_of(heartbeat).status, state_of(heartbeat).ping_count) == ("new", 1)
    assert Ping.objects.get(num=heartbeat.num).body == "halfway"


def test_body_is_cut_and_made_storable() -> None:
    heartbeat = make_heartbeat()
    ping(heartbeat, at=T0, body=b"a\x00b\xff" + b"x" * 200_000, user_agent="curl\x00" + "y" * 300)
    row = Ping.objects.get(num=heartbeat.num)
    assert row.body.startswith("a\ufffdb\ufffdxx")
    assert len(row.body) == PING_BODY_LIMIT
    assert len(row.user_agent) == 200


def test_day_is_closed_into_its_row_and_added_to_where_it_exists() -> None:
    heartbeat = make_heartbeat()
    ping(heartbeat, at=T0)
    HeartbeatDay.objects.create(num=heartbeat.num, day=int(T0.timestamp() // 86400), ok=1, failed=2)
    ping(heartbeat, at=T0 + timedelta(days=1))
    day = HeartbeatDay.objects.get(num=heartbeat.num)
    assert (day.ok, day.failed, day.missed) == (2, 2, 0)


def test_batch_costs_the_same_few_statements_however_large() -> None:
    heartbeats = [make_heartbeat() for _ in range(30)]
    accept_pings([PingRequest(h.uuid, at=T0) for h in heartbeats])  # all are up from here on
    counts = []
    for size in (5, 30):
        batch = [PingRequest(h.uuid, at=T0) for h in heartbeats[:size]]
        disk.telemetry_allowed()  # its limit is read once a second, not once a batch
        with CaptureQueriesContext(connection) as queries:
            accept_pings(batch)
        counts.append(len([q for q in queries if "SAVEPOINT" not in q["sql"]]))
    assert counts[0] == counts[1]
    assert counts[0] <= 3
