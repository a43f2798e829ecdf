"""Accepting samples: both forms, repeats, late and wrong ones, keys, rates, presence."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import ApiKey
from apps.core import disk, runtime_settings
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet import selectors
from apps.fleet.models import DirtyBucket, LatestSnapshot, ProcessTable, Sample, ServerState
from apps.fleet.services import Push, accept_samples, follow_server, mark_silent_servers, note_alert
from tests.factories.accounts import client_as, client_with_key, make_api_key, make_user
from tests.factories.fleet import iso, make_server, now_ms, push, snapshot

pytestmark = pytest.mark.django_db
SHORT = {
    "cpu_percent": 12.5,
    "memory_percent": 40,
    "disk_usage": [{"path": "/", "total": 1000, "used": 400, "free": 500, "percent": 44.4}],
    "network": [{"interface": "eth0", "bytes_sent": 1000, "bytes_recv": 2000}],
}


def test_snapshot_pushed_is_stored_once_however_often_it_is_sent() -> None:
    server, at = make_server("web"), now_ms()
    for _ in range(3):
        outcome = push(server, snapshot(at, cpu=33.0, disk=70.0, memory=25.0))
        assert (outcome.accepted, outcome.refused) == (1, [])
    row = Sample.objects.get()
    assert (row.num, row.at) == (server.num, at)
    assert (row.cpu, row.memory, row.disk, row.inodes, row.swap) == (33.0, 25.0, 70.0, 25.0, 10.0)
    assert (row.load1, row.cores, row.temperature, row.connections, row.processes, row.uptime) == (
        0.5,
        4,
        55.0,
        12,
        3,
        86400,
    )


def test_short_form_is_taken_and_given_back() -> None:
    server = make_server("web")
    client = client_as("operator")
    at = now_ms()
    answer = client.post("/api/v1/metrics/web", {**SHORT, "timestamp": iso(at)})
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "refused": []}
    body = client.get("/api/v1/metrics/web").json()
    assert (body["server_id"], body["cpu_percent"], body["memory_percent"]) == (str(server.id), 12.5, 40)
    assert body["disk_usage"] == [{"path": "/", "total": 1000, "used": 400, "free": 500, "percent": 44.44}]
    assert body["network"] == [{"interface": "eth0", "bytes_sent": 1000, "bytes_recv": 2000}]
    # What was given back can be pushed again.
    assert client.post("/api/v1/metrics/web", {**body, "timestamp": iso(at + 1000)}).json()["accepted"] == 1


def test_metrics_before_the_first_sample_are_not_found() -> None:
    make_server("web")
    answer = client_as("viewer").get("/api/v1/metrics/web")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_sample")


def test_late_sample_is_stored_and_does_not_replace_the_newest() -> None:
    server, at = make_server(), now_ms()
    push(server, snapshot(at, cpu=10.0))
    assert push(server, snapshot(at - 3_600_000, cpu=90.0)).accepted == 1
    assert Sample.objects.count() == 2
    assert ServerState.objects.get(server=server).cpu == 10.0
    assert DirtyBucket.objects.filter(level=60_000, num=server.num).count() == 2


def test_wrong_ones_of_an_array_are_refused_by_index_with_a_reason() -> None:
    server, at = make_server("web"), now_ms()
    day = 86_400_000
    samples = [
        snapshot(at),
        snapshot(at + 6 * 60_000),
        snapshot(at - day - 60_000),
        {"cpu_percent": 1},
        "text",
        {**SHORT, "timestamp": "yesterday"},
        {**SHORT, "timestamp": iso(at), "cpu_percent": 140},
        {**SHORT, "timestamp": iso(at), "cpu_percent": True},
        {"timestamp": iso(at)},
        snapshot(at + 4 * 60_000),
        {**snapshot(at), "cpu": []},
        {**snapshot(at), "disk": {"mounts": [{"total": 1}]}},
    ]
    answer = client_as("operator").post("/api/v1/metrics/web", samples)
    body = answer.json()
    assert (answer.status_code, body["accepted"]) == (202, 2)
    reasons = {row["index"]: row["reason"] for row in body["refused"]}
    assert sorted(reasons) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    assert "future" in reasons[1] and "older" in reasons[2] and "timestamp" in reasons[3] and "ISO 8601" in reasons[5]
    assert "0..101" in reasons[6] and "number" in reasons[7] and "no figure" in reasons[8]
    assert Sample.objects.filter(num=server.num).count() == 2


@pytest.mark.parametrize(("body", "status"), [([], 422), ("text", 422), (7, 422), ([{}] * 501, 413)])
def test_body_that_is_no_sample_is_refused_as_a_whole(body: object, status: int) -> None:
    make_server("web")
    assert client_as("operator").post("/api/v1/metrics/web", body, format="json").status_code == status


def test_body_that_is_no_json_is_a_bad_request() -> None:
    make_server("web")
    client = client_as("operator")
    assert client.post("/api/v1/metrics/web", "{", content_type="application/json").status_code == 400
    outcome = accept_samples([Push("web", b"{", principal=system("test"))])[0]
    assert outcome.error is not None and outcome.error.status == 400


def test_key_of_another_server_is_forbidden_and_its_own_is_taken() -> None:
    mine, _ = make_server("mine"), make_server("other")
    _, secret = make_api_key(make_user("operator"), server_id=str(mine.id))
    client = client_with_key(secret)
    assert client.post("/api/v1/metrics/mine", snapshot()).status_code == 202
    assert client.post("/api/v1/metrics/other", snapshot()).status_code == 403
    assert client.post("/api/v1/metrics/nowhere", snapshot()).status_code == 403
    assert Sample.objects.count() == 1


def test_batch_of_many_keys_answers_each_push_for_itself() -> None:
    mine = make_server("mine")
    owner = make_user("operator")
    key, secret = make_api_key(owner, server_id=str(mine.id))
    revoked, revoked_secret = make_api_key(owner, server_id=str(mine.id))
    ApiKey.objects.filter(id=revoked.id).update(revoked_at=timezone.now())
    viewer_secret = make_api_key(make_user("viewer"), role="viewer")[1]
    free_secret = make_api_key(owner, role="operator")[1]
    at = now_ms()
    pushes = [
        Push("mine", snapshot(at), key=secret),
        Push("mine", snapshot(at + 1), key=revoked_secret),
        Push("other", snapshot(at + 2), key=secret),
        Push("mine", snapshot(at + 3), key="wk_unknown1_nonsense"),
        Push("mine", snapshot(at + 4), key=viewer_secret),
        Push("nowhere", snapshot(at + 5), key=free_secret),
        Push("mine", snapshot(at + 6), key=free_secret),
        Push("mine", b"{", key=secret),
        Push("mine", snapshot(at + 7), key=secret[:-1] + "x"),
    ]
    outcomes = accept_samples(pushes)
    assert [one.error.status if one.error else one.accepted for one in outcomes] == [
        1,
        401,
        403,
        401,
        403,
        404,
        1,
        400,
        401,
    ]
    assert list(Sample.objects.order_by("at").values_list("at", flat=True)) == [at, at + 6]
    key.refresh_from_db()
    assert key.last_used_at is not None


def test_rates_are_worked_out_from_counters_where_the_sender_gives_none() -> None:
    server, at = make_server(), now_ms() - 60_000
    push(server, snapshot(at, rx_bytes=1000, tx_bytes=100))
    push(server, snapshot(at + 10_000, rx_bytes=6000, tx_bytes=1100))
    row = Sample.objects.get(at=at + 10_000)
    assert (row.rx_rate, row.tx_rate) == (500.0, 100.0)
    # A reboot sets the counters back: no rate rather than a wrong one.
    push(server, snapshot(at + 20_000, rx_bytes=10, tx_bytes=2100))
    row = Sample.objects.get(at=at + 20_000)
    assert (row.rx_rate, row.tx_rate) == (None, 100.0)


def test_rates_of_inner_interfaces_are_not_counted() -> None:
    server = make_server()
    push(server, snapshot(rx_rate=500.0, tx_rate=100.0))
    row = Sample.objects.get()
    assert (row.rx_rate, row.tx_rate) == (500.0, 100.0)


def test_snapshot_kept_has_masked_command_lines_and_says_what_is_absent() -> None:
    server = make_server()
    raw = snapshot()
    del raw["gpu"], raw["temperature"]
    raw["evil"] = {"x": 1}
    push(server, raw)
    kept = selectors.latest_snapshot(server)
    assert kept is not None
    assert kept["gpu"] == kept["temperature"] == {"available": False}
    assert "evil" not in kept and kept["agent_id"] == server.slug
    assert kept["processes"]["topByCpu"][0]["cmdline"] == "python3 app.py --token ***"


def test_snapshot_that_is_far_too_large_is_refused() -> None:
    server = make_server()
    raw = snapshot()
    raw["system"]["hostname"] = "x" * 600_000
    outcome = push(server, raw)
    assert outcome.accepted == 0 and "512" in outcome.refused[0]["reason"]


def test_whole_process_table_goes_into_its_own_row() -> None:
    server = make_server()
    table = [
        {"pid": n, "name": f"p{n}", "user": "root", "cpu": float(n), "memory": 1.0, "state": "S"} for n in range(1, 30)
    ]
    push(server, snapshot(processes={"total": 29, "topByCpu": [], "topByMemory": [], "all": table}))
    assert ProcessTable.objects.count() == 1
    assert "all" not in (selectors.latest_snapshot(server) or {})["processes"]
    found, at = selectors.process_table(server)
    assert len(found) == 29 and found[0]["pid"] == 29 and at is not None


def test_first_sample_brings_the_server_online_and_silence_takes_it_off() -> None:
    server = make_server("web")
    push(server, snapshot())
    state = ServerState.objects.get(server=server)
    assert (state.status, state.health_status) == ("online", "healthy")
    assert Event.objects.get(name="server.online").data["slug"] == "web"
    push(server, snapshot())
    assert Event.objects.filter(name="server.online").count() == 1
    now = timezone.now()
    assert mark_silent_servers(now=now + timedelta(seconds=55)) == 0
    assert mark_silent_servers(now=now + timedelta(seconds=61)) == 1
    state.refresh_from_db()
    assert state.status == "offline" and state.offline_since is not None
    event = Event.objects.get(name="server.offline")
    assert (
        event.level == "critical"
        and event.data["last_seen"] is not None
        and event.audience["server_id"] == str(server.id)
    )
    # What is known stays readable, and says that it is not of now.
    assert selectors.latest_snapshot(server) is not None
    assert [one.is_online for one in selectors.latest_values()] == [False]
    assert mark_silent_servers(now=now + timedelta(seconds=120)) == 0
    push(server, snapshot())
    assert Event.objects.filter(name="server.online").count() == 2
    assert ServerState.objects.get(server=server).offline_since is None


def test_silence_is_three_intervals_where_they_are_long() -> None:
    runtime_settings.change_settings(values={"metrics.interval_s": 60}, actor=system("test"))
    runtime_settings.forget()
    push(make_server(), snapshot())
    assert mark_silent_servers(now=timezone.now() + timedelta(seconds=170)) == 0
    assert mark_silent_servers(now=timezone.now() + timedelta(seconds=185)) == 1


def test_server_that_never_sent_is_unknown_not_offline() -> None:
    make_server()
    assert mark_silent_servers(now=timezone.now() + timedelta(days=1)) == 0


def test_health_is_the_worst_open_alert() -> None:
    server = make_server()
    push(server, snapshot())

    def health() -> str:
        return ServerState.objects.get(server=server).health_status

    note_alert(server_id=server.id, alert_id="a", level="warning", is_open=True)
    note_alert(server_id=server.id, alert_id="b", level="critical", is_open=True)
    assert health() == "critical"
    note_alert(server_id=server.id, alert_id="b", level="critical", is_open=False)
    assert health() == "warning"
    note_alert(server_id=server.id, alert_id="a", level="warning", is_open=False)
    assert health() == "healthy"


def test_latest_values_hold_every_metric_and_mount_in_one_query(django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    for _ in range(3):
        push(make_server(), snapshot(disk=70.0, load1=2.0))
    with django_assert_num_queries(1):
        rows = selectors.latest_values()
    assert len(rows) == 3
    values = rows[0].values
    assert values["disk"] == values["disk:/"] == 70.0 and values["disk:/data"] == 10.0
    assert values["inodes:/"] == 25.0 and values["load_per_core"] == 0.5 and values["temperature"] == 55.0


def test_recent_values_and_top_processes_are_the_evidence() -> None:
    server, at = make_server(), now_ms()
    push(server, *(snapshot(at - minute * 60_000, cpu=float(minute), disk=float(minute)) for minute in (20, 10, 5, 0)))
    assert [value for _, value in selectors.recent_values(server, "cpu", 15)] == [10.0, 5.0, 0.0]
    assert [value for _, value in selectors.recent_values(server, "disk:/", 15)] == [10.0, 5.0, 0.0]
    assert [value for _, value in selectors.recent_values(server, "load_per_core", 6)] == [0.125, 0.125]
    assert selectors.recent_values(server, "no such metric") == []
    assert [one["name"] for one in selectors.top_processes(server, 2)] == ["python3", "postgres"]


def test_push_while_the_disk_is_full_is_refused_and_state_still_written(monkeypatch: pytest.MonkeyPatch) -> None:
    server = make_server("web")
    percent = disk.usage().percent
    runtime_settings.change_settings(values={"retention.disk_full_percent": 50}, actor=system("test"))
    runtime_settings.forget()
    monkeypatch.setattr(disk, "_read", lambda: disk.DiskUsage(100, 99, 1, max(percent, 99.0)))
    disk.forget()
    answer = client_as("operator").post("/api/v1/metrics/web", snapshot())
    assert (answer.status_code, answer.json()["code"]) == (503, "disk_full")
    assert client_as("operator").put("/api/v1/servers/web", {"description": "x"}).status_code == 200
    assert not Sample.objects.filter(num=server.num).exists()
    monkeypatch.undo()
    disk.forget()


def test_live_events_carry_the_figures_and_the_snapshot_while_followed(
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks,  # type: ignore[no-untyped-def]
) -> None:
    import jsonschema

    from apps.core import bell
    from apps.core.events import catalogue

    sent: list[dict[str, object]] = []
    monkeypatch.setattr(bell, "live_is_followed", lambda: True)
    monkeypatch.setattr(bell, "publish_live", sent.append)
    server = make_server()
    with django_capture_on_commit_callbacks(execute=True):
        push(server, snapshot(cpu=42.0))
    assert [one["event"] for one in sent] == ["server.sample"]
    assert sent[0]["data"]["cpu_percent"] == 42.0  # type: ignore[index]
    assert sent[0]["audience"]["server_id"] == str(server.id)  # type: ignore[index]
    follow_server(server_id=server.id, seconds=60)
    with django_capture_on_commit_callbacks(execute=True):
        push(server, snapshot())
    assert [one["event"] for one in sent[1:]] == ["server.sample", "server.snapshot"]
    for one in sent:
        jsonschema.validate(one["data"], catalogue[str(one["event"])].schema())


def test_latest_snapshot_is_one_row_a_server() -> None:
    server = make_server()
    for _ in range(3):
        push(server, snapshot())
    assert LatestSnapshot.objects.count() == 1
