"""Targets of checks: `host:port`."""

from apps.core.net import InvalidTarget, NetError, Purpose, check_host
from apps.core.net.hosts import canonical_host, check_port


def parse_address(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Return host and port of `host:port`, `[ipv6]:port` or, with a default port, a host alone.

    Raises:
        InvalidTarget: it is none of these; the message says what would do.
    """
    target = text.strip()
    wanted = "give host:port, for example db.example.org:5432"
    if "/" in target or not target:
        raise InvalidTarget(f"“{text}” is not an address: {wanted}.")
    if target.startswith("["):
        host, bracket, rest = target.partition("]")
        host, port = host + bracket, rest.removeprefix(":") if rest.startswith(":") else rest and "x"
    elif target.count(":") > 1:
        raise InvalidTarget(f"“{text}”: put an IPv6 address into brackets, for example [2001:db8::1]:443.")
    else:
        host, _, port = target.partition(":")
    if not port and default_port is not None and not target.endswith(":"):
        return canonical_host(host), default_port
    if not port.isascii() or not port.isdigit() or len(port) > 5:
        raise InvalidTarget(f"“{text}” names no port: {wanted}.")
    return canonical_host(host), check_port(int(port))


def address_problem(text: str, default_port: int | None = None) -> str:
    """Return why a target can't be checked, "" where it can."""
    try:
        host, port = parse_address(text, default_port)
        check_host(host, port, Purpose.PROBE)
    except NetError as error:
        return error.message
    return ""
