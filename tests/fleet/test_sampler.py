"""The sampler of this host: against a made-up /proc, against the real machine, and as a thread."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.test import override_settings

from apps.core import leases
from apps.core.models import Lease
from apps.fleet import selectors
from apps.fleet.collectors import check_sampler, collect_metrics
from apps.fleet.models import Sample
from apps.fleet.sampler import LocalSampler
from apps.fleet.sampler.host import HostReader, rate
from apps.fleet.sampler.processes import ProcessReader, top_lists
from apps.fleet.services import ensure_local_server
from tests.factories.accounts import client_as

TICKS = 100
STARTED = 5000


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def write_process(
    proc: Path, pid: int, *, name: str, ticks: int, pages: int, command: list[str], started: int = STARTED
) -> None:
    folder = proc / str(pid)
    folder.mkdir(exist_ok=True)
    fields = [
        "S",
        "1",
        "1",
        "1",
        "0",
        "-1",
        "0",
        "0",
        "0",
        "0",
        "0",
        str(ticks),
        "0",
        "0",
        "0",
        "20",
        "0",
        "3",
        "0",
        str(started),
    ]
    (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)} {' '.join(['0'] * 30)}\n")
    (folder / "statm").write_text(f"{pages * 2} {pages} 0 0 0 0 0\n")
    (folder / "status").write_text(f"Name:\t{name}\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nThreads:\t3\n")
    (folder / "cmdline").write_bytes(b"".join(part.encode() + b"\0" for part in command))


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty /proc of a machine with 8 GiB that psutil reads instead of the real one."""
    (tmp_path / "stat").write_text("cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nbtime 1700000000\n")
    (tmp_path / "meminfo").write_text(
        "MemTotal: 8388608 kB\nMemFree: 1048576 kB\nMemAvailable: 4194304 kB\nBuffers: 102400 kB\nCached: 2097152 kB\n"
        "SwapTotal: 2097152 kB\nSwapFree: 1572864 kB\nActive: 0 kB\nInactive: 0 kB\nShmem: 0 kB\nSlab: 0 kB\n"
    )
    (tmp_path / "vmstat").write_text("pswpin 0\npswpout 0\n")
    (tmp_path / "zoneinfo").write_text("")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    yield tmp_path


def test_two_thousand_processes_are_sorted_by_what_they_used_since_the_pass_before(proc: Path) -> None:
    clock = Clock()
    reader = ProcessReader(clock)
    for pid in range(1, 2001):
        write_process(proc, pid, name=f"p{pid}", ticks=1000, pages=pid, command=[f"p{pid}", "--password", "hunter2"])
    first = reader.read()
    assert len(first) == 2000 and {one["cpu"] for one in first} == {0.0}
    for pid in range(1, 2001):
        write_process(
            proc,
            pid,
            name=f"p{pid}",
            ticks=1000 + pid % 7 * 100,
            pages=pid,
            command=[f"p{pid}", "--password", "hunter2"],
        )
    clock.now += 10.0
    table = reader.read()
    figures = [(one["cpu"], one["rss"]) for one in table]
    assert figures == sorted(figures, reverse=True)
    assert table[0]["pid"] == 1994 + 6 - 1994 % 7 - (7 if 1994 + 6 - 1994 % 7 > 2000 else 0)
    assert table[0]["cpu"] == 60.0  # 600 ticks of 10 ms in 10 s
    assert table[0]["threads"] == 3 and table[0]["state"] == "S" and table[0]["user"] == "root"
    lists = top_lists(table)
    assert lists["total"] == 2000 and len(lists["topByCpu"]) == len(lists["topByMemory"]) == 10
    assert [one["pid"] for one in lists["topByMemory"]] == list(range(2000, 1990, -1))
    assert lists["topByCpu"][0]["cmdline"].endswith("--password ***")
    assert sum("cmdline" in one for one in table) <= 20  # details are read for these alone


def test_process_of_a_reused_pid_starts_from_nothing(proc: Path) -> None:
    clock = Clock()
    reader = ProcessReader(clock)
    write_process(proc, 50, name="old", ticks=90_000, pages=1, command=["old"])
    reader.read()
    write_process(proc, 50, name="new", ticks=100_000, pages=1, command=["new"], started=9000)
    clock.now += 1.0
    assert [(one["name"], one["cpu"]) for one in reader.read()] == [("new", 0.0)]


def test_figures_are_those_of_proc(proc: Path) -> None:
    clock = Clock()
    reader = HostReader(clock)
    reader._read_cpu()
    # user nice system idle iowait irq softirq steal guest guest_nice
    (proc / "stat").write_text(
        "cpu  300 0 100 500 100 0 0 0 100 0\ncpu0 300 0 100 500 100 0 0 0 100 0\nbtime 1700000000\n"
    )
    cpu = reader._read_cpu()
    assert cpu["totalUsage"] == pytest.approx(40.0, rel=0.02)  # guest time is in user time, waiting is idle
    assert [one["usage"] for one in cpu["cores"]] == [pytest.approx(40.0, rel=0.02)]
    memory = reader._read_memory()
    assert (memory["total"], memory["available"]) == (8 << 30, 4 << 30)
    assert memory["swapUsed"] == 512 << 20


@pytest.mark.parametrize(
    ("before", "after", "seconds", "result"), [(0, 100, 10, 10.0), (100, 0, 10, None), (0, 1, 0, None)]
)
def test_rate_of_a_counter_that_was_reset_is_none(
    before: int, after: int, seconds: float, result: float | None
) -> None:
    assert rate(before, after, seconds) == result


def test_part_that_can_not_be_read_is_absent_and_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise PermissionError("no")

    for name in ("virtual_memory", "net_io_counters", "pids"):
        monkeypatch.setattr(psutil, name, broken)
    snapshot = HostReader().snapshot()
    assert snapshot["memory"] == snapshot["network"] == snapshot["processes"] == {"available": False}
    assert snapshot["cpu"]["cores"] and snapshot["disk"]["mounts"]


@pytest.mark.django_db
def test_sample_of_this_machine_is_stored_as_server_local() -> None:
    sampler = LocalSampler()
    sampler._reader.prime()
    outcome = sampler.sample()
    assert (outcome.error, outcome.accepted, outcome.refused) == (None, 1, [])
    row = Sample.objects.get()
    assert row.memory is not None and 0 < row.memory < 100 and row.disk is not None and (row.processes or 0) > 0
    server = ensure_local_server()
    kept = selectors.latest_snapshot(server)
    assert kept is not None and kept["system"]["hostname"] == socket.gethostname()
    for block in ("gpu", "docker", "systemd"):
        assert kept[block] == {"available": False}
    assert kept["cpu"]["loadAverage"]["one"] >= 0 and kept["disk"]["mounts"][0]["mountpoint"] == "/"
    assert check_sampler().status == "ok"
    names = [name for name, _, _, _ in collect_metrics(True)]
    assert "watchkeeper_server_cpu_percent" in names and len(names) == len(set(names))


@pytest.mark.django_db
def test_processes_of_this_host_are_listed_and_read_afresh_by_pid() -> None:
    import os

    sampler = LocalSampler()
    sampler.sample()
    client = client_as("viewer")
    body = client.get("/api/v1/processes?sort=memory&limit=3").json()
    assert len(body["results"]) == min(3, body["count"]) and body["timestamp"] and body["agent_id"] == "local"
    memory = [one["rss"] for one in body["results"]]
    assert memory == sorted(memory, reverse=True)
    assert [one["pid"] for one in client.get(f"/api/v1/processes?search={os.getpid()}").json()["results"]][:1] == [
        os.getpid()
    ]
    one = client.get(f"/api/v1/processes/{os.getpid()}/").json()
    assert one["pid"] == os.getpid() and one["cmdline"] and one["startTime"].endswith("Z") and one["threads"] >= 1
    assert client.get("/api/v1/processes/4194305").status_code == 404
    assert client.get("/api/v1/processes/x").status_code == 404
    assert client.get("/api/v1/processes?sort=name").status_code == 422


@pytest.mark.django_db
def test_only_the_holder_of_the_lease_samples() -> None:
    assert leases.hold("local-sampler", seconds=60, owner="another")
    sampler = LocalSampler()
    sampler._guarded_sample()
    assert not Sample.objects.exists()
    Lease.objects.all().delete()
    sampler._guarded_sample()
    assert Sample.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_thread_samples_until_it_is_stopped_and_gives_its_lease_back() -> None:
    import time

    sampler = LocalSampler()
    sampler.start()
    end = time.monotonic() + 20
    while not Sample.objects.exists() and time.monotonic() < end:
        time.sleep(0.05)
    sampler.stop()
    sampler.join(10)
    assert not sampler.is_alive() and Sample.objects.exists()
    assert leases.hold("local-sampler", seconds=5, owner="another")


def test_thread_does_nothing_where_this_host_is_not_to_be_watched() -> None:
    with override_settings(LOCAL_SERVER=False):
        sampler = LocalSampler()
        sampler.start()
        sampler.join(5)
        assert not sampler.is_alive()
        assert check_sampler().status == "off"
