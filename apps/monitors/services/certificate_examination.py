"""One look at a certificate: the handshake, the chain, the name, and whether the issuer took it back."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from apps.core.net import NetError, PeerCertificate, Purpose, TlsError, starttls, tls
from apps.core.net.revocation import REVOKED, UNKNOWN, Revocation, ask_crl, ask_ocsp
from apps.monitors.checks.base import certificate_problem
from apps.monitors.models import CertificateMonitor

TIMEOUT_S = 10.0
ASK_S = 4.0  # of which at most so much for the issuer's answer


@dataclass(frozen=True, slots=True)
class CertificateConfig:
    """A certificate monitor as its check needs it. `fault`: why it can't be checked at all."""

    id: UUID | None
    num: int
    revision: int
    hostname: str
    port: int
    server_name: str
    starttls: str
    ca_pem: str
    fault: str = ""


@dataclass(slots=True)
class Finding:
    """What a check found.

    Attributes:
        certificate: None where none could be had.
        problem: "", "expired", "name_mismatch", "untrusted" or "revoked"; `message` says it in plain words.
        error: why there was no certificate.
        is_ours: the error says nothing about the server.
        chain_valid, hostname_valid: None where it was not looked at.
        revocation: "ocsp" and "crl" -> answer; None where it was not looked at.
    """

    certificate: PeerCertificate | None = None
    problem: str = ""
    message: str = ""
    error: str = ""
    is_ours: bool = False
    chain: tuple[PeerCertificate, ...] = ()
    chain_valid: bool | None = None
    hostname_valid: bool | None = None
    key_type: str = ""
    tls_version: str = ""
    revocation: dict[str, Revocation] | None = field(default=None)


def config_of(monitor: CertificateMonitor) -> CertificateConfig:
    """Return what a check needs; one that an endpoint sees trusts what the endpoint trusts."""
    ca_pem = monitor.endpoint.ca_pem if monitor.endpoint is not None else monitor.ca_pem
    return CertificateConfig(
        id=monitor.pk,
        num=monitor.num,
        revision=monitor.revision,
        hostname=monitor.hostname,
        port=monitor.port,
        server_name=monitor.server_name,
        starttls=monitor.starttls,
        ca_pem=ca_pem,
    )


async def examine(config: CertificateConfig, timeout_s: float = TIMEOUT_S) -> Finding:
    """Look at a certificate once; never raises for anything the server does, and never takes longer.

    Whether it was revoked is asked only where its chain is trusted: the addresses to ask stand in the certificate.
    """
    if config.fault:
        return Finding(error=config.fault, is_ours=True)
    began = time.monotonic()
    try:
        seen = await tls.handshake(
            config.hostname,
            config.port,
            config.server_name,
            Purpose.PROBE,
            timeout_s,
            True,
            ca_pem=config.ca_pem or None,
            prelude=starttls.PRELUDES.get(config.starttls),
        )
    except TlsError as error:
        met = certificate_problem(error)
        if met is not None:
            return Finding(certificate=met.certificate, problem=met.problem, message=met.message, chain=error.chain)
        return Finding(error=error.message, is_ours=error.ours or error.reason == "bad_options")
    except NetError as error:
        return Finding(error=error.message, is_ours=error.ours or error.kind in ("refused", "invalid"))
    finding = Finding(
        certificate=seen.certificate,
        chain=seen.chain,
        hostname_valid=seen.hostname_match,
        key_type=_key_type(seen.sent),
        tls_version=seen.version,
    )
    if seen.verify_error is not None:
        met = certificate_problem(seen.verify_error)
        finding.problem, finding.message = (met.problem, met.message) if met else ("untrusted", str(seen.verify_error))
        # OpenSSL builds the chain to a trusted certificate before it looks at the name, and at the dates afterwards.
        finding.chain_valid = finding.problem == "name_mismatch" and _all_current(seen.chain)
        return finding
    finding.chain_valid = True
    finding.revocation = await _ask(seen.sent, seen.trusted, min(ASK_S, timeout_s - (time.monotonic() - began)))
    taken_back = next((one for one in finding.revocation.values() if one.status == REVOKED), None)
    if taken_back is not None:
        finding.problem = "revoked"
        finding.message = f"The certificate of {config.hostname}:{config.port} was revoked. {taken_back.message}"
    return finding


async def _ask(sent: tuple[bytes, ...], trusted: tuple[bytes, ...], left_s: float) -> dict[str, Revocation]:
    nothing = "the issuer's certificate is not at hand"
    try:
        leaf = x509.load_der_x509_certificate(sent[0])
        issuer = _issuer(leaf, [*trusted[1:], *sent[1:]])
    except (ValueError, IndexError):
        leaf, issuer = None, None
    if leaf is None or issuer is None:
        return {name: Revocation(UNKNOWN, f"It could not be asked: {nothing}.") for name in ("ocsp", "crl")}
    if left_s < 0.2:
        return {name: Revocation(UNKNOWN, "There was no time left to ask.") for name in ("ocsp", "crl")}
    ocsp, crl = await asyncio.gather(
        ask_ocsp(leaf, issuer, timeout_s=left_s),
        ask_crl(leaf, issuer, timeout_s=left_s, in_thread=asyncio.to_thread),
    )
    return {
        "ocsp": ocsp or Revocation(UNKNOWN, "The certificate names no OCSP responder."),
        "crl": crl or Revocation(UNKNOWN, "The certificate names no revocation list."),
    }


def _issuer(leaf: x509.Certificate, candidates: list[bytes]) -> x509.Certificate | None:
    for der in candidates:
        try:
            candidate = x509.load_der_x509_certificate(der)
            leaf.verify_directly_issued_by(candidate)
        except Exception:  # a peer may send anything; what did not issue the certificate is of no use here
            continue
        return candidate
    return None


def _all_current(chain: tuple[PeerCertificate, ...]) -> bool:
    now = time.time()
    return all(one.not_before.timestamp() <= now < one.not_after.timestamp() for one in chain)


def _key_type(sent: tuple[bytes, ...]) -> str:
    try:
        key: Any = x509.load_der_x509_certificate(sent[0]).public_key()
    except Exception:  # an unknown kind of key, or no certificate: there is nothing to say
        return ""
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    if isinstance(key, dsa.DSAPublicKey):
        return f"DSA {key.key_size}"
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "Ed448"
    return ""
