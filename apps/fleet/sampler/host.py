"""Reads this host as a snapshot; what the machine can't give is `available: false`."""

import logging
import os
import platform
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from apps.fleet.sampler.processes import ProcessReader, top_lists

log = logging.getLogger(__name__)

PROCESSES_EVERY_S = 15.0
SLOW_EVERY_S = 30.0  # addresses, frequencies, partitions: they hardly change and cost the most
ABSENT: dict[str, Any] = {"available": False}


class HostReader:
    """Reads the figures of this machine; keeps the counters of the reading before, for rates."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: set[str] = set()
        self._slow: dict[str, tuple[float, Any]] = {}
        self._cpu: list[tuple[float, float]] = []
        self._network: tuple[float, dict[str, Any]] | None = None
        self._io: tuple[float, dict[str, Any]] | None = None
        self._processes = ProcessReader(clock)
        self._processes_at: float | None = None
        self._lists: dict[str, Any] = ABSENT

    def prime(self) -> None:
        """Read the counters once, so that the first snapshot has rates."""
        self._block("cpu", self._read_cpu)
        self._block("network", self._read_network)
        self._block("disk", self._read_disk)
        self._block("processes", self._processes.read)

    def snapshot(self) -> dict[str, Any]:
        """Return the snapshot of now; with `processes.all` where the table was read on this pass."""
        return {
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "system": self._block("system", self._read_system),
            "cpu": self._block("cpu", self._read_cpu),
            "memory": self._block("memory", self._read_memory),
            "disk": self._block("disk", self._read_disk),
            "network": self._block("network", self._read_network),
            "processes": self._block("processes", self._read_processes),
            "temperature": self._block("temperature", self._read_temperature),
            "gpu": ABSENT,
            "docker": ABSENT,
            "systemd": ABSENT,
        }

    def _block(self, name: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except Exception as error:  # one part of a machine that can't be read must not cost the others
            if name not in self._told:
                self._told.add(name)
                log.warning("%s of this host can't be read: %s: %s", name, type(error).__name__, error)
            return ABSENT

    def _slowly(self, name: str, read: Callable[[], Any]) -> Any:
        known = self._slow.get(name)
        now = self._clock()
        if known is None or now - known[0] >= SLOW_EVERY_S:
            known = self._slow[name] = (now, read())
        return known[1]

    # --- blocks --------------------------------------------------------------------------------------------------

    def _read_system(self) -> dict[str, Any]:
        return {
            "hostname": socket.gethostname(),
            "kernel": platform.release(),
            "os": self._slowly("os", _os_name),
            "architecture": platform.machine(),
            "uptime": int(time.time() - psutil.boot_time()),
        }

    def _read_cpu(self) -> dict[str, Any]:
        times = [_busy_and_all(one) for one in psutil.cpu_times(percpu=True)]
        before, self._cpu = self._cpu, times
        if len(before) != len(times):
            before = times  # a core came or went: this reading only starts anew
        shares = [_usage(old, new) for old, new in zip(before, times, strict=True)]
        busy = sum(new[0] - old[0] for old, new in zip(before, times, strict=True))
        whole = sum(new[1] - old[1] for old, new in zip(before, times, strict=True))
        frequencies = self._slowly("frequency", _frequencies)
        load = os.getloadavg() if hasattr(os, "getloadavg") else None
        return {
            "cores": [
                {"id": number, "usage": share, "frequency": frequencies[number] if number < len(frequencies) else None}
                for number, share in enumerate(shares)
            ],
            "totalUsage": round(min(100.0, max(0.0, 100 * busy / whole)), 2) if whole > 0 else 0.0,
            "loadAverage": dict(zip(("one", "five", "fifteen"), (round(x, 2) for x in load), strict=True))
            if load
            else None,
        }

    def _read_memory(self) -> dict[str, Any]:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return {
            "total": memory.total,
            "used": memory.used,
            "free": memory.free,
            "available": memory.available,
            "buffers": getattr(memory, "buffers", 0),
            "cached": getattr(memory, "cached", 0),
            "swapTotal": swap.total,
            "swapUsed": swap.used,
        }

    def _read_disk(self) -> dict[str, Any]:
        mounts = []
        for device, path, kind in self._slowly("partitions", _partitions):
            try:
                mounts.append(_mount(device, path, kind))
            except OSError:
                continue
        return {"mounts": mounts, "io": self._block("disk traffic", self._read_io) or []}

    def _read_io(self) -> list[dict[str, Any]]:
        now = self._clock()
        counters = {
            name: one for name, one in (psutil.disk_io_counters(perdisk=True) or {}).items() if _is_whole_disk(name)
        }
        before, self._io = self._io, (now, counters)
        rows = []
        for name, one in sorted(counters.items()):
            row: dict[str, Any] = {"device": name, "readBytes": one.read_bytes, "writeBytes": one.write_bytes}
            old = before[1].get(name) if before else None
            if before and old is not None:
                seconds = now - before[0]
                row["readRate"] = rate(old.read_bytes, one.read_bytes, seconds)
                row["writeRate"] = rate(old.write_bytes, one.write_bytes, seconds)
                calls = one.read_count + one.write_count - old.read_count - old.write_count
                waited = one.read_time + one.write_time - old.read_time - old.write_time
                row["latencyMs"] = round(waited / calls, 2) if calls > 0 and waited >= 0 else None
            rows.append(row)
        return rows

    def _read_network(self) -> dict[str, Any]:
        now = self._clock()
        counters = psutil.net_io_counters(pernic=True)
        before, self._network = self._network, (now, counters)
        addresses = self._slowly("addresses", _addresses)
        interfaces = []
        for name, one in sorted(counters.items()):
            ipv4, ipv6 = addresses.get(name, (None, None))
            row = {
                "name": name,
                "ipv4": ipv4,
                "ipv6": ipv6,
                "rxBytes": one.bytes_recv,
                "txBytes": one.bytes_sent,
                "rxRate": None,
                "txRate": None,
            }
            old = before[1].get(name) if before else None
            if before and old is not None:
                row["rxRate"] = rate(old.bytes_recv, one.bytes_recv, now - before[0])
                row["txRate"] = rate(old.bytes_sent, one.bytes_sent, now - before[0])
            interfaces.append(row)
        return {"interfaces": interfaces, "connectionCount": _connections()}

    def _read_processes(self) -> dict[str, Any]:
        now = self._clock()
        if self._processes_at is not None and now - self._processes_at < PROCESSES_EVERY_S - 0.5:
            return self._lists
        self._processes_at = now
        table = self._processes.read()
        self._lists = top_lists(table)
        return {**self._lists, "all": table}

    def _read_temperature(self) -> dict[str, Any]:
        sensors = self._slowly("temperature", _sensors)
        return {"available": True, "sensors": sensors} if sensors else ABSENT


def rate(before: int, after: int, seconds: float) -> float | None:
    """Return the bytes a second between two states of a counter; None where it was reset."""
    return round((after - before) / seconds, 1) if seconds > 0 and after >= before else None


def _busy_and_all(times: Any) -> tuple[float, float]:
    # Guest time is part of user time on Linux; a waiting core is idle.
    whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return whole - times.idle - getattr(times, "iowait", 0.0), whole


def _usage(before: tuple[float, float], after: tuple[float, float]) -> float:
    whole = after[1] - before[1]
    return round(min(100.0, max(0.0, 100 * (after[0] - before[0]) / whole)), 2) if whole > 0 else 0.0


def _frequencies() -> list[float | None]:
    try:
        found = psutil.cpu_freq(percpu=True) if hasattr(psutil, "cpu_freq") else None
    except (OSError, NotImplementedError):
        found = None
    return [round(one.current, 1) if one.current else None for one in found or []]


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except (OSError, AttributeError):  # the host agent runs on Python 3.9 too
        return f"{platform.system()} {platform.release()}"


def _partitions() -> list[tuple[str, str, str]]:
    """Return (device, mount point, type) of what holds data: each device once, no network share (one that hangs would
    hang the sampler), the root in any case, since in a container it lies on no device."""
    chosen: dict[str, tuple[str, str, str]] = {}
    for part in psutil.disk_partitions(all=False):
        if part.fstype in ("squashfs", "iso9660", "erofs") or not Path(part.mountpoint).is_dir():
            continue
        known = chosen.get(part.device)
        if known is None or len(part.mountpoint) < len(known[1]):
            chosen[part.device] = (part.device, part.mountpoint, part.fstype)
    rows = sorted(chosen.values(), key=lambda one: one[1])
    if os.name == "posix" and not any(path == "/" for _, path, _ in rows):
        rows.insert(0, ("root", "/", ""))
    return rows


def _mount(device: str, path: str, kind: str) -> dict[str, Any]:
    usage = psutil.disk_usage(path)
    mount = {
        "device": device,
        "mountpoint": path,
        "fstype": kind,
        "total": usage.total,
        "used": usage.used,
        "free": usage.free,
    }
    if hasattr(os, "statvfs"):
        found = os.statvfs(path)
        if found.f_files:  # some file systems have no fixed number of inodes
            mount["inodesTotal"], mount["inodesUsed"] = found.f_files, found.f_files - found.f_ffree
    return mount


def _is_whole_disk(name: str) -> bool:
    if name.startswith(("loop", "ram", "sr", "fd", "zram", "dm-", "md")):
        return False  # their traffic is seen on the disks below, or is none
    block = Path("/sys/class/block") / name
    return not (block / "partition").exists()


def _addresses() -> dict[str, tuple[str | None, str | None]]:
    found = {}
    for name, addresses in psutil.net_if_addrs().items():
        ipv4 = next((one.address for one in addresses if one.family == socket.AF_INET), None)
        ipv6 = next((one.address.partition("%")[0] for one in addresses if one.family == socket.AF_INET6), None)
        found[name] = (ipv4, ipv6)
    return found


def _connections() -> int | None:
    """Return how many TCP sockets are in use; counted by the kernel, since walking every process's files is dear."""
    count = None
    for name in ("sockstat", "sockstat6"):
        try:
            lines = Path(psutil.PROCFS_PATH, "net", name).read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(("TCP:", "TCP6:")):
                count = (count or 0) + int(line.split()[2])
    return count


def _sensors() -> list[dict[str, Any]]:
    if not hasattr(psutil, "sensors_temperatures"):
        return []
    return [
        {"name": one.label or chip, "value": one.current, "high": one.high, "critical": one.critical}
        for chip, sensors in psutil.sensors_temperatures().items()
        for one in sensors
        if one.current is not None
    ]
