"""The TLS handshake alone: a server's certificate, and whether it verifies."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from apps.core.net.certificates import PeerCertificate
from apps.core.net.connection import Wire
from apps.core.net.contexts import ClientCertificate, context_for
from apps.core.net.errors import NetError, Phases, TlsError
from apps.core.net.hosts import canonical_host
from apps.core.net.http import Progress, open_wire
from apps.core.net.policy import Purpose

# The failures that concern the certificate and not the connection.
CERTIFICATE_REASONS = frozenset(
    {"expired", "not_yet_valid", "self_signed", "unknown_ca", "name_mismatch", "revoked", "weak", "untrusted"}
)


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a handshake showed.

    Attributes:
        certificate: the peer's; None where it could not be read.
        chain: what the peer sent, its own certificate first.
        hostname_match: whether the certificate is for the name asked for, whatever else is wrong with it.
        verify_error: why the certificate can't be trusted; None: it can, or was not verified.
        version, cipher: as agreed on; "" if the certificate did not verify.
        sent: the chain as DER.
        trusted: the chain up to the trusted certificate as DER; () where it was not verified.
    """

    certificate: PeerCertificate | None
    chain: tuple[PeerCertificate, ...]
    phases: Phases
    hostname_match: bool
    verify_error: TlsError | None
    remote_ip: str
    version: str
    cipher: str
    sent: tuple[bytes, ...] = ()
    trusted: tuple[bytes, ...] = ()


async def handshake(
    host: str,
    port: int,
    server_name: str = "",
    purpose: Purpose = Purpose.PROBE,
    timeout_s: float = 10.0,
    verify: bool = True,
    *,
    ca_pem: str | None = None,
    client_cert: ClientCertificate | None = None,
    family: int | None = None,
    prelude: Callable[[Wire], Awaitable[None]] | None = None,
) -> Handshake:
    """Connect, do the TLS handshake and close again.

    Args:
        server_name: the name to ask for and to verify; "" means `host`.
        verify: check the certificate; one that fails is a result here (`verify_error`), not an error.
        ca_pem: PEM certificates to trust instead of the system's.
        prelude: what is said in plain text before the handshake, see `starttls`.

    Raises:
        TlsError: there was no handshake at all (no TLS on this port, nothing in common).
        OutboundRefused, InvalidTarget, DnsError, ConnectError, LocalError, NetTimeout: all are NetError.
    """
    progress = Progress()
    name = host
    try:
        name = canonical_host(host)
        asked = canonical_host(server_name) if server_name else name
        context = context_for(verify=verify, ca_pem=ca_pem, client_cert=client_cert, http=False)
        async with asyncio.timeout(timeout_s):
            wire = await open_wire(progress, name, port, purpose, family, timeout_s)
            verify_error: TlsError | None = None
            sent: tuple[bytes, ...] = ()
            trusted: tuple[bytes, ...] = ()
            try:
                progress.begin("tls")
                if prelude is not None:
                    await prelude(wire)
                await wire.start_tls(context, asked)
            except TlsError as error:
                if error.reason not in CERTIFICATE_REASONS:
                    raise
                verify_error = error
            finally:
                progress.end()
                chain = wire.chain()
                certificate = wire.certificate() or (chain[0] if chain else None)
                version, cipher = wire.tls_facts() if verify_error is None else ("", "")
                sent = wire.chain_der()
                trusted = wire.chain_der(verified=True) if verify and verify_error is None else ()
                wire.close()
    except TimeoutError as error:
        timeout = progress.timeout(f"{name}, port {port},", timeout_s)
        progress.stamp(timeout)
        raise timeout from error
    except NetError as error:
        progress.stamp(error)
        raise
    return Handshake(
        certificate=certificate,
        chain=chain,
        phases=progress.stop(),
        hostname_match=certificate is not None and name_matches(certificate, asked),
        verify_error=verify_error,
        remote_ip=progress.remote_ip,
        version=version,
        cipher=cipher,
        sent=sent,
        trusted=trusted,
    )


def name_matches(certificate: PeerCertificate, name: str) -> bool:
    """Return whether a certificate is for a host name or address. Source: RFC 9525, section 6.3."""
    try:
        wanted = str(ipaddress.ip_address(name))
    except ValueError:
        wanted = name.lower().removesuffix(".")
    else:
        return wanted in certificate.sans
    for entry in certificate.sans:
        pattern = entry.lower().removesuffix(".")
        if pattern == wanted:
            return True
        # A wildcard stands for exactly one label, the leftmost.
        if pattern.startswith("*.") and wanted.partition(".")[2] == pattern[2:] and "." in pattern[2:]:
            return True
    return False
