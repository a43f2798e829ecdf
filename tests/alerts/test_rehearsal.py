"""Rehearsals: for what is in force they say what really happened; for anything else what would have."""

import json
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.alerts import services
from apps.alerts.models import Alert, Threshold
from apps.alerts.services.rehearsal import Report, common, rehearse
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.models import Sample, Server, ServerState
from apps.monitors.models import EndpointState, HeartbeatState
from apps.monitors.services.heartbeat_sweep import expire_due
from apps.notifications.models import Delivery
from tests.factories.accounts import client_as, principal
from tests.factories.fleet import make_server
from tests.factories.heartbeats import make_heartbeat, ping
from tests.factories.monitors import make_endpoint, record
from tests.factories.notifications import make_channel, make_fact, make_rule
from tests.notifications.driving import tell

pytestmark = pytest.mark.django_db
ACTOR = system("test")


def begin(hours: float) -> datetime:
    """Return a whole ten seconds so many hours ago."""
    at = timezone.now() - timedelta(hours=hours)
    return at.replace(second=at.second // 10 * 10, microsecond=0)


def spans(report: Report) -> list[tuple[str, str, datetime, datetime | None]]:
    return [(one.kind, one.level, one.opened_at, one.resolved_at) for one in report.fired]


def walk(generator: random.Random, count: int, low: float, high: float) -> list[float]:
    """Return a random walk between two values, with plateaus."""
    found, value = [], (low + high) / 2
    for _ in range(count):
        if generator.random() < 0.6:
            value = min(high, max(low, value + generator.uniform(-9, 9)))
        found.append(round(value, 1))
    return found


# --- thresholds ------------------------------------------------------------------------------------------------------


def measure(server: Server, at: datetime, cpu: float, mounts: list[tuple[str, float]]) -> None:
    """Store a sample and make it the latest, as the fleet does."""
    ms = int(at.timestamp() * 1000)
    text = json.dumps([[path, percent, 1, 1, None] for path, percent in mounts])
    figures = {"cpu": cpu, "disk": max(percent for _, percent in mounts), "mounts": text}
    Sample.objects.create(num=server.num, at=ms, **figures)
    ServerState.objects.update_or_create(
        server=server, defaults={"sample_at": ms, "last_seen_at": at, "status": "online", **figures}
    )


@pytest.mark.parametrize(("seed", "metric"), [(1, "cpu"), (3, "disk")])
def test_thresholds_in_force_rehearse_to_what_the_sweep_did(seed: int, metric: str) -> None:
    generator, server = random.Random(seed), make_server()
    Threshold.objects.filter(metric="cpu").update(for_s=60)
    Threshold.objects.filter(metric="disk").update(for_s=20)
    start, count = begin(1.5), 150
    cpu = walk(generator, count, 60, 100)
    disks = [walk(generator, count, 70, 95) for _ in range(2)]
    real: dict[Any, list[Any]] = {}
    for number in range(count):
        at = start + timedelta(seconds=10 * number)
        measure(server, at, cpu[number], [("/", disks[0][number]), ("/var", disks[1][number])])
        for tick in (at, at + timedelta(seconds=5)):
            services.evaluate_thresholds(now=tick)
            for alert in Alert.objects.filter(kind__startswith=metric):
                row = real.setdefault(alert.id, [alert.kind, alert.level, tick, None])
                row[1] = alert.level
                if alert.status == "resolved" and row[3] is None:
                    row[3] = tick
    end = start + timedelta(seconds=10 * count - 5)
    report = rehearse(kind="threshold", proposal={"metric": metric}, since=start, until=end, actor=ACTOR)
    assert report.basis == "raw samples"
    assert len(real) >= 2
    assert sorted(spans(report)) == sorted(map(tuple, real.values()))


def test_proposed_threshold_replaces_its_own_level_and_says_whom_it_would_have_told() -> None:
    server, channel = make_server("db"), make_channel(name="chat")
    start = begin(2)
    for number in range(60):
        measure(server, start + timedelta(seconds=10 * number), 70 if 20 <= number < 50 else 30, [("/", 10)])
    before = (Alert.objects.count(), Event.objects.count(), Threshold.objects.count())
    asked = {"metric": "cpu", "value": 60.0, "level": "warning", "for_s": 60, "comparison": "gte", "server": None}
    report = rehearse(kind="threshold", proposal=asked, since=start, actor=ACTOR)
    assert [(kind, level) for kind, level, _, _ in spans(report)] == [("cpu", "warning")]
    one = report.fired[0]
    assert (one.opened_at - start, one.resolved_at) == (timedelta(seconds=260), start + timedelta(seconds=500))
    assert [told["destination"] for told in one.told if told["kind"] == "channel"] == ["chat"]
    assert report.told["channel", "chat", "told"] == 1
    assert report.real == 0
    assert (Alert.objects.count(), Event.objects.count(), Threshold.objects.count()) == before
    nothing = rehearse(kind="threshold", proposal={**asked, "for_s": 600}, since=start, actor=ACTOR)
    assert nothing.fired == []
    assert channel.enabled


def test_server_that_fell_silent_neither_opens_nor_recovers_while_it_is_away() -> None:
    server = make_server()
    start = begin(3)
    for number in (*range(6), *range(200, 206)):
        measure(server, start + timedelta(seconds=10 * number), 99 if number < 200 else 10, [("/", 10)])
    asked = {"metric": "cpu", "value": 90.0, "level": "critical", "for_s": 40, "comparison": "gte", "server": None}
    [one] = rehearse(kind="threshold", proposal=asked, since=start, actor=ACTOR).fired
    assert (one.opened_at, one.resolved_at) == (start + timedelta(seconds=40), start + timedelta(seconds=2000))
    late = rehearse(kind="threshold", proposal={**asked, "for_s": 600}, since=start, actor=ACTOR)
    assert late.fired == []


def test_long_span_is_read_from_averages_and_the_answer_says_so() -> None:
    make_server()
    report = rehearse(
        kind="threshold", proposal={"metric": "cpu"}, since=timezone.now() - timedelta(days=60), actor=ACTOR
    )
    assert report.basis == "averages of 5m"
    assert "short peaks" in " ".join(report.notes)


def test_bounds_end_a_rehearsal_that_reads_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    server = make_server()
    start = begin(1)
    for number in range(30):
        measure(server, start + timedelta(seconds=10 * number), 99, [("/", 10)])
    monkeypatch.setattr(common, "TIME_MOST_S", -1.0)
    report = rehearse(kind="threshold", proposal={"metric": "cpu"}, since=start, actor=ACTOR)
    assert not report.is_complete
    assert "too much" in " ".join(report.notes)


# --- endpoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_thresholds_of_an_endpoint_in_force_rehearse_to_what_was_told(seed: int) -> None:
    generator = random.Random(seed)
    endpoint = make_endpoint(interval_s=60, failure_threshold=2, recovery_threshold=2)
    start = begin(3)
    real: list[list[Any]] = []
    for number in range(90):
        at = start + timedelta(seconds=60 * number)
        status = generator.choice(["up", "up", "degraded", "down", "unknown", "down", "up"])
        record(endpoint, status, at=at)
        level = EndpointState.objects.get(num=endpoint.num).alert_level
        if level and (not real or real[-1][3] is not None):
            real.append(["availability", level, at, None])
        elif level:
            real[-1][1] = level
        elif real and real[-1][3] is None:
            real[-1][3] = at
    report = rehearse(kind="endpoint", proposal={"endpoint": endpoint}, since=start, actor=ACTOR)
    assert len(real) >= 3
    assert spans(report) == [tuple(row) for row in real]


def test_patient_endpoint_would_have_fired_less() -> None:
    endpoint = make_endpoint(failure_threshold=1)
    start = begin(1)
    for number, status in enumerate(["up", "down", "up", "down", "down", "down", "up"]):
        record(endpoint, status, at=start + timedelta(seconds=60 * number))
    asked = {"endpoint": endpoint, "failure_threshold": 3}
    assert len(rehearse(kind="endpoint", proposal={"endpoint": endpoint}, since=start, actor=ACTOR).fired) == 2
    assert len(rehearse(kind="endpoint", proposal=asked, since=start, actor=ACTOR).fired) == 1


# --- heartbeats ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_schedule_in_force_rehearses_to_what_was_told(seed: int) -> None:
    generator = random.Random(seed)
    heartbeat = make_heartbeat(interval_seconds=300, grace_seconds=60)
    start = begin(20)
    now, real = start, list[list[Any]]()

    def look(at: datetime) -> None:
        alerting = HeartbeatState.objects.get(heartbeat=heartbeat).alerting
        if alerting and (not real or real[-1][1] is not None):
            real.append([at, None])
        elif not alerting and real and real[-1][1] is None:
            real[-1][1] = at

    def sweep(until: datetime) -> None:
        while True:
            wake = HeartbeatState.objects.get(heartbeat=heartbeat).wake_at
            if wake is None or wake > until:
                return
            expire_due(now=wake)
            look(wake)

    for _ in range(60):
        now += timedelta(seconds=generator.choice([120, 300, 310, 350, 500, 1200]))
        sweep(now)
        ping(heartbeat, generator.choice(["success", "success", "success", "start", "fail", "log"]), at=now)
        look(now)
    report = rehearse(kind="schedule", proposal={"heartbeat": heartbeat}, since=start, until=now, actor=ACTOR)
    assert len(real) >= 4
    assert [(one.opened_at, one.resolved_at) for one in report.fired] == [tuple(row) for row in real]


def test_more_grace_would_have_kept_quiet() -> None:
    heartbeat = make_heartbeat(interval_seconds=300, grace_seconds=60)
    start = begin(5)
    for minute in (0, 5, 13, 18):
        ping(heartbeat, at=start + timedelta(minutes=minute))
    until = start + timedelta(minutes=20)
    strict = rehearse(kind="schedule", proposal={"heartbeat": heartbeat}, since=start, until=until, actor=ACTOR)
    patient = {"heartbeat": heartbeat, "grace_seconds": 600}
    assert len(strict.fired) == 1
    assert rehearse(kind="schedule", proposal=patient, since=start, until=until, actor=ACTOR).fired == []


# --- rules -----------------------------------------------------------------------------------------------------------


def test_rule_in_force_rehearses_to_what_the_ledger_says() -> None:
    chat = make_channel(name="chat")
    rule = make_rule(chat, events=["alert.opened", "alert.resolved"], levels=["critical"], throttle=None)
    start = timezone.now() - timedelta(minutes=1)
    for number, level in enumerate(["critical", "warning", "critical", "critical"]):
        tell(make_fact("alert.opened", f"a{number}", level=level, thing=f"web-{number}"))
    for number, level in ((0, "warning"), (1, "critical")):  # told of its end is who was told of its opening
        tell(make_fact("alert.resolved", f"a{number}", level=level, thing=f"web-{number}"))
    report = rehearse(kind="rule", proposal={"rule_id": rule.id}, since=start, actor=principal("admin"))
    really = Delivery.objects.filter(rule_id=rule.id, state="pending").order_by("event_seq")
    assert len(report.fired) == really.count() == report.real
    assert [one.kind for one in report.fired] == list(really.values_list("event_name", flat=True))


def test_proposed_rule_is_throttled_and_filtered_as_it_would_be() -> None:
    chat = make_channel(name="chat")
    start = timezone.now() - timedelta(minutes=1)
    for number in range(3):
        make_fact("alert.opened", f"a{number}", level="critical", thing="web-1")
    make_fact("alert.opened", "b", level="warning", thing="web-1")
    asked = {"events": ["alert.opened"], "levels": ["critical"], "throttle_s": 600, "channel_ids": [str(chat.id)]}
    report = rehearse(kind="rule", proposal=asked, since=start, actor=principal("admin"))
    assert len(report.fired) == 1
    assert report.told["channel", "chat", "told"] == 1
    assert report.told["channel", "chat", "suppressed"] == 2


# --- the API ---------------------------------------------------------------------------------------------------------


def test_api_rehearses_a_threshold_for_a_viewer_in_few_queries() -> None:
    server = make_server("web-1")
    start = begin(2)
    for number in range(30):
        measure(server, start + timedelta(seconds=10 * number), 99 if number > 5 else 10, [("/", 10)])
    body = {
        "kind": "threshold",
        "from": start.isoformat(),
        "threshold": {"metric_type": "cpu", "threshold_value": 90, "for": "1m", "level": "critical"},
    }
    client = client_as("viewer")
    client.get("/api/v1/alerts")
    with CaptureQueriesContext(connection) as queries:
        answer = client.post("/api/v1/rehearsals", body)
    assert answer.status_code == 200, answer.json()
    assert len(queries) <= 25
    found = answer.json()
    assert (found["count"], found["complete"], found["basis"]) == (1, True, "raw samples")
    assert found["fired"][0]["subject_name"] == "web-1"
    assert sum(day["count"] for day in found["per_day"]) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"kind": "weather"}, 422),
        ({"kind": "threshold"}, 422),
        ({"kind": "threshold", "threshold": {"metric_type": "cpu", "threshold_value": 900}}, 422),
        ({"kind": "threshold", "threshold": {"metric_type": "cpu"}, "from": "2099-01-01T00:00:00Z"}, 422),
        ({"kind": "threshold", "threshold": {"metric_type": "cpu"}, "from": "2001-01-01T00:00:00Z"}, 422),
        ({"kind": "schedule"}, 422),
        ({"kind": "schedule", "schedule": {"heartbeat_id": "0190a3c4-0000-7000-8000-000000000000"}}, 422),
        ({"kind": "endpoint", "endpoint": {"endpoint_id": "0190a3c4-0000-7000-8000-000000000000"}}, 422),
        ({"kind": "rule", "rule": {"events": ["alert.opened"]}}, 403),
    ],
)
def test_wrong_rehearsal_is_refused(body: dict[str, Any], status: int) -> None:
    assert client_as("viewer").post("/api/v1/rehearsals", body).status_code == status


def test_wrong_schedule_is_refused_at_its_field() -> None:
    heartbeat = make_heartbeat()
    body = {"kind": "schedule", "schedule": {"heartbeat_id": str(heartbeat.id), "cron": "61 * * * *"}}
    answer = client_as("viewer").post("/api/v1/rehearsals", body)
    assert answer.status_code == 422
    assert "cron" in json.dumps(answer.json())
