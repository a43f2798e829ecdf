"""Which addresses the platform may talk to, by purpose."""

import enum
import ipaddress
import socket
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import psutil
from django.conf import settings

from apps.core.net.errors import OutboundRefused
from apps.core.net.hosts import IPAddress, canonical_host, check_port, literal_ip, parse_url

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Purpose(enum.StrEnum):
    """Why something is sent."""

    PROBE = "probe"  # checks, certificates, SSH, engines: the operator's own network is the point
    DELIVER = "deliver"  # webhooks, notifications, LLM, registries, peers: URLs that users may set


class _Class(NamedTuple):
    name: str  # as the message says it
    network: IPNetwork
    never: bool  # for no purpose, unless listed


def _networks(name: str, never: bool, *networks: str) -> list[_Class]:
    return [_Class(name, ipaddress.ip_network(network), never) for network in networks]


_METADATA = (
    "169.254.169.254/32",  # AWS, Azure, GCP, DigitalOcean, OpenStack, Oracle
    "169.254.170.2/32",  # credentials of ECS tasks
    "100.100.100.200/32",  # Alibaba
    "168.63.129.16/32",  # Azure's wire server
    "192.0.0.192/32",  # Oracle classic
    "fd00:ec2::/32",  # AWS
    "fd20:ce::254/128",  # GCP
    "fd00:42::42/128",  # Scaleway
)

# The first match counts. Source: IANA special-purpose address registries.
_CLASSES: list[_Class] = [
    *_networks("an address of the cloud metadata service", True, *_METADATA),
    *_networks("a link-local address", True, "169.254.0.0/16", "fe80::/10"),
    *_networks("a multicast address", True, "224.0.0.0/4", "ff00::/8"),
    *_networks("the broadcast address", True, "255.255.255.255/32"),
    *_networks("an unspecified address", True, "0.0.0.0/8", "::/128"),
    *_networks("a reserved address", True, "240.0.0.0/4"),
    *_networks("a loopback address", False, "127.0.0.0/8", "::1/128"),
    *_networks("a private address", False, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    *_networks("a shared address of a carrier's network", False, "100.64.0.0/10"),
    *_networks(
        "an address that is not public",
        False,
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16"),
    ),
]
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_METADATA_NAMES = {"metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}

_MAPPED = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("::ffff:0:0:0/96"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_6TO4 = ipaddress.IPv6Network("2002::/16")
_TEREDO = ipaddress.IPv6Network("2001::/32")


@lru_cache(maxsize=8192)
def _candidates(ip: IPAddress) -> tuple[tuple[IPAddress, _Class | None], ...]:
    """Return every address that a packet to this one may end at, each with its class (None: public).

    An IPv6 address may carry an IPv4 address that a gateway on the way unwraps.
    """
    addresses: list[IPAddress] = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        value = int(ip)
        low = ipaddress.IPv4Address(value & 0xFFFFFFFF)
        if any(ip in network for network in _MAPPED) or ip in _NAT64 or (ip in _COMPATIBLE and value > 1):
            addresses = [low]
        elif ip in _NAT64_LOCAL:
            addresses.append(low)
        elif ip in _6TO4:
            addresses.append(ipaddress.IPv4Address((value >> 80) & 0xFFFFFFFF))
        elif ip in _TEREDO:
            addresses += [ipaddress.IPv4Address((value >> 64) & 0xFFFFFFFF), ipaddress.IPv4Address(~value & 0xFFFFFFFF)]
        elif (value >> 32) & 0xFFFFFFFF in (0x5EFE, 0x02005EFE):  # ISATAP
            addresses.append(low)
    return tuple((address, _class_of(address)) for address in addresses)


def _class_of(ip: IPAddress) -> _Class | None:
    for entry in _CLASSES:
        if ip.version == entry.network.version and ip in entry.network:
            return entry
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_V6:
        return _Class("a reserved address", ipaddress.IPv6Network((ip, 128)), False)
    return None


def check_address(ip: str | IPAddress, port: int, purpose: Purpose, *, host: str = "") -> None:
    """Refuse an address that traffic of this purpose must not reach.

    Args:
        ip: the address that the connection is about to be made to.
        port: 1-65535; the platform's own database and Redis are known by address and port.
        purpose: decides whether private addresses are fine.
        host: the name it was looked up by, for the message.

    Raises:
        OutboundRefused: the policy forbids it; the message names the setting that would allow it.
    """
    address = ipaddress.ip_address(ip) if isinstance(ip, str) else ip
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        address = ipaddress.IPv6Address(int(address))
    allowed = _allowed()
    for candidate, found in _candidates(address):
        if _own.covers(candidate, port):
            raise OutboundRefused(
                f"{_named(host, address)}, port {port}, is the platform's own database or Redis; nothing allows that."
            )
        if found is None or not (found.never or purpose is Purpose.DELIVER) or _listed(candidate, address, allowed):
            continue
        rule = (
            "which nothing may be sent to"
            if found.never
            else "and what the platform delivers goes to public addresses only"
        )
        network = found.network if not found.never else ipaddress.ip_network(candidate)
        raise OutboundRefused(
            f"{_named(host, address)} is {found.name}, {rule}",
            setting=_setting(network, allowed),
            remote_ip=str(address),
        )


def check_host(host: str, port: int, purpose: Purpose) -> None:
    """Refuse a host that the policy forbids by its name or as a literal address, without looking anything up.

    For forms and serializers; the connection itself is checked again by address.

    Raises:
        OutboundRefused: the policy forbids it.
        InvalidTarget: host or port is malformed.
    """
    name = canonical_host(host)
    check_port(port)
    ip = literal_ip(name)
    if ip is not None:
        check_address(ip, port, purpose)
        return
    metadata = ipaddress.IPv4Address("169.254.169.254")
    if name in _METADATA_NAMES and not _listed(metadata, metadata, _allowed()):
        raise OutboundRefused(
            f"{name} is the cloud metadata service, which nothing may be sent to",
            setting=_setting(ipaddress.ip_network(metadata), _allowed()),
        )
    if _own.names(name, port):
        raise OutboundRefused(f"{name}, port {port}, is the platform's own database or Redis; nothing allows that.")


def check_url(url: str, purpose: Purpose) -> None:
    """Refuse a URL that is malformed or that the policy forbids without looking anything up.

    Raises:
        OutboundRefused: the policy forbids it.
        InvalidTarget: it is not an http or https URL.
    """
    target = parse_url(url)
    check_host(target.host, target.port, purpose)


def check_unix_path(path: str) -> None:
    """Refuse a unix socket that belongs to the platform itself.

    Raises:
        OutboundRefused: it is one of `OWN_ENDPOINTS`.
    """
    if path in {entry for entry in getattr(settings, "OWN_ENDPOINTS", ()) if isinstance(entry, str)}:
        raise OutboundRefused(f"{path} is the platform's own socket; nothing allows that.")


def _allowed() -> list[IPNetwork]:
    return list(getattr(settings, "OUTBOUND_ALLOW", None) or ())


def _listed(candidate: IPAddress, outer: IPAddress, allowed: list[IPNetwork]) -> bool:
    # The wrapper counts too when it is listed as narrowly as one address; a wide ::/0 does not open what is wrapped.
    return any(
        (candidate.version == network.version and candidate in network)
        or (network.version == 6 and network.prefixlen == 128 and outer.version == 6 and outer in network)
        for network in allowed
    )


def _setting(network: IPNetwork, allowed: list[IPNetwork]) -> str:
    return "OUTBOUND_ALLOW=" + ",".join(str(entry) for entry in [*allowed, network])


def _named(host: str, ip: IPAddress) -> str:
    return f"{host} ({ip})" if host and host != str(ip) else str(ip)


_KEEP_S = 60.0


@dataclass
class _OwnEndpoints:
    """The platform's own services by port, in every way this machine can reach them."""

    source: frozenset[Any] = frozenset()
    by_port: dict[int, set[str]] = field(default_factory=dict)  # names and addresses as configured
    resolved: dict[tuple[str, int], set[IPAddress]] = field(default_factory=dict)
    resolved_at: float = 0.0
    own_addresses: frozenset[IPAddress] = frozenset()
    lock: threading.Lock = field(default_factory=threading.Lock)

    def _load(self) -> dict[int, set[str]]:
        source = frozenset(getattr(settings, "OWN_ENDPOINTS", None) or ())
        if source != self.source:
            with self.lock:
                by_port: dict[int, set[str]] = {}
                for entry in source:
                    if not isinstance(entry, str):
                        host, port = entry
                        by_port.setdefault(int(port), set()).add(str(host).strip("[]").lower().removesuffix("."))
                self.source, self.by_port, self.resolved_at = source, by_port, 0.0
        return self.by_port

    def names(self, name: str, port: int) -> bool:
        return name in self._load().get(port, ())

    def needs_lookup(self, port: int) -> bool:
        """Return whether `covers` would have to look names up for this port."""
        by_port = self._load()
        return port in by_port and (not self.resolved_at or time.monotonic() - self.resolved_at > _KEEP_S)

    def look_up(self) -> None:
        """Look up the names among the endpoints and the addresses of this machine. Blocks."""
        resolved: dict[tuple[str, int], set[IPAddress]] = {}
        for port, hosts in self._load().items():
            for host in hosts:
                try:
                    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                except (OSError, UnicodeError):
                    resolved[host, port] = self.resolved.get((host, port), set())
                else:
                    resolved[host, port] = {ipaddress.ip_address(str(item[4][0]).partition("%")[0]) for item in found}
        own = {
            ipaddress.ip_address(entry.address.partition("%")[0])
            for entries in psutil.net_if_addrs().values()
            for entry in entries
            if entry.family in (socket.AF_INET, socket.AF_INET6)
        }
        self.resolved, self.own_addresses, self.resolved_at = resolved, frozenset(own), time.monotonic()

    def covers(self, ip: IPAddress, port: int) -> bool:
        hosts = self._load().get(port)
        if not hosts:
            return False
        if self.needs_lookup(port):
            self.look_up()
        for host in hosts:
            for own in self.resolved.get((host, port), ()):
                if own == ip:
                    return True
                # A service on this machine may listen on all its addresses, however it is configured here.
                if self._is_here(own) and self._is_here(ip):
                    return True
        return False

    def _is_here(self, ip: IPAddress) -> bool:
        return ip.is_loopback or ip.is_unspecified or ip in self.own_addresses


_own = _OwnEndpoints()


def own_endpoints_need_lookup(port: int) -> bool:
    """Return whether checking an address with this port would block on a lookup."""
    return _own.needs_lookup(port)


def look_up_own_endpoints() -> None:
    """Refresh what is known about the platform's own endpoints. Blocks; kept for a minute."""
    _own.look_up()
