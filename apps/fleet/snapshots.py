"""Read a sample that somebody sent: the whole snapshot, or the short form that GET /metrics/{server_id} answers.

Nothing here touches the database; what can't be right is a `BadSample` with the reason that the sender gets.
"""

import math
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from apps.fleet.masking import mask_command
from apps.fleet.models.telemetry import FIGURES

#: Blocks of a snapshot; others are dropped.
BLOCKS = ("system", "cpu", "memory", "disk", "network", "processes", "temperature", "gpu", "docker", "systemd")
LARGEST_SNAPSHOT = 512 * 1024
MOST_ENTRIES = 200
MOST_PROCESSES = 5000
_BIGGEST = 2**53  # two hundred of them still fit a 64-bit column
# Interfaces whose traffic is counted on another one already, or never leaves the machine.
_INNER = ("lo", "veth", "br-", "docker", "virbr", "cni", "flannel", "cali", "tap", "ifb", "dummy", "podman")
_COUNTERS = ("rx_bytes", "tx_bytes", "read_bytes", "write_bytes")


class BadSample(ValueError):
    """A sample that can't be used; the text is the reason."""


@dataclass(slots=True)
class Reading:
    """A sample in the form in which it is stored.

    Args:
        at: epoch ms.
        figures: name of `FIGURES` -> value; absent where the sender gave none.
        mounts: [path, percent, used, total, inodes percent].
        interfaces: [name, rx rate, tx rate, rx bytes, tx bytes].
        counters: bytes since boot, summed: rx_bytes, tx_bytes, read_bytes, write_bytes.
        snapshot: the whole of it.
        table: all processes, where the sender gave them.
    """

    at: int
    figures: dict[str, float | int | None]
    mounts: list[list[Any]]
    interfaces: list[list[Any]]
    counters: dict[str, int]
    snapshot: dict[str, Any]
    table: list[dict[str, Any]] | None = None
    packed: bytes = b""
    packed_table: bytes = b""

    def pack(self) -> None:
        """Prepare the snapshot and the table to be stored; only the newest of a push is.

        Raises:
            BadSample: too large, or something that JSON does not know.
        """
        self.packed = pack(self.snapshot)
        if self.table is not None:
            self.packed_table = pack(self.table)

    def row(self) -> list[Any]:
        """Return the values of the sample's columns, in the order of `FIGURES`, then both arrays."""
        figures = self.figures
        return [*(figures.get(name) for name in FIGURES), compact(self.mounts), compact(self.interfaces)]


def compact(value: Any) -> str:
    """Return `value` as JSON without blanks."""
    return orjson.dumps(value).decode()


def pack(value: Any) -> bytes:
    """Return `value` as compressed JSON.

    Raises:
        BadSample: more than 512 kB, or something that JSON does not know.
    """
    try:
        text = orjson.dumps(value)
    except TypeError:
        raise BadSample("holds a number that is too large, or what JSON does not know") from None
    if len(text) > LARGEST_SNAPSHOT:
        raise BadSample(f"is larger than {LARGEST_SNAPSHOT // 1024} kB")
    return zlib.compress(text, 1)


def unpack(body: bytes | memoryview) -> Any:
    """Return what `pack` was given."""
    return orjson.loads(zlib.decompress(bytes(body)))


def to_iso(at_ms: int) -> str:
    """Return epoch ms as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(value: Any) -> int:
    """Return a timestamp in epoch ms.

    Args:
        value: ISO 8601 (UTC where it names no zone) or epoch seconds.

    Raises:
        BadSample: neither.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise BadSample("timestamp is not an ISO 8601 time") from None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    if type(value) in (int, float) and 0 < value < 1e11:
        return int(value * 1000)
    raise BadSample("timestamp is missing" if value is None else "timestamp is not an ISO 8601 time")


def read_sample(raw: Any) -> Reading:
    """Return a sample in the form in which it is stored.

    Raises:
        BadSample: it is neither form, or a value is of the wrong type or out of range.
    """
    if type(raw) is not dict:
        raise BadSample("a sample is an object")
    at = read_time(raw.get("timestamp"))
    if "cpu_percent" in raw or "memory_percent" in raw or "disk_usage" in raw:
        raw = _from_short_form(raw)
    snapshot: dict[str, Any] = {"timestamp": to_iso(at)}
    for name in BLOCKS:
        block = raw.get(name)
        if block is None:
            snapshot[name] = {"available": False}
        elif type(block) is dict:
            snapshot[name] = block
        else:
            raise BadSample(f"{name} is not an object")
    if not any(raw.get(name) for name in ("cpu", "memory", "disk", "network", "temperature")):
        raise BadSample("there is no figure in it")
    figures: dict[str, float | int | None] = {}
    counters: dict[str, int] = {}
    _read_cpu(snapshot["cpu"], figures)
    _read_memory(snapshot["memory"], figures)
    mounts = _read_disk(snapshot["disk"], figures, counters)
    interfaces = _read_network(snapshot["network"], figures, counters)
    table = _read_processes(snapshot["processes"], figures)
    _read_temperature(snapshot["temperature"], figures)
    figures["uptime"] = _whole(snapshot["system"], "uptime")
    return Reading(at, figures, mounts, interfaces, counters, snapshot, table)


def _number(block: dict[str, Any], key: str, most: float = 1e18) -> float | None:
    value = block.get(key)
    if value is None:
        return None
    if type(value) is not float and type(value) is not int:
        raise BadSample(f"{key} is not a number")
    if not (0 <= value <= most) or not math.isfinite(value):
        raise BadSample(f"{key} must lie in 0..{most:g}")
    return value


def _percent(block: dict[str, Any], key: str) -> float | None:
    # Rounding of the sender may pass the hundred by a hair.
    value = _number(block, key, 101)
    return None if value is None else min(100.0, float(value))


def _whole(block: dict[str, Any], key: str) -> int | None:
    value = _number(block, key, _BIGGEST)
    return None if value is None else int(value)


def _entries(block: dict[str, Any], key: str, most: int = MOST_ENTRIES) -> list[dict[str, Any]]:
    entries = block.get(key)
    if entries is None:
        return []
    if type(entries) is not list or any(type(entry) is not dict for entry in entries):
        raise BadSample(f"{key} is not a list of objects")
    if len(entries) > most:
        raise BadSample(f"{key} has more than {most} entries")
    return entries


def _text(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if type(value) is not str or not value or len(value) > 1024:
        raise BadSample(f"{key} is not a text of 1 to 1024 characters")
    return value


def _share(used: float | None, total: float | None) -> float | None:
    if used is None or not total:
        return None
    return round(min(100.0, 100.0 * used / total), 2)


def _read_cpu(cpu: dict[str, Any], figures: dict[str, float | int | None]) -> None:
    figures["cpu"] = _percent(cpu, "totalUsage")
    cores = _entries(cpu, "cores", 4096)
    figures["cores"] = len(cores) or None
    load = cpu.get("loadAverage")
    if load is not None:
        if type(load) is not dict:
            raise BadSample("loadAverage is not an object")
        for key, name in (("one", "load1"), ("five", "load5"), ("fifteen", "load15")):
            figures[name] = _number(load, key)


def _read_memory(memory: dict[str, Any], figures: dict[str, float | int | None]) -> None:
    total, available = _whole(memory, "total"), _whole(memory, "available")
    used = _whole(memory, "used")
    figures["memory_total"] = total
    # What programs can't get back counts as used; the cache does not.
    real = total - available if total and available is not None and available <= total else used
    figures["memory_used"] = real
    share = _share(real, total)
    figures["memory"] = share if share is not None else _percent(memory, "usedPercent")
    swap_total = _whole(memory, "swapTotal")
    swap_used = _whole(memory, "swapUsed")
    figures["swap"] = 0.0 if swap_total == 0 else _share(swap_used, swap_total)


def _read_disk(
    disk: dict[str, Any], figures: dict[str, float | int | None], counters: dict[str, int]
) -> list[list[Any]]:
    mounts: list[list[Any]] = []
    fullest = inodes_fullest = None
    used_all = total_all = 0
    for mount in _entries(disk, "mounts"):
        path = _text(mount, "mountpoint")
        total, used, free = _whole(mount, "total"), _whole(mount, "used"), _whole(mount, "free")
        # As df shows it: the share of what an ordinary user may fill.
        percent = _share(used, used + free if used is not None and free is not None else total)
        if percent is None:
            percent = _percent(mount, "percent")
        inodes = _share(_number(mount, "inodesUsed"), _number(mount, "inodesTotal"))
        mounts.append([path, percent, used, total, inodes])
        if percent is not None and (fullest is None or percent > fullest):
            fullest = percent
        if inodes is not None and (inodes_fullest is None or inodes > inodes_fullest):
            inodes_fullest = inodes
        used_all += used or 0
        total_all += total or 0
    if mounts:
        figures["disk"], figures["inodes"] = fullest, inodes_fullest
        figures["disk_used"], figures["disk_total"] = used_all, total_all
    entries = _entries(disk, "io")
    for key, rate, counter, name in (
        ("readBytes", "readRate", "read_bytes", "read_rate"),
        ("writeBytes", "writeRate", "write_bytes", "write_rate"),
    ):
        rates = [_number(entry, rate) for entry in entries]
        figures[name] = (
            sum(value for value in rates if value is not None) if any(value is not None for value in rates) else None
        )
        if entries:
            counters[counter] = sum(_whole(entry, key) or 0 for entry in entries)
    return mounts


def _read_network(
    network: dict[str, Any], figures: dict[str, float | int | None], counters: dict[str, int]
) -> list[list[Any]]:
    interfaces: list[list[Any]] = []
    outer: list[list[Any]] = []
    for entry in _entries(network, "interfaces"):
        name = _text(entry, "name")
        row = [
            name,
            _number(entry, "rxRate"),
            _number(entry, "txRate"),
            _whole(entry, "rxBytes"),
            _whole(entry, "txBytes"),
        ]
        interfaces.append(row)
        if not name.startswith(_INNER):
            outer.append(row)
    for column, name in ((1, "rx_rate"), (2, "tx_rate")):
        rates = [row[column] for row in outer if row[column] is not None]
        figures[name] = sum(rates) if rates else None
    for column, name in ((3, "rx_bytes"), (4, "tx_bytes")):
        totals = [row[column] for row in outer if row[column] is not None]
        if totals:
            counters[name] = sum(totals)
    figures["connections"] = _whole(network, "connectionCount")
    return interfaces


def _read_processes(processes: dict[str, Any], figures: dict[str, float | int | None]) -> list[dict[str, Any]] | None:
    figures["processes"] = _whole(processes, "total")
    for key in ("topByCpu", "topByMemory"):
        for process in _entries(processes, key):
            _mask_process(process)
    if "all" not in processes:
        return None
    table = _entries(processes, "all", MOST_PROCESSES)
    for process in table:
        _mask_process(process)
    del processes["all"]
    return table


def _mask_process(process: dict[str, Any]) -> None:
    command = process.get("cmdline")
    if command is None:
        return
    if type(command) is list and all(type(part) is str for part in command) or type(command) is str:
        process["cmdline"] = mask_command(command)
    else:
        raise BadSample("cmdline is not a text")


def _read_temperature(temperature: dict[str, Any], figures: dict[str, float | int | None]) -> None:
    hottest = None
    for sensor in _entries(temperature, "sensors"):
        value = sensor.get("value")
        if isinstance(value, int | float) and math.isfinite(value) and -100 < value < 1000:
            hottest = value if hottest is None else max(hottest, value)
    figures["temperature"] = hottest


def _from_short_form(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the short form as the snapshot that says the same."""
    long: dict[str, Any] = {
        "cpu": {"totalUsage": raw.get("cpu_percent")},
        "memory": {"usedPercent": raw.get("memory_percent")},
        "disk": {"mounts": [{**mount, "mountpoint": mount.get("path")} for mount in _entries(raw, "disk_usage")]},
        "network": {
            "interfaces": [
                {"name": entry.get("interface"), "rxBytes": entry.get("bytes_recv"), "txBytes": entry.get("bytes_sent")}
                for entry in _entries(raw, "network")
            ]
        },
    }
    for mount in long["disk"]["mounts"]:
        mount.pop("path", None)
    return {"timestamp": raw.get("timestamp"), **long}
