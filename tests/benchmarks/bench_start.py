"""How soon `manage.py up` is ready, and what it takes while nothing happens: prints JSON.

    python -m tests.benchmarks.bench_start [--idle 60] [--starts 3]

The folder is prepared by a first start that is not measured. Memory is the proportional share (PSS) of every process of
the installation, the supervisor and Redis among them; CPU is what all of them used over the idle time, of one core.
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.processes import Installation, processes_of

SETTLE_S = 30


def main() -> None:
    """Start a few times, then idle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=float, default=60.0, help="s over which the idle CPU is measured")
    parser.add_argument("--starts", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wk-bench-") as folder:
        print(json.dumps(measure(Path(folder) / "data", starts=options.starts, idle_s=options.idle), indent=2))


def measure(data_dir: Path, *, starts: int, idle_s: float) -> dict[str, Any]:
    """Return the seconds until ready, and memory and CPU while idle."""
    installation = Installation(data_dir=data_dir)
    began = time.perf_counter()
    installation.start()
    first = time.perf_counter() - began
    installation.stop()
    times = []
    for turn in range(starts):
        began = time.perf_counter()
        installation.start()
        times.append(time.perf_counter() - began)
        if turn < starts - 1:
            installation.stop()
    with installation:
        time.sleep(SETTLE_S)
        before, began = cpu_seconds(data_dir), time.perf_counter()
        time.sleep(idle_s)
        used, passed = cpu_seconds(data_dir), time.perf_counter() - began
        memory = memory_by_part(data_dir)
        by_part = {name: round(100 * (used[name] - before.get(name, 0.0)) / passed, 2) for name in used}
        return {
            "first_start_s": round(first, 1),
            "ready_s": round(statistics.median(times), 1),
            "idle_memory_mb": round(sum(memory.values()), 1),
            "idle_memory_mb_by_part": memory,
            "idle_cpu_percent_of_one_core": round(sum(by_part.values()), 2),
            "idle_cpu_by_part": by_part,
        }


def part_of(command: str) -> str:
    """Return the part of the product that a command line is."""
    for word, name in (("redis", "redis"), ("uvicorn", "web"), ("celery", "worker"), ("manage.py up", "supervisor")):
        if word in command:
            return name
    return "other"


def cpu_seconds(data_dir: Path) -> dict[str, float]:
    """Return the processor time used so far, by part."""
    found: dict[str, float] = {}
    for pid, command in processes_of(str(data_dir)).items():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            found[part_of(command)] = found.get(part_of(command), 0.0) + seconds
    return found


def memory_by_part(data_dir: Path) -> dict[str, float]:
    """Return the proportional share of memory in MB, by part."""
    found: dict[str, float] = {}
    for pid, command in processes_of(str(data_dir)).items():
        with contextlib.suppress(OSError):
            share = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            assert share is not None
            found[part_of(command)] = round(found.get(part_of(command), 0.0) + int(share[1]) / 1024, 1)
    return found


if __name__ == "__main__":
    main()
