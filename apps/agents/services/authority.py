"""The authority that signs agents' certificates, and the proof that a connection asks for."""

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.agents.keys import BACKDATED, KeyFault, Signed, is_proof, make_authority, read_csr, serial_of, sign
from apps.agents.models import AgentCertificate, CertificateAuthority, HostAgent
from apps.agents.services.common import locked, tell
from apps.core import runtime_settings
from apps.core.crypto import CryptoError
from apps.core.errors import Forbidden, Invalid, Unauthenticated, Unavailable
from apps.core.ids import new_id
from apps.core.principals import Principal, system

NAME = "hosts"
#: Certificates that are signed for one key within an hour; an agent gone mad gets its newest again.
MOST_AN_HOUR = 5


def authority() -> CertificateAuthority:
    """Return the authority; made on first need. Two processes never make two: its name is unique."""
    known = CertificateAuthority.objects.filter(name=NAME).first()
    if known is not None:
        return known
    key, certificate = make_authority(f"Watchkeeper host agents {new_id().hex[-8:]}")
    try:
        with transaction.atomic():
            return CertificateAuthority.objects.create(name=NAME, key=key, certificate=certificate)
    except IntegrityError:  # another process was faster
        return CertificateAuthority.objects.get(name=NAME)


def sign_for(agent: HostAgent) -> tuple[AgentCertificate, bool]:
    """Sign a certificate for the key that an agent was approved with. Call it in the transaction that approves.

    The key of the authority is opened here alone.

    Returns:
        The certificate and whether it is new; after `MOST_AN_HOUR` it is the newest again.

    Raises:
        Unavailable: it does not open with the vault key that is configured (503).
    """
    signed_lately = AgentCertificate.objects.filter(
        agent=agent,
        fingerprint=agent.fingerprint,
        revoked_at=None,
        not_before__gt=timezone.now() - timedelta(hours=1) - BACKDATED,
    )
    newest = list(signed_lately.order_by("-not_after", "-id")[:MOST_AN_HOUR])
    if len(newest) == MOST_AN_HOUR:
        return newest[0], False
    signer = authority()
    try:
        authority_key = signer.key
    except CryptoError as error:
        raise Unavailable(f"The key that signs agents' certificates does not open. {error}") from error
    signed: Signed = sign(
        public_key=agent.public_key,
        name=str(agent.server_id),
        life=timedelta(seconds=runtime_settings.get("agents.certificate_life")),
        authority_key=authority_key,
        authority=signer.certificate,
    )
    row = AgentCertificate.objects.create(
        agent=agent,
        serial=signed.serial,
        fingerprint=agent.fingerprint,
        pem=signed.pem,
        not_before=signed.not_before,
        not_after=signed.not_after,
    )
    return row, True


def prove(*, certificate_pem: str, nonce: bytes, signature: bytes) -> HostAgent:
    """Return the agent that showed its certificate and signed our challenge with its key.

    Our clock alone says whether the certificate counts.

    Raises:
        Unauthenticated: it is not ours (code certificate_unknown), has ended (certificate_ended), or the challenge is
            signed with another key (proof_failed) (401).
        Forbidden: it is revoked, or its agent is (agent_revoked); the agent was removed (agent_removed) (403).
    """
    known = CertificateAuthority.objects.filter(name=NAME).only("certificate").first()
    try:
        if known is None:
            raise KeyFault("This is no certificate of this installation.")
        serial = serial_of(certificate_pem, known.certificate)
    except KeyFault as fault:
        raise Unauthenticated(f"{fault} Enrol this host anew.", code="certificate_unknown") from fault
    row = AgentCertificate.objects.select_related("agent__server", "agent__state").filter(serial=serial).first()
    if row is None:
        raise Unauthenticated(
            "This certificate's agent was removed, or it is not known here. Enrol this host anew.",
            code="certificate_unknown",
        )
    agent: HostAgent = row.agent
    if not is_proof(public_key=agent.public_key, nonce=nonce, signature=signature) or (
        row.fingerprint != agent.fingerprint
    ):
        raise Unauthenticated("The challenge was signed with another key.", code="proof_failed")
    if agent.deleted_at is not None:
        raise Forbidden("This agent was removed. Enrol this host anew.", code="agent_removed")
    if row.revoked_at is not None or not agent.is_approved:
        raise Forbidden("This agent was revoked. Enrol this host anew.", code="agent_revoked")
    if not row.not_before <= timezone.now() < row.not_after:
        raise Unauthenticated(
            f"The certificate ended at {row.not_after:%Y-%m-%d %H:%M} UTC. Ask for another one with the same key.",
            code="certificate_ended",
        )
    return agent


def renew(*, agent: HostAgent, csr: str, actor: Principal | None = None) -> tuple[str, str]:
    """Return a new certificate for the key the agent was approved with, and the authority's own, both PEM.

    Raises:
        Invalid: the request is malformed, or for another key: a new key has to be approved (422).
        Forbidden: the agent is not approved any more (403). NotFound: it was removed (404).

    Emits: agent.certificate_renewed
    """
    try:
        key = read_csr(csr)
    except KeyFault as fault:
        raise Invalid({"csr": str(fault)}) from fault
    signer = authority()  # outside of the lock: its making is a transaction of its own
    with transaction.atomic():
        row = locked(agent)
        if not row.is_approved:
            raise Forbidden("This agent was revoked. Enrol this host anew.", code="agent_revoked")
        if key.fingerprint != row.fingerprint:
            raise Invalid({"csr": "is for another key than the one that was approved; enrol this host anew"})
        certificate, is_new = sign_for(row)
        if is_new:
            tell(
                "agent.certificate_renewed",
                row,
                actor or system("agents"),
                data={"serial": certificate.serial, "not_after": certificate.not_after.isoformat()},
            )
    return certificate.pem, signer.certificate
