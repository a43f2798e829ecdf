"""A small SMTP server for tests, on 127.0.0.1, in a thread."""

import base64
import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from tests.support.servers import tcp_server


@dataclass
class Mailbox:
    """What the server accepted; `refuse` are recipients it does not know."""

    port: int = 0
    refuse: set[str] = field(default_factory=set)
    password: str = ""
    logins: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)


@contextlib.contextmanager
def smtp_server(*, context: ssl.SSLContext | None = None, implicit_tls: bool = False) -> Iterator[Mailbox]:
    """Serve SMTP; with a context STARTTLS is offered, or TLS from the first byte."""
    mailbox = Mailbox()

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            _serve(connection, mailbox, context, implicit_tls)

    with tcp_server(handle) as server:
        mailbox.port = server.port
        yield mailbox


def _serve(connection: socket.socket, mailbox: Mailbox, context: ssl.SSLContext | None, implicit_tls: bool) -> None:
    encrypted = implicit_tls
    if implicit_tls:
        assert context is not None
        connection = context.wrap_socket(connection, server_side=True)
    lines = connection.makefile("rb")
    recipients: list[str] = []

    def say(text: str) -> None:
        connection.sendall(text.encode() + b"\r\n")

    say("220 test ready")
    while line := lines.readline():
        command, _, rest = line.decode().strip().partition(" ")
        match command.upper():
            case "EHLO" | "HELO":
                say(
                    "250-test\r\n250-AUTH PLAIN\r\n250 STARTTLS"
                    if context and not encrypted
                    else "250-test\r\n250 AUTH PLAIN"
                )
            case "STARTTLS":
                assert context is not None
                say("220 go on")
                connection = context.wrap_socket(connection, server_side=True)
                lines, encrypted = connection.makefile("rb"), True
            case "AUTH":
                _, name, password = base64.b64decode(rest.split()[-1]).decode().split("\0")
                mailbox.logins.append(name)
                say("235 fine" if password == mailbox.password else "535 wrong password")
            case "RCPT":
                address = rest[rest.index("<") + 1 : rest.index(">")]
                if address in mailbox.refuse:
                    say("550 no such user")
                else:
                    recipients.append(address)
                    say("250 ok")
            case "DATA":
                say("354 go on")
                body = b""
                while (text := lines.readline()) not in (b".\r\n", b""):
                    body += text
                mail = message_from_bytes(body, policy=policy.default)
                assert isinstance(mail, EmailMessage)
                mail["X-Delivered-To"] = ",".join(recipients)
                mailbox.mails.append(mail)
                mailbox.encrypted.append(encrypted)
                recipients = []
                say("250 queued")
            case "QUIT":
                say("221 bye")
                return
            case _:
                say("250 ok")
