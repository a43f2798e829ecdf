"""Datagrams: one question to a UDP port and its answer, and ICMP echoes."""

import asyncio
import contextlib
import errno
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from apps.core.net.errors import ConnectError, LocalError, NetError, Phases, error_from_os
from apps.core.net.hosts import canonical_host
from apps.core.net.http import Progress
from apps.core.net.policy import Purpose
from apps.core.net.resolve import Address, resolve

_DATAGRAM_MOST = 65_535
#: Ports are what the policy knows services by; echoes have none.
_ECHO_PORT = 7
_PING_GROUPS = "net.ipv4.ping_group_range"


@dataclass(slots=True)
class Answer:
    """What came back; `data` is None where nothing did."""

    data: bytes | None
    phases: Phases


async def ask(
    host: str,
    port: int,
    payload: bytes,
    purpose: Purpose,
    timeout_s: float = 10.0,
    family: int | None = None,
    *,
    accept: Callable[[bytes], bool] = lambda data: True,
) -> Answer:
    """Send one datagram and wait for the answer, from the same address and port alone.

    Args:
        accept: which datagrams are the answer; others are passed over.

    Raises:
        ConnectError: `refused`: the other side says that nothing listens there.
        OutboundRefused, InvalidTarget, DnsError, LocalError, NetTimeout (looking the name up): all are NetError.
    """
    progress = Progress()
    try:
        name = canonical_host(host)
        progress.begin("dns")
        addresses = await resolve(name, port, purpose, family, timeout_s)
        progress.end()
        progress.remote_ip = addresses[0].ip
        progress.begin("first_byte")
        left = timeout_s - (time.perf_counter() - progress.started)
        data = await _ask(addresses[0], payload, left, accept)
        if data is not None:
            progress.end()
        return Answer(data, progress.stop())
    except NetError as error:
        progress.stamp(error)
        raise


async def _ask(address: Address, payload: bytes, timeout_s: float, accept: Callable[[bytes], bool]) -> bytes | None:
    with socket.socket(address.family, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        try:
            channel.connect((address.ip, address.port))
            channel.send(payload)
            async with asyncio.timeout(max(0.0, timeout_s)):
                while True:
                    data = await _receive(channel)
                    if accept(data):
                        return data
        except TimeoutError:
            return None
        except ConnectionRefusedError as error:
            raise ConnectError(
                f"{address.ip} says that nothing listens on UDP port {address.port}.",
                reason="refused",
                remote_ip=address.ip,
            ) from error
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise LocalError("The payload is too long for one datagram.", remote_ip=address.ip) from error
            raise error_from_os(error, ip=address.ip, port=address.port) from error


async def _receive(channel: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(BlockingIOError):
            return channel.recv(_DATAGRAM_MOST)
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(channel.fileno(), _settle, ready)
        try:
            await ready
        finally:
            loop.remove_reader(channel.fileno())


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


@dataclass(slots=True)
class Echoes:
    """What came of a series of ICMP echoes.

    Attributes:
        times_ms: round trips of those that were answered, in the order of their answers.
    """

    sent: int
    times_ms: list[float] = field(default_factory=list)
    phases: Phases = field(default_factory=Phases)
    remote_ip: str = ""

    @property
    def lost_percent(self) -> float:
        """Return how many of a hundred were not answered."""
        return 100.0 * (self.sent - len(self.times_ms)) / self.sent


async def ping(
    host: str,
    purpose: Purpose,
    timeout_s: float = 10.0,
    family: int | None = None,
    *,
    count: int = 3,
    gap_s: float = 0.2,
    size: int = 56,
) -> Echoes:
    """Send ICMP echoes and wait for their answers.

    Args:
        gap_s: seconds between two; shortened where the time would not do.
        size: bytes of payload.

    Raises:
        LocalError: this machine lets the process open no ICMP socket; the message says what to do.
        OutboundRefused, InvalidTarget, DnsError, ConnectError, NetTimeout: all are NetError.
    """
    progress = Progress()
    try:
        name = canonical_host(host)
        progress.begin("dns")
        address = (await resolve(name, _ECHO_PORT, purpose, family, timeout_s))[0]
        progress.end()
        progress.remote_ip = address.ip
        left = max(0.1, timeout_s - (time.perf_counter() - progress.started))
        with open_icmp(address.family) as channel:
            progress.begin("first_byte")
            found = await echo_series(channel, address, timeout_s=left, count=count, gap_s=gap_s, size=size)
        if found.times_ms:
            progress.phases.add("first_byte", sum(found.times_ms) / len(found.times_ms))
        found.phases, found.remote_ip = progress.stop(), address.ip
        return found
    except OSError as error:
        wrong = error_from_os(error, ip=progress.remote_ip, port=_ECHO_PORT)
        progress.stamp(wrong)
        raise wrong from error
    except NetError as error:
        progress.stamp(error)
        raise


def open_icmp(family: int) -> socket.socket:
    """Open an ICMP socket: the kind that needs no privilege, else a raw one.

    Raises:
        LocalError: neither is allowed.
    """
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            channel = socket.socket(family, kind, protocol)
        except PermissionError:
            continue
        except OSError as error:
            if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EACCES):
                continue
            raise
        channel.setblocking(False)
        return channel
    raise LocalError(
        f"This machine lets the platform send no echoes: allow them with “sysctl -w {_PING_GROUPS}='0 2147483647'”, "
        "or give the process CAP_NET_RAW."
    )


async def echo_series(
    channel: socket.socket, address: Address, *, timeout_s: float, count: int, gap_s: float, size: int
) -> Echoes:
    """Send `count` echoes over an open ICMP socket and collect their answers until all are there or time is up."""
    is_raw = channel.type == socket.SOCK_RAW
    ident = int.from_bytes(os.urandom(2))
    mark = os.urandom(8)  # answers to others arrive at a raw socket too
    gap_s = min(gap_s, timeout_s / (2 * count))
    sent_at: dict[int, float] = {}
    found = Echoes(sent=count)
    request, reply = (8, 0) if address.family == socket.AF_INET else (128, 129)

    async def collect() -> None:
        while len(found.times_ms) < count:
            data = await _receive(channel)
            now = time.perf_counter()
            if is_raw and address.family == socket.AF_INET and data:
                data = data[(data[0] & 15) * 4 :]  # a raw IPv4 socket gives the IP header too
            if len(data) < 16 or data[0] != reply or data[8:16] != mark:
                continue
            began = sent_at.pop(int.from_bytes(data[6:8]), None)
            if began is not None:
                found.times_ms.append((now - began) * 1000)

    async def send() -> None:
        for number in range(count):
            packet = _echo(request, ident, number, mark + bytes(max(0, size - 8)))
            sent_at[number] = time.perf_counter()
            if channel.family == socket.AF_UNIX:
                channel.send(packet)
            else:
                channel.sendto(packet, (address.ip, 0))
            if number + 1 < count:
                await asyncio.sleep(gap_s)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            group.create_task(send())
            group.create_task(collect())
    return found


def _echo(kind: int, ident: int, number: int, payload: bytes) -> bytes:
    head = struct.pack("!BBHHH", kind, 0, 0, ident, number)
    return struct.pack("!BBHHH", kind, 0, _checksum(head + payload), ident, number) + payload


def _checksum(data: bytes) -> int:
    """Return the Internet checksum. Source: RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
