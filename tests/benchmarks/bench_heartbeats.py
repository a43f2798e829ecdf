"""How long one look over very many heartbeats takes: `python -m tests.benchmarks.bench_heartbeats` prints JSON.

    python -m tests.benchmarks.bench_heartbeats [--heartbeats 100000]

Writes the heartbeats straight into a new SQLite file, or into the empty PostgreSQL database at DATABASE_URL, and times
the evaluator (`expire_due`, called until it finds no more): when nothing is due, when one in a hundred has become late,
when all of them have, when one in a thousand is down, and when all the others go down at once, each with its fact
(also as processor time of this process, without the server's). Also what reading one heartbeat's log and its doctor
takes after 10,000 pings.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.processes import ScaleLayout

BATCH = 500
LOGGED = 10_000


def main() -> None:
    """Fill, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heartbeats", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wk-bench-") as name:
        folder = Path(name)
        layout = ScaleLayout(
            data_dir=folder,
            database_url=os.environ.get("DATABASE_URL") or f"sqlite:///{folder}/watchkeeper.sqlite3",
            redis_url=f"unix://{folder}/none.sock",
        )
        layout.prepare()
        os.environ.update(layout.environment, DJANGO_SETTINGS_MODULE="config.settings")
        import django

        django.setup()
        print(json.dumps(measure(options.heartbeats), indent=2))


def measure(count: int) -> dict[str, Any]:
    """Return the times of each case in milliseconds."""
    now = datetime.now(UTC)
    fill(count, now)
    found: dict[str, Any] = {"heartbeats": count}
    found["nothing due, median ms"] = statistics.median(evaluate(now)[1] for _ in range(20))
    make_due(count, 100, now)
    found["1 in 100 late"], found["1 in 100 late, ms"] = evaluate(now)
    make_due(count, 1, now)
    found["all late"], found["all late, ms"] = evaluate(now)
    make_due(count, 1000, now, is_over=True)
    found["1 in 1000 down"], found["1 in 1000 down, ms"] = evaluate(now)
    make_due(count, 1, now, is_over=True)
    began = time.process_time()
    found["all down"], found["all down, ms"] = evaluate(now)
    found["all down, cpu ms"] = round((time.process_time() - began) * 1000)
    found.update(pages(now))
    return found


def fill(count: int, now: datetime) -> None:
    """Write heartbeats that are up and due in an hour."""
    from django.db import connection, transaction

    from apps.monitors.models import Heartbeat, HeartbeatState

    due = now + timedelta(hours=1)
    for start in range(0, count, BATCH):
        made = [
            Heartbeat(num=1_000_000 + n, name=f"job {n:06}", interval_seconds=3600, grace_seconds=600)
            for n in range(start, min(count, start + BATCH))
        ]
        with transaction.atomic():
            Heartbeat.objects.bulk_create(made)
            HeartbeatState.objects.bulk_create(
                HeartbeatState(
                    heartbeat=one, status="up", since=now, last_ping_at=now, next_due_at=due, ping_count=1,
                    deadline=due + timedelta(minutes=10), wake_at=due,
                )
                for one in made
            )  # fmt: skip
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def make_due(count: int, every: int, now: datetime, *, is_over: bool = False) -> None:
    """Put each of `every` heartbeats to where it was due a second ago, or is over its grace."""
    from django.db import connection

    from apps.monitors import bulk
    from apps.monitors.models import Heartbeat, HeartbeatState

    due = now - timedelta(minutes=10 if is_over else 0, seconds=1)
    deadline = due + timedelta(minutes=10)
    table, heartbeats = HeartbeatState._meta.db_table, Heartbeat._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET status = 'up', alerting = false, next_due_at = %s, wake_at = %s, deadline = %s "
            f"WHERE heartbeat_id IN (SELECT id FROM {heartbeats} WHERE num %% %s = 0)",
            [*map(bulk.to_database, (due, due, deadline)), every],
        )


def evaluate(now: datetime) -> tuple[int, float]:
    """Evaluate until nothing is due any more; return how many changed, and the milliseconds."""
    from apps.monitors.services.heartbeat_sweep import expire_due

    began = time.perf_counter()
    changed = 0
    while True:
        more = expire_due(now=now)
        if not more:
            return changed, round((time.perf_counter() - began) * 1000, 1)
        changed += more


def pages(now: datetime) -> dict[str, float]:
    """Return the median milliseconds of a page of the log and of the doctor after many pings."""
    from apps.core.principals import system
    from apps.monitors.models import Heartbeat
    from apps.monitors.selectors.doctor import diagnose
    from apps.monitors.selectors.heartbeats import log_page
    from apps.monitors.services.heartbeats import create_heartbeat
    from apps.monitors.services.pings import PingRequest, accept_pings

    heartbeat = create_heartbeat(actor=system("bench"), name="chatty", cron="*/10 * * * *")
    first = now - timedelta(minutes=10 * LOGGED)
    for start in range(0, LOGGED, BATCH):
        accept_pings(
            [
                PingRequest(heartbeat.uuid, at=first + timedelta(minutes=10 * n), body=b"x" * 500)
                for n in range(start, start + BATCH)
            ]
        )
    heartbeat = Heartbeat.objects.with_state().get(pk=heartbeat.pk)
    middle = log_page(heartbeat, kind="", before="", count=LOGGED // 2)[1]
    asked: dict[str, Callable[[], Any]] = {
        "first page of 10,000 pings, median ms": lambda: log_page(heartbeat, kind="", before="", count=100),
        "middle page of 10,000 pings, median ms": lambda: log_page(heartbeat, kind="", before=middle, count=100),
        "doctor after 10,000 pings, median ms": lambda: diagnose(heartbeat, now),
    }
    return {name: round(statistics.median(_times(ask)), 1) for name, ask in asked.items()}


def _times(ask: Callable[[], Any]) -> list[float]:
    times = []
    for _ in range(15):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1000)
    return times


if __name__ == "__main__":
    main()
