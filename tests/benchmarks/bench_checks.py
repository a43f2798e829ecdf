"""What checks cost: `python -m tests.benchmarks.bench_checks` prints figures as JSON.

The targets run in a process of their own; CPU is that of the checking process alone, with claiming, storing, states and
roll-ups. The database is a new SQLite file with the product's settings unless DATABASE_URL is given.
"""

import argparse
import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def main() -> None:
    """Run the scenarios asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=5000)
    parser.add_argument("--interval", type=int, default=60, help="s")
    parser.add_argument("--minutes", type=float, default=2.0, help="how long the steady scenario is measured")
    parser.add_argument("--flat-out", type=float, default=20.0, help="s of HTTPS checks as fast as they go")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        import uvloop

        uvloop.run(serve())
        return
    with tempfile.TemporaryDirectory(prefix="wk-bench-") as folder:
        os.environ["DATA_DIR"] = folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        os.environ.setdefault("REDIS_URL", f"unix://{folder}/no-redis.sock")
        targets = subprocess.Popen([sys.executable, "-m", __spec__.name, "--serve"], stdout=subprocess.PIPE, text=True)
        try:
            assert targets.stdout is not None
            ports = json.loads(targets.stdout.readline())
            print(json.dumps(measure(options, ports, Path(folder)), indent=2))
        finally:
            targets.kill()


# --- targets -----------------------------------------------------------------------------------------------------


class Target(asyncio.Protocol):
    """Answers every request at once and closes."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER)
        self.transport.close()


async def serve() -> None:
    """Serve HTTP and HTTPS until killed; prints the ports and the CA."""
    from tests.support.servers import CertificateAuthority, server_context

    authority = CertificateAuthority()
    context: ssl.SSLContext = server_context(authority.issue())
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(Target, "127.0.0.1", 0, backlog=2048)
    secure = await loop.create_server(Target, "127.0.0.1", 0, ssl=context, backlog=2048)
    facts = {
        "http": plain.sockets[0].getsockname()[1],
        "https": secure.sockets[0].getsockname()[1],
        "ca_pem": authority.pem,
    }
    print(json.dumps(facts), flush=True)
    await asyncio.Event().wait()


# --- measuring ---------------------------------------------------------------------------------------------------


def measure(options: argparse.Namespace, ports: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the figures of both scenarios."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    steady = measure_steady(options, ports)
    flat = measure_flat_out(options, ports)
    from apps.core.runner import runner

    runner().stop()
    size = sum(file.stat().st_size for file in folder.glob("*.sqlite3*"))
    return {"steady": steady, "flat_out_https": flat, "database_bytes": size}


def fill(count: int, interval: int, target: str, *, ca_pem: str = "") -> None:
    """Put so many endpoints in, all due now; what was there goes."""
    from django.db import transaction
    from django.utils import timezone

    from apps.monitors.models import CheckResult, Endpoint, EndpointState

    now = timezone.now()
    with transaction.atomic():
        Endpoint.objects.all().delete()
        CheckResult.objects.all().delete()
        rows = [
            Endpoint(num=num, name=f"endpoint {num:05}", endpoint_type="http", target=target, interval_s=interval,
                     timeout_s=5, ca_pem=ca_pem)
            for num in range(1, count + 1)
        ]  # fmt: skip
        Endpoint.objects.bulk_create(rows, batch_size=500)
        EndpointState.objects.bulk_create(
            [EndpointState(endpoint=row, num=row.num, next_check_at=now) for row in rows], batch_size=500
        )


def run_for(seconds: float) -> dict[str, Any]:
    """Let the sweeps run so long, as a worker does, and return what was done."""
    from apps.monitors.models import CheckResult, EndpointState
    from apps.monitors.services.endpoint_rollups import roll_up_results
    from apps.monitors.tasks.endpoints import sweep_endpoints

    before = CheckResult.objects.count()
    began, cpu = time.monotonic(), time.process_time()
    due = rolled = began
    all_checked = None
    while time.monotonic() - began < seconds:
        sweep_endpoints()
        if all_checked is None and not EndpointState.objects.filter(last_check_at=None).exists():
            all_checked = time.monotonic() - began
        if time.monotonic() - rolled >= 60:
            rolled = time.monotonic()
            for level in range(3):
                roll_up_results(level)
        due += 1.0
        time.sleep(max(0.0, due - time.monotonic()))
    wall, used = time.monotonic() - began, time.process_time() - cpu
    results = CheckResult.objects.count() - before
    return {
        "seconds": round(wall, 1),
        "results": results,
        "results_per_s": round(results / wall, 1),
        "cpu_percent_of_a_core": round(100 * used / wall, 1),
        "cpu_ms_per_check": round(1000 * used / max(1, results), 2),
        "all_checked_after_s": None if all_checked is None else round(all_checked, 1),
    }


def measure_steady(options: argparse.Namespace, ports: dict[str, Any]) -> dict[str, Any]:
    """Check at an interval; the first interval (everything due at once) apart from the steady state."""
    from apps.monitors.models import CheckResult
    from apps.monitors.states.endpoints import CODES, UP

    fill(options.endpoints, options.interval, f"http://127.0.0.1:{ports['http']}/")
    start = run_for(options.interval)
    steady = run_for(options.minutes * 60)
    failed = CheckResult.objects.exclude(status=CODES[UP]).count()
    return {"endpoints": options.endpoints, "interval_s": options.interval, "start": start, "steady": steady,
            "not_up": failed}  # fmt: skip


def measure_flat_out(options: argparse.Namespace, ports: dict[str, Any]) -> dict[str, Any]:
    """Check HTTPS targets with new, verified handshakes, more of them than can be done."""
    from apps.monitors.models import CheckResult
    from apps.monitors.states.endpoints import CODES, UP

    fill(4000, 5, f"https://localhost:{ports['https']}/", ca_pem=ports["ca_pem"])
    figures = run_for(options.flat_out)
    figures["not_up"] = CheckResult.objects.exclude(status=CODES[UP]).count()
    return figures


if __name__ == "__main__":
    main()
