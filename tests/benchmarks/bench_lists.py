"""First pages of long lists, and how many queries each takes: `python -m tests.benchmarks.bench_lists` prints JSON.

5,000 endpoints with a day of roll-ups, 1,000 servers, 100,000 alerts and 1,000,000 facts are written straight into a
new SQLite file, or into the empty PostgreSQL database at DATABASE_URL; then one real web process is asked over a kept
connection, one request after the other. Redis is not there.
"""

import argparse
import http.client
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from tests.support.processes import ScaleLayout

LISTS = {
    "endpoints": "/api/v1/endpoints",
    "endpoints searched": "/api/v1/endpoints?status=up&search=site",
    "sparklines": "/api/v1/endpoints/sparklines?range=24h",
    "alerts": "/api/v1/alerts",
    "servers": "/api/v1/servers",
    "audit": "/api/v1/admin/audit",
}
BATCH = 500
PASSWORD = "a-password-of-the-benchmark-31"


def main() -> None:
    """Fill, serve, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100, help="for each list")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the rows to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wk-bench-") as name:
        folder = Path(name)
        url = os.environ.get("DATABASE_URL") or f"sqlite:///{folder}/watchkeeper.sqlite3"
        layout = ScaleLayout(
            data_dir=folder, database_url=url, redis_url=f"unix://{folder}/none.sock", env={"ADMIN_PASSWORD": PASSWORD}
        )
        layout.prepare()
        print(json.dumps(measure(layout, requests=options.requests, scale=options.scale), indent=2))


def measure(layout: ScaleLayout, *, requests: int, scale: float) -> dict[str, Any]:
    """Return rows, p50, p95 and queries of every list."""
    import django

    os.environ.update(layout.environment, DJANGO_SETTINGS_MODULE="config.settings")
    django.setup()
    began = time.perf_counter()
    rows = fill(scale)
    found: dict[str, Any] = {"filled_in_s": round(time.perf_counter() - began, 1)}
    queries = {name: count_queries(path) for name, path in LISTS.items()}
    with layout:
        layout.start_part("web1")
        for name, times in ask(layout.ports["web1"], layout.pid("web1"), requests).items():
            found[name] = {"rows": rows.get(name, rows["endpoints"]), "queries": queries[name], **times}
    return found


# --- rows --------------------------------------------------------------------------------------------------------


#: A million facts in one statement: through models it takes minutes.
_COLUMNS = """
INSERT INTO core_event (uid, seq, name, subject_kind, subject_id, subject_name, level, tags, audience, data, audit,
                        actor, actor_name, at)
"""
_VALUES = """
    CASE n %% 3 WHEN 0 THEN 'endpoint.alert' WHEN 1 THEN 'endpoint.recovery' ELSE 'user.updated' END, 'endpoint',
    CAST(n %% %(endpoints)s AS text), 'site ' || n %% %(endpoints)s, 'info', '[]', '{"permission": "endpoints:view"}',
    '{"name": "site", "status": "down"}', '{"before": {"a": 1}, "after": {"a": 2}, "address": "192.0.2.1"}',
    '{"kind": "user", "id": "1", "name": "admin"}', 'admin',
"""
_EVENTS = {
    "sqlite": f"""{_COLUMNS}
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %(count)s)
        SELECT printf('%%032x', n), 1000 + n, {_VALUES} datetime('now', (n - %(count)s) || ' seconds') FROM numbers""",
    "postgresql": f"""{_COLUMNS}
        SELECT lpad(to_hex(n), 32, '0')::uuid, 1000 + n, {_VALUES}
               now() - (%(count)s - n) * interval '1 second'
        FROM generate_series(1, %(count)s) AS n""",
}


def batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the rows in lists of BATCH."""
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def fill(scale: float) -> dict[str, int]:
    """Write the rows; return how many of each list there are."""
    from django.db import connection, transaction

    from apps.alerts.models import Alert
    from apps.core.ids import new_id
    from apps.core.models import Sequence
    from apps.fleet.models import Server, ServerState
    from apps.monitors.models import CheckRollup1h, Endpoint, EndpointState

    now = datetime.now(UTC)
    hour = int(now.timestamp() * 1000) // 3_600_000 * 3_600_000
    endpoints, servers = int(5000 * scale), int(1000 * scale)
    alerts, events = int(100_000 * scale), int(1_000_000 * scale)

    def insert(model: Any, rows: Iterable[Any]) -> None:
        with transaction.atomic():
            for batch in batches(rows):
                model._default_manager.bulk_create(batch)

    made = [
        Endpoint(num=n, name=f"site {n:05}", endpoint_type="http", target=f"https://s{n}.example/")
        for n in range(endpoints)
    ]
    insert(Endpoint, made)
    insert(
        EndpointState,
        (
            EndpointState(
                endpoint_id=one.id,
                num=one.num,
                status="up",
                last_check_at=now,
                last_response_time_ms=20.0 + one.num % 80,
            )
            for one in made
        ),
    )
    insert(
        CheckRollup1h,
        (rollup(CheckRollup1h, one.num, hour - back * 3_600_000) for one in made for back in range(24)),
    )
    machines = [Server(num=n + 10, slug=f"server-{n}", name=f"server {n:04}") for n in range(servers)]
    insert(Server, machines)
    figures = {"cpu": 12.5, "memory": 40.0, "disk": 55.0, "load1": 0.4}
    insert(
        ServerState,
        (ServerState(server=one, status="online", last_seen_at=now, sample_at=hour, **figures) for one in machines),
    )
    insert(
        Alert,
        (
            Alert(
                source="endpoint", kind="availability", subject_kind="endpoint", subject_id=str(new_id()),
                subject_name=f"site {n}", level="critical", message="does not answer",
                status="resolved" if n < alerts * 0.99 else "active", evidence={"values": list(range(60))},
                opened_at=now - timedelta(minutes=alerts - n),
            )
            for n in range(alerts)
        ),
    )  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_EVENTS[connection.vendor], {"count": events, "endpoints": endpoints})
    Sequence.objects.update_or_create(name="events", defaults={"value": 1000 + events})
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    return {"endpoints": endpoints, "alerts": alerts, "servers": servers, "audit": events}


def rollup(model: Any, num: int, at: int) -> Any:
    """Return an hour of checks at 60 s."""
    return model(num=num, at=at, up=60, latency_count=60, latency_sum=1800.0, latency_min=20.0, latency_max=90.0)


# --- questions ---------------------------------------------------------------------------------------------------


def count_queries(path: str) -> int:
    """Return how many queries a first page takes, the caller's authentication included."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from apps.accounts.models import User

    client = Client(SERVER_NAME="localhost")
    token = client.post(
        "/api/v1/auth/login",
        {"username": User.objects.get().username, "password": PASSWORD},
        content_type="application/json",
    ).json()["access"]
    headers = {"authorization": f"Bearer {token}"}
    client.get(path, headers=headers)
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path, headers=headers)
    assert answer.status_code == 200, answer.content
    # The runtime settings are read once a second, whoever asks.
    return len([query for query in captured if "core_storedsetting" not in query["sql"]])


def ask(port: int, pid: int, requests: int) -> dict[str, dict[str, float]]:
    """Return p50 and p95 of the first page of every list, the server's processor time for it (ms), and its size."""
    server = psutil.Process(pid)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(method: str, path: str, body: Any = None, token: str = "") -> bytes:
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, (answer.status, content[:300])
        return content

    token = json.loads(call("POST", "/api/v1/auth/login", {"username": "admin", "password": PASSWORD}))["access"]
    found = {}
    for name, path in LISTS.items():
        for _ in range(10):
            content = call("GET", path, token=token)
        times, before = [], sum(server.cpu_times()[:2])
        for _ in range(requests):
            began = time.perf_counter()
            call("GET", path, token=token)
            times.append((time.perf_counter() - began) * 1000)
        found[name] = {
            "p50_ms": round(statistics.median(times), 1),
            "p95_ms": round(statistics.quantiles(times, n=20)[-1], 1),
            "cpu_ms": round((sum(server.cpu_times()[:2]) - before) * 1000 / requests, 1),
            "bytes": len(content),
        }
    return found


if __name__ == "__main__":
    main()
