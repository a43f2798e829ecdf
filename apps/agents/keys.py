"""Keys and certificates of host agents, without the database. Ed25519 throughout."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM_MOST = 8192
AUTHORITY_LIFE = timedelta(days=30 * 365)
#: Other machines of the platform may be a little behind.
BACKDATED = timedelta(minutes=5)
#: Put before the challenge, so that a signature made for this can't be used for anything else.
PROOF_PREFIX = b"watchkeeper-agent-v1\0"


class KeyFault(Exception):
    """Tell what is wrong with a key, a request or a certificate, in words for people."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key in the form it is kept in."""

    pem: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate that was just signed."""

    pem: str
    serial: str
    not_before: datetime
    not_after: datetime


def public_key_of(key: Ed25519PublicKey) -> PublicKey:
    """Return a key with its fingerprint: the SHA-256 of its SubjectPublicKeyInfo, hex."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_bytes(serialization.Encoding.DER, form)
    pem = key.public_bytes(serialization.Encoding.PEM, form).decode()
    return PublicKey(pem, hashlib.sha256(der).hexdigest())


def grouped(fingerprint: str) -> str:
    """Return a fingerprint in groups of four digits, for eyes."""
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4))


def read_csr(text: str) -> PublicKey:
    """Return the key of a certificate request. Nothing else of it is used: neither names nor extensions.

    Raises:
        KeyFault: it is no request, not of Ed25519, or not signed with its own key.
    """
    if len(text) > PEM_MOST:
        raise KeyFault(f"is too long; at most {PEM_MOST} characters")
    try:
        request = x509.load_pem_x509_csr(text.encode())
        key = request.public_key()
        is_signed = isinstance(key, Ed25519PublicKey) and request.is_signature_valid
    except Exception as error:  # the parser raises of many kinds, none of which says more to a person
        raise KeyFault("is no certificate request in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFault("its key must be of Ed25519")
    if not is_signed:
        raise KeyFault("is not signed with its own key")
    return public_key_of(key)


def make_authority(name: str) -> tuple[str, str]:
    """Return a new authority: its private key and its own certificate, both PEM."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, None)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


def sign(*, public_key: str, name: str, life: timedelta, authority_key: str, authority: str) -> Signed:
    """Sign a certificate for an agent's key.

    Args:
        public_key: PEM. name: put in as the common name.
    """
    signer = serialization.load_pem_private_key(authority_key.encode(), None)
    issuer = x509.load_pem_x509_certificate(authority.encode())
    subject_key = serialization.load_pem_public_key(public_key.encode())
    assert isinstance(signer, Ed25519PrivateKey) and isinstance(subject_key, Ed25519PublicKey)
    now = datetime.now(UTC).replace(microsecond=0)
    serial = x509.random_serial_number()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(subject_key)
        .serial_number(serial)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer, None)
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return Signed(pem, f"{serial:x}", now - BACKDATED, now + life)


def serial_of(certificate: str, authority: str) -> str:
    """Return the serial of a certificate that this authority signed.

    Raises:
        KeyFault: it is no certificate, or another one signed it.
    """
    try:
        if len(certificate) > PEM_MOST:
            raise ValueError("too long")
        shown = x509.load_pem_x509_certificate(certificate.encode())
        shown.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.encode()))
    except Exception as error:  # see read_csr
        raise KeyFault("This is no certificate of this installation.") from error
    return f"{shown.serial_number:x}"


def is_proof(*, public_key: str, nonce: bytes, signature: bytes) -> bool:
    """Return whether the holder of a key signed the challenge."""
    key = serialization.load_pem_public_key(public_key.encode())
    assert isinstance(key, Ed25519PublicKey)
    try:
        key.verify(signature, PROOF_PREFIX + nonce)
    except InvalidSignature:
        return False
    return True


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
