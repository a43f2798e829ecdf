"""From commit to client: many subscribers of `/ws`, some events a second; prints JSON.

    python -m tests.benchmarks.bench_sockets [--subscribers 1000] [--rate 20] [--seconds 20]

The product runs as `manage.py up`. The subscribers are in this process; each looks for the number in every message and
compares clocks, nothing more, so that what is measured is the server and not the client. Another process writes facts
and notes the moment after each commit.
"""

import argparse
import asyncio
import base64
import http.client
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from tests.benchmarks.bench_start import cpu_seconds
from tests.support.processes import ROOT, Installation

_EMIT = """
import sys, time, django
django.setup()
from django.db import transaction
from apps.core.events.emit import Subject, emit
from apps.core.principals import system
rate, seconds = float(sys.argv[1]), float(sys.argv[2])
begin = time.time() + 1
for number in range(int(rate * seconds)):
    time.sleep(max(0.0, begin + number / rate - time.time()))
    with transaction.atomic():
        emit("endpoint.updated", subject=Subject("endpoint", "bench"), actor=system("bench"),
             data={"endpoint_id": "00000000-0000-0000-0000-000000000000", "name": f"bench:{number:06}"})
    print(number, time.time(), flush=True)
"""
_PING = re.compile(rb"\x89\x04(.{4})", re.DOTALL)
_NUMBER = re.compile(rb"bench:(\d{6})")


class Subscriber(asyncio.Protocol):
    """One socket: upgrades, subscribes, and notes when each number came."""

    transport: asyncio.Transport

    def __init__(self, port: int, token: str, seen: list[tuple[int, float]]) -> None:
        self.port, self.token, self.seen = port, token, seen
        self.ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.upgraded = self.lost = False
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self.transport = transport  # type: ignore[assignment]
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {self.token}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Subscribe after the upgrade, then look for numbers."""
        now = time.time()
        if not self.upgraded:
            self.upgraded = True
            text = b'{"type": "subscribe", "event": "endpoint.*"}'
            self._send(0x81, text)
        elif not self.ready.done() and b"subscribed" in data:
            self.ready.set_result(True)
        if b"\x89" in data:  # events are ASCII
            for ping in _PING.finditer(data):
                self._send(0x8A, ping[1])
        data = self.rest + data
        end = 0
        for match in _NUMBER.finditer(data):
            self.seen.append((int(match[1]), now))
            end = match.end()
        self.rest = data[max(end, len(data) - 11) :]

    def _send(self, kind: int, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self.transport.write(bytes([kind, 0x80 | len(payload)]) + mask + masked)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits, and remember that the server ended it."""
        self.lost = True
        if not self.ready.done():
            self.ready.set_result(False)


def main() -> None:
    """Start, subscribe, write, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0, help="facts a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    with tempfile.TemporaryDirectory(prefix="wk-bench-") as folder:
        with Installation(data_dir=Path(folder) / "data") as installation:
            found = uvloop.run(measure(installation, options.subscribers, options.rate, options.seconds))
        print(json.dumps(found, indent=2))


async def measure(installation: Installation, subscribers: int, rate: float, seconds: float) -> dict[str, Any]:
    """Return the distribution of the time from commit to client in ms."""
    token = log_in(installation)
    seen: list[tuple[int, float]] = []
    loop = asyncio.get_running_loop()
    clients = []
    for begin in range(0, subscribers, 50):
        made = [
            await loop.create_connection(
                lambda: Subscriber(installation.port, token, seen), "127.0.0.1", installation.port
            )
            for _ in range(min(50, subscribers - begin))
        ]
        clients += [client for _, client in made]
        await asyncio.gather(*(asyncio.wait_for(client.ready, 60) for _, client in made))
    joined = sum(client.ready.result() for client in clients)
    before = cpu_seconds(installation.data_dir)
    environment = {
        **installation.environment,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "REDIS_URL": f"unix://{installation.data_dir}/redis/redis.sock",
    }
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _EMIT, str(rate), str(seconds), cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    began = time.perf_counter()
    output, _ = await writer.communicate()
    committed = {int(number): float(at) for number, at in (line.split() for line in output.decode().splitlines())}
    wanted = len(committed) * joined
    while len(seen) < wanted and time.perf_counter() - began < seconds + 20:  # noqa: ASYNC110 - a figure of many
        await asyncio.sleep(0.2)
    passed = time.perf_counter() - began
    used = cpu_seconds(installation.data_dir)
    # A number of the live stream may come before the writer has noted its commit: that is 0, not less.
    delays = sorted(max(0.0, (at - committed[number]) * 1000) for number, at in seen if number in committed)
    return {
        "subscribers": joined,
        "facts": len(committed),
        "messages_wanted": wanted,
        "messages_received": len(delays),
        "dropped": sum(client.lost for client in clients),
        "p50_ms": at_share(delays, 0.50),
        "p95_ms": at_share(delays, 0.95),
        "p99_ms": at_share(delays, 0.99),
        "most_ms": at_share(delays, 1.0),
        "cpu_percent_by_part": {name: round(100 * (used[name] - before.get(name, 0)) / passed, 1) for name in used},
    }


def at_share(ordered: list[float], share: float) -> float | None:
    """Return the value below which this share lies."""
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1) if ordered else None


def log_in(installation: Installation) -> str:
    """Return an access token of the first admin."""
    assert installation.admin is not None
    connection = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=30)
    body = json.dumps({"username": installation.admin.username, "password": installation.admin.password})
    connection.request("POST", "/api/v1/auth/login", body, {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return str(answer["access"])


if __name__ == "__main__":
    main()
