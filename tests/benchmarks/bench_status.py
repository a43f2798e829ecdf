"""Visitors of a status page: `python -m tests.benchmarks.bench_status` prints JSON.

A page with 50 components and 90 days of bars is served by one real web process on a new SQLite file. Visitors come over
connections of their own, ask for the page as browsers do (packed), and then for the JSON once; 10,000 of them are what
one machine should bear in a minute.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.support.processes import ScaleLayout, wait_for

COMPONENTS = 50
DAY_MS = 86_400_000


def main() -> None:
    """Fill, serve, visit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wk-bench-") as name:
        folder = Path(name)
        layout = ScaleLayout(
            data_dir=folder,
            database_url=os.environ.get("DATABASE_URL") or f"sqlite:///{folder}/watchkeeper.sqlite3",
            redis_url=f"unix://{folder}/none.sock",
            env={},
        )
        layout.prepare()
        print(json.dumps(measure(layout, visitors=options.visitors, at_once=options.at_once), indent=2))


def measure(layout: ScaleLayout, *, visitors: int, at_once: int) -> dict[str, Any]:
    """Return how many visitors a minute were served, how long they waited and what it cost."""
    import django

    os.environ.update(layout.environment, DJANGO_SETTINGS_MODULE="config.settings")
    django.setup()
    fill()
    with layout:
        layout.start_part("web1")
        port = layout.ports["web1"]
        wait_for(lambda: asyncio.run(ask(port, "/status"))[0] == 200, what="the page")
        server = psutil.Process(layout.pid("web1"))
        before = sum(server.cpu_times()[:2])
        began = time.perf_counter()
        waits, size = asyncio.run(visit_all(port, visitors, at_once))
        took = time.perf_counter() - began
        cpu = sum(server.cpu_times()[:2]) - before
    waits.sort()
    return {
        "components": COMPONENTS,
        "visitors": visitors,
        "visitors_per_minute": round(visitors / took * 60),
        "requests_per_second": round(2 * visitors / took),
        "p50_ms": round(statistics.median(waits) * 1000, 1),
        "p95_ms": round(waits[int(len(waits) * 0.95)] * 1000, 1),
        "server_cpu_ms_per_visitor": round(cpu * 1000 / visitors, 2),
        "packed_page_bytes": size,
    }


def fill() -> None:
    """Write a page whose components have 90 days of results."""
    from apps.core.principals import system
    from apps.monitors.models import CheckRollup1d
    from apps.monitors.services.endpoints import create_endpoint
    from apps.statuspage import services

    actor = system("benchmark")
    page = services.create_page(actor=actor, values={"name": "Benchmark"})
    today = int(time.time() * 1000) // DAY_MS * DAY_MS
    for number in range(COMPONENTS):
        values = {"name": f"site {number}", "endpoint_type": "tcp", "target": "127.0.0.1:9"}
        endpoint = create_endpoint(actor=actor, values=values)
        CheckRollup1d.objects.bulk_create(
            CheckRollup1d(num=endpoint.num, at=today - back * DAY_MS, up=1440 - (back * 7) % 90, down=(back * 7) % 90)
            for back in range(2, 92)
        )
        thing = {"name": f"Service {number}", "source": "endpoint", "source_id": str(endpoint.pk), "page": page}
        services.create_component(actor=actor, values=thing)


async def visit_all(port: int, visitors: int, at_once: int) -> tuple[list[float], int]:
    """Let all visitors come, `at_once` at a time; return the seconds that each waited and a page's size."""
    left = iter(range(visitors))
    waits: list[float] = []
    size = 0

    async def come() -> None:
        nonlocal size
        for _ in left:
            began = time.perf_counter()
            for path in ("/status", "/status.json"):
                status, length = await ask(port, path)
                assert status == 200, status
                size = length if path == "/status" else size
            waits.append(time.perf_counter() - began)

    await asyncio.gather(*(come() for _ in range(at_once)))
    return waits, size


async def ask(port: int, path: str) -> tuple[int, int]:
    """Return status and body length of a GET over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.read(-1)
    finally:
        writer.close()
    top, _, content = answer.partition(b"\r\n\r\n")
    return int(top.split(b" ", 2)[1]), len(content)


if __name__ == "__main__":
    main()
