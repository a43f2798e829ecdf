"""Whether it is they who are down, or we who are cut off.

A check that fails before anything came back says nothing while the platform itself reaches nobody. So before such a
failure counts, the guard asks itself whether anything outside has answered in this moment; else it asks the witnesses:
the hosts of `CONNECTIVITY_PROBES`, and the default gateway where it has answered before (many never do). Where nobody
answers we are blind: those checks are unknown, people are told once, and once more when it is over.

What lies on this host, or on a network that is reached without the default route, counts neither way.
"""

import asyncio
import ipaddress
import logging
import socket
import struct
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import psutil
from django.conf import settings
from django.utils import timezone

from apps.core.conditions import begin_condition, end_condition
from apps.core.net import ConnectError, NetError, Purpose, tcp
from apps.core.runner import runner
from apps.monitors.checks import CheckConfig, CheckOutcome, check_types
from apps.monitors.states.endpoints import DEGRADED, DOWN, UNKNOWN, UP

log = logging.getLogger(__name__)

#: Name of the condition while we are cut off.
BLIND = "blind"
WITNESS_S = 2.0  # how long a witness has to answer
FRESH_S = 1.0  # how long an answer of the world, or of a witness, is taken for granted
ROUTES_S = 10.0
HOSTS_S = 300.0
LEARN_S = 600.0  # how often it is learned whether the gateway answers
CUT_OFF = "We reach nothing outside at the moment, so nothing can be said about the target."
#: So many hosts must fail in an interval where there is no witness at all.
HOSTS_LEAST = 3
GATEWAY_PORTS = (53, 80, 443)

Witness = tuple[str, int]


class Guard:
    """Judges failures of checks. One instance a process; see `guard()`.

    Args:
        witnesses: hosts and ports outside that answer whenever we are not cut off.
        gateway: returns the default gateway's address, "" where there is none.
        is_outside: tells of an IP address whether it is reached by the default route.
    """

    def __init__(
        self,
        witnesses: Sequence[Witness],
        *,
        gateway: Callable[[], str] | None = None,
        is_outside: Callable[[str], bool] | None = None,
    ) -> None:
        self._witnesses = tuple(witnesses)
        self._gateway = gateway or default_gateway
        self._is_outside_ip = is_outside or is_outside_address
        self._heard_at = -1e9
        self._failed: dict[str, float] = {}
        self._hosts: dict[str, tuple[bool, float]] = {}
        self._gateway_answers = False
        self._learned_at = -1e9
        self._asked: tuple[float, bool] = (-1e9, True)
        self._asking: asyncio.Task[bool] | None = None
        self._learning: asyncio.Task[None] | None = None
        self.blind = False

    async def judge(self, config: CheckConfig, outcome: CheckOutcome) -> CheckOutcome:
        """Return the outcome, as unknown where it is we who are cut off."""
        host = host_of(config.endpoint_type, config.target)
        if not host:
            return outcome
        has_answered = has_come_back(outcome)
        if not has_answered and outcome.status != DOWN:
            return outcome
        if await self.is_ours(host, has_answered=has_answered, interval_s=config.interval_s):
            outcome.status, outcome.error = UNKNOWN, CUT_OFF
        return outcome

    async def is_ours(self, host: str, *, has_answered: bool, interval_s: float) -> bool:
        """Take note of a host's answer or silence, and return whether the silence says nothing about the host.

        Args:
            interval_s: the time in which nothing else may have answered, where there is no witness to ask.
        """
        if not await self._is_outside(host, has_answered):
            return False
        if has_answered:
            await self._hear()
            return False
        self._failed[host] = time.monotonic()
        return await self._is_cut_off(interval_s)

    async def look_again(self) -> None:
        """While blind: ask the witnesses, and tell when one answers."""
        self.blind = True  # also where another process found it out: the next answer ends it
        if await self._ask():
            await self._see()

    # --- the world -------------------------------------------------------------------------------------------------

    async def _hear(self) -> None:
        self._heard_at = time.monotonic()
        if self.blind:
            await self._see()
        elif self._heard_at - self._learned_at > LEARN_S and self._gateway():
            self._learned_at = self._heard_at
            self._learning = asyncio.get_running_loop().create_task(self._learn())

    async def _learn(self) -> None:
        self._gateway_answers = await self._gateway_is_there()

    async def _is_cut_off(self, interval_s: float) -> bool:
        now = time.monotonic()
        if now - self._heard_at <= FRESH_S:
            return False
        if await self._ask():
            if self.blind:
                await self._see()
            return False
        if not self._usable():
            # Nobody to ask: only that all of several hosts fail at once, for an interval, tells.
            begin = now - interval_s
            failing = [at for at in self._failed.values() if at >= begin]
            if self._heard_at >= begin or len(failing) < HOSTS_LEAST:
                return False
        await self._go_blind()
        return True

    def _usable(self) -> bool:
        return bool(self._witnesses) or self._gateway_answers

    async def _ask(self) -> bool:
        """Return whether a witness answers; many checks that ask at once share one question."""
        at, answer = self._asked
        if time.monotonic() - at <= FRESH_S:
            return answer
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask_all())
        return await asyncio.shield(self._asking)

    async def _ask_all(self) -> bool:
        questions = [asyncio.ensure_future(answers(host, port)) for host, port in self._witnesses]
        if self._gateway_answers:
            questions.append(asyncio.ensure_future(self._gateway_is_there()))
        answer = False
        try:
            for question in asyncio.as_completed(questions):
                if await question:
                    answer = True
                    break
        finally:
            for one in questions:
                one.cancel()
        self._asked = (time.monotonic(), answer)
        return answer

    async def _gateway_is_there(self) -> bool:
        address = self._gateway()
        if not address:  # the default route went away with the link
            return False
        return any(await asyncio.gather(*(answers(address, port) for port in GATEWAY_PORTS)))

    async def _is_outside(self, host: str, has_answered: bool) -> bool:
        known, at = self._hosts.get(host, (True, -1e9))
        if time.monotonic() - at <= HOSTS_S:
            return known
        try:
            addresses = [str(ipaddress.ip_address(host))]
        except ValueError:
            if host == "localhost" or host.endswith(".localhost"):
                return False
            try:
                found = await asyncio.wait_for(asyncio.get_running_loop().getaddrinfo(host, None), WITNESS_S)
            except (OSError, TimeoutError, UnicodeError):
                return True  # who answers for names is asked by the default route, as far as we know
            addresses = [str(entry[4][0]) for entry in found]
        outside = any(self._is_outside_ip(address) for address in addresses)
        if len(self._hosts) > 20_000:
            self._hosts.clear()
        if has_answered or not outside:
            self._hosts[host] = (outside, time.monotonic())
        return outside

    # --- telling ---------------------------------------------------------------------------------------------------

    async def _go_blind(self) -> None:
        if not self.blind:
            self.blind = True
            log.warning("cut off: no check gets through and no witness answers")
            await runner().in_thread(tell_blind)

    async def _see(self) -> None:
        self.blind = False
        self._failed.clear()
        await runner().in_thread(tell_sight)


def tell_blind() -> None:
    """Tell that we are blind. Emits: system.alert."""
    begin_condition(
        name=BLIND,
        title="We are blind",
        message=f"Since {timezone.now():%Y-%m-%d %H:%M:%S} UTC no check reaches anything outside, and neither the "
        "default gateway nor a host of CONNECTIVITY_PROBES answers. What is watched there is unknown, not down; no "
        "heartbeat is called down. Look at this machine's network.",
    )


def tell_sight() -> None:
    """Tell that we see again. Emits: system.alert."""
    end_condition(name=BLIND, title="We see again", message="Checks reach the outside again.")


# --- what a check says -------------------------------------------------------------------------------------------


@lru_cache(20_000)
def host_of(endpoint_type: str, target: str) -> str:
    """Return the host that a check talks to; "" where it talks to none."""
    kind = check_types.get(endpoint_type)
    if kind is None or not target:
        return ""
    try:
        return kind.address(target)[0]
    except Exception:  # results that are sent in, groups, and targets that can't be read
        return ""


def has_come_back(outcome: CheckOutcome) -> bool:
    """Return whether something came back from the target."""
    phases = outcome.phases
    if phases.first_byte_ms is not None and not outcome.is_timeout:
        return True
    if outcome.status_code is not None or outcome.certificate is not None:
        return True
    return outcome.status in (UP, DEGRADED)


async def answers(host: str, port: int) -> bool:
    """Return whether a host answers, be it that it refuses."""
    try:
        await tcp.connect(host, port, Purpose.PROBE, WITNESS_S)
    except ConnectError as error:
        return error.reason in ("refused", "reset", "closed")
    except NetError:
        return False
    return True


# --- routes ------------------------------------------------------------------------------------------------------

_routes: tuple[float, list[tuple[int, int, str]]] = (-1e9, [])


def read_routes(path: str = "/proc/net/route") -> list[tuple[int, int, str]]:
    """Return the IPv4 routes as (network, mask, gateway), the narrowest first; none where they can't be read."""
    try:
        lines = Path(path).read_text().splitlines()[1:]
    except OSError:
        return []
    found = []
    for line in lines:
        parts = line.split()
        if len(parts) >= 8 and int(parts[3], 16) & 1:  # the route is up
            network, gateway, mask = (socket.ntohl(int(parts[index], 16)) for index in (1, 2, 7))
            found.append((network, mask, socket.inet_ntoa(struct.pack("!I", gateway)) if gateway else ""))
    return sorted(found, key=lambda route: route[1], reverse=True)


def _current_routes() -> list[tuple[int, int, str]]:
    global _routes
    if time.monotonic() - _routes[0] > ROUTES_S:
        _routes = (time.monotonic(), read_routes())
    return _routes[1]


def default_gateway() -> str:
    """Return the address of the default gateway, "" where there is none."""
    return next((gateway for _, mask, gateway in _current_routes() if mask == 0 and gateway), "")


def is_outside_address(text: str) -> bool:
    """Return whether an address is reached by the default route, and not on this host or a network next to it."""
    ip = ipaddress.ip_address(text)
    if ip.is_loopback or ip.is_link_local or ip.is_unspecified or text in _own_addresses(int(time.monotonic() // 60)):
        return False
    if ip.version == 6:
        return True
    value = int(ip)
    for network, mask, _ in _current_routes():
        if value & mask == network:
            return mask == 0
    return True  # without a default route nothing outside is reached at all


@lru_cache(1)
def _own_addresses(minute: int) -> frozenset[str]:
    found = psutil.net_if_addrs().values()
    return frozenset(entry.address.partition("%")[0] for entries in found for entry in entries)


_guard: Guard | None = None


def guard() -> Guard:
    """Return this process's guard."""
    global _guard
    if _guard is None:
        _guard = Guard(settings.CONNECTIVITY_PROBES)
    return _guard
