"""Results that are sent in: the address, what is recorded, and what silence means."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.core import runtime_settings
from apps.core.models import Condition, Event, Lease
from apps.core.watchdog import AWAY, DEAF_AFTER_S, LISTENING
from apps.monitors.checks import as_expected
from apps.monitors.checks.push import BLIND, judge_silence
from apps.monitors.connectivity import BLIND as BLIND_CONDITION
from apps.monitors.models import CheckResult, Endpoint, EndpointState
from apps.monitors.services.endpoint_configs import config_of
from apps.monitors.services.endpoint_results import CheckRun, record_results
from apps.monitors.services.endpoints import pause_endpoint
from apps.monitors.states.endpoints import CODES
from tests.factories.accounts import client_as, principal
from tests.factories.monitors import facts, make_endpoint

pytestmark = pytest.mark.django_db

BODY = {"name": "Backup", "endpoint_type": "push", "interval": 60, "timeout": 10}


def add(**values: Any) -> tuple[Endpoint, str]:
    endpoint = make_endpoint(**{"name": "Backup", "endpoint_type": "push", "target": "", "interval_s": 60, **values})
    return endpoint, endpoint.push_token  # type: ignore[attr-defined]


def send(token: str, body: Any = None, **query: Any) -> Any:
    client = APIClient()
    if body is None:
        return client.get(f"/api/v1/push/{token}", query)
    return client.post(f"/api/v1/push/{token}", body, format="json")


def state() -> EndpointState:
    return EndpointState.objects.get()


def test_address_is_shown_once_and_kept_as_a_hash() -> None:
    client = client_as("operator")
    shown = client.post("/api/v1/endpoints", BODY, format="json", headers={"Idempotency-Key": "once"}).json()
    token = shown["push"]["token"]
    assert shown["push"]["url"].endswith(f"/api/v1/push/{token}") and len(token) >= 32
    again = client.post("/api/v1/endpoints", BODY, format="json", headers={"Idempotency-Key": "once"})
    read = client.get(f"/api/v1/endpoints/{shown['id']}")
    assert read.json()["push"] is None
    everywhere = again.content.decode() + read.content.decode() + str(list(Event.objects.values_list("audit", "data")))
    assert token not in everywhere and Endpoint.objects.get().token_hash != token


def test_first_result_is_waited_for_as_long_as_any() -> None:
    endpoint, _ = add()
    wait = endpoint.state.next_check_at - timezone.now()
    assert timedelta(seconds=65) < wait <= timedelta(seconds=70)
    assert endpoint.state.status == "unknown"


@pytest.mark.parametrize(
    ("sent", "status", "error", "latency"),
    [
        ({}, "up", "", None),
        ({"status": "up", "msg": "fine", "latency_ms": 12.5}, "up", "", 12.5),
        ({"status": "up", "ping": "40"}, "up", "", 40.0),
        ({"status": "down", "msg": "disk full"}, "down", "disk full", None),
        ({"status": "down"}, "down", "It was reported as down.", None),
        ({"status": "degraded", "message": "slow\nsomehow"}, "degraded", "slow somehow", None),
        ({"status": "up", "latency_ms": 900}, "degraded", "It answered in 900 ms; more than 800 ms counts", 900.0),
    ],
)
@pytest.mark.parametrize("way", ["get", "post"])
def test_result_is_recorded(way: str, sent: dict[str, Any], status: str, error: str, latency: float | None) -> None:
    _, token = add(degraded_over_ms=800)
    answer = send(token, **sent) if way == "get" else send(token, {**sent})
    assert answer.status_code == 200, answer.content
    assert (answer.json()["ok"], answer.json()["recorded"], answer.json()["status"]) == (True, True, status)
    now = state()
    assert (now.status, now.last_response_time_ms) == (status, latency)
    assert error in now.last_error and bool(error) == bool(now.last_error)
    [result] = CheckResult.objects.all()
    assert (result.status, result.manual) == (CODES[status], False)
    assert timedelta(seconds=65) < now.next_check_at - timezone.now() <= timedelta(seconds=70)


def test_form_and_header_do_as_well() -> None:
    _, token = add()
    client = APIClient()
    assert client.post(f"/api/v1/push/{token}", {"status": "down", "msg": "no"}).status_code == 200
    assert state().last_error == "no"
    answer = client.post("/api/v1/push", {"status": "up"}, format="json", headers={"X-Push-Token": token})
    assert answer.status_code == 200 and state().status == "up"
    assert client.get("/api/v1/push/", headers={"X-Push-Token": token}).status_code == 200
    assert client.get("/api/v1/push").status_code == 404


@pytest.mark.parametrize(
    ("sent", "place"),
    [({"status": "maybe"}, "status"), ({"latency_ms": -1}, "latency_ms"), ({"latency_ms": "soon"}, "latency_ms")],
)
def test_wrong_result_is_refused_by_its_field(sent: dict[str, Any], place: str) -> None:
    _, token = add()
    answer = send(token, sent)
    assert answer.status_code == 422
    assert place in [one for entry in answer.json()["detail"] for one in entry["loc"]]
    assert not CheckResult.objects.exists()


def test_unknown_tokens_are_404_and_slowed_down_and_known_ones_never() -> None:
    _, token = add()
    limit = int(runtime_settings.get("limits.unknown_pings_per_minute"))
    found = {send("x" * 32).status_code for _ in range(limit)}
    assert found == {404}
    slowed = send("x" * 32)
    assert slowed.status_code == 429 and int(slowed["Retry-After"]) >= 1
    assert send(token).status_code == 200


def test_token_of_another_type_is_unknown() -> None:
    _, token = add()
    Endpoint.objects.update(endpoint_type="http")
    assert send(token).status_code == 404


def test_renewed_token_ends_the_old_one() -> None:
    endpoint, token = add()
    answer = client_as("operator").post(f"/api/v1/endpoints/{endpoint.pk}/push-token")
    assert answer.status_code == 200
    assert (send(token).status_code, send(answer.json()["token"]).status_code) == (404, 200)
    http = make_endpoint()
    refused = client_as("operator").post(f"/api/v1/endpoints/{http.pk}/push-token")
    assert refused.status_code == 409
    assert facts("endpoint.updated")[-1].audit["after"] == {"push_token": "***"}


def test_paused_monitor_records_nothing_and_says_so() -> None:
    endpoint, token = add()
    pause_endpoint(endpoint=endpoint, actor=principal("operator"))
    answer = send(token, status="down")
    assert answer.status_code == 200 and answer.json()["recorded"] is False
    assert not CheckResult.objects.exists() and state().status == "paused"


def test_monitor_that_becomes_a_push_gets_its_address_and_loses_it_again() -> None:
    endpoint = make_endpoint()
    client = client_as("operator")
    path = f"/api/v1/endpoints/{endpoint.pk}"
    token = client.put(path, {"endpoint_type": "push", "target": ""}, format="json").json()["push"]["token"]
    assert send(token).status_code == 200
    client.put(path, {"endpoint_type": "http", "target": "http://127.0.0.1:9/"}, format="json")
    assert Endpoint.objects.get().token_hash is None and send(token).status_code == 404


def test_down_alerts_and_up_recovers_at_once() -> None:
    _, token = add()
    send(token, status="down", msg="no disk")
    send(token, status="up")
    [alert], [recovery] = facts("endpoint.alert"), facts("endpoint.recovery")
    assert (alert.data["last_error"], recovery.data["status"]) == ("no disk", "up")


def test_upside_down_push_turns_its_results_round() -> None:
    _, token = add(inverse=True)
    assert send(token, status="down").json()["status"] == "up"
    assert send(token, status="up").json()["status"] == "down"


# --- silence ---------------------------------------------------------------------------------------------------------


def test_silence_is_down_and_late_silence_does_not_undo_a_result() -> None:
    endpoint, token = add()
    config = config_of(Endpoint.objects.get())
    before = timezone.now()
    outcome = judge_silence(config, before)
    assert (outcome.status, outcome.error) == ("down", "No result has been sent in for more than 70 s.")
    send(token)
    record_results([CheckRun(config, before, outcome)])
    assert state().status == "up"
    record_results([CheckRun(config, timezone.now(), as_expected(config, outcome))])
    assert state().status == "down"


def test_silence_says_nothing_while_nobody_listens_or_has_just_begun_to() -> None:
    assert BLIND == BLIND_CONDITION
    endpoint, _ = add()
    config = config_of(Endpoint.objects.get())
    now = timezone.now()
    Lease.objects.create(name=LISTENING, until=now, last_run_at=now - timedelta(seconds=DEAF_AFTER_S + 1))
    assert judge_silence(config, now).status == "unknown"
    Lease.objects.filter(name=LISTENING).update(last_run_at=now)
    Lease.objects.create(name=AWAY, until=now - timedelta(hours=2), last_run_at=now - timedelta(seconds=60))
    assert judge_silence(config, now).status == "unknown"
    assert judge_silence(config, now + timedelta(seconds=11)).status == "down"
    Condition.objects.create(name=BLIND, since=now - timedelta(seconds=5))
    assert judge_silence(config, now + timedelta(seconds=20)).status == "unknown"


@pytest.mark.django_db(transaction=True)
def test_check_of_a_silent_push_runs_like_any_other() -> None:
    from apps.monitors.checks import run_check

    add()
    assert asyncio.run(run_check(config_of(Endpoint.objects.get()))).status == "down"


def test_check_now_and_trial_are_refused() -> None:
    endpoint, _ = add()
    client = client_as("operator")
    for path in (f"/api/v1/endpoints/{endpoint.pk}/check", f"/api/v1/endpoints/{endpoint.pk}/test"):
        assert client.post(path).status_code == 409
    assert client.post("/api/v1/endpoints/test", BODY, format="json").status_code == 409
