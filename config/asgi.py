"""The ASGI application: the edge in front of Django, the sockets and the hot paths. Serve it with `Protocol`:

uvicorn config.asgi:application --http config.asgi:Protocol --ws config.asgi:SocketProtocol
"""

import asyncio
import gc
import os
from typing import cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application  # noqa: E402

_django = get_asgi_application()

from apps.agents.link.switchboard import switchboard  # noqa: E402
from apps.core.asgi import (  # noqa: E402
    Edge,
    SocketProtocol,  # noqa: E402, F401
    Switch,
)
from apps.core.asgi import QuickProtocol as Protocol  # noqa: E402, F401
from apps.core.asgi.types import Application  # noqa: E402
from apps.core.watchdog import Watchdog  # noqa: E402
from apps.fleet.hot import LogApplication, SampleApplication  # noqa: E402
from apps.fleet.services import leave_commands  # noqa: E402
from apps.monitors.hot import PingApplication  # noqa: E402
from apps.realtime.hub import hub  # noqa: E402
from apps.realtime.routing import sockets  # noqa: E402
from apps.realtime.terminal import end_terminals  # noqa: E402
from apps.statuspage.hot import DomainRoot, StatusApplication  # noqa: E402

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
