"""What it costs to take log lines, and how fast they are found again.

    python -m tests.benchmarks.bench_logs [--lines 200000] [--seconds 10] [--push 500] [--senders 8]

Starts the real ASGI application in one process, on a database of its own (SQLite in a new folder, or an empty one at
DATABASE_URL). First several senders push lines as fast as they are taken, each over a kept connection with a key of
its own; then single lines are looked for until they are found, and the rows of the database must equal the accepted
lines. Then the table is filled up to `--lines` lines of a week, and searches of many kinds go over the API. Prints one
JSON object; times in ms.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent

_SERVE = """
import uvicorn
uvicorn.run(
    "config.asgi:application", http="config.asgi:Protocol", host="127.0.0.1", port={port}, log_level="error",
    access_log=False, proxy_headers=False, server_header=False,
)
"""
_KEYS = """
import django
django.setup()
from apps.core import runtime_settings
from apps.core.principals import system
from tests.factories.accounts import make_api_key, make_user
from tests.factories.fleet import make_server
runtime_settings.change_settings(values={{"limits.log_bytes_per_minute": 10**12}}, actor=system("benchmark"))
owner = make_user("operator")
for n in range({count}):
    print(make_api_key(owner, server_id=str(make_server(f"server {{n}}").id))[1])
"""
_FILL = """
import random, time
import django
django.setup()
from django.db import connection, transaction
from apps.core.rows import insert_rows
from apps.fleet.models import LogEntry, Server
from apps.fleet.models.logs import ID_BITS
from apps.fleet.services.logs import _COLUMNS
from tests.benchmarks.bench_logs import line
nums, dice = list(Server.objects.values_list("num", flat=True)), random.Random(5)
now = time.time_ns() // 10**6
have, want = LogEntry.objects.count(), {lines}
step = 7 * 86400_000 // max(1, want - have)
is_postgres = connection.vendor == "postgresql"
size = 20_000 if is_postgres else 500
if is_postgres:  # the index of words is made at the end: millions of lines at once are not what it is measured by
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'fleet_logentry_words'")
        index = cursor.fetchone()[0]
        cursor.execute("DROP INDEX fleet_logentry_words")
for start in range(have, want, size):
    rows = []
    for n in range(start, min(want, start + size)):
        one, at = line(dice), now - 60_000 - (n - have) * step
        level = {{"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}}[one["level"]]
        rows.append((at << ID_BITS | n % 1024, nums[n % len(nums)], at, None, level, 1, one["source_name"],
                     one["message"], "{{}}", False, 200, None))
    with transaction.atomic():
        insert_rows(LogEntry, _COLUMNS, rows)
with connection.cursor() as cursor:
    if is_postgres:
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute(index)
    cursor.execute("VACUUM ANALYZE fleet_logentry" if is_postgres else "ANALYZE")
"""
_COUNT = """
import django
django.setup()
from apps.fleet.models import LogEntry
print(LogEntry.objects.count())
"""
_VERBS = ("GET", "POST", "PUT", "DELETE")
_WORDS = ("orders", "users", "carts", "invoices", "search", "login", "health", "static", "images", "reports")


def line(dice: random.Random) -> dict[str, Any]:
    """Return a line of about 120 characters, as a web server or a daemon writes it."""
    chance = dice.random()
    level = "debug" if chance < 0.2 else "info" if chance < 0.93 else "warning" if chance < 0.98 else "error"
    text = (
        f'10.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(256)} "{dice.choice(_VERBS)} '
        f'/api/v1/{dice.choice(_WORDS)}/{dice.randrange(100_000)} HTTP/1.1" '
        f"{dice.choice((200, 200, 200, 304, 404, 500))} {dice.randrange(9000)} {dice.random():.3f} "
        f"request={dice.getrandbits(64):016x}"
    )
    if level == "error":
        text += " upstream timed out while reading response header"
    if chance > 0.99998:
        text += " kernel: Out of memory"
    return {"message": text, "level": level, "source": "journal", "source_name": f"unit-{dice.randrange(20)}.service"}


#: Searches by name: the query of the API.
SEARCHES: dict[str, dict[str, str]] = {
    "newest": {},
    "common word": {"q": "api"},
    "word of a tenth": {"q": "invoices"},
    "two words": {"q": "invoices 500"},
    "rare phrase": {"q": '"out of memory"'},
    "no such word": {"q": "nonesuch"},
    "one number": {"q": "orders/4711"},
    "prefix": {"q": "invo*"},
    "without a word": {"q": "timed -invoices"},
    "not alone": {"q": "-api"},
    "errors": {"level": "error,critical"},
    "errors of a unit": {"level": "error", "source_name": "unit-7.service"},
    "critical, none": {"level": "critical"},
    "server and word": {"agent_id": "server-3", "q": "login"},
    "unit and word": {"source_name": "unit-7.service", "q": "login"},
    "deep": {"offset": "5000", "q": "orders"},
}


class Sender:
    """One kept connection that pushes and counts."""

    def __init__(self, port: int, key: str) -> None:
        self.port, self.key, self.accepted = port, key, 0
        self.latencies: list[float] = []

    async def run(self, end: float, bodies: list[bytes]) -> None:
        """Push until `end`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        turn = 0
        while time.monotonic() < end:
            body = bodies[turn % len(bodies)]
            turn += 1
            began = time.perf_counter()
            writer.write(
                f"POST /api/v1/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {self.key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(row.split(b":")[1]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length")
            )
            answer = json.loads(await reader.readexactly(length))
            self.latencies.append(1000 * (time.perf_counter() - began))
            self.accepted += answer.get("accepted", 0)
        writer.close()


def python(source: str, environment: dict[str, str]) -> str:
    """Run a script in the project and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", source], env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def cpu_of(process: psutil.Process) -> float:
    """Return the CPU seconds of a process."""
    times = process.cpu_times()
    return times.user + times.system


def get(port: int, key: str, query: dict[str, str]) -> tuple[float, dict[str, Any]]:
    """Search over the API; return (ms, answer)."""
    address = f"http://127.0.0.1:{port}/api/v1/logs?{urllib.parse.urlencode(query)}"
    request = urllib.request.Request(address, headers={"X-API-Key": key})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as answer:
        body = json.load(answer)
    return 1000 * (time.perf_counter() - began), body


def quantile(values: list[float], share: float) -> float:
    """Return a quantile, rounded."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


async def ingest(port: int, keys: list[str], seconds: float, size: int) -> dict[str, Any]:
    """Push from all senders for so long."""
    dice = random.Random(1)
    bodies = [json.dumps([line(dice) for _ in range(size)]).encode() for _ in range(20)]
    senders = [Sender(port, key) for key in keys]
    began = time.monotonic()
    await asyncio.gather(*(sender.run(began + seconds, bodies) for sender in senders))
    lasted = time.monotonic() - began
    latencies = [value for sender in senders for value in sender.latencies]
    accepted = sum(sender.accepted for sender in senders)
    return {
        "seconds": round(lasted, 2),
        "accepted": accepted,
        "lines_a_second": round(accepted / lasted),
        "push_p50": quantile(latencies, 0.5),
        "push_p99": quantile(latencies, 0.99),
    }


def searchable_after(port: int, key: str) -> list[float]:
    """Return the ms from the moment a line is sent until a search finds it."""
    found = []
    for n in range(5):
        word = f"marker{n}{random.randrange(10**9)}"
        body = json.dumps([{"message": word}]).encode()
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        began = time.perf_counter()
        urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/logs", data=body, headers=headers), timeout=20
        )
        while not get(port, key, {"q": word})[1]["entries"]:
            time.sleep(0.01)
        found.append(round(1000 * (time.perf_counter() - began), 1))
    return found


def measure(options: argparse.Namespace, port: int, keys: list[str], environment: dict[str, str], pid: int) -> Any:
    """Run the scenarios against the web process that listens on `port`."""
    for _ in range(150):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            break
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    web = psutil.Process(pid)
    before = cpu_of(web)
    result: dict[str, Any] = {"ingest": asyncio.run(ingest(port, keys, options.seconds, options.push))}
    result["ingest"]["cpu_us_a_line"] = round(1e6 * (cpu_of(web) - before) / max(1, result["ingest"]["accepted"]), 1)
    result["searchable_after"] = searchable_after(port, keys[0])
    accepted = result["ingest"]["accepted"] + len(result["searchable_after"])
    stored = int(python(_COUNT, environment))
    result["all_stored"] = stored == accepted
    python(_FILL.format(lines=options.lines), environment)
    result["lines"] = int(python(_COUNT, environment))
    # A key that sees every server: the bound ones see one alone.
    owner = python(_OWNER, environment).strip()
    searches, everything = {}, []
    for name, query in SEARCHES.items():
        times, total = [], 0
        for _ in range(options.repeats):
            took, body = get(port, owner, query)
            times.append(took)
            total = body["total"]
        everything += times
        searches[name] = {"p50": round(statistics.median(times), 1), "worst": round(max(times), 1), "total": total}
    result["search"] = searches
    result["search_p95"] = quantile(everything, 0.95)
    result["rss_mb"] = round(web.memory_info().rss / 2**20)
    return result


_OWNER = """
import django
django.setup()
from tests.factories.accounts import make_api_key, make_user
print(make_api_key(make_user("operator", "reader"), role="operator")[1])
"""


def main() -> None:
    """Run the scenarios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000, help="lines in the table when it is searched")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--push", type=int, default=500, help="lines a push")
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5, help="how often each search is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wk-bench-") as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "REDIS_URL": f"unix://{folder}/no-redis.sock",
            **os.environ,
            "DATA_DIR": folder,
            "PORT": str(port),
        }
        migrate = [sys.executable, "manage.py", "migrate", "--noinput", "-v", "0"]
        subprocess.run(migrate, env=environment, cwd=ROOT, check=True, capture_output=True)
        keys = python(_KEYS.format(count=options.senders), environment).split()
        serve = [sys.executable, "-c", _SERVE.format(port=port)]
        web = subprocess.Popen(serve, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            print(json.dumps(measure(options, port, keys, environment, web.pid), indent=2))
        finally:
            web.terminate()
            web.wait(20)


if __name__ == "__main__":
    main()
