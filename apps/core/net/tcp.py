"""Whether a TCP port answers, and how fast."""

import asyncio

from apps.core.net.errors import NetError, Phases
from apps.core.net.hosts import canonical_host
from apps.core.net.http import Progress, open_wire
from apps.core.net.policy import Purpose


async def connect(host: str, port: int, purpose: Purpose, timeout_s: float = 10.0, family: int | None = None) -> Phases:
    """Connect to a TCP port and close again.

    Returns:
        `dns_ms`, `connect_ms` and `total_ms`.

    Raises:
        OutboundRefused, InvalidTarget, DnsError, ConnectError, LocalError, NetTimeout: all are NetError.
    """
    progress = Progress()
    name = host
    try:
        name = canonical_host(host)
        async with asyncio.timeout(timeout_s):
            wire = await open_wire(progress, name, port, purpose, family, timeout_s)
    except TimeoutError as error:
        timeout = progress.timeout(f"{name}, port {port},", timeout_s)
        progress.stamp(timeout)
        raise timeout from error
    except NetError as error:
        progress.stamp(error)
        raise
    wire.close()
    return progress.stop()
