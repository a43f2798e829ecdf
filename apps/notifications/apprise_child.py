"""The process in which the Apprise library sends one message: a job on stdin, what came of it on stdout.

An audit hook asks the outbound policy about every address that Python connects or sends to, and refuses to start other
programs. It can't see what a C library would do by itself.
"""

import json
import logging
import sys
from ipaddress import ip_network
from typing import Any

from django.conf import settings

from apps.core.net.errors import NetError
from apps.core.net.policy import Purpose, check_address

_SPAWNING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn")


class _Lines(logging.Handler):
    """Keeps what the library logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep warnings, and of the rest what the connection failed with."""
        text = record.getMessage()
        if record.levelno >= logging.WARNING or "Exception:" in text:
            self.lines.append(text[:500])


def main() -> None:
    """Send the job's message."""
    job: dict[str, Any] = json.load(sys.stdin)
    settings.configure(
        OUTBOUND_ALLOW=[ip_network(network) for network in job["allow"]],
        OWN_ENDPOINTS=[entry if isinstance(entry, str) else (entry[0], entry[1]) for entry in job["own"]],
    )
    refusals: list[str] = []

    def guard(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _SPAWNING:
            refusals.append("The library wanted to start a program, which is not allowed.")
            raise PermissionError(refusals[-1])
        if event not in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            return
        address = arguments[1]
        if event == "socket.sendmsg" and address is None:
            return  # over a connection that was asked about
        try:
            if not isinstance(address, tuple):
                raise PermissionError("Sockets of this machine are not for the library.")
            check_address(str(address[0]).partition("%")[0], int(address[1]), Purpose.DELIVER)
        except NetError as error:
            refusals.append(error.message)
            raise PermissionError(error.message) from error
        except ValueError as error:  # a name: it would be looked up after the question
            refusals.append("The library wanted to connect to a name instead of an address.")
            raise PermissionError(refusals[-1]) from error

    import apprise

    lines = _Lines()
    for name in ("apprise", "apprise.plugins"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.addHandler(lines)
        logger.propagate = False
    sys.addaudithook(guard)
    found = apprise.Apprise()
    sent = bool(found.add(job["url"])) and bool(
        found.notify(
            title=job["title"], body=job["body"], notify_type=job["type"], body_format=apprise.NotifyFormat.TEXT
        )
    )
    said = "\n".join(dict.fromkeys(lines.lines))
    sys.stdout.write(json.dumps({"ok": sent, "said": said, "refused": refusals[0] if refusals else ""}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
