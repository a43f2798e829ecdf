"""Targets of the type tcp."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.servers import hanging_server, tcp_server, unused_port

VALUES: dict[str, Any] = {"target": "db.example.org:5432", "options": {"send": r"PING\r\n", "expect": "PONG"}}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    with tcp_server(lambda connection: connection.recv(1)) as port, hanging_server() as hanging:
        yield {
            "good": {"target": f"127.0.0.1:{port.port}"},
            "dead": {"target": f"127.0.0.1:{unused_port()}"},
            "hanging": {"target": f"127.0.0.1:{hanging.port}", "options": {"expect": "ready"}},
            "forbidden": {"target": "169.254.169.254:80"},
        }
