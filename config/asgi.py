"""The ASGI application: the edge in front of Django, the sockets and the hot paths. Serve it with `Protocol`:

uvicorn config.asgi:application --http config.asgi:Protocol --ws config.asgi:SocketProtocol
"""

import asyncio
import gc
import os
from typing import cast

from config.starting import loading

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

with loading():
    from django.core.asgi import get_asgi_application

    _django = get_asgi_application()

    from apps.agents.link.switchboard import switchboard
    from apps.core.asgi import Edge, SocketProtocol, Switch  # noqa: F401
    from apps.core.asgi import QuickProtocol as Protocol  # noqa: F401
    from apps.core.asgi.types import Application
    from apps.core.watchdog import Watchdog
    from apps.fleet.hot import LogApplication, SampleApplication
    from apps.fleet.services import leave_commands
    from apps.monitors.hot import PingApplication
    from apps.realtime.hub import hub
    from apps.realtime.routing import sockets
    from apps.realtime.terminal import end_terminals
    from apps.statuspage.hot import DomainRoot, StatusApplication

_pings = PingApplication()
_samples = SampleApplication()
_logs = LogApplication()
_status = StatusApplication()
_watchdog = Watchdog()


async def _watch() -> None:
    _watchdog.start()


async def _freeze() -> None:
    # What was loaded at the start stays for good. A full collection that walks it would hold up every request.
    gc.collect()
    gc.freeze()


async def _stop() -> None:
    _watchdog.stop()
    await _pings.drain()
    await _samples.drain()
    await _logs.drain()
    # Before the agents are let go of: theirs end too. Requests that wait had their 5 s before.
    await asyncio.to_thread(leave_commands, finish_s=0.5, end_s=1.5)
    await switchboard.stop()
    await _status.stop()
    await end_terminals()
    await hub.stop()


application = Edge(
    Switch(
        http=cast(Application, _django),
        websocket=sockets,
        hot=[
            ("/ping/", _pings),
            ("/api/v1/metrics/", _samples),
            ("/api/v1/logs", _logs),
            ("/status", _status),
            ("/", DomainRoot()),
        ],
        on_start=[hub.start, _watch, _status.start, _freeze],
        on_stop=[_stop],
    ),
    quick=[(b"/ping/", _pings)],
)
