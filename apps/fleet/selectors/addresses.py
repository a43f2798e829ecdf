"""By which names and addresses a server is known: for apps that ask on which server something runs."""

import ipaddress
import json
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max

from apps.core.net.errors import NetError
from apps.core.net.hosts import canonical_host
from apps.fleet.models import LatestSnapshot, Server

#: What machines report of themselves changes rarely; what people change counts at once.
KEEP_S = 60.0


@dataclass(frozen=True, slots=True)
class HostedServer:
    """A server that answers to a name or address."""

    id: str
    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class _Index:
    version: tuple[Any, ...]
    until: float
    by_host: dict[str, HostedServer]


_kept: _Index | None = None


def server_of_host(host: str) -> HostedServer | None:
    """Return the one server that is known by a host name or address.

    Known by: its host, its slug, the host name and the addresses it reports. Loopback names nobody, and neither does
    what two servers share, such as the address of a container bridge.
    """
    try:
        name = canonical_host(host)
    except NetError:
        return None
    return _index().by_host.get(name)


def servers_of_hosts(hosts: Iterable[str]) -> dict[str, HostedServer]:
    """Return which of the names and addresses are a server's, as `server_of_host` says; one query for all of them."""
    names: dict[str, str] = {}
    for host in hosts:
        try:
            names[host] = canonical_host(host)
        except NetError:
            continue
    by_host = _index().by_host if names else {}
    return {host: by_host[name] for host, name in names.items() if name in by_host}


def _index() -> _Index:
    global _kept
    figures = Server.objects.aggregate(rows=Count("id"), changed=Max("updated_at"))
    version = (figures["rows"], figures["changed"])
    if _kept is None or _kept.version != version or time.monotonic() > _kept.until:
        _kept = _Index(version, time.monotonic() + KEEP_S, _by_host())
    return _kept


def forget() -> None:
    """Drop this process's copy."""
    global _kept
    _kept = None


def _by_host() -> dict[str, HostedServer]:
    claims: defaultdict[str, dict[str, HostedServer]] = defaultdict(dict)
    given: defaultdict[str, dict[str, HostedServer]] = defaultdict(dict)
    reported = {row.server_id: _reported(bytes(row.body)) for row in LatestSnapshot.objects.all().iterator(200)}
    for pk, slug, name, host in Server.objects.values_list("id", "slug", "name", "host"):
        server = HostedServer(str(pk), slug, name)
        for word in (slug, host):
            for one in _usable(word):
                given[one][server.id] = server
        for word in reported.get(pk, ()):
            for one in _usable(word):
                claims[one][server.id] = server
    # What people wrote down comes before what machines say of themselves.
    found = {word: next(iter(servers.values())) for word, servers in claims.items() if len(servers) == 1}
    return found | {word: next(iter(servers.values())) for word, servers in given.items() if len(servers) == 1}


def _reported(body: bytes) -> list[str]:
    try:
        snapshot = json.loads(zlib.decompress(body))
    except (ValueError, zlib.error):
        return []
    words = [(snapshot.get("system") or {}).get("hostname")]
    for one in (snapshot.get("network") or {}).get("interfaces") or ():
        if isinstance(one, dict):
            words += [one.get("ipv4"), one.get("ipv6")]
    return [word for word in words if isinstance(word, str)]


def _usable(word: str) -> list[str]:
    if not word:
        return []
    try:
        name = canonical_host(word)
    except NetError:
        return []
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return [] if name == "localhost" or name.endswith(".localhost") else [name]
    return [] if address.is_loopback or address.is_link_local or address.is_unspecified else [name]
