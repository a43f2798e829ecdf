"""Targets of the type udp."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.protocols import udp_server
from tests.support.servers import unused_port

VALUES: dict[str, Any] = {"target": "ntp.example.org:123", "options": {"send": r"\x1b", "expect": "."}}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    with udp_server() as echo, udp_server(lambda data: None) as silent:
        yield {
            "good": {"target": f"127.0.0.1:{echo.port}", "options": {"send": "hello", "expect": "hello"}},
            "dead": {"target": f"127.0.0.1:{unused_port()}"},
            "hanging": {"target": f"127.0.0.1:{silent.port}"},
            "forbidden": {"target": "169.254.169.254:123"},
        }
