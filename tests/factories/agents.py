"""Hosts and their agents for tests: keys, requests to be let in, certificates."""

from dataclasses import dataclass
from itertools import count
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from apps.agents.keys import PROOF_PREFIX
from apps.agents.models import HostAgent
from apps.agents.services import Enrolled, approve_request, create_token, enroll, enrolment_status
from apps.core.principals import Principal, system

_numbers = count(1)


@dataclass
class Host:
    """A machine as the platform meets it: a key, and what it was given."""

    key: Ed25519PrivateKey
    hostname: str
    certificate: str = ""

    @property
    def csr(self) -> str:
        """Return a request for a certificate, signed with the key."""
        return csr_of(self.key)

    def sign(self, nonce: bytes) -> bytes:
        """Return the answer to a challenge."""
        return self.key.sign(PROOF_PREFIX + nonce)

    def asks(self, token: str = "", **values: Any) -> Enrolled:
        """Ask to be let in."""
        said = {"hostname": self.hostname, "architecture": "x86_64", "os": "Debian GNU/Linux 12", **values}
        return enroll(csr=self.csr, token=token, address="192.0.2.7", **said)


def make_host(hostname: str = "") -> Host:
    """Return a host with a new key."""
    return Host(Ed25519PrivateKey.generate(), hostname or f"host-{next(_numbers)}")


def csr_of(key: Any, name: str = "anything") -> str:
    """Return a request for a certificate."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, None)
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def make_token(actor: Principal | None = None, **values: Any) -> str:
    """Return an enrolment token."""
    return create_token(actor=actor or system("test"), **{"name": "rack 1", "max_uses": 10, **values})[1]


def make_host_agent(hostname: str = "", **values: Any) -> tuple[HostAgent, Host]:
    """Return an approved agent and its host, which holds its certificate.

    Args:
        values: of the token, e.g. tags.
    """
    host = make_host(hostname)
    enrolled = host.asks(make_token(**values))
    agent = approve_request(actor=system("test"), request_id=enrolled.request.pk)
    host.certificate = enrolment_status(poll_token=enrolled.poll_token).certificate
    return agent, host
