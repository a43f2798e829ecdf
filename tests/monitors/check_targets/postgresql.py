"""Targets of the type postgresql."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.engines import postgresql_server
from tests.support.servers import hanging_server, unused_port

USER = {"username": "watch", "password": "hush"}
VALUES: dict[str, Any] = {"target": "db.example.org", "options": {**USER, "database": "shop", "expect": "1"}}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    with postgresql_server() as engine, hanging_server() as hanging:
        yield {
            "good": {"target": f"127.0.0.1:{engine.port}", "options": USER},
            "dead": {"target": f"127.0.0.1:{unused_port()}", "options": USER},
            "hanging": {"target": f"127.0.0.1:{hanging.port}", "options": USER},
            "forbidden": {"target": "169.254.169.254:5432", "options": USER},
        }
