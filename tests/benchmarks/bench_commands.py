"""What a command on many machines costs: `python -m tests.benchmarks.bench_commands` prints figures as JSON.

`uptime` on 100 machines over SSH: sshds on the loopback that listen on as many ports. The same machines are asked in
the same run by `ansible -m raw -f 50` and by `pssh -p 50`, where these are installed, or named by --ansible and --pssh.
Each is run cold, and again at once, when what it keeps open is still open; ours once before that, when each
connection's secret is used for the first time. CPU is the client's: ours is the process that drives the batch, with its
database (SQLite, the product's settings); theirs is the program with all its children. sshd's own is nobody's.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.sshd import USER, Sshd, make_key, sshd

PATIENCE_S = 120.0
PORTS_MOST = 15  # one sshd listens on no more than 16


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--parallel", type=int, default=50)
    parser.add_argument("--ansible", default=shutil.which("ansible") or "")
    parser.add_argument("--pssh", default=shutil.which("parallel-ssh") or shutil.which("pssh") or "")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wk-bench-") as base:
        folder = Path(base)
        os.environ["DATA_DIR"] = base
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        os.environ.setdefault("REDIS_URL", f"unix://{base}/no-redis.sock")
        os.environ["HOME"] = base  # what the others keep, they keep here
        key = make_key(folder, "id")
        with machines(folder, key, options.hosts) as target:
            figures: dict[str, Any] = {"hosts": options.hosts, "parallel": options.parallel}
            for name, measure, is_there in (
                ("watchkeeper", measure_ours, True),
                ("pssh", measure_pssh, bool(options.pssh)),
                ("ansible", measure_ansible, bool(options.ansible)),
            ):
                if is_there:
                    figures[name] = measure(options, target, key, folder)
                    print(name, figures[name], file=sys.stderr, flush=True)
            print(json.dumps(figures, indent=2))


@contextmanager
def machines(folder: Path, key: Path, count: int) -> Iterator[Sshd]:
    """Run sshds with so many ports in all, under one host key; yield them as if they were one."""
    host_key = make_key(folder, "host_key")
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                sshd(
                    folder / f"sshd{start}",
                    accepts=[key],
                    host_key=host_key,
                    more_ports=min(PORTS_MOST, count - start) - 1,
                    quiet=True,
                )
            )
            for start in range(0, count, PORTS_MOST)
        ]
        yield replace(running[0], ports=[port for one in running for port in one.ports])


def measure_ours(options: argparse.Namespace, target: Sshd, key: Path, folder: Path) -> dict[str, Any]:
    """Run a batch three times, as a worker does."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from apps.core.principals import system
    from apps.fleet.models import CommandBatch
    from apps.fleet.services import cleaned_command, create_batch, drive_batches, find_targets, plan_for
    from apps.fleet.ssh import pool
    from apps.fleet.states import BatchStatus
    from tests.factories.batches import make_machines

    make_machines(target, key)
    actor = system("bench")

    def once() -> int:
        targets, asked = find_targets(actor=actor, tags=["web"])
        plan = plan_for(len(targets), parallel=options.parallel)
        command = cleaned_command(text="uptime")
        batch = create_batch(actor=actor, command=command, targets=targets, asked=asked, plan=plan)
        until = time.monotonic() + PATIENCE_S
        due = time.monotonic()
        while time.monotonic() < until:
            if time.monotonic() >= due:  # the sweep; in between, runs that end drive it
                drive_batches()
                due = time.monotonic() + 1.0
            row = CommandBatch.objects.values_list("status", "succeeded").get(pk=batch.pk)
            if row[0] != BatchStatus.RUNNING:
                return row[1]
            time.sleep(0.1)
        raise RuntimeError("the batch did not end")

    first = timed(once, resource.RUSAGE_SELF)
    pool.close()
    return {"first": first, "cold": timed(once, resource.RUSAGE_SELF), "again": timed(once, resource.RUSAGE_SELF)}


def measure_pssh(options: argparse.Namespace, target: Sshd, key: Path, folder: Path) -> dict[str, Any]:
    """Run pssh twice."""
    hosts = folder / "pssh-hosts"
    hosts.write_text("".join(f"{USER}@127.0.0.1:{port}\n" for port in target.ports))
    line = [options.pssh, "-h", str(hosts), "-p", str(options.parallel), "-t", "60"]
    for option in _ssh_options(key):
        line += ["-O", option]
    return _twice([*line, "uptime"], lambda text: text.count("[SUCCESS]"))


def measure_ansible(options: argparse.Namespace, target: Sshd, key: Path, folder: Path) -> dict[str, Any]:
    """Run ansible twice; it keeps its connections open for a minute."""
    inventory = folder / "inventory"
    inventory.write_text(
        "".join(
            f"h{n} ansible_host=127.0.0.1 ansible_port={port} ansible_user={USER}\n"
            for n, port in enumerate(target.ports)
        )
    )
    line = [options.ansible, "all", "-i", str(inventory), "-m", "raw", "-a", "uptime", "-f", str(options.parallel)]
    line += ["--private-key", str(key)]
    return _twice(line, lambda text: text.count("| CHANGED |"), ANSIBLE_HOST_KEY_CHECKING="False")


def _ssh_options(key: Path) -> list[str]:
    return [f"IdentityFile={key}", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]


def _twice(line: list[str], count: Callable[[str], int], **env: str) -> dict[str, Any]:
    def once() -> int:
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=PATIENCE_S, env={**os.environ, **env}, check=False
        )
        return count(done.stdout)

    return {"cold": timed(once, resource.RUSAGE_CHILDREN), "again": timed(once, resource.RUSAGE_CHILDREN)}


def timed(work: Callable[[], int], whose: int) -> dict[str, Any]:
    """Return the wall time and the CPU of some work, and on how many hosts it succeeded."""
    before, began = resource.getrusage(whose), time.monotonic()
    succeeded = work()
    wall, after = time.monotonic() - began, resource.getrusage(whose)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(wall, 2), "client_cpu_s": round(used, 2), "succeeded": succeeded}


if __name__ == "__main__":
    main()
