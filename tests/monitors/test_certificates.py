"""Certificates against real TLS servers: what is found, what is told, who may change what."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core import runner as runner_module
from apps.core.net import PeerCertificate, run_sync
from apps.core.net.certificates import read_certificate
from apps.core.net.revocation import forget_answers
from apps.core.principals import system
from apps.core.registries import watches
from apps.core.runner import Runner
from apps.monitors.checks import CertificateSeen, CheckOutcome
from apps.monitors.models import CertificateCheck, CertificateMonitor, CertificateMonitorState, EndpointState
from apps.monitors.selectors.certificates import verdicts
from apps.monitors.services.certificate_examination import Finding, config_of, examine
from apps.monitors.services.certificate_results import CertificateRun, record_finding
from apps.monitors.services.certificates import create_certificate
from apps.monitors.services.endpoint_configs import config_of as endpoint_config_of
from apps.monitors.services.endpoint_results import CheckRun, record_results
from apps.monitors.services.endpoints import delete_endpoint, pause_endpoint, resume_endpoint
from apps.monitors.tasks import certificates as tasks
from apps.monitors.tasks import endpoints as endpoint_tasks
from tests.factories.accounts import client_as
from tests.factories.monitors import facts, make_endpoint, record
from tests.support.console import console_as, inline_scripts
from tests.support.pki import Pki
from tests.support.servers import (
    Certificate,
    Reply,
    hanging_server,
    http_server,
    https_server,
    self_signed,
    server_context,
    tcp_server,
    unused_port,
)

pytestmark = pytest.mark.django_db
PKI = Pki()


@pytest.fixture(autouse=True)
def own_runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """Give the test a runner of its own, and nothing asked before."""
    forget_answers()
    one = Runner(threads=2)
    monkeypatch.setattr(runner_module, "_runner", one)
    yield one
    one.stop()


def make_certificate(**values: Any) -> CertificateMonitor:
    """Return a monitor, added by its service, that has not been looked at."""
    given = {"hostname": "localhost", "ca_pem": PKI.root_pem, **values}
    return create_certificate(actor=system("test"), values=given)


def look(monitor: CertificateMonitor) -> CertificateMonitor:
    """Look at a certificate as the sweep does, and return the monitor after it."""
    run = CertificateRun(config_of(monitor), timezone.now(), run_sync(examine(config_of(monitor))))
    assert record_finding(run)
    found: CertificateMonitor = CertificateMonitor.objects.with_state().get(pk=monitor.pk)
    return found


def looked_at(certificate: Certificate, **values: Any) -> CertificateMonitor:
    """Return a monitor of a server with that certificate, looked at once."""
    with https_server(certificate) as server:
        return look(make_certificate(port=server.port, **values))


def said(monitor: CertificateMonitor, topic: str) -> tuple[str, str]:
    return next((one["status"], one["text"]) for one in verdicts(monitor) if one["topic"] == topic)


# --- what is found -----------------------------------------------------------------------------------------------


def test_good_certificate_is_valid_with_its_chain() -> None:
    issued = PKI.issue()
    monitor = looked_at(issued)
    state = monitor.state
    assert (state.status, state.fingerprint, state.last_error) == ("valid", issued.der_fingerprint(), "")
    found = state.facts
    assert (found["chain_valid"], found["hostname_valid"], found["key_type"]) == (True, True, "EC secp256r1")
    assert [(link["position"], link["subject"], link["issuer"]) for link in found["chain"]] == [
        (0, "CN=localhost", "CN=Test Authority"),
        (1, "CN=Test Authority", "CN=Test Root"),
    ]
    assert said(monitor, "chain")[0] == said(monitor, "name")[0] == said(monitor, "validity")[0] == "ok"
    assert said(monitor, "ocsp") == ("unknown", "The certificate names no OCSP responder.")
    assert not facts("certificate.alert")


@pytest.mark.parametrize(
    ("issued", "status", "reason", "words"),
    [
        (lambda: PKI.issue(days=-1, begins=-30), "expired", "expired", "ended on"),
        (lambda: PKI.issue(begins=1), "error", "untrusted", "not valid yet"),
        (lambda: PKI.issue(sans=("other.example.org",)), "error", "name_mismatch", "but for other.example.org"),
        (lambda: PKI.issue(is_chain_whole=False), "error", "untrusted", "does not send an intermediate"),
        (lambda: self_signed(), "error", "untrusted", "self-signed"),
        (lambda: Pki().issue(), "error", "untrusted", "not trusted here"),
        (lambda: PKI.issue(days=5.5), "expiring", "expiring", "ends in 5 days"),
    ],
)
def test_each_fault_is_told_once_with_its_reason(issued: Any, status: str, reason: str, words: str) -> None:
    with https_server(issued()) as server:
        monitor = look(make_certificate(port=server.port))
        look(monitor)
    [alert] = facts("certificate.alert")
    assert (monitor.state.status, alert.data["reason"]) == (status, reason)
    assert words in alert.data["message"]
    assert (alert.subject_kind, alert.subject_id) == ("certificate", str(monitor.pk))
    assert alert.data["level"] == ("warning" if reason == "expiring" else "critical")


def test_wrong_name_says_nothing_against_the_chain() -> None:
    monitor = looked_at(PKI.issue(sans=("other.example.org",)))
    assert (monitor.state.facts["chain_valid"], monitor.state.facts["hostname_valid"]) == (True, False)
    assert said(monitor, "name") == ("crit", "It is not for localhost but for other.example.org.")


def test_server_name_is_asked_for_and_compared() -> None:
    monitor = looked_at(PKI.issue(sans=("inner.example.org",)), server_name="inner.example.org")
    assert monitor.state.status == "valid"
    assert str(monitor).endswith("(inner.example.org)")


def test_server_that_is_away_is_an_error_and_no_alert() -> None:
    monitor = look(make_certificate(port=unused_port()))
    assert (monitor.state.status, monitor.state.facts) == ("error", None)
    assert "refused" in monitor.state.last_error
    assert not facts("certificate.alert")
    # It is looked at again before its interval is over.
    assert monitor.state.next_check_at - timezone.now() < timedelta(minutes=6)


def test_server_that_hangs_does_not_hold_a_check_up() -> None:
    with hanging_server() as server:
        began = time.monotonic()
        finding = run_sync(examine(config_of(make_certificate(port=server.port)), timeout_s=1))
    assert "1 s" in finding.error and time.monotonic() - began < 8


def test_port_without_tls_is_an_error() -> None:
    with http_server() as server:
        monitor = look(make_certificate(port=server.port))
    assert (monitor.state.status, "does not speak TLS" in monitor.state.last_error) == ("error", True)


@pytest.mark.parametrize("kind", ["smtp", "imap"])
def test_starttls_is_asked_for_before_the_handshake(kind: str) -> None:
    context = server_context(PKI.issue())

    def serve(plain: socket.socket) -> None:
        if kind == "smtp":
            plain.sendall(b"220 mail.example.org ESMTP\r\n")
            assert plain.recv(1000).startswith(b"EHLO")
            plain.sendall(b"250-mail.example.org\r\n250-SIZE 1\r\n250 STARTTLS\r\n")
            assert plain.recv(1000) == b"STARTTLS\r\n"
            plain.sendall(b"220 go ahead\r\n")
        else:
            plain.sendall(b"* OK ready\r\n")
            tag = plain.recv(1000).split(b" ")[0]
            plain.sendall(b"* CAPABILITY IMAP4\r\n" + tag + b" OK begin\r\n")
        with context.wrap_socket(plain, server_side=True) as secure:
            secure.recv(1)

    with tcp_server(serve) as server:
        assert look(make_certificate(port=server.port, starttls=kind)).state.status == "valid"


def test_mail_server_without_starttls_is_an_error() -> None:
    def serve(plain: socket.socket) -> None:
        plain.sendall(b"220 mail ESMTP\r\n")
        plain.recv(1000)
        plain.sendall(b"250 mail\r\n")
        plain.recv(1000)

    with tcp_server(serve) as server:
        monitor = look(make_certificate(port=server.port, starttls="smtp"))
    assert monitor.state.last_error == "The mail server does not offer STARTTLS."


# --- revocation --------------------------------------------------------------------------------------------------


def test_ocsp_that_says_good_is_shown_and_kept() -> None:
    pki = Pki()
    with http_server(pki.responder) as responder:
        issued = pki.issue(ocsp_url=f"{responder.url}/")
        with https_server(issued) as server:
            monitor = look(make_certificate(port=server.port, ca_pem=pki.root_pem))
            monitor = look(monitor)
    assert (monitor.state.status, len(pki.asked)) == ("valid", 1)
    assert said(monitor, "ocsp") == ("ok", "The issuer says by OCSP that it is not revoked.")


def test_ocsp_that_says_revoked_is_an_error_and_told() -> None:
    pki = Pki()
    with http_server(pki.responder) as responder:
        issued = pki.issue(ocsp_url=responder.url)
        pki.revoke(issued)
        monitor = looked_at(issued, ca_pem=pki.root_pem)
    [alert] = facts("certificate.alert")
    assert (monitor.state.status, alert.data["reason"], alert.data["level"]) == ("error", "revoked", "critical")
    assert "was revoked on" in alert.data["message"] and "key" in alert.data["message"]
    assert said(monitor, "ocsp")[0] == "crit"
    assert CertificateCheck.objects.get().revocation == "revoked"


def test_list_with_the_certificate_on_it_makes_it_revoked() -> None:
    pki = Pki()
    with http_server(pki.crl_server) as lists:
        issued, other = pki.issue(crl_url=lists.url), pki.issue(crl_url=lists.url)
        pki.revoke(issued)
        assert looked_at(issued, ca_pem=pki.root_pem).state.status == "error"
        monitor = looked_at(other, ca_pem=pki.root_pem)
    assert monitor.state.status == "valid"
    assert said(monitor, "crl") == ("ok", "It is not on the issuer's revocation list.")


@pytest.mark.parametrize("fault", ["away", "forged", "garbage", "error"])
def test_failure_to_ask_is_never_revoked(fault: str) -> None:
    pki = Pki()
    with contextlib.ExitStack() as stack:
        url = f"http://127.0.0.1:{unused_port()}"
        if fault == "forged":
            url = stack.enter_context(http_server(pki.forged_responder)).url
        elif fault == "garbage":
            url = stack.enter_context(http_server()).url
        elif fault == "error":
            url = stack.enter_context(http_server(lambda request: Reply(status=503))).url
        monitor = looked_at(pki.issue(ocsp_url=url, crl_url=url), ca_pem=pki.root_pem)
    assert monitor.state.status == "valid"
    assert {one["status"] for one in monitor.state.facts["revocation"].values()} == {"unknown"}
    assert said(monitor, "ocsp")[0] == "unknown" and url in said(monitor, "ocsp")[1]
    assert not facts("certificate.alert")


def test_revoked_stays_revoked_while_nobody_can_be_asked() -> None:
    pki = Pki()
    with http_server(pki.responder) as responder:
        issued = pki.issue(ocsp_url=responder.url)
        pki.revoke(issued)
        with https_server(issued) as server:
            monitor = look(make_certificate(port=server.port, ca_pem=pki.root_pem))
    forget_answers()
    with https_server(issued, port=monitor.port):
        monitor = look(monitor)
    assert (monitor.state.status, monitor.state.told) == ("error", "revoked")
    assert not facts("certificate.recovery")


def test_nobody_is_asked_about_a_certificate_that_is_not_trusted() -> None:
    pki = Pki()
    with http_server(pki.responder) as responder:
        monitor = looked_at(pki.issue(ocsp_url=responder.url), ca_pem=PKI.root_pem)
    assert (pki.asked, monitor.state.status) == ([], "error")


# --- what is told ------------------------------------------------------------------------------------------------


def found(monitor: CertificateMonitor, certificate: Certificate, at: Any) -> None:
    """Record a finding of another time."""
    finding = Finding(certificate=peer_of(certificate), chain_valid=True)
    assert record_finding(CertificateRun(config_of(monitor), at, finding))


def peer_of(certificate: Certificate) -> PeerCertificate:
    """Return a certificate as a check reads it."""
    peer = read_certificate(ssl.PEM_cert_to_DER_cert(certificate.pem))
    assert peer is not None
    return peer


def test_each_warning_day_is_told_once() -> None:
    monitor = make_certificate()
    issued, now = PKI.issue(days=31), timezone.now()
    for hours in range(0, 33 * 24, 6):
        found(monitor, issued, now + timedelta(hours=hours))
    alerts = facts("certificate.alert")
    assert [alert.data["reason"] for alert in alerts] == ["expiring"] * 5 + ["expired"]
    assert [int(alert.data["days_left"] + 0.5) for alert in alerts[:5]] == [30, 14, 7, 3, 1]


def test_renewal_is_told_with_both_fingerprints_and_recovers() -> None:
    monitor = make_certificate()
    old, new, now = PKI.issue(days=5, begins=-30), PKI.issue(days=90), timezone.now()
    found(monitor, old, now)
    found(monitor, new, now + timedelta(hours=6))
    found(monitor, new, now + timedelta(hours=12))
    [renewed] = facts("certificate.renewed")
    assert (renewed.data["old_fingerprint"], renewed.data["new_fingerprint"]) == (
        old.der_fingerprint(), new.der_fingerprint(),
    )  # fmt: skip
    assert (len(facts("certificate.alert")), len(facts("certificate.recovery"))) == (1, 1)
    assert CertificateMonitorState.objects.get().told == ""


def test_two_servers_behind_one_name_are_no_renewal_each_time() -> None:
    monitor = make_certificate()
    old, new, now = PKI.issue(days=50, begins=-30), PKI.issue(days=90), timezone.now()
    for number in range(6):
        found(monitor, (old, new)[number % 2], now + timedelta(hours=number))
    assert len(facts("certificate.renewed")) == 1


def test_finding_of_a_changed_monitor_is_dropped() -> None:
    monitor = make_certificate()
    run = CertificateRun(config_of(monitor), timezone.now(), Finding(error="away"))
    CertificateMonitor.objects.update(revision=2)
    assert not record_finding(run)
    assert not CertificateCheck.objects.exists()


# --- the sweep ---------------------------------------------------------------------------------------------------


def wait_for_checks(count: int) -> None:
    end = time.monotonic() + 30
    while CertificateCheck.objects.count() < count:
        assert time.monotonic() < end, f"{CertificateCheck.objects.count()} of {count} checks"
        time.sleep(0.02)


@pytest.mark.django_db(transaction=True)
def test_sweep_looks_at_what_is_due_and_keeps_its_grid() -> None:
    with https_server(PKI.issue()) as server:
        monitor = make_certificate(port=server.port, interval_s=600)
        make_certificate(port=1, enabled=False)
        assert tasks.sweep_certificates() == 1
        assert tasks.sweep_certificates() == 0  # claimed
        wait_for_checks(1)
        state = CertificateMonitorState.objects.get(num=monitor.num)
        first = state.next_check_at
        assert (state.status, state.lease_owner) == ("valid", "")
        assert first is not None and timedelta() < first - timezone.now() <= timedelta(seconds=600)
        found(monitor, PKI.issue(), first + timedelta(seconds=100))
    second = CertificateMonitorState.objects.get(num=monitor.num).next_check_at
    assert second is not None and abs((second - first).total_seconds() - 600) < 0.001


@pytest.mark.django_db(transaction=True)
def test_spoilt_row_is_unknown_and_stops_nobody() -> None:
    with https_server(PKI.issue()) as server:
        spoilt = make_certificate(port=server.port, server_name="spoilt.example.org")
        healthy = make_certificate(port=server.port)
        CertificateMonitor.objects.filter(pk=spoilt.pk).update(warn_days={"x": 1}, server_name="", port=server.port + 1)
        CertificateMonitor.objects.filter(pk=spoilt.pk).update(ca_pem="broken", hostname="not a host")
        assert tasks.sweep_certificates() == 2
        wait_for_checks(2)
    states = {state.num: state for state in CertificateMonitorState.objects.all()}
    assert states[healthy.num].status == "valid"
    assert states[spoilt.num].status == "unknown" and states[spoilt.num].last_error


def test_certificate_that_nobody_looked_at_is_overdue_and_unknown() -> None:
    make_certificate(port=1)
    monitor = looked_at(PKI.issue())
    due = timezone.now() - timedelta(minutes=10)
    CertificateMonitorState.objects.filter(num=monitor.num).update(next_check_at=due)
    watch = watches["certificates"]
    found = watch.find(timezone.now())
    assert found is not None and (found.what, found.since) == ("1 certificate", due)
    assert watch.mark is not None and watch.mark(timezone.now()) == 1
    state = CertificateMonitorState.objects.get(num=monitor.num)
    assert (state.status, state.told) == ("unknown", "")
    assert "has not looked at it in time" in state.last_error


# --- seen by endpoints -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_certificate_that_an_endpoint_meets_is_listed_and_deepened() -> None:
    with https_server(PKI.issue(days=20)) as server:
        endpoint = make_endpoint(
            name="Shop", target=f"https://localhost:{server.port}/", ca_pem=PKI.root_pem, tags=["eu"]
        )
        endpoint_tasks.sweep_endpoints()
        wait_for_checks(1)
        monitor = CertificateMonitor.objects.with_state().get()
        assert (monitor.source, monitor.endpoint_id, monitor.state.status) == ("endpoint", endpoint.pk, "expiring")
        assert monitor.state.facts["chain"] == []
        assert tasks.sweep_certificates() == 1
        wait_for_checks(2)
    monitor = CertificateMonitor.objects.with_state().get()
    assert [link["subject"] for link in monitor.state.facts["chain"]] == ["CN=localhost", "CN=Test Authority"]
    [alert] = facts("certificate.alert")
    assert (alert.subject_id, alert.data["endpoint_id"], alert.tags) == (str(monitor.pk), str(endpoint.pk), ["eu"])
    client = client_as("operator")
    assert client.get("/api/v1/certificates?tag=eu&source=endpoint").json()["count"] == 1
    for answer in (
        client.put(f"/api/v1/certificates/{monitor.pk}", {"warn_days": [1]}, format="json"),
        client.delete(f"/api/v1/certificates/{monitor.pk}"),
        client.post("/api/v1/certificates", {"hostname": "localhost", "port": monitor.port}, format="json"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "seen_by_endpoint")
        assert "“Shop”" in answer.json()["detail"]


def sight(endpoint: Any, certificate: Certificate) -> None:
    """Record a check of an endpoint that met a certificate."""
    record(endpoint, "up", certificate=CertificateSeen(peer_of(certificate)))


def test_one_certificate_of_two_endpoints_is_told_once_and_handed_over() -> None:
    issued = PKI.issue(days=5)
    first, second = (make_endpoint(name=name, target=f"https://localhost:8443/{name}") for name in ("a", "b"))
    sight(first, issued)
    sight(second, issued)
    monitor = CertificateMonitor.objects.get()
    assert (monitor.endpoint_id, len(facts("certificate.alert"))) == (first.pk, 1)
    delete_endpoint(endpoint=first, actor=system("test"))
    assert len(facts("certificate.recovery")) == 1
    sight(second, issued)
    after = CertificateMonitor.objects.get()
    assert (after.pk, after.endpoint_id, len(facts("certificate.alert"))) == (monitor.pk, second.pk, 2)
    delete_endpoint(endpoint=second, actor=system("test"))
    assert not CertificateMonitor.objects.exists()
    assert len(facts("certificate.deleted")) == 1


def test_flood_of_new_certificates_is_spread_over_transactions() -> None:
    endpoints = [make_endpoint(name=str(number), target=f"https://h{number}.example.org/") for number in range(30)]
    seen = CertificateSeen(peer_of(PKI.issue(days=5)))
    for count in (25, 30):
        now = timezone.now()
        record_results(
            [CheckRun(endpoint_config_of(one), now, CheckOutcome("up", certificate=seen)) for one in endpoints]
        )
        assert (CertificateMonitor.objects.count(), len(facts("certificate.alert"))) == (count, count)


def test_paused_endpoint_keeps_its_certificate_in_the_list_and_quiet() -> None:
    endpoint = make_endpoint(target="https://localhost:8443/")
    sight(endpoint, PKI.issue(days=5))
    pause_endpoint(endpoint=endpoint, actor=system("test"))
    monitor = CertificateMonitor.objects.with_state().get()
    assert (monitor.enabled, monitor.state.status, monitor.state.next_check_at) == (False, "unknown", None)
    assert len(facts("certificate.recovery")) == 1
    resume_endpoint(endpoint=endpoint, actor=system("test"))
    sight(endpoint, PKI.issue(days=5))
    assert CertificateMonitor.objects.with_state().get().state.status == "expiring"


@pytest.mark.django_db(transaction=True)
def test_certificate_of_a_mail_server_is_looked_at_as_its_check_does() -> None:
    context = server_context(PKI.issue(sans=("mail.example.org",)))

    def serve(plain: socket.socket) -> None:
        plain.sendall(b"220 mail ESMTP\r\n")
        plain.recv(1000)
        plain.sendall(b"250-mail\r\n250 STARTTLS\r\n")
        plain.recv(1000)
        plain.sendall(b"220 go ahead\r\n")
        with context.wrap_socket(plain, server_side=True) as secure:
            while secure.recv(1000):
                secure.sendall(b"250 mail\r\n")

    with tcp_server(serve) as server:
        make_endpoint(
            name="Mail", endpoint_type="smtp", target=f"127.0.0.1:{server.port}", ca_pem=PKI.root_pem,
            options={"security": "starttls", "server_name": "mail.example.org"},
        )  # fmt: skip
        endpoint_tasks.sweep_endpoints()
        wait_for_checks(1)
        tasks.sweep_certificates()
        wait_for_checks(2)
    monitor = CertificateMonitor.objects.with_state().get()
    assert (monitor.starttls, monitor.server_name, monitor.state.status) == ("smtp", "mail.example.org", "valid")
    assert len(monitor.state.facts["chain"]) == 2


def test_own_monitor_of_an_address_stands_above_what_endpoints_meet() -> None:
    make_certificate(hostname="localhost", port=8443)
    sight(make_endpoint(target="https://localhost:8443/"), PKI.issue(days=5))
    assert CertificateMonitor.objects.get().source == "standalone"
    assert not facts("certificate.alert")


def test_what_was_told_under_the_endpoint_is_taken_back_once() -> None:
    endpoint = make_endpoint(target="https://localhost:8443/")
    issued = PKI.issue(days=5)
    sight(endpoint, issued)
    state = EndpointState.objects.get(num=endpoint.num)
    CertificateMonitor.objects.all().delete()
    kept = {name: value for name, value in state.certificate.items() if name != "handed_on"}
    EndpointState.objects.update(certificate=kept, certificate_alert="expiring:7")
    sight(endpoint, issued)
    sight(endpoint, issued)
    [recovery] = facts("certificate.recovery")
    assert recovery.subject_id == str(endpoint.pk)


# --- API ---------------------------------------------------------------------------------------------------------


def test_created_monitor_is_looked_at_before_the_answer() -> None:
    with https_server(PKI.issue()) as server:
        body = {"hostname": "Localhost.", "port": server.port, "ca_pem": PKI.root_pem, "tags": ["eu"], "interval": "1h"}
        client = client_as("operator")
        answer = client.post("/api/v1/certificates", body, format="json", HTTP_IDEMPOTENCY_KEY="k1")
        again = client.post("/api/v1/certificates", body, format="json", HTTP_IDEMPOTENCY_KEY="k1")
        twice = client.post("/api/v1/certificates", body, format="json")
    assert answer.status_code == 201, answer.data
    shown = answer.json()
    assert (shown["status"], shown["latest_check"]["status"], shown["interval"]) == ("valid", "valid", 3600)
    assert 89 < shown["days_left"] <= 90 and shown["sans"] == ["localhost"]
    assert shown["not_before"] < shown["not_after"] and len(shown["fingerprint"]) == 64
    assert (shown["tags"], shown["source"], shown["hostname"], shown["warn_days"]) == (
        ["eu"], "standalone", "localhost", [30, 14, 7, 3, 1],
    )  # fmt: skip
    assert (shown["chain_valid"], shown["hostname_valid"], shown["revocation"]) == (True, True, "unknown")
    assert again.json()["id"] == shown["id"]
    assert (twice.status_code, twice.json()["code"], twice.json()["details"]["id"]) == (409, "duplicate", shown["id"])
    assert len(facts("certificate.created")) == 1


def test_created_monitor_of_a_server_that_is_away_says_so() -> None:
    answer = client_as("operator").post("/api/v1/certificates", {"hostname": "localhost", "port": unused_port()})
    assert (answer.status_code, answer.json()["status"]) == (201, "error")
    assert "refused" in answer.json()["latest_check"]["error"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hostname": ""}, "hostname"),
        ({"hostname": "https://shop.example.org/"}, "hostname"),
        ({"hostname": "169.254.169.254"}, "hostname"),
        ({"port": 0}, "port"),
        ({"port": 70000}, "port"),
        ({"server_name": "a b"}, "server_name"),
        ({"starttls": "ldap"}, "starttls"),
        ({"warn_days": [0]}, "warn_days"),
        ({"interval": 60}, "interval"),
        ({"interval": "soon"}, "interval"),
        ({"ca_pem": "no pem"}, "ca_pem"),
        ({"tags": ["x" * 65]}, "tags"),
    ],
)
def test_wrong_value_is_refused_by_its_name(change: dict[str, Any], field: str) -> None:
    answer = client_as("operator").post("/api/v1/certificates", {"hostname": "localhost", **change}, format="json")
    assert answer.status_code == 422, answer.data
    assert field in [place for entry in answer.json()["detail"] for place in entry["loc"]]
    assert not CertificateMonitor.objects.exists()


def test_change_pause_and_removal() -> None:
    monitor = looked_at(PKI.issue(days=5))
    client = client_as("operator")
    path = f"/api/v1/certificates/{monitor.pk}"
    etag = client.get(path)["ETag"]
    changed = client.put(path, {"warn_days": [3, 10], "tags": ["x"]}, format="json", HTTP_IF_MATCH=etag)
    assert (changed.status_code, changed.json()["warn_days"], changed.json()["tags"]) == (200, [10, 3], ["x"])
    assert client.put(path, {"warn_days": [1]}, format="json", HTTP_IF_MATCH=etag).status_code == 412
    paused = client.put(path, {"enabled": False}, format="json").json()
    assert (paused["enabled"], paused["status"], paused["next_check_at"]) == (False, "unknown", None)
    assert len(facts("certificate.recovery")) == 1
    assert len(facts("certificate.updated")) == 2
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == client.get(f"{path}/checks").status_code == 404
    assert len(facts("certificate.deleted")) == 1 and not CertificateCheck.objects.exists()


def test_check_now_and_the_history() -> None:
    with https_server(PKI.issue()) as server:
        monitor = make_certificate(port=server.port)
        client = client_as("operator")
        answer = client.post(f"/api/v1/certificates/{monitor.pk}/check")
    assert (answer.status_code, answer.json()["status"]) == (200, "valid")
    checks = client.get(f"/api/v1/certificates/{monitor.pk}/checks").json()
    assert (checks["count"], checks["results"][0]["status"], checks["results"][0]["chain_valid"]) == (1, "valid", True)
    assert len(facts("certificate.checked")) == 1


def test_list_is_filtered_and_takes_the_same_queries_for_many() -> None:
    client = client_as("viewer")
    looked_at(PKI.issue(days=5))
    counts = []
    for number in range(2, 12):
        make_certificate(hostname=f"h{number}.example.org", tags=["eu"])
        if number in (2, 11):
            with CaptureQueriesContext(connection) as context:
                assert client.get("/api/v1/certificates").status_code == 200
            counts.append(sum("monitors_" in query["sql"] for query in context.captured_queries))
    assert counts[0] == counts[1] <= 5

    def count(query: str) -> int:
        return int(client.get(f"/api/v1/certificates?{query}").json()["count"])

    queries = ("", "status=expiring", "tag=eu", "search=h3", "days_left=10")
    assert [count(query) for query in queries] == [11, 1, 10, 1, 1]
    assert client.get("/api/v1/certificates?status=purple").status_code == 422
    assert client.get("/api/v1/certificates?ordering=-not_after").status_code == 200


# --- console -----------------------------------------------------------------------------------------------------


def test_console_adds_lists_and_shows_a_certificate() -> None:
    with https_server(PKI.issue(days=5.5)) as server:
        console = console_as("operator")
        answer = console.post(
            "/admin/monitors/certificatemonitor/add/",
            {
                "hostname": "localhost", "port": server.port, "warn_days": "30, 7", "interval_s": "6h",
                "starttls": "none", "ca_pem": PKI.root_pem, "enabled": "on", "tags": "eu",
            },
            follow=True,
        )  # fmt: skip
    page = answer.content.decode()
    assert answer.status_code == 200
    for text in ("Ends soon", "CN=Test Authority", "The chain leads to an authority", "5 days", "names no OCSP"):
        assert text in page, text
    assert not inline_scripts(page)
    listed = console.get("/admin/monitors/certificatemonitor/?tag=eu&status=expiring").content.decode()
    assert f"localhost:{server.port}" in listed and "5 days" in listed


def test_console_form_of_a_viewer_is_closed() -> None:
    assert console_as("viewer").get("/admin/monitors/certificatemonitor/add/").status_code == 403
    assert console_as("viewer").get("/admin/monitors/certificatemonitor/").status_code == 200
