"""What it costs to take full snapshots of many servers.

    python -m tests.benchmarks.bench_samples [--servers 1000] [--interval 5] [--seconds 30]

Starts the product as `manage.py up` in a new folder and sends every server's snapshot each interval with a key of its
own, over kept connections. Prints one JSON object: CPU of each part in percent of one core and latency of the answers,
then the same flat out. At the end the rows of the database must equal the accepted samples, and it says for how long
the oldest bucket of history that is over has been waiting to be rolled up. `--own` measures what sampling this host
costs instead.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_start import cpu_seconds, memory_by_part
from tests.support.processes import ROOT, Installation

_FILL = """
import django
django.setup()
from django.db import transaction
from tests.factories.accounts import make_api_key, make_user
from tests.factories.fleet import make_server
owner = make_user("operator")
with transaction.atomic():
    for n in range({count}):
        server = make_server(f"server {{n}}")
        print(server.slug, make_api_key(owner, server_id=str(server.id))[1])
"""
_COUNT = """
import json, time
import django
django.setup()
from django.db.models import F, Min
from apps.fleet.models import DirtyBucket, LatestSnapshot, Sample
over = DirtyBucket.objects.aggregate(first=Min(F("at") + F("level")))["first"]
print(json.dumps({
    "stored": Sample.objects.count(),
    "snapshots": LatestSnapshot.objects.count(),
    "roll_up_waits_s": round(max(0.0, time.time() - over / 1000), 1) if over else 0.0,
}))
"""
_OWN = """
import json, time
import django
django.setup()
from apps.fleet.sampler import LocalSampler
from django.db import connection
sampler = LocalSampler()
sampler._reader.prime()
began, spent = time.monotonic(), time.process_time()
costs = []
for _ in range({rounds}):
    time.sleep(5)
    before = time.process_time()
    sampler.sample()
    connection.close()
    costs.append(time.process_time() - before)
print(json.dumps({{
    "samples": {rounds},
    "ms_a_sample": round(1000 * sum(costs) / len(costs), 1),
    "percent_of_one_core": round(100 * (time.process_time() - spent) / (time.monotonic() - began), 2),
}}))
"""


def snapshot(number: int) -> dict[str, Any]:
    """Return a snapshot of about 10 kB, as a machine with 8 cores, 4 disks and 8 interfaces sends it."""
    dice = random.Random(number)
    process = {"user": "www-data", "state": "S", "threads": 12, "rss": 123456789, "startTime": "2026-01-01T00:00:00Z"}
    processes = [
        {
            "pid": 1000 + n,
            "name": f"worker-{n}",
            "cmdline": f"/usr/lib/app/bin/worker --port {8000 + n} --config /etc/app/{n}.toml " + "--option=value " * 5,
            "cpu": dice.random() * 90,
            "memory": dice.random() * 9,
            **process,
        }
        for n in range(20)
    ]
    gib = 1 << 30
    return {
        "timestamp": "",
        "system": {
            "hostname": f"host-{number}",
            "kernel": "6.1.0-18-amd64",
            "uptime": 864000,
            "architecture": "x86_64",
        },
        "cpu": {
            "cores": [{"id": n, "usage": dice.random() * 100, "frequency": 2400.0} for n in range(8)],
            "totalUsage": dice.random() * 100,
            "loadAverage": {"one": 1.5, "five": 1.2, "fifteen": 1.0},
        },
        "memory": {
            "total": 32 * gib,
            "used": 9 * gib,
            "free": 3 * gib,
            "available": 21 * gib,
            "buffers": gib,
            "cached": 17 * gib,
            "swapTotal": 4 * gib,
            "swapUsed": 0,
        },
        "disk": {
            "mounts": [
                {
                    "device": f"/dev/nvme{n}n1p1",
                    "mountpoint": f"/srv/data{n}",
                    "fstype": "ext4",
                    "total": 900 * gib,
                    "used": 300 * gib,
                    "free": 600 * gib,
                    "inodesTotal": 60_000_000,
                    "inodesUsed": 400_000,
                }
                for n in range(4)
            ],
            "io": [
                {"device": f"nvme{n}n1", "readBytes": 10**12, "writeBytes": 10**12, "readRate": 1e6, "writeRate": 2e6}
                for n in range(4)
            ],
        },
        "network": {
            "interfaces": [
                {
                    "name": f"eth{n}",
                    "ipv4": f"10.0.{n}.5",
                    "ipv6": "fe80::1",
                    "rxBytes": 10**12,
                    "txBytes": 10**11,
                    "rxRate": 1e5,
                    "txRate": 1e5,
                }
                for n in range(8)
            ],
            "connectionCount": 321,
        },
        "processes": {"total": 312, "topByCpu": processes[:10], "topByMemory": processes[10:]},
        "temperature": {
            "available": True,
            "sensors": [{"name": f"Core {n}", "value": 55.0, "high": 80.0, "critical": 100.0} for n in range(8)],
        },
        "gpu": {"available": False},
        "docker": {"available": False},
        "systemd": {"available": False},
    }


class Sender:
    """One kept connection; sends pushes given to it and counts the answers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.latencies: list[float] = []
        self.accepted = self.failed = 0

    async def open(self) -> None:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, slug: str, key: str, body: bytes) -> None:
        """Push once and wait for the answer."""
        began = time.perf_counter()
        self.writer.write(
            f"POST /api/v1/metrics/{slug} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        answer = await self.reader.readexactly(length)
        self.latencies.append(time.perf_counter() - began)
        if b" 202 " in head.split(b"\r\n", 1)[0]:
            self.accepted += json.loads(answer)["accepted"]
        else:
            self.failed += 1


async def run(
    port: int, targets: list[tuple[str, str]], interval: float, seconds: float, connections: int
) -> dict[str, Any]:
    """Send each server's snapshot every `interval` s (0: flat out) for `seconds` s."""
    senders = [Sender(port) for _ in range(connections)]
    for sender in senders:
        await sender.open()
    texts = [
        json.dumps(snapshot(number)).replace('"timestamp": ""', '"timestamp": "@"', 1).split("@")
        for number in range(20)
    ]
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=connections * 2)
    end = time.monotonic() + seconds

    async def work(sender: Sender) -> None:
        while True:
            number = await queue.get()
            if number < 0:
                return
            first, rest = texts[number % len(texts)]
            slug, key = targets[number]
            await sender.send(slug, key, f"{first}{datetime.now(UTC).isoformat()}{rest}".encode())

    workers = [asyncio.create_task(work(sender)) for sender in senders]
    sent, began = 0, time.monotonic()
    while time.monotonic() < end:
        if interval:
            await asyncio.sleep(max(0.0, began + sent * interval / len(targets) - time.monotonic()))
        await queue.put(sent % len(targets))
        sent += 1
    for _ in workers:
        await queue.put(-1)
    await asyncio.gather(*workers)
    took = time.monotonic() - began
    for sender in senders:
        sender.writer.close()
    latencies = sorted(value for sender in senders for value in sender.latencies)
    return {
        "pushes_per_s": round(len(latencies) / took, 1),
        "accepted": sum(sender.accepted for sender in senders),
        "failed": sum(sender.failed for sender in senders),
        "p50_ms": round(1000 * latencies[len(latencies) // 2], 1),
        "p99_ms": round(1000 * latencies[int(len(latencies) * 0.99)], 1),
        "bytes_a_push": sum(len(part) for part in texts[0]) + 32,
        "seconds": round(took, 1),
    }


def python(code: str, environment: dict[str, str]) -> str:
    """Run code in a process of its own and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def main() -> None:
    """Run the scenarios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=5.0, help="s between two snapshots of a server")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--flat-out", type=float, default=10.0, help="s as fast as it goes; 0: not at all")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--own", type=int, default=0, metavar="N", help="sample this host N times instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wk-bench-") as folder:
        data_dir = Path(folder) / "data"
        with Installation(data_dir=data_dir, env={"LOCAL_SERVER": "off"}) as installation:
            environment = {
                **installation.environment,
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "REDIS_URL": f"unix://{data_dir}/redis/redis.sock",
            }
            if options.own:
                print(python(_OWN.format(rounds=options.own), environment).strip())
                return
            made = python(_FILL.format(count=options.servers), environment)
            targets = [(line.split()[0], line.split()[1]) for line in made.splitlines()]
            print(json.dumps(measure(options, installation, targets, environment), indent=2))


def measure(
    options: argparse.Namespace, installation: Installation, targets: list[tuple[str, str]], environment: dict[str, str]
) -> dict[str, Any]:
    """Run the scenarios against the installation."""
    result: dict[str, Any] = {"servers": len(targets)}
    accepted = 0
    for name, interval, seconds in (("steady", options.interval, options.seconds), ("flat_out", 0.0, options.flat_out)):
        if not seconds:
            continue
        before = cpu_seconds(installation.data_dir)
        figures = asyncio.run(run(installation.port, targets, interval, seconds, options.connections))
        used = cpu_seconds(installation.data_dir)
        spent = {part: used[part] - before.get(part, 0.0) for part in used}
        accepted += figures["accepted"]
        for part, cpu in spent.items():
            figures[f"cpu_percent_{part}"] = round(100 * cpu / figures["seconds"], 1)
        figures["cpu_percent_of_one_core"] = round(100 * sum(spent.values()) / figures["seconds"], 1)
        figures["web_cpu_ms_a_push"] = round(1000 * spent["web"] / max(1, figures["accepted"]), 2)
        result[name] = figures
    result |= json.loads(python(_COUNT, environment))
    result["all_stored"] = result["stored"] == accepted
    result["memory_mb"] = memory_by_part(installation.data_dir)
    return result


if __name__ == "__main__":
    main()
