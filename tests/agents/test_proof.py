"""What a connection has to prove, renewal, presence, and how all of that ends with a revocation."""

import os
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from apps.agents.keys import make_authority, sign
from apps.agents.models import AgentCertificate, CertificateAuthority, HostAgentState
from apps.agents.selectors import status_of
from apps.agents.services import (
    Figures,
    connected,
    delete_host_agent,
    disconnected,
    mark_silent_agents,
    prove,
    renew,
    revoke_agent,
    seen,
)
from apps.agents.services.authority import MOST_AN_HOUR
from apps.core import crypto
from apps.core.care.vault import reseal_everything
from apps.core.errors import DomainError, Invalid, Unavailable
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.models import Server
from apps.fleet.services import delete_server
from tests.factories.agents import csr_of, make_host_agent

pytestmark = pytest.mark.django_db
ACTOR = system("test")


def _prove(host: Any, **values: Any) -> Any:
    nonce = os.urandom(32)
    given = {"certificate_pem": host.certificate, "nonce": nonce, "signature": host.sign(nonce), **values}
    return prove(**given)


def _refusal(host: Any, **values: Any) -> str:
    with pytest.raises(DomainError) as caught:
        _prove(host, **values)
    return caught.value.code


def test_agent_proves_its_key() -> None:
    agent, host = make_host_agent()
    assert _prove(host) == agent


def test_every_other_proof_is_refused_with_its_reason() -> None:
    agent, host = make_host_agent()
    other, stranger = make_host_agent()
    assert _refusal(host, signature=b"x" * 64) == "proof_failed"
    assert _refusal(host, nonce=b"another") == "proof_failed"
    assert _refusal(stranger, certificate_pem=host.certificate) == "proof_failed"
    assert _refusal(host, certificate_pem="garbage") == "certificate_unknown"
    key, certificate = make_authority("not ours")
    forged = sign(
        public_key=agent.public_key, name="x", life=timedelta(days=1), authority_key=key, authority=certificate
    )
    assert _refusal(host, certificate_pem=forged.pem) == "certificate_unknown"
    ours = CertificateAuthority.objects.get()
    never_given = sign(
        public_key=agent.public_key, name="x", life=timedelta(days=1), authority_key=ours.key,
        authority=ours.certificate,
    )  # fmt: skip
    assert _refusal(host, certificate_pem=never_given.pem) == "certificate_unknown"
    AgentCertificate.objects.filter(agent=agent).update(not_after=timezone.now() - timedelta(seconds=1))
    assert _refusal(host) == "certificate_ended"  # by our clock, whatever the host's says
    AgentCertificate.objects.filter(agent=agent).update(not_after=timezone.now() + timedelta(days=1))
    revoke_agent(actor=ACTOR, agent=agent, reason="stolen")
    assert _refusal(host) == "agent_revoked"
    delete_host_agent(actor=ACTOR, agent=other)
    assert _refusal(stranger) in ("agent_removed", "certificate_unknown")


def test_renewal_gives_another_certificate_for_the_same_key_alone() -> None:
    agent, host = make_host_agent()
    former = host.certificate
    host.certificate, authority = renew(agent=agent, csr=host.csr)
    assert host.certificate != former and "BEGIN CERTIFICATE" in authority
    assert _prove(host) == agent and _prove(host, certificate_pem=former) == agent
    assert Event.objects.filter(name="agent.certificate_renewed").count() == 1
    given = {renew(agent=agent, csr=host.csr)[0] for _ in range(8)}
    assert len(given) <= MOST_AN_HOUR  # an agent gone mad does not fill the table
    assert agent.certificates.count() == MOST_AN_HOUR
    with pytest.raises(Invalid, match="another key"):
        renew(agent=agent, csr=csr_of(Ed25519PrivateKey.generate()))
    revoke_agent(actor=ACTOR, agent=agent)
    with pytest.raises(DomainError) as caught:
        renew(agent=agent, csr=host.csr)
    assert caught.value.code == "agent_revoked"


def test_presence_follows_the_connection_and_is_told_once_each_way() -> None:
    agent, _ = make_host_agent("web-1")

    def told() -> list[tuple[str, str]]:
        rows = Event.objects.filter(name__in=["worker.online", "worker.offline", "agent.status"]).order_by("id")
        return [(row.name, row.data.get("status", "")) for row in rows]

    said = {"version": "1.2", "os": "Debian\x1b 13", "hostname": "", "architecture": "arm64"}
    connected(agent=agent, owner="web:1", token="t1", said=said)
    agent.refresh_from_db()
    assert (agent.version, agent.os, agent.hostname, agent.architecture) == ("1.2", "Debian 13", "web-1", "arm64")
    online = [("worker.online", ""), ("agent.status", "online")]
    assert told() == online and status_of(agent) == "online"
    assert seen(connections={agent.pk: "t1"}, figures={agent.pk: Figures(1.0, 2.0, 3.0)}) == set()
    connected(agent=agent, owner="web:2", token="t2")  # a newer connection
    assert seen(connections={agent.pk: "t1"}) == {agent.pk}
    disconnected(agent_id=agent.pk, token="t1")  # the older one's end does not end the newer one
    assert seen(connections={agent.pk: "t2"}) == set() and told() == online
    disconnected(agent_id=agent.pk, token="t2")
    assert mark_silent_agents() == 0  # not yet
    later = timezone.now() + timedelta(seconds=61)
    assert (mark_silent_agents(now=later), mark_silent_agents(now=later)) == (1, 0)
    offline = [("worker.offline", ""), ("agent.status", "offline")]
    assert told() == online + offline
    connected(agent=agent, owner="web:2", token="t3")
    HostAgentState.objects.update(is_online=False)  # it was taken for silent while its process stood still
    assert seen(connections={agent.pk: "t3"}) == set()
    assert told() == online + offline + online + online


def test_revocation_tells_and_makes_the_connection_void() -> None:
    agent, _ = make_host_agent()
    connected(agent=agent, owner="web:1", token="t1")
    revoke_agent(actor=ACTOR, agent=agent, reason="stolen")
    assert seen(connections={agent.pk: "t1"}) == {agent.pk}
    event = Event.objects.get(name="agent.revoked")
    assert event.data["reason"] == "stolen" and event.data["agent_id"] == agent.slug
    assert Event.objects.filter(name="worker.offline").count() == 1
    assert not agent.certificates.filter(revoked_at=None).exists()
    with pytest.raises(DomainError) as caught:
        revoke_agent(actor=ACTOR, agent=agent)
    assert caught.value.code == "wrong_state"


@pytest.mark.parametrize("end", [revoke_agent, delete_host_agent])
def test_agent_that_is_revoked_after_its_proof_does_not_come_online(end: Any) -> None:
    _, host = make_host_agent()
    proven = _prove(host)
    end(actor=ACTOR, agent=proven)
    with pytest.raises(DomainError) as caught:
        connected(agent=proven, owner="web:1", token="t1")
    assert caught.value.status in (403, 404)
    assert not HostAgentState.objects.exclude(connection_token="").exists()
    assert not Event.objects.filter(name="worker.online").exists()


def test_removing_the_agent_or_its_server_makes_the_connection_void() -> None:
    agent, _ = make_host_agent()
    kept, _ = make_host_agent()
    connected(agent=agent, owner="web:1", token="t1")
    connected(agent=kept, owner="web:1", token="t2")
    delete_host_agent(actor=ACTOR, agent=agent)
    assert not Server.objects.filter(pk=agent.server_id).exists()  # it came with the agent and never measured
    delete_server(actor=ACTOR, server=kept.server)
    assert seen(connections={agent.pk: "t1", kept.pk: "t2"}) == {agent.pk, kept.pk}


def test_authority_goes_along_with_a_new_vault_key_and_a_wrong_one_is_said(settings: Any) -> None:
    agent, host = make_host_agent()
    settings.VAULT_KEY_FILE, former = None, settings.VAULT_KEY
    settings.VAULT_KEY, settings.VAULT_KEYS_OLD = crypto.generate_key(), [former]
    reseal_everything()
    settings.VAULT_KEYS_OLD = []
    host.certificate, _ = renew(agent=agent, csr=host.csr)
    assert _prove(host) == agent
    settings.VAULT_KEY = former
    with pytest.raises(Unavailable, match="vault key"):
        renew(agent=agent, csr=host.csr)
    assert _prove(host) == agent  # proofs need no sealed key


def test_key_of_the_authority_is_sealed_in_the_database() -> None:
    make_host_agent()
    token = CertificateAuthority.objects.values_list("key", flat=True).get()
    assert str(token).startswith("wk1.") and "PRIVATE" not in str(token)
    assert "PRIVATE KEY" in CertificateAuthority.objects.get().key
