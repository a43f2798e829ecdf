"""Names to addresses: each is checked, and a hanging lookup delays nobody else."""

import asyncio
import socket
import threading

import pytest

from apps.core.net import Address, DnsError, NetTimeout, OutboundRefused, Purpose, resolve, resolve_sync
from apps.core.net.lookups import FAST_THREADS, SLOW_THREADS, Lookups


class Dns:
    """A resolver whose answers the test sets; other names fail."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.hanging: dict[str, threading.Event] = {}

    def hang(self, name: str) -> None:
        self.hanging[name] = threading.Event()
        self.answers[name] = ["127.0.0.1"]

    def __call__(self, host, port, family=0, type=0, proto=0, flags=0):
        self.asked.append(host)
        if host in self.hanging:
            self.hanging[host].wait(30)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = []
        for ip in self.answers[host]:
            of = socket.AF_INET6 if ":" in ip else socket.AF_INET
            if family in (0, of):
                found.append((of, socket.SOCK_STREAM, 6, "", (ip, port or 0, 0, 0) if ":" in ip else (ip, port or 0)))
        return found


@pytest.fixture
def dns(monkeypatch):
    fake = Dns()
    monkeypatch.setattr(socket, "getaddrinfo", fake)
    yield fake
    for event in fake.hanging.values():
        event.set()


async def test_name_gives_addresses_with_families_alternating(dns) -> None:
    dns.answers["two.test"] = ["2606:4700::1", "2606:4700::2", "1.1.1.1", "1.0.0.1", "1.1.1.1"]

    found = await resolve("Two.test.", 443, Purpose.DELIVER)

    assert [address.ip for address in found] == ["2606:4700::1", "1.1.1.1", "2606:4700::2", "1.0.0.1"]
    assert found[1] == Address("1.1.1.1", 443, socket.AF_INET)
    assert [address.ip for address in await resolve("two.test", 443, Purpose.DELIVER, socket.AF_INET)] == [
        "1.1.1.1",
        "1.0.0.1",
    ]


async def test_literal_address_is_not_looked_up(dns) -> None:
    assert [address.ip for address in await resolve("0x7f.1", 80, Purpose.PROBE)] == ["127.0.0.1"]
    assert dns.asked == []
    with pytest.raises(DnsError):
        await resolve("127.0.0.1", 80, Purpose.PROBE, socket.AF_INET6)


async def test_name_with_one_forbidden_address_is_refused(dns) -> None:
    dns.answers["mixed.test"] = ["1.1.1.1", "169.254.169.254"]

    with pytest.raises(OutboundRefused, match=r"mixed\.test \(169\.254\.169\.254\)"):
        await resolve("mixed.test", 80, Purpose.PROBE)


async def test_name_of_link_local_address_with_zone_is_refused(dns) -> None:
    dns.answers["zone.test"] = ["fe80::1%eth0"]

    with pytest.raises(OutboundRefused):
        await resolve("zone.test", 80, Purpose.PROBE)


async def test_unknown_name_is_a_dns_error(dns) -> None:
    with pytest.raises(DnsError, match=r"The name nowhere\.test does not exist"):
        await resolve("nowhere.test", 80, Purpose.PROBE)


async def test_hanging_name_times_out_and_delays_no_other(dns) -> None:
    for index in range(FAST_THREADS // 2):
        dns.hang(f"stuck{index}.test")
    dns.answers["fine.test"] = ["127.0.0.1"]
    hanging = [
        asyncio.create_task(resolve(f"stuck{index}.test", 80, Purpose.PROBE, timeout_s=0.2))
        for index in range(FAST_THREADS // 2)
        for _ in range(10)
    ]

    assert (await resolve("fine.test", 80, Purpose.PROBE))[0].ip == "127.0.0.1"
    for outcome in await asyncio.gather(*hanging, return_exceptions=True):
        assert isinstance(outcome, NetTimeout)
        assert outcome.phase == "dns"
    assert len([name for name in dns.asked if name.startswith("stuck")]) == FAST_THREADS // 2


async def test_one_caller_giving_up_does_not_end_the_lookup_of_another(dns) -> None:
    dns.hang("slow.test")
    patient = asyncio.create_task(resolve("slow.test", 80, Purpose.PROBE))
    with pytest.raises(NetTimeout):
        await resolve("slow.test", 80, Purpose.PROBE, timeout_s=0.05)

    dns.hanging["slow.test"].set()

    assert (await patient)[0].ip == "127.0.0.1"
    assert dns.asked == ["slow.test"]


def test_names_that_were_slow_wait_in_a_lane_of_their_own(dns, monkeypatch) -> None:
    monkeypatch.setattr("apps.core.net.lookups.SLOW_AFTER_S", 0.0)
    lookups = Lookups()
    names = [f"slow{index}.test" for index in range(FAST_THREADS + SLOW_THREADS)]
    for name in names:
        dns.answers[name] = ["127.0.0.1"]
        lookups.leave(_done(lookups.join(name, 0)))  # now known as slow
        dns.hang(name)
    dns.answers["fine.test"] = ["127.0.0.1"]

    running = [lookups.join(name, 0) for name in names]

    assert lookups.join("fine.test", 0).future.result(10)
    assert not any(lookup.future.done() for lookup in running)
    for name, lookup in zip(names, running, strict=True):
        dns.hanging[name].set()
        _done(lookup)


def test_lookup_nobody_waits_for_is_not_begun(dns) -> None:
    lookups = Lookups()
    for index in range(FAST_THREADS):
        dns.hang(f"hang{index}.test")
        lookups.join(f"hang{index}.test", 0)
    abandoned = lookups.join("abandoned.test", 0)
    lookups.leave(abandoned)

    for event in dns.hanging.values():
        event.set()

    dns.answers["after.test"] = ["127.0.0.1"]
    _done(lookups.join("after.test", 0))
    assert "abandoned.test" not in dns.asked


def _done(lookup):
    lookup.future.result(10)
    return lookup


def test_sync_callers_get_the_same_answers_and_refusals(dns) -> None:
    dns.answers["ok.test"] = ["127.0.0.1"]
    dns.hang("hang.test")

    assert resolve_sync("ok.test", 22, Purpose.PROBE) == [Address("127.0.0.1", 22, socket.AF_INET)]
    with pytest.raises(OutboundRefused):
        resolve_sync("ok.test", 22, Purpose.DELIVER)
    with pytest.raises(DnsError):
        resolve_sync("nowhere.test", 22, Purpose.PROBE)
    with pytest.raises(NetTimeout):
        resolve_sync("hang.test", 22, Purpose.PROBE, timeout_s=0.05)


async def test_own_endpoint_behind_another_name_is_refused(dns, settings) -> None:
    settings.OWN_ENDPOINTS = {("db", 5432)}
    dns.answers["db"] = ["172.18.0.2"]
    dns.answers["alias.test"] = ["172.18.0.2"]

    with pytest.raises(OutboundRefused, match="own database"):
        await resolve("alias.test", 5432, Purpose.PROBE)
    assert (await resolve("alias.test", 5433, Purpose.PROBE))[0].ip == "172.18.0.2"
