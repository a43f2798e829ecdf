"""What a mail address means: `<uuid>@host`, `<uuid>+start@host`, or `<ping key>+<slug>+fail@host`."""

import ipaddress
import re

from apps.core.errors import DomainError
from apps.monitors.ping_paths import parse
from apps.monitors.services.pings import PingRequest

_UUID = re.compile(r"^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$", re.IGNORECASE)
#: What keys, slugs and signals consist of; nothing in it means anything in a path.
_WORD = re.compile(r"^[A-Za-z0-9._-]{1,120}$")


class UnknownAddress(Exception):  # noqa: N818  (what the sender is told)
    """Nothing of ours has this address; the text says why, as far as it tells no secret."""


def mail_ping(local_part: str) -> PingRequest:
    """Return the ping that the part before the @ stands for, without body and time.

    Raises:
        UnknownAddress: it has not the form of an address of ours.
    """
    words = local_part.split("+")
    if not all(_WORD.match(word) and word.strip(".") for word in words):
        raise UnknownAddress("no heartbeat has this address")
    if _UUID.match(words[0]):
        path, rest = f"/ping/{words[0]}", words[1:]
    elif len(words) > 1:
        path, rest = f"/ping/k/{words[0]}/{words[1]}", words[2:]
    else:
        raise UnknownAddress("no heartbeat has this address")
    if len(rest) > 1:
        raise UnknownAddress("after the address comes one of +start, +fail, +log or an exit code")
    try:
        return parse("/".join((path, *(word.lower() for word in rest))), b"")
    except DomainError:
        raise UnknownAddress("after the address comes one of +start, +fail, +log or an exit code 0..255") from None


def is_ours(host: str, domain: str) -> bool:
    """Return whether mail for `host` is for us: the domain, or this machine itself."""
    host = host.lower().rstrip(".")
    if host in (domain.lower(), "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").removeprefix("ipv6:")).is_loopback
    except ValueError:
        return False
