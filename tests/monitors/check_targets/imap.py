"""Targets of the type imap."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.monitors.check_targets.pem import CA
from tests.support.protocols import mail_server
from tests.support.servers import hanging_server, server_context, unused_port

VALUES: dict[str, Any] = {"target": "mail.example.org", "options": {"banner": "mail.example.org"}}


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    with mail_server("imap", context=server_context(CA.issue())) as server, hanging_server() as hanging:
        yield {
            "good": {"target": f"localhost:{server.port}", "ca_pem": CA.pem},
            "dead": {"target": f"127.0.0.1:{unused_port()}"},
            "hanging": {"target": f"127.0.0.1:{hanging.port}"},
            "forbidden": {"target": "169.254.169.254:25"},
        }
