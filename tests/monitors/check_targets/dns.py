"""Targets of the type dns."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.protocols import dns_server, udp_server
from tests.support.servers import unused_port

VALUES: dict[str, Any] = {
    "target": "example.org",
    "options": {"record_type": "MX", "resolver": "9.9.9.9", "expected": ["10 mx1.example.org"]},
}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    with dns_server({"shop.test A": ["192.0.2.7"]}) as server, udp_server(lambda data: None) as silent:
        yield {
            "good": {"target": "shop.test", "options": {"resolver": f"127.0.0.1:{server.port}"}},
            "dead": {"target": "shop.test", "options": {"resolver": f"127.0.0.1:{unused_port()}"}},
            "hanging": {"target": "shop.test", "options": {"resolver": f"127.0.0.1:{silent.port}"}},
            "forbidden": {"target": "shop.test", "options": {"resolver": "169.254.169.254"}},
        }
