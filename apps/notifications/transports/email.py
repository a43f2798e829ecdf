"""Email: plain text and a small HTML part over SMTP."""

import contextlib
import html
import smtplib
import socket
import ssl
import time
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from apps.core.errors import Invalid
from apps.core.net import InvalidTarget, NetError, OutboundRefused, Purpose, check_host, open_socket
from apps.core.runner import runner
from apps.notifications.transports.base import Field, Message, Outcome, Transport, excerpt, register

TIMEOUT_S = 10.0  # a step of the dialogue
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_COLOURS = {"critical": "#b42318", "warning": "#b54708", "info": "#175cd3"}


def _is_address(text: str) -> bool:
    try:
        address = Address(addr_spec=text)
    except Exception:  # the parser raises its own classes, ValueError and IndexError
        return False
    return bool(address.username and "." in address.domain) or address.domain == "localhost"


@register
class Email(Transport):
    """One mail per message, to all recipients."""

    kind = "email"
    label = "Email"
    fields = (
        Field("host", "SMTP server", required=True, most=253),
        Field("port", "Port", "integer", least=1, most=65535, help="587 with STARTTLS, 465 with TLS, 25 without."),
        Field("tls", "Encryption", "choice", default="starttls", choices=("starttls", "tls", "none")),
        Field("username", "User name", most=255),
        Field("password", "Password", secret=True, most=1000),
        Field("from", "Sender", required=True, most=320),
        Field("to", "Recipients", "texts", required=True),
    )

    def clean(self, config: Mapping[str, Any]) -> None:
        """Check the addresses and whether the server may be reached at all."""
        problems: dict[str, str] = {}
        if not _is_address(config["from"]):
            problems["config.from"] = f"“{config['from']}” is not an email address"
        wrong = [text for text in config["to"] if not _is_address(text)]
        if wrong:
            problems["config.to"] = f"“{wrong[0]}” is not an email address"
        if config.get("password") and not config.get("username"):
            problems["config.username"] = "is required where a password is given"
        if config.get("password") and config.get("tls") == "none":
            problems["config.tls"] = "a password is only sent over an encrypted connection"
        try:
            check_host(config["host"], _port(config), Purpose.DELIVER)
        except (InvalidTarget, OutboundRefused) as error:
            problems["config.host"] = error.message
        if problems:
            raise Invalid(problems)

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """Send once, in the runner's thread pool."""
        outcome: Outcome = await runner().in_thread(_send, dict(config), message)
        return outcome


def _port(config: Mapping[str, Any]) -> int:
    return int(config.get("port") or _PORTS[config.get("tls") or "starttls"])


class _Smtp(smtplib.SMTP):
    """SMTP whose connection goes through the outbound policy."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return open_socket(host, port, purpose=Purpose.DELIVER, timeout_s=timeout)


class _SmtpOverTls(smtplib.SMTP_SSL):
    """The same, encrypted from the first byte."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = open_socket(host, port, purpose=Purpose.DELIVER, timeout_s=timeout)
        return self.context.wrap_socket(plain, server_hostname=host)


def _send(config: Mapping[str, Any], message: Message) -> Outcome:
    began = time.perf_counter()
    tls = config.get("tls") or "starttls"
    port = _port(config)
    sent = {"server": f"{config['host']}:{port}", "from": config["from"], "to": list(config["to"])}

    def took() -> float:
        return round((time.perf_counter() - began) * 1000, 1)

    def failed(error: str, code: int | None = None, answer: str = "") -> Outcome:
        return Outcome(False, code, took(), excerpt(answer), error[:500], request=sent)

    try:
        context = ssl.create_default_context()
        client: smtplib.SMTP = (
            _SmtpOverTls(config["host"], port, timeout=TIMEOUT_S, context=context)
            if tls == "tls"
            else _Smtp(config["host"], port, timeout=TIMEOUT_S)
        )
        try:
            if tls == "starttls":
                client.starttls(context=context)
            if config.get("username"):
                client.login(config["username"], config.get("password", ""))
            refused = client.send_message(compose(config, message), config["from"], config["to"])
            with contextlib.suppress(smtplib.SMTPException, OSError):
                client.quit()  # accepted is accepted, whatever comes of the farewell
        finally:
            client.close()
    except NetError as error:
        return failed(error.message)
    except smtplib.SMTPRecipientsRefused as error:
        code, why = next(iter(error.recipients.values()))
        return failed("The server refused all recipients.", code, _text(why))
    except smtplib.SMTPResponseException as error:
        said = _text(error.smtp_error)
        return failed(f"The server answered {error.smtp_code}: {said}", error.smtp_code, said)
    except smtplib.SMTPNotSupportedError as error:
        return failed(f"The server does not offer what is configured: {error}")
    except ssl.SSLCertVerificationError as error:
        return failed(f"The server's certificate is not trusted: {error.verify_message}.")
    except (smtplib.SMTPException, OSError) as error:
        return failed(f"The connection to the server failed: {error}.")
    refusals = "; ".join(f"{who}: {code} {_text(text)}" for who, (code, text) in refused.items())
    response = f"Some recipients were refused: {refusals}" if refusals else "accepted"
    return Outcome(True, 250, took(), excerpt(response), request=sent)


def _text(answer: bytes | str) -> str:
    return answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)


def compose(config: Mapping[str, Any], message: Message) -> EmailMessage:
    """Return the mail: plain text with a small HTML part; a repeat carries the same Message-ID."""
    mail = EmailMessage()
    domain = config["from"].rpartition("@")[2]
    mail["Subject"] = " ".join(message.title.split())
    mail["From"] = config["from"]
    mail["To"] = ", ".join(config["to"])
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    if message.thread:
        mail["References"] = f"<{message.thread}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    late = ""
    if message.delay_s >= 90:
        late = f"Delayed by {message.delay_s / 60:.0f} min: earlier attempts to send this failed."
    parts = [part for part in (message.text, late, message.url) if part]
    mail.set_content("\n\n".join(parts) + "\n")
    colour = _COLOURS.get(message.level, _COLOURS["info"])
    body = html.escape(message.text).replace("\n", "<br>")
    link = f'<p><a href="{html.escape(message.url)}">Open in Watchkeeper</a></p>' if message.url else ""
    note = f'<p style="color:#667085">{html.escape(late)}</p>' if late else ""
    mail.add_alternative(
        f'<div style="font-family:sans-serif;border-left:4px solid {colour};padding:4px 16px">'
        f'<h2 style="font-size:18px">{html.escape(message.title)}</h2><p>{body}</p>{note}{link}</div>',
        subtype="html",
    )
    return mail


def config_from_url(url: str, *, sender: str, recipient: str) -> dict[str, Any]:
    """Return a configuration from `smtp://user:password@host:port` (`?tls=none|starttls`) or `smtps://…`.

    Raises:
        ValueError: it is no such URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("SMTP_URL must look like smtp://user:password@mail.example.org:587 or smtps://…")
    tls = "tls" if parts.scheme == "smtps" else parse_qs(parts.query).get("tls", ["starttls"])[0]
    if tls not in _PORTS:
        raise ValueError("tls in SMTP_URL must be starttls, tls or none")
    return {
        "host": parts.hostname,
        "port": parts.port or _PORTS[tls],
        "tls": tls,
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "from": sender,
        "to": [recipient],
    }
