"""Targets of the type tls."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.monitors.check_targets.pem import CA, PAIR
from tests.support.servers import hanging_server, server_context, tcp_server, unused_port

VALUES: dict[str, Any] = {
    "target": "shop.example.org",
    "options": {"client_cert": PAIR.pem, "client_key": PAIR.key_pem},
}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    secure = tcp_server(lambda connection: connection.recv(1), context=server_context(CA.issue()))
    with secure as server, hanging_server() as hanging:
        yield {
            "good": {"target": f"localhost:{server.port}", "ca_pem": CA.pem},
            "dead": {"target": f"127.0.0.1:{unused_port()}"},
            "hanging": {"target": f"127.0.0.1:{hanging.port}"},
            "forbidden": {"target": "169.254.169.254:443"},
        }
