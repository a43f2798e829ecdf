"""Enrolment: a host asks, a person compares and decides, the certificate comes."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.hashing import hash_secret
from apps.agents.models import AgentCertificate, CertificateAuthority, EnrolmentRequest, EnrolmentToken, HostAgent
from apps.agents.services import (
    approve_request,
    approve_worker,
    create_host_agent,
    end_stale_requests,
    enrolment,
    revoke_agent,
)
from apps.agents.services.enrolment import WAITING_MOST, prune_enrolments
from apps.core.api.throttling import windows
from apps.core.models import Event
from apps.core.principals import system
from apps.core.runtime_settings import change_settings
from apps.fleet.models import Server
from tests.factories.accounts import client_as
from tests.factories.agents import csr_of, make_host, make_host_agent, make_token

pytestmark = pytest.mark.django_db
URL = "/api/v1/agents"
ANYBODY = APIClient()


def _body(host: Any, token: str = "", **values: Any) -> dict[str, Any]:
    said = {"name": host.hostname, "hostname": host.hostname, "architecture": "x86_64", "os": "Debian 12"}
    return {**said, "csr": host.csr, "token": token, **values}


def _ask(host: Any, token: str = "", **values: Any) -> Any:
    return ANYBODY.post(f"{URL}/enroll", _body(host, token, **values), format="json")


def _status(poll_token: str) -> Any:
    return ANYBODY.post(f"{URL}/enroll/status", {"poll_token": poll_token}, format="json")


def _names(answer: Any) -> set[str]:
    assert answer.status_code == 422, answer.content
    return {str(one["loc"][-1]) for one in answer.json()["detail"]}


def test_host_asks_waits_is_approved_and_holds_a_certificate() -> None:
    admin = client_as("admin")
    made = admin.post(
        f"{URL}/enrolment-tokens", {"name": "rack 1", "max_uses": 2, "tags": ["web", "prod"]}, format="json"
    ).json()
    assert made["token"].startswith("wke_") and made["hint"] == made["token"][:10]
    assert made["token"] not in made["install"]  # the line asks for it: no token in a process list
    host = make_host("web-1")
    asked = _ask(host, made["token"])
    assert asked.status_code == 202 and asked["Cache-Control"] == "no-store"
    poll = asked.json()["poll_token"]
    assert (
        _status(poll).json()["status"] == "pending" and not HostAgent.objects.exists() and not Server.objects.exists()
    )

    (waiting,) = admin.get(f"{URL}/pending").json()["results"]
    key = host.key.public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(serialization.Encoding.DER, form))
    assert waiting["fingerprint"] == digest.finalize().hex() == asked.json()["fingerprint"]
    assert (waiting["hostname"], waiting["ip"], waiting["token_name"]) == ("web-1", "127.0.0.1", "rack 1")

    approved = admin.post(f"{URL}/pending/{waiting['id']}/approve")
    assert approved.status_code == 200, approved.content
    agent = approved.json()
    assert (agent["id"], agent["kind"], agent["status"], agent["name"]) == ("web-1", "host", "offline", "web-1")
    server = Server.objects.get(slug="web-1")
    assert sorted(server.tags.values_list("name", flat=True)) == ["prod", "web"]

    got = _status(poll).json()
    certificate = x509.load_pem_x509_certificate(got["certificate"].encode())
    authority = x509.load_pem_x509_certificate(got["ca"].encode())
    certificate.verify_directly_issued_by(authority)
    assert (got["status"], got["agent_id"]) == ("approved", "web-1")
    assert certificate.public_key() == key
    assert certificate.subject.rfc4514_string() == f"CN={server.id}"  # nothing of what the host calls itself
    life = certificate.not_valid_after_utc - timezone.now()
    assert timedelta(days=6, hours=23) < life <= timedelta(days=7)
    names = list(Event.objects.order_by("id").values_list("name", flat=True))
    assert names == [
        "enrolment_token.created", "agent.pending", "server.created", "agent.enrolled", "agent.approved",
    ]  # fmt: skip
    assert made["token"] not in str(list(Event.objects.values_list("data", "audit")))

    again = admin.post(f"{URL}/pending/{waiting['id']}/approve")
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")
    assert admin.get(f"{URL}/pending").json()["count"] == 0


def test_rejected_host_gets_nothing_and_is_refused_again() -> None:
    admin, host, token = client_as("admin"), make_host("evil"), make_token()
    asked = _ask(host, token).json()
    answer = admin.post(f"{URL}/pending/{asked['id']}/reject", {"reason": "not ours"}, format="json")
    assert answer.status_code == 200
    said = _status(asked["poll_token"]).json()
    assert (said["status"], said["reason"], said["certificate"]) == ("rejected", "not ours", "")
    assert not HostAgent.objects.exists() and not Server.objects.exists()
    assert _ask(host, token).json()["code"] == "enrolment_refused"
    assert admin.post(f"{URL}/pending/{asked['id']}/approve").status_code == 409
    assert Event.objects.filter(name="agent.rejected", data__reason="not ours").count() == 1


def test_token_counts_hosts_not_tries_and_refuses_one_too_many() -> None:
    first, second, token = make_host(), make_host(), make_token(max_uses=1)
    one, two = _ask(first, token).json(), _ask(first, token).json()
    assert one["id"] == two["id"] and one["poll_token"] != two["poll_token"]
    assert _status(one["poll_token"]).status_code == 404  # the newer poll token counts
    refused = _ask(second, token)
    assert (refused.status_code, refused.json()["code"]) == (403, "enrolment_token_used")
    assert EnrolmentToken.objects.get().used == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"expires_at": timezone.now() - timedelta(minutes=1)}, "enrolment_token_ended"),
        ({"token_hash": "0" * 64}, "enrolment_token_unknown"),
    ],
)
def test_token_that_does_not_count_is_refused_with_its_reason(change: dict[str, Any], code: str) -> None:
    token = make_token()
    EnrolmentToken.objects.update(**change)
    refused = _ask(make_host(), token)
    assert (refused.status_code, refused.json()["code"]) == (403, code)
    assert not EnrolmentRequest.objects.exists()


def test_removed_token_lets_nobody_ask() -> None:
    admin, token = client_as("admin"), make_token()
    (row,) = admin.get(f"{URL}/enrolment-tokens").json()["results"]
    assert row["is_usable"] and "token" not in row
    assert admin.delete(f"{URL}/enrolment-tokens/{row['id']}").status_code == 204
    assert _ask(make_host(), token).json()["code"] == "enrolment_token_unknown"
    assert Event.objects.filter(name="enrolment_token.deleted").count() == 1
    wrong = admin.post(f"{URL}/enrolment-tokens", {"name": " ", "max_uses": 0, "expires_at": "2001-01-01T00:00:00Z"})
    assert {"name", "max_uses"} <= _names(wrong)
    past = admin.post(f"{URL}/enrolment-tokens", {"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, format="json")
    assert _names(past) == {"expires_at"}


def test_pre_approved_token_lets_in_at_once() -> None:
    asked = _ask(make_host("batch-1"), make_token(pre_approved=True, tags=["batch"]))
    body = asked.json()
    assert (asked.status_code, body["status"], body["agent_id"]) == (201, "approved", "batch-1")
    assert "BEGIN CERTIFICATE" in body["certificate"] and "BEGIN CERTIFICATE" in body["ca"]
    event = Event.objects.get(name="agent.enrolled")
    assert event.data["how"] == "token" and "rack 1" in event.audit["note"]


def test_pre_approved_token_does_not_bring_a_revoked_key_back() -> None:
    agent, host = make_host_agent()
    revoke_agent(actor=system("test"), agent=agent)
    asked = _ask(host, make_token(pre_approved=True))
    assert (asked.status_code, asked.json()["status"]) == (202, "pending")
    approved = client_as("admin").post(f"{URL}/pending/{asked.json()['id']}/approve").json()
    assert (approved["id"], approved["is_approved"]) == (agent.slug, True)  # the same agent, not a second one


def test_same_name_twice_makes_two_servers_and_says_so() -> None:
    make_host_agent("web-1")
    asked = _ask(make_host("web-1"), make_token()).json()
    admin = client_as("admin")
    (waiting,) = admin.get(f"{URL}/pending").json()["results"]
    assert waiting["same_hostname"] == ["web-1"] and waiting["agent_id"] is None
    approved = admin.post(f"{URL}/pending/{asked['id']}/approve", {"name": "web 1 (new)"}, format="json").json()
    assert (approved["id"], approved["name"]) == ("web-1-new", "web 1 (new)")


def test_approved_host_comes_back_by_its_key_and_after_too_long_it_waits() -> None:
    _, host = make_host_agent()
    assert _ask(host).json()["certificate"] == host.certificate  # the one it has is good
    ended = timezone.now() - timedelta(days=2)
    AgentCertificate.objects.update(not_after=ended)
    back = _ask(host)
    assert back.status_code == 201, back.content
    assert back.json()["certificate"] != host.certificate
    assert Event.objects.filter(name="agent.enrolled", data__how="key").count() == 1
    AgentCertificate.objects.update(not_after=timezone.now() - timedelta(days=31))
    assert _ask(host).status_code == 202
    assert _ask(host).json()["id"] == str(EnrolmentRequest.objects.get(status="pending").pk)  # one row, however often
    change_settings(values={"agents.return_within": 0}, actor=system("test"))
    EnrolmentRequest.objects.all().delete()
    assert _ask(host).status_code == 202
    stranger = _ask(make_host())
    assert (stranger.status_code, stranger.json()["code"]) == (403, "enrolment_token_needed")


def test_bound_token_renews_one_agent_and_its_old_key_counts_no_more() -> None:
    agent, former = make_host_agent("db-1")
    made = client_as("operator").post(f"{URL}/db-1/enrolment-token")
    assert made.status_code == 201
    fresh = make_host("db-1-reinstalled")
    asked = _ask(fresh, made.json()["enrolment_token"]).json()
    agent.refresh_from_db()
    assert agent.fingerprint != asked["fingerprint"]  # nothing changes before somebody has looked
    client_as("admin").post(f"{URL}/pending/{asked['id']}/approve")
    agent.refresh_from_db()
    assert agent.fingerprint == asked["fingerprint"] and agent.hostname == "db-1-reinstalled"
    assert Server.objects.count() == 1
    assert agent.certificates.get(revoked_at=None).fingerprint == asked["fingerprint"]
    assert agent.certificates.exclude(revoked_at=None).count() == 1
    assert former.certificate


def test_copied_host_with_another_agents_key_is_told_so() -> None:
    _, host = make_host_agent("one")
    make_host_agent("two")
    token = client_as("operator").post(f"{URL}/two/enrolment-token").json()["enrolment_token"]
    refused = _ask(host, token)
    assert (refused.status_code, refused.json()["code"]) == (409, "key_taken")
    assert EnrolmentToken.objects.get(agent__server__slug="two").used == 0


def _meanwhile(monkeypatch: pytest.MonkeyPatch, work: Any) -> None:
    """Do something of another process once a host's request has been read, before anything is written of it."""

    def hashed(secret: str) -> str:
        if not secret.startswith("wke_"):
            monkeypatch.undo()
            work()
        return hash_secret(secret)

    monkeypatch.setattr(enrolment, "hash_secret", hashed)


def test_request_repeated_while_somebody_approves_it_does_not_undo_that(monkeypatch: pytest.MonkeyPatch) -> None:
    host, token = make_host(), make_token()
    request = host.asks(token).request
    _meanwhile(monkeypatch, lambda: approve_request(actor=system("test"), request_id=request.pk))
    again = host.asks(token)
    assert again.request.pk == request.pk
    assert "BEGIN" in enrolment.enrolment_status(poll_token=again.poll_token).certificate


def test_approval_taken_back_while_its_host_asks_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = system("test")
    agent, token = create_host_agent(actor=admin, name="web 1")
    approve_worker(actor=admin, agent=agent, is_approved=True)
    _meanwhile(monkeypatch, lambda: approve_worker(actor=admin, agent=agent, is_approved=False))
    assert make_host().asks(token).request.status == "pending"
    assert not AgentCertificate.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hostname", "web 1; rm -rf /"),
        ("hostname", "-oProxyCommand=x"),
        ("hostname", "a" * 254),
        ("name", "line\nbreak"),
        ("name", "x\x1b[2J"),
        ("architecture", "x86_64 $(id)"),
        ("os", "Debian\x00"),
        ("csr", ""),
        ("csr", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"),
        ("csr", "x" * 9000),
    ],
)
def test_malformed_value_is_refused_by_name(field: str, value: str) -> None:
    assert _names(_ask(make_host(), make_token(), **{field: value})) == {field}
    assert not EnrolmentRequest.objects.exists() and EnrolmentToken.objects.get().used == 0


def test_request_for_another_kind_of_key_or_with_a_forged_signature_is_refused() -> None:
    name = x509.Name([])
    curve = x509.CertificateSigningRequestBuilder().subject_name(name)
    other = curve.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    pem = other.public_bytes(serialization.Encoding.PEM).decode()
    assert "Ed25519" in _ask(make_host(), make_token(), csr=pem).json()["detail"][0]["msg"]
    request = x509.load_pem_x509_csr(csr_of(Ed25519PrivateKey.generate()).encode())
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()
    assert "own key" in _ask(make_host(), make_token(), csr=forged).json()["detail"][0]["msg"]


def test_waiting_room_is_bounded_and_requests_end() -> None:
    host, token = make_host(), make_token()
    asked = _ask(host, token).json()
    EnrolmentRequest.objects.update(requested_at=timezone.now() - timedelta(days=8))
    assert end_stale_requests() == 1
    assert _status(asked["poll_token"]).json()["status"] == "expired"
    assert _ask(host, token).status_code == 202  # it may ask anew
    EnrolmentRequest.objects.bulk_create(
        EnrolmentRequest(name="x", hostname="x", public_key="", fingerprint=f"{n:064x}", poll_token_hash=f"{n:064x}")
        for n in range(WAITING_MOST)
    )
    full = _ask(make_host(), token)
    assert (full.status_code, full.json()["code"]) == (409, "too_many_waiting")
    assert EnrolmentToken.objects.get().used == 2  # the one host before and after; a refusal costs nothing
    assert _ask(make_host(), make_token(pre_approved=True)).status_code == 201  # who need not wait takes no room
    EnrolmentRequest.objects.filter(status="expired").update(decided_at=timezone.now() - timedelta(days=100))
    assert prune_enrolments(10) == 1


def test_calls_of_one_address_are_limited() -> None:
    change_settings(values={"limits.enrolment_per_minute": 2}, actor=system("test"))
    windows.clear()
    assert [_status("x").status_code for _ in range(3)] == [404, 404, 429]
    assert int(_status("x")["Retry-After"]) >= 1
    windows.clear()


def test_list_of_waiting_hosts_takes_as_many_queries_for_many_as_for_few() -> None:
    admin = client_as("admin")

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert admin.get(f"{URL}/pending").status_code == 200
        return len(found)

    token = make_token()
    make_host().asks(token)
    queries()
    few = queries()
    for _ in range(5):
        make_host().asks(token)
    assert queries() == few


@pytest.mark.django_db(transaction=True)
def test_two_processes_make_one_authority_and_sign_with_it() -> None:
    token = make_token(pre_approved=True)
    hosts, gate, answers = [make_host() for _ in range(4)], threading.Barrier(4), []

    def ask(host: Any) -> None:
        gate.wait()
        answers.append(host.asks(token).request.certificate.pem)
        connection.close()

    threads = [threading.Thread(target=ask, args=[host]) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    authority = x509.load_pem_x509_certificate(CertificateAuthority.objects.get().certificate.encode())
    assert len(answers) == 4
    for pem in answers:
        x509.load_pem_x509_certificate(pem.encode()).verify_directly_issued_by(authority)
    assert EnrolmentToken.objects.get().used == 4
