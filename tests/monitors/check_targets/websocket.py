"""Targets of the type websocket."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.protocols import websocket_server
from tests.support.servers import hanging_server, unused_port

VALUES: dict[str, Any] = {"target": "wss://shop.example.org/live", "options": {"send": "ping", "expect": "pong"}}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    with websocket_server() as server, hanging_server() as hanging:
        yield {
            "good": {"target": server.url},
            "dead": {"target": f"ws://127.0.0.1:{unused_port()}/"},
            "hanging": {"target": f"ws://127.0.0.1:{hanging.port}/"},
            "forbidden": {"target": "ws://169.254.169.254/"},
        }
