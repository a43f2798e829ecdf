"""From a host name to addresses that the policy allows. A connection goes to exactly these."""

import asyncio
import concurrent.futures
import socket
from dataclasses import dataclass
from typing import Any

from apps.core.net.errors import DnsError, NetTimeout
from apps.core.net.hosts import canonical_host, check_port, literal_ip
from apps.core.net.lookups import Lookup, lookups
from apps.core.net.policy import (
    Purpose,
    check_address,
    check_host,
    look_up_own_endpoints,
    own_endpoints_need_lookup,
)


@dataclass(frozen=True, slots=True)
class Address:
    """One address to connect to; checked by the policy."""

    ip: str
    port: int
    family: socket.AddressFamily


async def resolve(
    host: str, port: int, purpose: Purpose, family: int | None = None, timeout_s: float = 5.0
) -> list[Address]:
    """Look a host up once and check every address it has.

    Args:
        host: a name, or an address in any notation (then nothing is looked up).
        port: 1-65535.
        purpose: decides which addresses are allowed.
        family: `socket.AF_INET` or `AF_INET6` to use only that one.
        timeout_s: seconds to wait for the answer.

    Returns:
        At least one address, in the order to try them: the system's, families alternating.

    Raises:
        OutboundRefused: the policy forbids one of the addresses.
        DnsError: the name does not exist or could not be looked up.
        NetTimeout: no answer in time.
        InvalidTarget: host or port is malformed.
    """
    name = canonical_host(host)
    if own_endpoints_need_lookup(port):  # before the checks, which would do it on the event loop
        await _wait(lookups.submit("own endpoints", look_up_own_endpoints), "the platform's own services", timeout_s)
    check_host(name, port, purpose)
    literal = _literal(name, port, family)
    if literal is not None:
        return literal
    lookup = lookups.join(name, family or socket.AF_UNSPEC)
    try:
        found = await _wait(lookup, name, timeout_s)
    except OSError as error:
        raise _dns_error(name, error) from error
    return _checked(name, port, purpose, found)


def resolve_sync(
    host: str, port: int, purpose: Purpose, family: int | None = None, timeout_s: float = 5.0
) -> list[Address]:
    """Do what `resolve` does, for callers in threads."""
    name = canonical_host(host)
    check_host(name, port, purpose)
    literal = _literal(name, port, family)
    if literal is not None:
        return literal
    lookup = lookups.join(name, family or socket.AF_UNSPEC)
    try:
        found = lookup.future.result(timeout_s)
    except concurrent.futures.TimeoutError as error:
        raise _timeout(name, timeout_s) from error
    except OSError as error:
        raise _dns_error(name, error) from error
    finally:
        lookups.leave(lookup)
    return _checked(name, port, purpose, found)


def _literal(name: str, port: int, family: int | None) -> list[Address] | None:
    check_port(port)
    ip = literal_ip(name)
    if ip is None:
        return None
    of = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    if family not in (None, socket.AF_UNSPEC, of):
        raise DnsError(f"{name} is an IPv{ip.version} address, and only the other family is wanted.")
    return [Address(str(ip), port, of)]


async def _wait(lookup: Lookup, name: str, timeout_s: float) -> Any:
    # Not asyncio.wrap_future: that would cancel the lookup for every caller when one of them gives up.
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: object) -> None:
        if not waiter.done():
            waiter.set_result(None)

    def wake_from_thread(_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(wake, None)

    lookup.future.add_done_callback(wake_from_thread)
    try:
        async with asyncio.timeout(timeout_s):
            await waiter
    except TimeoutError as error:
        raise _timeout(name, timeout_s) from error
    finally:
        lookups.leave(lookup)
    return lookup.future.result()


def _checked(name: str, port: int, purpose: Purpose, found: list[tuple[Any, ...]]) -> list[Address]:
    by_family: dict[int, list[Address]] = {}
    seen: set[str] = set()
    for family, _kind, _protocol, _canonical, address in found:
        ip = str(address[0])
        if ip in seen or family not in (socket.AF_INET, socket.AF_INET6):
            continue
        seen.add(ip)
        # One forbidden address spoils the name: an honest one does not mix them, and a rebinding one does.
        check_address(ip, port, purpose, host=name)
        by_family.setdefault(family, []).append(Address(ip.partition("%")[0], port, family))
    if not seen:
        raise DnsError(f"The name {name} has no address.")
    queues = list(by_family.values())
    return [queue[index] for index in range(max(map(len, queues))) for queue in queues if index < len(queue)]


def _dns_error(name: str, error: OSError) -> DnsError:
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return DnsError(f"The name {name} could not be looked up: the DNS server did not answer.")
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None)):
            return DnsError(f"The name {name} does not exist.")
    return DnsError(f"The name {name} could not be looked up: {error.strerror or error}.")


def _timeout(name: str, timeout_s: float) -> NetTimeout:
    return NetTimeout(f"Looking up the name {name} took longer than {timeout_s:g} s.", phase="dns")
