"""Targets of the type grpc."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.protocols import grpc_server
from tests.support.servers import hanging_server, unused_port

VALUES: dict[str, Any] = {"target": "orders.example.org:443", "options": {"service": "shop.v1.Orders", "tls": True}}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    with grpc_server({"": 1}) as server, hanging_server() as hanging:
        yield {
            "good": {"target": f"127.0.0.1:{server.port}"},
            "dead": {"target": f"127.0.0.1:{unused_port()}"},
            "hanging": {"target": f"127.0.0.1:{hanging.port}"},
            "forbidden": {"target": "169.254.169.254:50051"},
        }
