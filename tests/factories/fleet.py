"""Servers and samples for tests."""

import time
from datetime import UTC, datetime
from itertools import count
from typing import Any

from apps.core.principals import Principal, system
from apps.fleet.models import Server
from apps.fleet.services import Outcome, Push, accept_samples, create_server

_numbers = count(1)


def make_server(name: str = "", *, actor: Principal | None = None, **values: Any) -> Server:
    """Return a server."""
    return create_server(actor=actor or system("test"), name=name or f"server {next(_numbers)}", **values)


def now_ms() -> int:
    """Return the clock in epoch ms."""
    return time.time_ns() // 1_000_000


def iso(at_ms: int) -> str:
    """Return epoch ms as ISO 8601."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def snapshot(at_ms: int | None = None, **figures: Any) -> dict[str, Any]:
    """Return a whole snapshot as an agent sends it.

    Args:
        figures: cpu, memory, disk (percent of /), load1, rx_bytes, tx_bytes, rx_rate, tx_rate, temperature, processes.
    """
    gib = 1 << 30
    used = figures.get("disk", 40.0)
    return {
        "timestamp": iso(at_ms if at_ms is not None else now_ms()),
        "system": {"hostname": "web-1", "kernel": "6.1.0", "uptime": 86400, "architecture": "x86_64"},
        "cpu": {
            "cores": [{"id": n, "usage": figures.get("cpu", 10.0), "frequency": 2400.0} for n in range(4)],
            "totalUsage": figures.get("cpu", 10.0),
            "loadAverage": {"one": figures.get("load1", 0.5), "five": 0.4, "fifteen": 0.3},
        },
        "memory": {
            "total": 100 * gib,
            "used": gib,
            "free": gib,
            "available": round((100 - figures.get("memory", 50.0)) * gib),
            "buffers": 0,
            "cached": 0,
            "swapTotal": 10 * gib,
            "swapUsed": gib,
        },
        "disk": {
            "mounts": [
                {
                    "device": "/dev/sda1",
                    "mountpoint": "/",
                    "fstype": "ext4",
                    "total": 100 * gib,
                    "used": round(used * gib),
                    "free": round((100 - used) * gib),
                    "inodesTotal": 1000,
                    "inodesUsed": 250,
                },
                {
                    "device": "/dev/sdb1",
                    "mountpoint": "/data",
                    "fstype": "xfs",
                    "total": 100 * gib,
                    "used": 10 * gib,
                    "free": 90 * gib,
                },
            ],
            "io": [{"device": "sda", "readBytes": 1000, "writeBytes": 2000}],
        },
        "network": {
            "interfaces": [
                {
                    "name": "lo",
                    "ipv4": "127.0.0.1",
                    "ipv6": "::1",
                    "rxBytes": 9,
                    "txBytes": 9,
                    "rxRate": 9,
                    "txRate": 9,
                },
                {
                    "name": "eth0",
                    "ipv4": "10.0.0.5",
                    "ipv6": None,
                    "rxBytes": figures.get("rx_bytes", 1000),
                    "txBytes": figures.get("tx_bytes", 500),
                    "rxRate": figures.get("rx_rate"),
                    "txRate": figures.get("tx_rate"),
                },
            ],
            "connectionCount": 12,
        },
        "processes": figures.get(
            "processes",
            {
                "total": 3,
                "topByCpu": [
                    {
                        "pid": 10,
                        "name": "python3",
                        "cmdline": "python3 app.py --token abc",
                        "user": "app",
                        "cpu": 50.0,
                        "memory": 5.0,
                        "state": "R",
                    },
                    {
                        "pid": 11,
                        "name": "postgres",
                        "cmdline": "postgres -D /data",
                        "user": "postgres",
                        "cpu": 20.0,
                        "memory": 9.0,
                        "state": "S",
                    },
                ],
                "topByMemory": [
                    {
                        "pid": 11,
                        "name": "postgres",
                        "cmdline": "postgres -D /data",
                        "user": "postgres",
                        "cpu": 20.0,
                        "memory": 9.0,
                        "state": "S",
                    },
                ],
            },
        ),
        "temperature": {
            "available": True,
            "sensors": [{"name": "cpu", "value": figures.get("temperature", 55.0), "high": 80, "critical": 95}],
        },
        "gpu": {"available": False},
        "docker": {"available": False},
        "systemd": {"available": False},
    }


def push(server: Server, *samples: dict[str, Any]) -> Outcome:
    """Store samples of a server as the platform itself."""
    return accept_samples([Push(str(server.id), list(samples), principal=system("test"))])[0]
