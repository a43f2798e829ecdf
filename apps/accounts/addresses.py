"""IP rules: which addresses may speak to this installation."""

import ipaddress
import threading
import time
from collections.abc import Iterable

from apps.accounts.models import IpRule
from apps.core import bell, registries

KEEP_COPY_S = 1.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def parse_address(text: str) -> Address | None:
    """Return an address; an IPv4 one written as IPv6 is the IPv4 one. None where it is none (a unix socket)."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped else address


def parse_network(text: str) -> Network:
    """Return a network given as CIDR or single address.

    Raises:
        ValueError: it is neither.
    """
    network = ipaddress.ip_network(text.strip(), strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96 and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        assert mapped is not None
        return ipaddress.ip_network((mapped, network.prefixlen - 96))
    return network


class RuleSet:
    """The rules, ready to be asked: blocked is blocked; where anything is allowed by name, the rest is not."""

    def __init__(self, rules: Iterable[tuple[str, str]]) -> None:
        self.allowed: list[Network] = []
        self.blocked: list[Network] = []
        for cidr, action in rules:
            (self.allowed if action == IpRule.Action.ALLOW else self.blocked).append(parse_network(cidr))

    def admits(self, text: str) -> bool:
        """Return whether the rules let the address in. What is no address (a unix socket) is let in."""
        address = parse_address(text)
        if address is None:
            return True
        if any(address in network for network in self.blocked):
            return False
        return not self.allowed or any(address in network for network in self.allowed)


_copy: RuleSet | None = None
_copied_at = 0.0
_lock = threading.Lock()
_listening = False


def is_address_allowed(address: str) -> bool:
    """Return whether the address may speak to us; the rules are at most a second old.

    This machine itself always may, so that health checks go on and somebody can come back in. A rule set that would
    keep its author out is refused when it is written, loopback or not.
    """
    parsed = parse_address(address)
    if parsed is None or parsed.is_loopback:
        return True
    return _rules().admits(address)


def _rules() -> RuleSet:
    global _copy, _copied_at, _listening
    if not _listening:
        _listening = True
        bell.listen(bell.SETTINGS, lambda *_: forget())
    kept = _copy
    if kept is None or time.monotonic() - _copied_at > KEEP_COPY_S:
        with _lock:
            kept = RuleSet(IpRule.objects.values_list("cidr", "action"))
            _copy, _copied_at = kept, time.monotonic()
    return kept


def forget() -> None:
    """Drop this process's copy of the rules."""
    global _copy
    _copy = None


registries.address_gates.register("accounts.ip_rules", is_address_allowed)
