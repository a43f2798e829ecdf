"""Certificates: what verifies, what does not and why, and that it can be read either way."""

import asyncio
import datetime
import socket
import threading

import pytest

from apps.core.net import ConnectError, InvalidTarget, NetTimeout, OutboundRefused, Purpose, TlsError, request, tcp, tls
from tests.support.servers import (
    LOCALHOST,
    Certificate,
    CertificateAuthority,
    hanging_server,
    http_server,
    https_server,
    raw_reply,
    self_signed,
    server_context,
    tcp_server,
    unused_port,
)

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def ca() -> CertificateAuthority:
    return CertificateAuthority()


def expired(ca: CertificateAuthority) -> Certificate:
    return ca.issue(not_before=NOW - 30 * DAY, not_after=NOW - DAY)


async def test_valid_certificate_is_read_on_the_way(ca) -> None:
    issued = ca.issue(cn="localhost", sans=["localhost", "*.example.test", LOCALHOST])
    with https_server(issued) as server:
        response = await request("GET", server.url, purpose=Purpose.PROBE, ca_pem=ca.pem)

    certificate = response.certificate
    assert response.body == b"ok"
    assert certificate is not None
    assert (certificate.subject_cn, certificate.issuer_cn, certificate.issuer_org) == ("localhost", "Test CA", "Tests")
    assert certificate.sans == ("localhost", "*.example.test", LOCALHOST)
    assert certificate.fingerprint_sha256 == issued.der_fingerprint()
    assert certificate.not_before < NOW < certificate.not_after
    assert response.phases.tls_ms is not None
    assert not certificate.self_signed


@pytest.mark.parametrize(
    ("make", "reason", "words"),
    [
        (lambda ca: expired(ca), "expired", "has expired"),
        (lambda ca: ca.issue(not_before=NOW + DAY), "not_yet_valid", "not valid yet"),
        (lambda ca: self_signed(), "self_signed", "self-signed"),
        (lambda ca: CertificateAuthority("Other CA").issue(), "unknown_ca", "“Other CA”"),
        (lambda ca: ca.issue(sans=["other.test"]), "name_mismatch", "other.test"),
        (lambda ca: ca.issue(sans=[]), "name_mismatch", "not for 127.0.0.1"),
    ],
)
async def test_bad_certificate_names_the_reason_and_is_still_read(ca, make, reason: str, words: str) -> None:
    issued = make(ca)
    with https_server(issued) as server:
        with pytest.raises(TlsError) as caught:
            await request("GET", server.url, purpose=Purpose.PROBE, ca_pem=ca.pem)
        connections = server.connections

        shown = await tls.handshake(LOCALHOST, server.port, ca_pem=ca.pem)
        unverified = await request("GET", server.url, purpose=Purpose.PROBE, tls_verify=False)

    assert (caught.value.kind, caught.value.reason) == ("tls", reason)
    assert words in caught.value.message
    assert connections == 1  # no second handshake to read it
    assert caught.value.certificate is not None
    assert caught.value.certificate.fingerprint_sha256 == issued.der_fingerprint()
    assert shown.verify_error is not None
    assert shown.verify_error.reason == reason
    assert shown.certificate == caught.value.certificate
    assert shown.hostname_match is (reason != "name_mismatch")
    assert unverified.status == 200
    assert unverified.certificate == shown.certificate


async def test_handshake_valid_shows_certificate_chain_and_phases(ca) -> None:
    with https_server(ca.issue()) as server:
        shown = await tls.handshake("localhost", server.port, ca_pem=ca.pem, family=socket.AF_INET)

    assert shown.verify_error is None
    assert [each.subject_cn for each in shown.chain] == ["localhost", "Test CA"]
    assert shown.version.startswith("TLS")
    assert shown.cipher
    assert shown.hostname_match
    assert None not in (shown.phases.dns_ms, shown.phases.connect_ms, shown.phases.tls_ms, shown.phases.total_ms)


async def test_handshake_asks_for_the_server_name_given(ca) -> None:
    with https_server(ca.issue(sans=["app.example.test"])) as server:
        right = await tls.handshake(LOCALHOST, server.port, "app.example.test", ca_pem=ca.pem)
        wrong = await tls.handshake(LOCALHOST, server.port, ca_pem=ca.pem)
        unverified = await tls.handshake(LOCALHOST, server.port, verify=False)

    assert right.verify_error is None
    assert wrong.verify_error is not None
    assert wrong.verify_error.reason == "name_mismatch"
    assert unverified.verify_error is None
    assert not unverified.hostname_match


@pytest.mark.parametrize(
    ("sans", "name", "matches"),
    [
        (["*.example.test"], "a.example.test", True),
        (["*.example.test"], "a.b.example.test", False),
        (["*.example.test"], "example.test", False),
        (["EXAMPLE.test"], "example.TEST", True),
        (["*.test"], "a.test", False),
        ([LOCALHOST], LOCALHOST, True),
        (["::1"], "0:0:0:0:0:0:0:1", True),
        (["localhost"], LOCALHOST, False),
    ],
)
async def test_name_matches_as_the_standard_says(ca, sans: list[str], name: str, matches: bool) -> None:
    with https_server(ca.issue(sans=sans)) as server:
        shown = await tls.handshake(LOCALHOST, server.port, verify=False)

    assert shown.certificate is not None
    assert tls.name_matches(shown.certificate, name) is matches


async def test_port_without_tls_says_so() -> None:
    with http_server() as server:
        with pytest.raises(TlsError, match="does not speak TLS") as caught:
            await tls.handshake(LOCALHOST, server.port)
        assert caught.value.reason == "not_tls"


async def test_connection_closed_in_the_handshake_is_a_tls_error() -> None:
    with tcp_server() as server, pytest.raises(TlsError) as caught:
        await tls.handshake(LOCALHOST, server.port)
    assert caught.value.reason == "handshake"


async def test_handshake_that_hangs_times_out_in_its_phase() -> None:
    with hanging_server() as server, pytest.raises(NetTimeout) as caught:
        await tls.handshake(LOCALHOST, server.port, timeout_s=0.1)
    assert caught.value.phase == "tls"
    assert caught.value.phases.connect_ms is not None


async def test_client_certificate_is_shown_when_given(ca) -> None:
    client = ca.issue(cn="client", sans=["client"])
    with https_server(ca.issue(), client_ca_pem=ca.pem) as server:
        with pytest.raises(TlsError) as caught:
            await request("GET", server.url, purpose=Purpose.PROBE, ca_pem=ca.pem)
        accepted = await request(
            "GET", server.url, purpose=Purpose.PROBE, ca_pem=ca.pem, client_cert=(client.pem, client.key_pem)
        )

    assert caught.value.reason == "client_certificate"
    assert accepted.status == 200


@pytest.mark.parametrize("options", [{"ca_pem": "nonsense"}, {"client_cert": ("a", "b")}])
async def test_unreadable_options_are_an_error_of_the_options(ca, options: dict) -> None:
    with https_server(ca.issue()) as server, pytest.raises(TlsError) as caught:
        await request("GET", server.url, purpose=Purpose.PROBE, **options)
    assert caught.value.reason == "bad_options"


async def test_tls_body_without_length_ends_with_the_connection(ca) -> None:
    answer = raw_reply(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000)
    with tcp_server(answer, context=server_context(ca.issue())) as server:
        response = await request("GET", server.url, purpose=Purpose.PROBE, ca_pem=ca.pem)

    assert response.body == b"x" * 200_000


async def test_tcp_connect_measures_its_phases() -> None:
    with tcp_server() as server:
        phases = await tcp.connect("localhost", server.port, Purpose.PROBE)

    assert phases.dns_ms is not None
    assert phases.connect_ms is not None
    assert phases.total_ms is not None
    assert phases.tls_ms is None


async def test_tcp_connect_closed_port_is_refused_in_plain_words() -> None:
    with pytest.raises(ConnectError, match="refused the connection") as caught:
        await tcp.connect(LOCALHOST, unused_port(), Purpose.PROBE)
    assert caught.value.reason == "refused"
    assert caught.value.remote_ip == LOCALHOST
    assert not caught.value.ours


async def test_tcp_connect_policy_and_ports_are_checked() -> None:
    with pytest.raises(OutboundRefused):
        await tcp.connect("169.254.169.254", 80, Purpose.PROBE)
    with pytest.raises(OutboundRefused):
        await tcp.connect(LOCALHOST, 80, Purpose.DELIVER)
    with pytest.raises(InvalidTarget):
        await tcp.connect(LOCALHOST, 70000, Purpose.PROBE)


async def test_second_address_is_tried_when_the_first_refuses(monkeypatch) -> None:
    reached = threading.Event()
    with tcp_server(lambda connection: reached.set()) as server:

        def look_up(host, port, *args, **options):
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in ("127.0.0.9", "127.0.0.8", LOCALHOST)
            ]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        await tcp.connect("several.test", server.port, Purpose.PROBE)
        assert await asyncio.to_thread(reached.wait, 10)
