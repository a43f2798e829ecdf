"""Targets of the type http."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.monitors.check_targets.pem import PAIR
from tests.support.servers import hanging_server, http_server, unused_port

VALUES: dict[str, Any] = {
    "target": "https://shop.example.org/health",
    "options": {
        "auth": "basic", "username": "watch", "password": "hush-1", "token": "hush-2", "client_cert": PAIR.pem,
        "client_key": PAIR.key_pem, "proxy": "http://proxy.example.org:3128", "proxy_password": "hush-3",
    },
}  # fmt: skip


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    with http_server() as web, hanging_server() as hanging:
        yield {
            "good": {"target": web.url},
            "dead": {"target": f"http://127.0.0.1:{unused_port()}/"},
            "hanging": {"target": f"http://127.0.0.1:{hanging.port}/"},
            "forbidden": {"target": "http://169.254.169.254/"},
        }
