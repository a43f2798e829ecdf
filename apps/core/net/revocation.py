"""Whether a certificate was revoked: asked of its issuer's OCSP responder, looked up in the issuer's list (CRL).

Both answers are signed by the issuer and the signature is checked; what can't be asked or verified is `unknown`, never
`revoked`. The addresses stand in the certificate itself, so ask only for one whose chain is trusted.
"""

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from apps.core.net.errors import NetError
from apps.core.net.http import request
from apps.core.net.policy import Purpose

GOOD, REVOKED, UNKNOWN = "good", "revoked", "unknown"

_OCSP_BYTES = 64 << 10
_CRL_BYTES = 20 << 20
_CLOCK = timedelta(minutes=5)  # how far the responder's clock may be ahead
_CACHE_S = 6 * 3600
_KEPT_MOST = 2048
_LISTS_MOST = 8


@dataclass(frozen=True, slots=True)
class Revocation:
    """What was found, in a word and in a sentence."""

    status: str
    message: str


T = TypeVar("T")


class _Kept(Generic[T]):
    """Answers until they run out, the ones used last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._items: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        with self._lock:
            kept = self._items.get(key)
            if kept is None or kept[0] <= time.time():
                self._items.pop(key, None)
                return None
            self._items.move_to_end(key)
            return kept[1]

    def put(self, key: Hashable, value: T, until: datetime | None) -> None:
        end = time.time() + _CACHE_S
        with self._lock:
            self._items[key] = (min(end, until.timestamp()) if until else end, value)
            if len(self._items) > self._most:
                self._items.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._items.clear()


_answers: _Kept[Revocation] = _Kept(_KEPT_MOST)
_lists: _Kept[x509.CertificateRevocationList] = _Kept(_LISTS_MOST)


def forget_answers() -> None:
    """Ask anew from now on."""
    _answers.clear()
    _lists.clear()


def ocsp_address(leaf: x509.Certificate) -> str:
    """Return where the certificate says its issuer answers, "" where it says nothing that can be asked."""
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        for entry in leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value:
            if entry.access_method == AuthorityInformationAccessOID.OCSP:
                url = str(getattr(entry.access_location, "value", ""))
                if url.lower().startswith(("http://", "https://")):
                    return url
    return ""


def crl_address(leaf: x509.Certificate) -> str:
    """Return where the certificate says its issuer's list is, "" where it says nothing that can be fetched."""
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        for point in leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value:
            for name in point.full_name or ():
                url = str(getattr(name, "value", ""))
                if url.lower().startswith(("http://", "https://")):
                    return url
    return ""


async def ask_ocsp(leaf: x509.Certificate, issuer: x509.Certificate, *, timeout_s: float) -> Revocation | None:
    """Ask the issuer's responder about a certificate. Source: RFC 6960.

    Returns:
        None where the certificate names no responder.
    """
    url = ocsp_address(leaf)
    if not url:
        return None
    key = (url, leaf.fingerprint(hashes.SHA256()))
    kept = _answers.get(key)
    if kept is not None:
        return kept
    try:
        # SHA-1 names the issuer and protects nothing; responders prepare their answers for it. Source: RFC 5019.
        builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA1())  # noqa: S303
        asked = builder.build()
        response = await request(
            "POST",
            url,
            purpose=Purpose.PROBE,
            headers={"Content-Type": "application/ocsp-request", "Accept": "application/ocsp-response"},
            body=asked.public_bytes(serialization.Encoding.DER),
            timeout_s=timeout_s,
            max_body_bytes=_OCSP_BYTES,
        )
        if response.status != 200:
            return Revocation(UNKNOWN, f"The OCSP responder {url} answered {response.status}.")
        answer = ocsp.load_der_ocsp_response(response.body)
    except NetError as error:
        return Revocation(UNKNOWN, f"The OCSP responder {url} could not be asked: {error.message}")
    except (ValueError, UnsupportedAlgorithm):
        return Revocation(UNKNOWN, f"The OCSP responder {url} sent something that is no OCSP answer.")
    try:
        found, until = _read_ocsp(answer, asked, leaf, issuer, url)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return Revocation(UNKNOWN, f"The answer of the OCSP responder {url} can't be read.")
    if found.status != UNKNOWN:
        _answers.put(key, found, until)
    return found


def _read_ocsp(
    answer: ocsp.OCSPResponse, asked: ocsp.OCSPRequest, leaf: x509.Certificate, issuer: x509.Certificate, url: str
) -> tuple[Revocation, datetime | None]:
    if answer.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
        word = answer.response_status.name.replace("_", " ").lower()
        return Revocation(UNKNOWN, f"The OCSP responder {url} refused to answer: {word}."), None
    single = next((one for one in answer.responses if _is_about(one, asked)), None)
    if single is None:
        return Revocation(UNKNOWN, f"The OCSP responder {url} answered about another certificate."), None
    if not _ocsp_signature_holds(answer, issuer):
        return Revocation(UNKNOWN, f"The signature of the OCSP responder {url} does not hold."), None
    now = datetime.now(UTC)
    until = single.next_update_utc
    if single.this_update_utc > now + _CLOCK or (until is not None and until < now - _CLOCK):
        return Revocation(UNKNOWN, f"The answer of the OCSP responder {url} is out of date."), None
    if single.certificate_status == ocsp.OCSPCertStatus.GOOD:
        return Revocation(GOOD, "The issuer says by OCSP that it is not revoked."), until
    if single.certificate_status == ocsp.OCSPCertStatus.REVOKED:
        at = single.revocation_time_utc
        when = f" on {at:%Y-%m-%d %H:%M} UTC" if at else ""
        return Revocation(REVOKED, f"The issuer says by OCSP that it was revoked{when}{_why(single)}."), until
    return Revocation(UNKNOWN, f"The OCSP responder {url} does not know this certificate."), None


def _is_about(single: ocsp.OCSPSingleResponse, asked: ocsp.OCSPRequest) -> bool:
    return (
        single.serial_number == asked.serial_number
        and single.issuer_key_hash == asked.issuer_key_hash
        and single.issuer_name_hash == asked.issuer_name_hash
    )


def _why(single: ocsp.OCSPSingleResponse) -> str:
    return f" ({single.revocation_reason.value})" if single.revocation_reason else ""


def _ocsp_signature_holds(answer: ocsp.OCSPResponse, issuer: x509.Certificate) -> bool:
    """Return whether the issuer signed, or somebody to whom it gave a certificate for just that."""
    signers = [issuer]
    now = datetime.now(UTC)
    for certificate in answer.certificates:
        with contextlib.suppress(x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            if ExtendedKeyUsageOID.OCSP_SIGNING not in usage:
                continue
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                continue
            certificate.verify_directly_issued_by(issuer)
            signers.append(certificate)
    digest = answer.signature_hash_algorithm
    return any(_verifies(one.public_key(), answer.signature, answer.tbs_response_bytes, digest) for one in signers)


def _verifies(key: Any, signature: bytes, signed: bytes, digest: hashes.HashAlgorithm | None) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, signed)
        elif digest is None:
            return False
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(digest))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


async def ask_crl(
    leaf: x509.Certificate,
    issuer: x509.Certificate,
    *,
    timeout_s: float,
    in_thread: Callable[..., Any] | None = None,
) -> Revocation | None:
    """Look a certificate up in its issuer's revocation list. Source: RFC 5280, section 5.

    Args:
        in_thread: awaited as in_thread(function, argument) for parsing, which takes long for a large list.

    Returns:
        None where the certificate names no list.
    """
    url = crl_address(leaf)
    if not url:
        return None
    key = (url, issuer.fingerprint(hashes.SHA256()))
    known = _lists.get(key)
    if known is None:
        try:
            response = await request(
                "GET", url, purpose=Purpose.PROBE, timeout_s=timeout_s, max_body_bytes=_CRL_BYTES, follow_redirects=True
            )
            if response.status != 200:
                return Revocation(UNKNOWN, f"The revocation list at {url} answered {response.status}.")
            if response.truncated:
                return Revocation(UNKNOWN, f"The revocation list at {url} is larger than {_CRL_BYTES >> 20} MB.")
            known = await in_thread(_load_crl, response.body) if in_thread else _load_crl(response.body)
        except NetError as error:
            return Revocation(UNKNOWN, f"The revocation list at {url} could not be fetched: {error.message}")
        except (ValueError, UnsupportedAlgorithm):
            return Revocation(UNKNOWN, f"What {url} sends is no revocation list.")
        try:
            holds = known.issuer == issuer.subject and known.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
        except (TypeError, ValueError, UnsupportedAlgorithm):
            holds = False
        if not holds:
            return Revocation(UNKNOWN, f"The revocation list at {url} is not signed by the issuer.")
        until = known.next_update_utc
        if until is not None and until < datetime.now(UTC) - _CLOCK:
            return Revocation(UNKNOWN, f"The revocation list at {url} is out of date.")
        _lists.put(key, known, until)
    entry = known.get_revoked_certificate_by_serial_number(leaf.serial_number)
    if entry is None:
        return Revocation(GOOD, "It is not on the issuer's revocation list.")
    return Revocation(
        REVOKED, f"It is on the issuer's revocation list since {entry.revocation_date_utc:%Y-%m-%d %H:%M} UTC."
    )


def _load_crl(data: bytes) -> x509.CertificateRevocationList:
    if data.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_crl(data)
    return x509.load_der_x509_crl(data)
