"""Certificates of peers, read on the way, and what is wrong with them, in plain words."""

import hashlib
import ssl
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from apps.core.net.errors import TlsError

_DER = 2  # X509_FILETYPE_ASN1


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a peer's certificate says; times are UTC."""

    subject: str  # RFC 4514, "CN=example.com,O=Example"
    subject_cn: str
    issuer: str
    issuer_cn: str
    issuer_org: str
    sans: tuple[str, ...]  # DNS names and addresses
    not_before: datetime
    not_after: datetime
    serial: str  # hex
    signature_algorithm: str
    fingerprint_sha256: str  # hex

    @property
    def self_signed(self) -> bool:
        """Whether subject and issuer are the same."""
        return self.subject == self.issuer


def read_certificate(der: bytes) -> PeerCertificate | None:
    """Parse a certificate; one seen before comes from memory.

    Returns:
        None if it can't be parsed.
    """
    return _parse(hashlib.sha256(der).hexdigest(), _Der(der))


class _Der:
    """Bytes that all compare equal: the fingerprint beside them is the key of the cache."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Der)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=4096)
def _parse(fingerprint: str, der: _Der) -> PeerCertificate | None:
    try:
        certificate = x509.load_der_x509_certificate(der.data)
        subject, issuer = certificate.subject, certificate.issuer
        return PeerCertificate(
            subject=subject.rfc4514_string(),
            subject_cn=_attribute(subject, NameOID.COMMON_NAME),
            issuer=issuer.rfc4514_string(),
            issuer_cn=_attribute(issuer, NameOID.COMMON_NAME),
            issuer_org=_attribute(issuer, NameOID.ORGANIZATION_NAME),
            sans=_sans(certificate),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            serial=f"{certificate.serial_number:x}",
            signature_algorithm=_algorithm(certificate),
            fingerprint_sha256=fingerprint,
        )
    except Exception:  # a peer may send anything, and a certificate that can't be read must not break the check
        return None


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    values = name.get_attributes_for_oid(oid)
    return str(values[0].value) if values else ""


def _sans(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names: Any = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(str(name.value) for name in names if isinstance(name, (x509.DNSName, x509.IPAddress)))


def _algorithm(certificate: x509.Certificate) -> str:
    return str(getattr(certificate.signature_algorithm_oid, "_name", "")) or "unknown"


def peer_chain(tls: ssl.SSLObject) -> tuple[PeerCertificate, ...]:
    """Return what the peer sent, its own certificate first; works during and after a failed verification too.

    `getpeercert` refuses to answer before the handshake is done, but OpenSSL (from 3.0 on) keeps the chain as soon as
    it has been received, so a certificate that does not verify can be shown without a second handshake.

    Returns:
        () where nothing was received or OpenSSL is older.
    """
    raw: Any = getattr(tls, "_sslobj", None)
    if raw is None:
        return ()
    try:
        received = raw.get_unverified_chain() or ()
    except (AttributeError, ValueError, ssl.SSLError):
        return ()
    parsed = (read_certificate(entry.public_bytes(_DER)) for entry in received)
    return tuple(certificate for certificate in parsed if certificate is not None)


def chain_der(tls: ssl.SSLObject, *, verified: bool = False) -> tuple[bytes, ...]:
    """Return the chain as DER, the peer's own certificate first.

    Args:
        verified: the chain up to the trusted certificate instead of what was sent; () where it did not verify.
    """
    raw: Any = getattr(tls, "_sslobj", None)
    if raw is None:
        return ()
    try:
        chain = (raw.get_verified_chain() if verified else raw.get_unverified_chain()) or ()
        return tuple(entry.public_bytes(_DER) for entry in chain)
    except (AttributeError, ValueError, ssl.SSLError):
        return ()


# Codes of X509_V_ERR_*. Source: OpenSSL, x509_vfy.h.
_REASONS = {
    9: "not_yet_valid",
    10: "expired",
    18: "self_signed",
    19: "unknown_ca",
    2: "unknown_ca",
    20: "unknown_ca",
    21: "unknown_ca",
    27: "unknown_ca",
    23: "revoked",
    62: "name_mismatch",
    64: "name_mismatch",
    66: "weak",
    67: "weak",
    68: "weak",
}


def verification_error(
    error: ssl.SSLCertVerificationError, *, name: str, chain: tuple[PeerCertificate, ...], remote_ip: str
) -> TlsError:
    """Return the typed error for a certificate that does not verify."""
    reason = _REASONS.get(error.verify_code, "untrusted")
    leaf = chain[0] if chain else None
    return TlsError(
        _explain(reason, name, leaf, error.verify_message),
        reason=reason,
        certificate=leaf,
        chain=chain,
        remote_ip=remote_ip,
    )


def _explain(reason: str, name: str, leaf: PeerCertificate | None, detail: str) -> str:
    if reason == "expired":
        return f"The certificate of {name}, or one it depends on, has expired" + (
            f" (its own ends {leaf.not_after:%Y-%m-%d %H:%M} UTC)." if leaf else "."
        )
    if reason == "not_yet_valid":
        return f"The certificate of {name} is not valid yet" + (
            f" (from {leaf.not_before:%Y-%m-%d %H:%M} UTC)." if leaf else "."
        )
    if reason == "self_signed":
        return f"The certificate of {name} is self-signed, so nobody vouches for it."
    if reason == "unknown_ca":
        issuer = f"“{leaf.issuer_cn or leaf.issuer}”" if leaf else "a CA"
        return (
            f"The certificate of {name} was issued by {issuer}, which is not trusted here, "
            "or the server does not send an intermediate certificate."
        )
    if reason == "name_mismatch":
        names = ", ".join(leaf.sans[:5]) + (", …" if len(leaf.sans) > 5 else "") if leaf else ""
        return f"The certificate is not for {name}" + (f" but for {names}." if names else ".")
    if reason == "revoked":
        return f"The certificate of {name} has been revoked."
    if reason == "weak":
        return f"The certificate of {name}, or one it depends on, uses a key or digest that is too weak."
    return f"The certificate of {name} can't be trusted: {detail}."


_NOT_TLS = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
}
_CLIENT_CERTIFICATE = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "CERTIFICATE_UNKNOWN")


def handshake_error(error: Exception, *, name: str, remote_ip: str) -> TlsError:
    """Return the typed error for a handshake that failed for another reason than the certificate."""
    code = getattr(error, "reason", None) or ""
    if code in _NOT_TLS:
        return TlsError(f"{name} does not speak TLS on this port.", reason="not_tls", remote_ip=remote_ip)
    if any(alert in code for alert in _CLIENT_CERTIFICATE):
        return TlsError(
            f"{name} wants a client certificate, or does not accept the one it got.",
            reason="client_certificate",
            remote_ip=remote_ip,
        )
    if "PROTOCOL" in code or "VERSION" in code:
        return TlsError(f"{name} offers only TLS versions that are too old.", reason="handshake", remote_ip=remote_ip)
    if code in ("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_INSUFFICIENT_SECURITY", "NO_SHARED_CIPHER"):
        return TlsError(
            f"{name} and this machine have no encryption in common.", reason="handshake", remote_ip=remote_ip
        )
    if "UNRECOGNIZED_NAME" in code:
        return TlsError(f"The server does not know the name {name}.", reason="name_mismatch", remote_ip=remote_ip)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)) or "EOF" in code:
        return TlsError(
            f"{name} closed the connection during the TLS handshake.", reason="handshake", remote_ip=remote_ip
        )
    text = code.replace("_", " ").lower() or str(error)
    return TlsError(f"The TLS handshake with {name} failed: {text}.", reason="handshake", remote_ip=remote_ip)
