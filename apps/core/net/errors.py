"""What can go wrong on the way to another machine, in words an operator understands."""

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from apps.core.net.certificates import PeerCertificate


@dataclass(slots=True)
class Phases:
    """Where the time went, in ms; None: the phase did not take place.

    The phases add up to the total but for the download of the body. With redirects each phase is the sum over the hops.
    `first_byte_ms` is the wait between the request's last byte and the answer's first.
    """

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    total_ms: float | None = None

    def add(self, phase: str, ms: float) -> None:
        """Add ms to one phase (`dns`, `connect`, `tls`, `first_byte`)."""
        name = f"{phase}_ms"
        setattr(self, name, (getattr(self, name) or 0.0) + ms)


class NetError(Exception):
    """Base of every failure of `core.net`.

    Attributes:
        kind: machine-readable name of the class of failure.
        message: one English sentence for people; also `str(error)`.
        ours: True if this machine is at fault (no file handles, no ports left): it says nothing about the target.
        phases: what was measured until then.
        remote_ip: the address that was talked to, "" if it did not come to that.
    """

    kind: ClassVar[str] = "error"
    ours: ClassVar[bool] = False

    def __init__(self, message: str, *, remote_ip: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remote_ip = remote_ip
        self.phases = Phases()


class InvalidTarget(NetError):
    """The URL, host name, port or a header can't be used."""

    kind = "invalid"


class DnsError(NetError):
    """The name could not be looked up."""

    kind = "dns"


class OutboundRefused(NetError):
    """The policy for outbound traffic forbids the address.

    Attributes:
        setting: what to set to allow it, `OUTBOUND_ALLOW=...`; "" if nothing allows it.
    """

    kind = "refused"

    def __init__(self, message: str, *, setting: str = "", remote_ip: str = "") -> None:
        super().__init__(f"{message}; set {setting} to allow it." if setting else message, remote_ip=remote_ip)
        self.setting = setting


class ConnectError(NetError):
    """No connection came about, or it broke.

    Attributes:
        reason: refused, unreachable, reset or failed.
    """

    kind = "connect"

    def __init__(self, message: str, *, reason: str = "failed", remote_ip: str = "") -> None:
        super().__init__(message, remote_ip=remote_ip)
        self.reason = reason


class LocalError(NetError):
    """This machine could not even try."""

    kind = "local"
    ours = True


class NetTimeout(NetError):
    """The time was up.

    Attributes:
        phase: dns, connect, tls, first_byte or body.
    """

    kind = "timeout"

    def __init__(self, message: str, *, phase: str, remote_ip: str = "") -> None:
        super().__init__(message, remote_ip=remote_ip)
        self.phase = phase


class TlsError(NetError):
    """The TLS handshake failed.

    Attributes:
        reason: expired, not_yet_valid, self_signed, unknown_ca, name_mismatch, revoked, weak, untrusted, not_tls,
            handshake, client_certificate, or bad_options (ours: the CA or client certificate given can't be read).
        certificate: of the peer, if it came that far.
        chain: what the peer sent, its own certificate first.
    """

    kind = "tls"

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        certificate: "PeerCertificate | None" = None,
        chain: "tuple[PeerCertificate, ...]" = (),
        remote_ip: str = "",
    ) -> None:
        super().__init__(message, remote_ip=remote_ip)
        self.reason = reason
        self.certificate = certificate
        self.chain = chain


class ProtocolError(NetError):
    """The peer does not keep to the protocol, or redirects too often."""

    kind = "protocol"


class ProxyError(NetError):
    """The proxy on the way can't be reached, or refuses; it says nothing about the target."""

    kind = "proxy"
    ours = True


class TooLarge(NetError):
    """The answer's head is over its limit."""

    kind = "too_large"


_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}


def error_from_os(error: OSError, *, ip: str, port: int) -> NetError:
    """Return the typed error for an OSError of connecting or of an open connection."""
    where = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
    if error.errno in _OURS:
        return LocalError(f"This machine has no resources left for a connection ({error.strerror}).", remote_ip=ip)
    if error.errno == errno.EADDRNOTAVAIL and ":" not in ip:
        return LocalError("This machine has no free port left for an outgoing connection.", remote_ip=ip)
    if isinstance(error, ConnectionRefusedError):
        return ConnectError(
            f"{where} refused the connection: nothing listens there, or a firewall rejects it.",
            reason="refused",
            remote_ip=ip,
        )
    if isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
        return ConnectError(f"{where} broke the connection off.", reason="reset", remote_ip=ip)
    if error.errno in _UNREACHABLE:
        return ConnectError(
            f"{where} can't be reached from here: there is no route.", reason="unreachable", remote_ip=ip
        )
    if isinstance(error, TimeoutError):
        return ConnectError(f"{where} did not answer.", reason="unreachable", remote_ip=ip)
    return ConnectError(f"The connection to {where} failed: {error.strerror or error}.", remote_ip=ip)
