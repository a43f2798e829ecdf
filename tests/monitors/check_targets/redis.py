"""Targets of the type redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.engines import redis_server
from tests.support.servers import hanging_server, unused_port

VALUES: dict[str, Any] = {"target": "redis.example.org", "options": {"username": "watch", "password": "hush"}}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    with redis_server() as engine, hanging_server() as hanging:
        yield {
            "good": {"target": f"127.0.0.1:{engine.port}", "options": {"password": "hush"}},
            "dead": {"target": f"127.0.0.1:{unused_port()}"},
            "hanging": {"target": f"127.0.0.1:{hanging.port}"},
            "forbidden": {"target": "169.254.169.254:6379"},
        }
