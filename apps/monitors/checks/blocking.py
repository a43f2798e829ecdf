"""Checks by libraries that bring their own protocol: they get a connected socket, in a thread."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from apps.core.net import NetError, Phases, Purpose, resolve
from apps.core.net.errors import error_from_os
from apps.core.net.hosts import canonical_host
from apps.core.net.http import Progress
from apps.monitors.checks.base import CheckConfig, in_thread


async def with_socket(
    config: CheckConfig, host: str, port: int, work: Callable[[socket.socket], Any], *, family: int | None = None
) -> tuple[Any, Phases]:
    """Connect and run `work(socket)` in a thread. When time is up the socket is cut off, which frees the thread.

    Raises:
        NetError: name, policy, connection or time; whatever `work` raises besides.
    """
    progress = Progress()
    name = host
    channel: socket.socket | None = None
    try:
        name = canonical_host(host)
        async with asyncio.timeout(config.timeout_s):
            progress.begin("dns")
            addresses = await resolve(name, port, Purpose.PROBE, family, config.timeout_s)
            progress.end()
            progress.begin("connect")
            channel = await _connected(addresses, progress)
            progress.end()
            channel.settimeout(config.timeout_s)
            progress.begin("first_byte")
            result = await in_thread(work, channel)
            progress.end()
            return result, progress.stop()
    except TimeoutError as error:
        timeout = progress.timeout(f"{name}, port {port},", config.timeout_s)
        progress.stamp(timeout)
        raise timeout from error
    except NetError as error:
        progress.stamp(error)
        raise
    finally:
        if channel is not None:
            with contextlib.suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)
            channel.close()


async def _connected(addresses: list[Any], progress: Progress) -> socket.socket:
    loop = asyncio.get_running_loop()
    first_error: NetError | None = None
    for address in addresses:
        channel = socket.socket(address.family, socket.SOCK_STREAM)
        channel.setblocking(False)
        progress.remote_ip = address.ip
        try:
            await loop.sock_connect(channel, (address.ip, address.port))
        except OSError as error:
            channel.close()
            first_error = first_error or error_from_os(error, ip=address.ip, port=address.port)
        except BaseException:
            channel.close()
            raise
        else:
            return channel
    assert first_error is not None
    raise first_error
