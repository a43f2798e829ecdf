"""`core.net` for callers in threads."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from apps.core.net.errors import NetError, NetTimeout, error_from_os
from apps.core.net.http import request
from apps.core.net.messages import Response
from apps.core.net.policy import Purpose
from apps.core.net.resolve import resolve_sync

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_loop_pid = 0


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of this package from a thread and return its result.

    Raises:
        RuntimeError: called on an event loop, which it would block.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run_coroutine_threadsafe(work, _background_loop()).result()
    work.close()
    raise RuntimeError("This is for threads; on an event loop, await the coroutine.")


def request_sync(method: str, url: str, **options: Any) -> Response:
    """Do what `http.request` does, for callers in threads."""
    return run_sync(request(method, url, **options))


def open_socket(
    host: str, port: int, *, purpose: Purpose, timeout_s: float = 10.0, family: int | None = None
) -> socket.socket:
    """Return a connected blocking socket, for libraries that bring their own protocol (SSH, SMTP).

    Args:
        timeout_s: seconds for lookup and connection; it stays the socket's time-out.

    Raises:
        OutboundRefused, InvalidTarget, DnsError, ConnectError, LocalError, NetTimeout: all are NetError.
    """
    deadline = time.monotonic() + timeout_s
    first_error: NetError | None = None
    for address in resolve_sync(host, port, purpose, family, timeout_s):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        connection = socket.socket(address.family, socket.SOCK_STREAM)
        connection.settimeout(left)
        try:
            connection.connect((address.ip, address.port))
        except TimeoutError:
            connection.close()
            break
        except OSError as error:
            connection.close()
            first_error = first_error or error_from_os(error, ip=address.ip, port=address.port)
            continue
        connection.settimeout(timeout_s)
        return connection
    raise first_error or NetTimeout(f"{host}, port {port}, was not reached within {timeout_s:g} s.", phase="connect")


def _background_loop() -> asyncio.AbstractEventLoop:
    global _loop, _loop_pid
    with _lock:
        # A forked child inherits the object but not the thread that runs it.
        if _loop is None or _loop.is_closed() or _loop_pid != os.getpid():
            _loop, _loop_pid = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_loop.run_forever, name="core.net", daemon=True).start()
        return _loop
