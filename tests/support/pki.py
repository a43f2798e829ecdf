"""A public-key infrastructure for one test: a root, an authority below it, leaves that name OCSP and CRL addresses."""

import datetime
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from tests.support.servers import Certificate, Reply, Request

DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    """Return the time, UTC."""
    return datetime.datetime.now(datetime.UTC)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class Pki:
    """The root is trusted (`root_pem`), the authority below it issues."""

    def __init__(self) -> None:
        self._root_key = ec.generate_private_key(ec.SECP256R1())
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._authority("Test Root", "Test Root", self._root_key, self._root_key)
        self.authority = self._authority("Test Authority", "Test Root", self._key, self._root_key)
        self.root_pem, self.authority_pem = _pem(self.root), _pem(self.authority)
        self.revoked: set[int] = set()
        self.unknown: set[int] = set()
        self.asked: list[int] = []

    def _authority(
        self, name: str, issuer: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
    ) -> x509.Certificate:
        builder = self._builder(name, issuer, key, now() - DAY, now() + 3650 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        return builder.sign(signer, hashes.SHA256())

    def _builder(
        self,
        name: str,
        issuer: str,
        key: ec.EllipticCurvePrivateKey,
        begin: datetime.datetime,
        end: datetime.datetime,
    ) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(_name(name)).issuer_name(_name(issuer))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(begin).not_valid_after(end)
        return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)

    def issue(
        self,
        *,
        days: float = 90,
        begins: float = -1,
        sans: Sequence[str] = ("localhost",),
        ocsp_url: str = "",
        crl_url: str = "",
        is_chain_whole: bool = True,
    ) -> Certificate:
        """Issue a certificate that begins and ends so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(sans[0], "Test Authority", key, now() + begins * DAY, now() + days * DAY)
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in sans]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        if ocsp_url:
            where = x509.UniformResourceIdentifier(ocsp_url)
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, where)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        if crl_url:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        pem = _pem(builder.sign(self._key, hashes.SHA256()))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Certificate(pem, secret.decode(), pem + (self.authority_pem if is_chain_whole else ""))

    def revoke(self, certificate: Certificate) -> None:
        """Take a certificate back."""
        self.revoked.add(x509.load_pem_x509_certificate(certificate.pem.encode()).serial_number)

    def responder(self, request: Request) -> Reply:
        """Answer an OCSP request, as the handler of an HTTP server."""
        asked = ocsp.load_der_ocsp_request(request.body)
        self.asked.append(asked.serial_number)
        is_revoked = asked.serial_number in self.revoked
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            issuer_name_hash=asked.issuer_name_hash,
            issuer_key_hash=asked.issuer_key_hash,
            serial_number=asked.serial_number,
            algorithm=asked.hash_algorithm,
            cert_status=ocsp.OCSPCertStatus.REVOKED if is_revoked else ocsp.OCSPCertStatus.GOOD,
            this_update=now() - DAY,
            next_update=now() + DAY,
            revocation_time=now() - DAY if is_revoked else None,
            revocation_reason=x509.ReasonFlags.key_compromise if is_revoked else None,
        )
        signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.authority).sign(self._key, hashes.SHA256())
        return Reply(body=signed.public_bytes(serialization.Encoding.DER))

    def forged_responder(self, request: Request) -> Reply:
        """Answer "revoked" with a signature of somebody else."""
        other = Pki()
        other.revoked = {ocsp.load_der_ocsp_request(request.body).serial_number}
        return other.responder(request)

    def crl(self) -> bytes:
        """Return the revocation list."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(_name("Test Authority"))
        builder = builder.last_update(now() - DAY).next_update(now() + DAY)
        for serial in self.revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now() - DAY).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def crl_server(self, request: Request) -> Reply:
        """Send the revocation list, as the handler of an HTTP server."""
        return Reply(body=self.crl())
