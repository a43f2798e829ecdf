"""Rows written behind the API's back: each sweep goes on with the others, and the row says what is wrong with it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.core import leases
from apps.monitors.checks import CheckOutcome, run_check
from apps.monitors.models import Endpoint, EndpointState, Heartbeat, HeartbeatState
from apps.monitors.services.endpoint_configs import configs_of
from apps.monitors.services.endpoint_results import CheckRun, record_results
from apps.monitors.services.heartbeat_sweep import expire_due
from tests.factories.heartbeats import make_heartbeat, ping, state_of
from tests.factories.monitors import facts, make_endpoint
from tests.support.servers import http_server

pytestmark = pytest.mark.django_db(transaction=True)


def poison(endpoint: Endpoint, **columns: Any) -> Endpoint:
    """Write columns as they stand, past every field and service; a new revision, as an import might."""
    table = Endpoint._meta.db_table
    with connection.cursor() as cursor:
        for column, value in {**columns, "revision": 2}.items():
            pk = endpoint.pk.hex if connection.vendor == "sqlite" else endpoint.pk
            cursor.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", [value, pk])
    return endpoint


async def _check_all(configs: Any) -> list[tuple[Any, CheckOutcome]]:
    return [(config, await run_check(config)) for config in configs]


def check_everything() -> None:
    """Claim what is due, check it and record it, as the sweep and the runner do."""
    import asyncio

    due = EndpointState.objects.filter(next_check_at__lte=timezone.now()).order_by("next_check_at")
    claimed = leases.claim(due, limit=100, owner="test", seconds=60)
    revisions = dict(Endpoint.objects.values_list("pk", "revision"))
    configs = configs_of((state.endpoint_id, revisions[state.endpoint_id]) for state in claimed)
    started = timezone.now()
    runs = [CheckRun(config, started, outcome) for config, outcome in asyncio.run(_check_all(configs.values()))]
    record_results(runs)


def test_broken_endpoints_are_unknown_with_a_sentence_and_the_good_one_is_checked() -> None:
    with http_server() as shop:
        good = make_endpoint(name="good", target=shop.url)
        broken = {
            "json path": poison(make_endpoint(target=shop.url), json_path="$[[[", json_value='"x"'),
            "target": poison(make_endpoint(target=shop.url), target="http://[::1"),
            "type": poison(make_endpoint(target=shop.url), endpoint_type="carrier-pigeon"),
            "status": poison(make_endpoint(target=shop.url), expected_status="2xx-banana"),
            "sealed": poison(make_endpoint(target=shop.url, headers={"X-Token": "secret"}), headers="sealed:nonsense"),
            "certificate": poison(
                make_endpoint(target=shop.url), ca_pem="no pem", target=shop.url.replace("http:", "https:")
            ),
            "days": poison(make_endpoint(target=shop.url), cert_warn_days='"soon"'),
        }
        began = timezone.now()  # a slot of the grid may come at any moment after this
        check_everything()
    assert EndpointState.objects.get(num=good.num).status == "up"
    for what, endpoint in broken.items():
        state = EndpointState.objects.get(num=endpoint.num)
        if what not in ("days",):  # minded only where a certificate is seen
            assert state.status == "unknown", what
            assert len(state.last_error) > 10, what
        assert "secret" not in state.last_error
        assert state.next_check_at is not None and state.next_check_at > began, what
    assert facts("endpoint.alert") == []


def test_result_that_cannot_be_applied_does_not_take_the_others_along(monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = make_endpoint(name="good"), make_endpoint(name="bad")
    EndpointState.objects.filter(num=bad.num).update(recent="?!", since=timezone.now())
    configs = configs_of([(good.pk, good.revision), (bad.pk, bad.revision)])
    EndpointState.objects.filter(num=bad.num).update(alert_level="critical", failing_since=None)
    Endpoint.objects.filter(pk=bad.pk).update(cert_warn_days=["never"])
    seen = broken_certificate()
    runs = [
        CheckRun(configs[good.pk], timezone.now(), CheckOutcome("up", 5.0)),
        CheckRun(configs[bad.pk], timezone.now(), CheckOutcome("up", 5.0, certificate=seen)),
    ]
    began = timezone.now()
    record_results(runs)
    assert EndpointState.objects.get(num=good.num).status == "up"
    state = EndpointState.objects.get(num=bad.num)
    assert state.status == "unknown"
    assert "could not be recorded" in state.last_error
    assert state.next_check_at is not None and state.next_check_at > began


def broken_certificate() -> Any:
    """Return a certificate whose dates can't be reckoned with."""

    class Nonsense:
        certificate = object()
        problem = ""
        message = ""

    return Nonsense()


@pytest.mark.parametrize(
    "columns",
    [
        {"cron": "61 25 * * *", "kind": "cron", "interval_seconds": None},
        {"cron": "0 1 * * *", "kind": "cron", "interval_seconds": None, "timezone": "Mars/Olympus"},
        {"cron": "0 0 31 2 *", "kind": "cron", "interval_seconds": None},
        {"cron": "nonsense", "kind": "cron", "interval_seconds": None},
    ],
)
def test_broken_heartbeat_is_unknown_with_a_sentence_and_the_others_fall_due(columns: dict[str, Any]) -> None:
    now = timezone.now()
    heartbeats = [make_heartbeat(interval_seconds=60, grace_seconds=30) for _ in range(3)]
    for heartbeat in heartbeats:
        ping(heartbeat, at=now - timedelta(minutes=5))
    broken, *good = heartbeats
    Heartbeat.objects.filter(pk=broken.pk).update(**columns)
    sweep(now)
    assert {state_of(heartbeat).status for heartbeat in good} == {"down"}
    state = state_of(broken)
    assert state.status == "unknown"
    assert "can't be worked out" in state.fault
    assert state.wake_at is not None and state.wake_at > now + timedelta(minutes=30)
    since = state.since
    HeartbeatState.objects.filter(pk=broken.pk).update(wake_at=now)
    sweep(now + timedelta(seconds=1))
    assert state_of(broken).since == since
    assert len(facts("heartbeat.deadline_missed")) == 2


def sweep(now: datetime) -> None:
    for _ in range(10):
        if not expire_due(now=now):
            return


def test_ping_to_a_broken_heartbeat_is_accepted_and_so_are_the_others_of_its_batch() -> None:
    from apps.monitors.services.pings import PingRequest, accept_pings

    broken, good = make_heartbeat(), make_heartbeat()
    Heartbeat.objects.filter(pk=broken.pk).update(cron="61 25 * * *", kind="cron", interval_seconds=None, revision=9)
    answers = accept_pings([PingRequest(broken.uuid), PingRequest(good.uuid)])
    assert [answer.status for answer in answers] == [200, 200]
    assert state_of(good).status == "up"
    assert state_of(broken).ping_count == 1
