"""Targets of the type ssh."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paramiko

from tests.support.protocols import ssh_server
from tests.support.servers import hanging_server, unused_port

VALUES: dict[str, Any] = {"target": "host.example.org", "options": {"fingerprints": ["SHA256:" + "A" * 43]}}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    with ssh_server(paramiko.ECDSAKey.generate()) as server, hanging_server() as hanging:
        yield {
            "good": {"target": f"127.0.0.1:{server.port}"},
            "dead": {"target": f"127.0.0.1:{unused_port()}"},
            "hanging": {"target": f"127.0.0.1:{hanging.port}"},
            "forbidden": {"target": "169.254.169.254:22"},
        }
