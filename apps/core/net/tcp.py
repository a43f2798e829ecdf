"""Whether a TCP port answers, and how fast."""

import asyncio

from apps.core.net.connection import Wire
from apps.core.net.errors import ConnectError, NetError, Phases
from apps.core.net.hosts import canonical_host
from apps.core.net.http import Progress, open_wire
from apps.core.net.policy import Purpose


async def connect(
    host: str,
    port: int,
    purpose: Purpose,
    timeout_s: float = 10.0,
    family: int | None = None,
    *,
    watch_s: float = 0.0,
) -> Phases:
    """Connect to a TCP port and close again.

    Args:
        watch_s: stay so long, not counted in the phases, to see whether the peer breaks off without a word.

    Returns:
        `dns_ms`, `connect_ms` and `total_ms`.

    Raises:
        ConnectError: also, with the reason `closed`, where the peer accepted and broke off while it was watched.
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
    phases = progress.stop()
    try:
        if watch_s and await _breaks_off(wire, watch_s):
            broken = ConnectError(
                f"{name}, port {port}, accepted the connection and closed it at once.",
                reason="closed",
                remote_ip=progress.remote_ip,
            )
            broken.phases = phases
            raise broken
    finally:
        wire.close()
    return phases


async def _breaks_off(wire: Wire, watch_s: float) -> bool:
    """Return whether the peer ends the connection within the time, having sent nothing."""
    sign: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def settle(is_broken: bool) -> None:
        if not sign.done():
            sign.set_result(is_broken)

    wire.listen(lambda data: settle(False), lambda failure: settle(True))
    try:
        return await asyncio.wait_for(sign, watch_s)
    except TimeoutError:
        return False
