"""Their downtime or our blindness: real connections that nobody answers, and witnesses that do or don't."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from apps.core.models import Condition, Lease
from apps.core.watchdog import AWAY, LISTENING, note_listening
from apps.monitors.checks import CheckOutcome, run_check
from apps.monitors.checks.base import as_expected
from apps.monitors.connectivity import BLIND, Guard, host_of, is_outside_address, read_routes
from apps.monitors.services import heartbeat_sweep
from apps.monitors.services.heartbeat_sweep import DEAF, expire_due, may_judge
from apps.monitors.tasks.heartbeats import sweep_heartbeats
from tests.factories.heartbeats import make_heartbeat, ping, state_of
from tests.factories.monitors import facts, make_config
from tests.support.servers import hanging_server, tcp_server, unused_port

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def silent_port(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Hold a port that takes no further connection: its queue is full, so packets to it are dropped unanswered."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        try:
            for _ in range(16):
                client = socket.socket()
                waiting.append(client)
                client.settimeout(0.2)
                client.connect(address)
            raise AssertionError("the port still answers")
        except TimeoutError:
            yield address[1]
        finally:
            for client in waiting:
                client.close()


def guard(*witnesses: tuple[str, int]) -> Guard:
    """Return a guard for which every address lies outside."""
    return Guard(witnesses, gateway=lambda: "", is_outside=lambda ip: True)


async def check(one: Guard, port: int, host: str = "127.0.0.1", **values: object) -> CheckOutcome:
    config = make_config(endpoint_type="tcp", target=f"{host}:{port}", timeout_s=0.3, **values)
    return as_expected(config, await one.judge(config, await run_check(config)))


def alerts() -> list[str]:
    return [fact.data["title"] for fact in facts("system.alert")]


def test_failure_is_theirs_while_a_witness_answers() -> None:
    with tcp_server() as witness, silent_port() as silent:
        outcome = asyncio.run(check(guard(witness.address), silent))
    assert outcome.status == "down"
    assert alerts() == []


def test_witness_that_refuses_has_answered() -> None:
    with silent_port() as silent:
        outcome = asyncio.run(check(guard(("127.0.0.1", unused_port())), silent))
    assert outcome.status == "down"


def test_failure_is_ours_where_no_witness_answers_and_both_ends_are_told_once() -> None:
    async def story() -> list[str]:
        one = guard(("127.0.0.1", witness))
        found = [(await check(one, silent)).status for _ in range(3)]
        await one.look_again()
        return found

    async def end(port: int) -> None:
        one = guard(("127.0.0.1", port))  # another worker than the one that found out
        await one.look_again()

    with silent_port() as silent:
        with silent_port() as witness:
            assert asyncio.run(story()) == ["unknown"] * 3
        assert alerts() == ["We are blind"]
        assert Condition.objects.get(name=BLIND).ended_at is None
        with tcp_server() as revived:
            asyncio.run(end(revived.address[1]))
            asyncio.run(end(revived.address[1]))
    assert alerts() == ["We are blind", "We see again"]


def test_what_others_answer_in_this_moment_needs_no_witness() -> None:
    async def story() -> str:
        one = guard(("127.0.0.1", witness))
        assert (await check(one, shop.address[1])).status == "up"
        return (await check(one, silent)).status

    with hanging_server() as shop, silent_port() as witness, silent_port() as silent:
        assert asyncio.run(story()) == "down"


def test_answer_ends_the_blindness() -> None:
    async def story() -> None:
        one = guard(("127.0.0.1", witness))
        assert (await check(one, silent)).status == "unknown"
        assert (await check(one, shop.address[1])).status == "up"
        assert not one.blind

    with hanging_server() as shop, silent_port() as witness, silent_port() as silent:
        asyncio.run(story())
    assert alerts() == ["We are blind", "We see again"]


def test_targets_of_this_very_host_count_neither_way() -> None:
    async def story() -> str:
        return (await check(Guard([("127.0.0.1", witness)]), silent)).status

    with silent_port() as witness, silent_port() as silent:
        assert asyncio.run(story()) == "down"


def test_without_any_witness_only_the_failure_of_several_hosts_tells() -> None:
    async def story() -> list[str]:
        one = guard()
        found = [(await check(one, port, host)).status for host, port in ports]
        return [*found, (await check(one, ports[0][1], ports[0][0])).status]

    hosts = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    with silent_port(hosts[0]) as first, silent_port(hosts[1]) as second, silent_port(hosts[2]) as third:
        ports = list(zip(hosts, (first, second, third), strict=True))
        assert asyncio.run(story()) == ["down", "down", "unknown", "unknown"]


def test_check_that_is_turned_upside_down_is_not_called_up_while_we_are_blind() -> None:
    async def story() -> str:
        return (await check(guard(("127.0.0.1", witness)), silent, inverse=True)).status

    with silent_port() as witness, silent_port() as silent:
        assert asyncio.run(story()) == "unknown"


def test_routes_tell_what_lies_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    routes = read_routes(str(table))
    assert [gateway for _, _, gateway in routes] == ["", "172.17.0.1"]
    monkeypatch.setattr("apps.monitors.connectivity._current_routes", lambda: routes)
    outside = {ip: is_outside_address(ip) for ip in ("203.0.113.9", "172.17.0.9", "127.0.0.1", "::1", "2001:db8::1")}
    assert [ip for ip, is_outside in outside.items() if is_outside] == ["203.0.113.9", "2001:db8::1"]
    assert read_routes(str(tmp_path / "none")) == []


def test_host_of_a_target_that_cannot_be_read_is_none() -> None:
    assert host_of("tcp", "shop.example.org:443") == "shop.example.org"
    assert (host_of("tcp", "nonsense"), host_of("carrier-pigeon", "x"), host_of("http", "")) == ("", "", "")


# --- heartbeats --------------------------------------------------------------------------------------------------


def test_no_heartbeat_falls_due_while_we_are_blind_and_it_gets_its_time_afterwards() -> None:
    now = timezone.now()
    heartbeat = make_heartbeat(interval_seconds=60, grace_seconds=30)
    ping(heartbeat, at=now - timedelta(seconds=100))
    blind = Condition.objects.create(name=BLIND, message="", since=now - timedelta(seconds=60))
    sweep_heartbeats()
    assert state_of(heartbeat).status == "up"
    blind.ended_at = timezone.now()
    blind.save()
    sweep_heartbeats()
    state = state_of(heartbeat)
    assert state.status == "up" or state.status == "late"
    assert state.deadline is not None and state.deadline > now + timedelta(seconds=60 + 25)
    assert facts("heartbeat.deadline_missed") == []
    expire_due(now=state.deadline + timedelta(seconds=1))
    expire_due(now=state.deadline + timedelta(seconds=1))
    assert len(facts("heartbeat.deadline_missed")) == 1


def test_deadlines_that_passed_while_the_platform_was_off_are_put_off_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_sweep, "_started", time.monotonic())  # a worker that has just started
    now = timezone.now()
    Lease.objects.create(name=LISTENING, owner="", until=now, last_run_at=now - timedelta(minutes=30))
    soon = make_heartbeat(interval_seconds=300, grace_seconds=60)
    rare = make_heartbeat(cron="0 3 1 1 *", grace_seconds=600)
    missed = make_heartbeat(interval_seconds=300, grace_seconds=60)
    for heartbeat in (soon, missed):
        ping(heartbeat, at=now - timedelta(minutes=10))
    ping(missed, at=now - timedelta(minutes=50))
    state = state_of(missed)
    state.next_due_at = state.deadline = state.wake_at = now - timedelta(minutes=40)  # before we went off
    state.status = "late"
    state.save()
    state = state_of(rare)
    state.status, state.since = "late", now
    state.next_due_at = state.deadline = state.wake_at = now - timedelta(minutes=5)
    state.save()
    assert not may_judge(now=now)  # nobody listens yet: the worker is up before the web
    assert alerts() == []
    note_listening(now)
    assert Lease.objects.get(name=AWAY).until == now - timedelta(minutes=30)
    sweep_heartbeats()
    deadline = state_of(soon).deadline
    assert deadline is not None and timedelta(minutes=5, seconds=50) < deadline - now < timedelta(minutes=7)
    deadline = state_of(rare).deadline
    assert deadline is not None and timedelta(seconds=590) < deadline - now < timedelta(seconds=660)
    assert state_of(missed).status == "down"
    before = state_of(soon).deadline
    sweep_heartbeats()
    assert state_of(soon).deadline == before


def test_deafness_is_told_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_sweep, "_started", -1e9)  # a worker that has run for long
    now = timezone.now()
    note_listening(now - timedelta(seconds=60))
    Lease.objects.filter(name=LISTENING).update(last_run_at=now - timedelta(seconds=60))
    assert not may_judge(now=now)
    assert not may_judge(now=now)
    assert Condition.objects.get(name=DEAF).ended_at is None
    note_listening(now)
    assert may_judge(now=now)
    assert alerts() == ["Nobody listens to heartbeats", "Heartbeats are heard again"]
