"""How many pings a second one web process accepts, each on disk before its answer.

    python -m tests.benchmarks.bench_pings [--seconds 10] [--connections 64] [--heartbeats 1000]

Starts the real ASGI application in one process and the sweeps in another, on a database of its own (SQLite in a new
folder, or an empty one at DATABASE_URL), sends pings from a third process, and prints one JSON line a case: a burst,
each on its own connection; spread over many heartbeats; all on one. At the end the counts of the database must equal
the answers. The client of the last two is wrk where the machine has it (`apt-get install wrk`): one in Python takes as
much of the two cores as what it measures. What wrk had under way at its end is stored and not counted by it.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import uvloop

ROOT = Path(__file__).resolve().parent.parent.parent

_SERVE = """
import uvicorn
uvicorn.run(
    "config.asgi:application", host="127.0.0.1", port={port}, log_level="error", access_log=False,
    proxy_headers=False, server_header=False, http="config.asgi:Protocol",
)  # as the supervisor starts it
"""
_SWEEP = """
import django
django.setup()
from apps.core.pulse import Pulse
Pulse().run()
"""
_FILL = """
import django
django.setup()
from apps.core.principals import system
from apps.core.tasks import run_spine
from apps.monitors.services.heartbeats import create_heartbeat
from django.db import transaction
with transaction.atomic():
    for n in range({count}):
        print(create_heartbeat(actor=system("bench"), name=f"job {{n}}", interval_seconds=3600).uuid)
run_spine()  # the readers have caught up before the figures are taken
"""
_COUNT = """
import django
django.setup()
from django.db.models import Sum
from apps.monitors.models import HeartbeatState
print(HeartbeatState.objects.aggregate(n=Sum("ping_count"))["n"])
"""


class _Client(asyncio.Protocol):
    """One kept connection that sends the next ping when the answer has come."""

    def __init__(
        self, requests: Sequence[bytes], start: int, end: float, times: list[float], faults: list[bytes]
    ) -> None:
        self.requests, self.next, self.end, self.times, self.faults = requests, start, end, times, faults
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = 0.0
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self.next = (self.next + 1) % len(self.requests)
        self.sent = time.perf_counter()
        self.transport.write(self.requests[self.next])

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE) if separator else None
        if length is None or len(body) < int(length[1]):
            return
        now = time.perf_counter()
        self.times.append(now - self.sent)
        if not self.buffer.startswith(b"HTTP/1.1 200"):
            self.faults.append(self.buffer[:200])
        self.buffer = b""
        if now < self.end:
            self._send()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def _load(port: int, paths: Sequence[str], connections: int, seconds: float) -> dict[str, Any]:
    requests = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n".encode() for path in paths]
    times: list[float] = []
    faults: list[bytes] = []
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    clients = []
    for n in range(connections):
        _, client = await loop.create_connection(
            lambda n=n: _Client(requests, n * 7919, began + seconds, times, faults), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.gather(*(client.closed for client in clients))
    took = time.perf_counter() - began
    times.sort()
    return {
        "pings": len(times),
        "per_second": round(len(times) / took),
        "p50_ms": round(times[len(times) // 2] * 1000, 1),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 1),
        "max_ms": round(times[-1] * 1000, 1),
        "faults": len(faults),
        "first_fault": faults[0].decode("latin-1") if faults else "",
    }


class _Once(asyncio.Protocol):
    """A connection of its own for one ping, as from one machine of many."""

    def __init__(self, path: str) -> None:
        self.path, self.status, self.answered_at = path, b"", 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nConnection: close\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self.status:
            self.status, self.answered_at = data[9:12], time.perf_counter()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)


async def _burst(port: int, paths: Sequence[str]) -> dict[str, Any]:
    """Send each ping on its own connection, all of them spread over one second."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    latest_start = 0.0

    async def send(path: str) -> _Once:
        nonlocal latest_start
        ping = _Once(path)
        latest_start = time.perf_counter()
        await loop.create_connection(lambda: ping, "127.0.0.1", port)
        await asyncio.wait_for(ping.closed, 60)
        return ping

    under_way = []
    for number, path in enumerate(paths):
        await asyncio.sleep(max(0.0, began + number / len(paths) - time.perf_counter()))
        under_way.append(asyncio.create_task(send(path)))
    pings = await asyncio.gather(*under_way, return_exceptions=True)
    answered = [ping for ping in pings if isinstance(ping, _Once) and ping.status]
    return {
        "pings": len(paths),
        "sent_within_s": round(latest_start - began, 2),
        "answered_200": sum(ping.status == b"200" for ping in answered),
        "answered_5xx": sum(ping.status[:1] == b"5" for ping in answered),
        "not_answered": len(paths) - len(answered),
        "last_answer_after_s": round(max(ping.answered_at for ping in answered) - began, 2),
    }


_WRK = """
local paths, n = {}, 0
for path in io.lines("%s") do paths[#paths + 1] = path end
request = function() n = n + 7 return wrk.format("GET", paths[n %% #paths + 1]) end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"pings": %%d, "us": %%d, "p50": %%d, "p99": %%d, "max": %%d, "faults": %%d}\\n',
    summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def _load_by_wrk(folder: str, port: int, paths: Sequence[str], connections: int, seconds: float) -> dict[str, Any]:
    listed, script = Path(folder) / "paths.txt", Path(folder) / "wrk.lua"
    listed.write_text("\n".join(paths) + "\n")
    script.write_text(_WRK % listed)
    done = subprocess.run(
        [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "-s",
            str(script),
            f"http://127.0.0.1:{port}",
        ],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    return {
        "client": "wrk",
        "pings": said["pings"],
        "per_second": round(said["pings"] / said["us"] * 1e6),
        **{f"{name}_ms": round(said[name] / 1000, 1) for name in ("p50", "p99", "max")},
        "faults": said["faults"],
    }


def _cpu_s(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


def _wait_for(port: int) -> None:
    for _ in range(1200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping/x", timeout=2)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def main() -> None:
    """Run both cases and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--heartbeats", type=int, default=1000)
    parser.add_argument("--burst", type=int, default=5000, help="pings within one second, each on its own connection")
    parser.add_argument("--no-sweeps", action="store_true", help="without the second process")
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="wk-bench-") as folder:
        env = {
            **os.environ, "DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "config.settings", "PORT": str(port),
            "SECRET_KEY": "a-key-of-a-benchmark-run-that-is-long-enough-for-hs256", "WATCHKEEPER_TESTING": "off",
            "VAULT_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        }  # fmt: skip

        def python(*arguments: str) -> str:
            done = subprocess.run(
                [sys.executable, *arguments], cwd=ROOT, env=env, check=True, text=True, stdout=subprocess.PIPE
            )
            return done.stdout

        python("manage.py", "migrate", "--verbosity", "0")
        made = python("-c", _FILL.format(count=max(options.heartbeats, options.burst))).split()
        uuids = made[: options.heartbeats]
        programs = [_SERVE.format(port=port)] if options.no_sweeps else [_SERVE.format(port=port), _SWEEP]
        children = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=env) for program in programs]
        try:
            _wait_for(port)
            accepted = under_way = 0
            if options.burst:
                figures = uvloop.run(_burst(port, [f"/ping/{uuid}" for uuid in made[: options.burst]]))
                accepted += figures["answered_200"]
                print(json.dumps({"benchmark": "pings", "case": "burst", **figures}))
            for case, chosen in (("spread", uuids), ("one", uuids[:1])):
                before = _cpu_s(children[0].pid)
                paths = [f"/ping/{uuid}" for uuid in chosen]
                if shutil.which("wrk"):
                    figures = _load_by_wrk(folder, port, paths, options.connections, options.seconds)
                    under_way += options.connections
                else:
                    figures = asyncio.run(_load(port, paths, options.connections, options.seconds))
                accepted += figures["pings"] - figures["faults"]
                figures["server_cpu_us_per_ping"] = round((_cpu_s(children[0].pid) - before) / figures["pings"] * 1e6)
                print(json.dumps({"benchmark": "pings", "case": case, "connections": options.connections, **figures}))
            stored = int(python("-c", _COUNT))
            print(json.dumps({"benchmark": "pings", "case": "count", "answered": accepted, "stored": stored}))
            if not accepted <= stored <= accepted + under_way:
                raise SystemExit("answers and rows differ")
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(15)


if __name__ == "__main__":
    main()
