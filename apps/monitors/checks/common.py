"""Options that several check types share, and what they stand for."""

import socket
from collections.abc import Mapping
from typing import Any

from apps.core.net import Phases, Talk
from apps.core.net.contexts import context_for
from apps.monitors.checks.base import CertificateSeen, CheckConfig, CheckOutcome
from apps.monitors.checks.options import Option
from apps.monitors.states.endpoints import UP

ENCRYPTED = frozenset({"tls_verify", "ca_pem", "cert_warn_days"})

IP_FAMILY = Option(
    "ip_family",
    "Internet protocol",
    kind="choice",
    default="any",
    choices=(("any", "IPv4 or IPv6"), ("ipv4", "IPv4 only"), ("ipv6", "IPv6 only")),
    is_rare=True,
)
TLS = Option("tls", "Encrypted (TLS)", kind="boolean", help="The connection begins with TLS.")
SERVER_NAME = Option(
    "server_name",
    "Name to verify",
    help="Where the certificate is for another name than the target's.",
    most=253,
    is_rare=True,
)
CLIENT_CERT = Option(
    "client_cert",
    "Client certificate",
    kind="certificates",
    most=100_000,
    help="PEM, with its chain; shown to a server that asks.",
    is_rare=True,
)
CLIENT_KEY = Option(
    "client_key", "Its key", kind="key", most=20_000, secret=True, help="PEM, without a password.", is_rare=True
)
USERNAME = Option("username", "User name", most=256)
PASSWORD = Option("password", "Password", secret=True, most=1000)

_FAMILIES = {"any": None, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


def family_of(options: Mapping[str, Any]) -> int | None:
    """Return the address family asked for."""
    return _FAMILIES[options["ip_family"]]


def client_certificate(options: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the client certificate and its key, None where none is given."""
    return (options["client_cert"], options["client_key"]) if options["client_cert"] else None


def client_certificate_problems(options: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with a client certificate and its key together."""
    if bool(options["client_cert"]) != bool(options["client_key"]):
        missing = "client_key" if options["client_cert"] else "client_cert"
        return {f"options.{missing}": "give both, the certificate and its key"}
    try:
        if options["client_cert"]:
            context_for(client_cert=client_certificate(options))
    except Exception as error:  # the text is the same for all: the two don't belong together
        return {"options.client_key": f"does not fit the certificate: {error}"}
    return {}


def tls_context(config: CheckConfig, *, alpn: tuple[str, ...] = ()) -> Any:
    """Return the TLS context by the endpoint's columns."""
    return context_for(verify=config.tls_verify, ca_pem=config.ca_pem or None, http=False, alpn=alpn)


def answered(talk: Talk, *, status: str = UP, error: str = "", phases: Phases | None = None) -> CheckOutcome:
    """Return the outcome of a conversation that came to its end, with the certificate met on the way."""
    phases = phases or talk.phases()
    certificate = talk.certificate()
    return CheckOutcome(
        status=status,
        latency_ms=phases.total_ms,
        phases=phases,
        error=error,
        certificate=CertificateSeen(certificate) if certificate else None,
    )


def quoted(text: str | bytes, most: int = 120) -> str:
    """Return a stranger's words as a sentence may carry them."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    return f"“{text[:most]}{'…' if len(text) > most else ''}”"


def unescaped(text: str) -> bytes:
    r"""Return the bytes of a text in which \r, \n, \t, \0, \\ and \xNN stand for what they usually do.

    Raises:
        ValueError: a backslash begins none of these; the sentence says where.
    """
    found = bytearray()
    position = 0
    plain = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
    while position < len(text):
        letter = text[position]
        if letter != "\\":
            found += letter.encode()
            position += 1
            continue
        following = text[position + 1 : position + 2]
        if following in plain:
            found += plain[following]
            position += 2
            continue
        if following == "x":
            try:
                found += bytes.fromhex(text[position + 2 : position + 4].ljust(2, "?"))
                position += 4
                continue
            except ValueError:
                pass
        raise ValueError(f"the backslash at character {position + 1} begins nothing known: \\r \\n \\t \\0 \\\\ \\xNN")
    return bytes(found)
