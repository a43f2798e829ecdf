"""Run the benchmarks and write `docs/benchmarks.md`: `make bench`, or

    python -m tests.benchmarks [NAME ...] [--postgres URL]

Each `bench_NAME.py` is a program of its own that prints JSON; it starts and ends its own processes on the loopback, in
a folder of its own. With --postgres, those that measure a database run once more on databases made on that server.
Results of benchmarks that are not run this time stay in the document.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from config.version import VERSION

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
ON_POSTGRES = ("pings", "lists", "heartbeats", "routing")
PATIENCE_S = 1800


def names() -> list[str]:
    """Return the benchmarks there are."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def machine() -> str:
    """Return one line about this machine."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{psutil.cpu_count()} cores of {model}, {memory:.0f} GB of memory, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}"
    )


def documents(text: str) -> Iterator[Any]:
    """Yield the JSON values that a benchmark printed, one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at] not in "{[":
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        yield value


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (name, figure) of everything in a JSON value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value))
    else:
        yield path, value


def run(name: str, env: dict[str, str]) -> str:
    """Run one benchmark and return its table."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.bench_{name}"],
        cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    sys.stdout.write(done.stdout)
    if done.returncode != 0:
        raise SystemExit(f"bench_{name} failed with exit code {done.returncode}")
    lines = ["| Figure | Value |", "| --- | ---: |"]
    found = list(documents(done.stdout))
    for value in found:
        label = f"{value['case']}: " if len(found) > 1 and isinstance(value, dict) and "case" in value else ""
        lines += [f"| {label}{key} | {figure} |" for key, figure in flat(value) if key not in ("case", "benchmark")]
    lines.append("")
    passed = time.perf_counter() - began
    lines.append(f"Measured {datetime.now(UTC):%Y-%m-%d} with version {VERSION} in {passed:.0f} s on {machine()}.")
    return "\n".join(lines)


def on_own_database(name: str, server: str) -> str:
    """Run one benchmark on a new PostgreSQL database, dropped afterwards."""
    import psycopg

    database = f"wk_bench_{name}_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{database}"')  # type: ignore[arg-type]
    try:
        return run(name, {**os.environ, "DATABASE_URL": urlsplit(server)._replace(path=f"/{database}").geturl()})
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{database}" WITH (FORCE)')  # type: ignore[arg-type]


def kept_sections(text: str) -> dict[str, str]:
    """Return the sections of figures that the document has now."""
    inside = text.partition(BEGIN)[2].partition(END)[0]
    parts = inside.split("\n### ")[1:]
    return {part.partition("\n")[0].strip(): part.partition("\n")[2].strip() for part in parts}


def write(sections: dict[str, str]) -> None:
    """Put the sections into the document, by name."""
    text = DOCUMENT.read_text() if DOCUMENT.exists() else f"# Benchmarks\n\n{BEGIN}\n{END}\n"
    body = "".join(f"\n### {title}\n\n{table}\n" for title, table in sorted(sections.items()))
    head, _, rest = text.partition(BEGIN)
    DOCUMENT.write_text(f"{head}{BEGIN}\n{body}\n{END}{rest.partition(END)[2]}")


def main() -> None:
    """Run what is asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; all by default")
    parser.add_argument("--postgres", metavar="URL", help="a PostgreSQL server on which databases may be made")
    options = parser.parse_args()
    wanted = options.names or names()
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}")
    sections = kept_sections(DOCUMENT.read_text()) if DOCUMENT.exists() else {}
    without = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "REDIS_URL", "DATA_DIR")}
    for name in wanted:
        print(f"== {name}", flush=True)
        sections[name] = run(name, without)
        write(sections)
        if options.postgres and name in ON_POSTGRES:
            print(f"== {name} on PostgreSQL", flush=True)
            sections[f"{name} on PostgreSQL"] = on_own_database(name, options.postgres)
            write(sections)


if __name__ == "__main__":
    main()
