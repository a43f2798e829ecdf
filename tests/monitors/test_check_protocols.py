"""How each check type tells its failures apart, against real servers on loopback."""

import asyncio
import base64
import hashlib
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import paramiko
import pytest

from apps.core.net import LocalError, datagrams
from apps.core.net.resolve import Address
from apps.monitors.checks import CheckOutcome, postgresql, run_check
from apps.monitors.checks.assertions import parse_status
from apps.monitors.checks.icmp import judge
from tests.factories.monitors import make_config
from tests.monitors.check_targets.pem import CA
from tests.support.engines import mysql_server, postgresql_server, redis_server
from tests.support.protocols import (
    dns_server,
    grpc_server,
    mail_server,
    ssh_server,
    udp_server,
    websocket_server,
)
from tests.support.servers import (
    CertificateAuthority,
    Reply,
    Request,
    hanging_server,
    http_server,
    https_server,
    server_context,
    tcp_server,
    unused_port,
)


def run(kind: str, **values: Any) -> CheckOutcome:
    return asyncio.run(run_check(make_config(endpoint_type=kind, **values)))


# --- http ------------------------------------------------------------------------------------------------------------


def test_http_signs_in_by_basic_and_bearer() -> None:
    seen: list[str] = []

    def handler(request: Request) -> Reply:
        seen.append(request.headers.get("authorization", ""))
        return Reply()

    with http_server(handler) as server:
        run("http", target=server.url, options={"auth": "basic", "username": "me", "password": "hush:ö"})
        run("http", target=server.url, options={"auth": "bearer", "token": "t0ken"})
        run("http", target=server.url, options={"auth": "none", "token": "t0ken"})
    assert seen == ["Basic " + base64.b64encode("me:hush:ö".encode()).decode(), "Bearer t0ken", ""]


def test_http_credentials_do_not_follow_a_redirect_elsewhere() -> None:
    seen: list[str] = []

    def there(request: Request) -> Reply:
        seen.append(request.headers.get("authorization", ""))
        return Reply()

    with http_server(there) as other, http_server(lambda request: Reply(302, b"", {"Location": other.url})) as server:
        outcome = run("http", target=server.url, options={"auth": "bearer", "token": "t0ken"})
    assert (outcome.status, seen) == ("up", [""])


@pytest.mark.parametrize(
    ("body", "options", "status", "error"),
    [
        (b"build 42 ok", {"pattern": r"build \d+ ok"}, "up", ""),
        (b"build x", {"pattern": r"build \d+"}, "down", r"Nothing in the answer matches “build \d+”."),
        (b"ERROR 7", {"pattern_absent": r"(?i)error"}, "down", "The answer matches “(?i)error”, which it must not."),
        (b"fine", {"pattern_absent": r"(?i)error"}, "up", ""),
        (b"x" * 2_000_000, {"pattern": "y"}, "unknown", "truncated"),
        (b"x" * 2_000_000, {"pattern_absent": "y"}, "unknown", "truncated"),
        (b"a" * 200 + b"b", {"pattern": r"(a|aa)+$"}, "unknown", "takes too long"),
    ],
)
def test_http_pattern_gives_status(body: bytes, options: dict[str, Any], status: str, error: str) -> None:
    with http_server(lambda request: Reply(200, body)) as server:
        outcome = run("http", target=server.url, options=options, timeout_s=20)
    assert outcome.status == status and error in outcome.error


def test_http_shows_its_client_certificate() -> None:
    pair = CA.issue(cn="watchkeeper")
    given = {"client_cert": pair.pem, "client_key": pair.key_pem}
    with https_server(CA.issue(), client_ca_pem=CA.pem) as server:
        target = f"https://localhost:{server.port}/"
        assert run("http", target=target, ca_pem=CA.pem, options=given).status == "up"
        without = run("http", target=target, ca_pem=CA.pem)
    assert without.status == "unknown" and "wants a client certificate" in without.error


def test_http_keeps_to_one_family() -> None:
    with http_server() as server:
        assert run("http", target=server.url, options={"ip_family": "ipv4"}).status == "up"
        outcome = run("http", target=server.url, options={"ip_family": "ipv6"})
    assert outcome.status == "down" and "only the other family is wanted" in outcome.error


class Proxy:
    """An HTTP proxy that forwards to loopback and keeps what it was told."""

    def __init__(self, *, credentials: str = "", answer: bytes = b"") -> None:
        self.heads: list[str] = []
        self.credentials, self.answer = credentials, answer

    def __call__(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65_536)
        self.heads.append(head.decode())
        if self.answer:
            connection.sendall(self.answer)
            return
        if self.credentials and f"Proxy-Authorization: {self.credentials}" not in head.decode():
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        method, place = head.decode().split()[:2]
        host, port = place.removeprefix("http://").partition("/")[0].split(":")
        with socket.create_connection((host, int(port)), timeout=10) as onward:
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                onward.sendall(head)
            back = threading.Thread(target=pump, args=(onward, connection), daemon=True)
            back.start()
            if method == "CONNECT":
                pump(connection, onward)
            back.join(10)


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
    except OSError:
        pass


def test_http_goes_through_a_proxy_in_the_absolute_form() -> None:
    proxy = Proxy(credentials="Basic " + base64.b64encode(b"me:hush").decode())
    seen: list[Request] = []

    def handler(request: Request) -> Reply:
        seen.append(request)
        return Reply()

    with http_server(handler) as server, tcp_server(proxy) as running:
        options = {
            "proxy": f"http://127.0.0.1:{running.port}",
            "proxy_username": "me",
            "proxy_password": "hush",
            "auth": "bearer",
            "token": "t0ken",
        }
        outcome = run("http", target=f"{server.url}/health?x=1", options=options)
        refused = run("http", target=server.url, options={**options, "proxy_password": "wrong"})
    assert outcome.status == "up"
    assert proxy.heads[0].startswith(f"GET {server.url}/health?x=1 HTTP/1.1\r\n")
    assert seen[0].headers["authorization"] == "Bearer t0ken"
    assert refused.status == "unknown" and "wants credentials" in refused.error


def test_https_goes_through_a_proxy_by_connect_and_shows_it_no_secret() -> None:
    proxy = Proxy()
    with https_server(CA.issue()) as server, tcp_server(proxy) as running:
        options = {"proxy": f"http://127.0.0.1:{running.port}", "auth": "bearer", "token": "t0ken"}
        outcome = run("http", target=f"https://127.0.0.1:{server.port}/", ca_pem=CA.pem, options=options)
    assert (outcome.status, outcome.error) == ("up", "")
    assert outcome.certificate is not None and outcome.phases.tls_ms is not None
    assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n") and "t0ken" not in proxy.heads[0]


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "unknown", "refused: 407"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "down", "could not reach"),
        (b"what?\r\n\r\n", "unknown", "not HTTP"),
    ],
)
def test_what_the_proxy_does_is_not_the_targets_fault(answer: bytes, status: str, said: str) -> None:
    with tcp_server(Proxy(answer=answer)) as running:
        options = {"proxy": f"http://127.0.0.1:{running.port}"}
        outcome = run("http", target="https://127.0.0.1:9/", options=options)
    assert outcome.status == status and said in outcome.error


def test_proxy_that_is_not_there_and_targets_forbidden_behind_one_are_unknown() -> None:
    gone = run("http", target="http://127.0.0.1:9/", options={"proxy": f"http://127.0.0.1:{unused_port()}"})
    assert gone.status == "unknown" and "proxy 127.0.0.1 can't be reached" in gone.error
    with tcp_server(Proxy()) as running:
        options = {"proxy": f"http://127.0.0.1:{running.port}"}
        assert run("http", target="http://169.254.169.254/", options=options).status == "unknown"
        assert running.connections == 0


def test_http_slow_answer_is_degraded_and_a_listed_status_is_up() -> None:
    def slow(request: Request) -> Reply:
        time.sleep(0.05)
        return Reply(401)

    with http_server(slow) as server:
        outcome = run("http", target=server.url, expected_status=parse_status("401"), degraded_over_ms=20)
    assert (outcome.status, outcome.status_code) == ("degraded", 401)


# --- tcp and udp -----------------------------------------------------------------------------------------------------


def _echo(connection: socket.socket) -> None:
    connection.sendall(connection.recv(1000).upper())


def test_tcp_answer_is_compared_and_silence_closing_and_other_words_are_told_apart() -> None:
    with tcp_server(_echo) as server, hanging_server(b"220 wa") as hanging, tcp_server() as closing:
        good = run("tcp", target=f"127.0.0.1:{server.port}", options={"send": r"ping\r\n", "expect": r"^PING\r\n"})
        other = run("tcp", target=f"127.0.0.1:{server.port}", options={"send": "ping", "expect": "pong"})
        slow = run("tcp", target=f"127.0.0.1:{hanging.port}", options={"expect": "ready"}, timeout_s=0.3)
        gone = run("tcp", target=f"127.0.0.1:{closing.port}", options={"expect": "ready"})
    assert (good.status, other.status, slow.status, gone.status) == ("up", "down", "down", "down")
    assert other.error == "The expected answer did not come: it said “PING”."
    assert slow.error == "The expected answer did not come within 0.3 s: it said “220 wa”."
    assert "nothing" in gone.error


def test_tcp_speaks_tls_where_asked_and_reads_the_certificate() -> None:
    with tcp_server(_echo, context=server_context(CA.issue())) as server:
        options = {"tls": True, "send": "a", "expect": "A"}
        outcome = run("tcp", target=f"localhost:{server.port}", ca_pem=CA.pem, options=options)
        strange = run("tcp", target=f"localhost:{server.port}", options=options)
    assert outcome.status == "up" and outcome.certificate is not None
    assert strange.status == "down" and strange.certificate is not None and strange.certificate.problem == "untrusted"


def test_udp_answer_silence_and_refusal_are_three_results() -> None:
    with udp_server() as echo, udp_server(lambda data: None) as silent:
        good = run("udp", target=f"127.0.0.1:{echo.port}", options={"send": r"\x01ok", "expect": "ok"})
        other = run("udp", target=f"127.0.0.1:{echo.port}", options={"send": "no", "expect": "ok"})
        quiet = run("udp", target=f"127.0.0.1:{silent.port}", timeout_s=0.2)
        meant = run("udp", target=f"127.0.0.1:{silent.port}", options={"silence": "up"}, timeout_s=0.2)
    refused = run("udp", target=f"127.0.0.1:{unused_port()}", options={"silence": "up"})
    assert [one.status for one in (good, other, quiet, meant, refused)] == ["up", "down", "down", "up", "down"]
    assert other.error == "It answered something else: “no”."
    assert "did not answer within 0.2 s" in quiet.error
    assert "nothing listens on UDP port" in refused.error


# --- dns -------------------------------------------------------------------------------------------------------------

ZONE = {
    "shop.test A": ["192.0.2.7", "192.0.2.8"],
    "shop.test MX": ["10 mx1.shop.test.", "20 mx2.shop.test."],
    "shop.test TXT": ['"v=spf1 -all"'],
    "www.shop.test CNAME": ["shop.test."],
    "7.2.0.192.in-addr.arpa PTR": ["shop.test."],
}


@pytest.mark.parametrize(
    ("target", "options", "status", "said"),
    [
        ("shop.test", {}, "up", ""),
        ("shop.test", {"expected": ["192.0.2.8"]}, "up", ""),
        ("shop.test", {"expected": ["192.0.2.8"], "match": "exact"}, "down", "The answer is 192.0.2.7, 192.0.2.8"),
        ("shop.test", {"expected": ["192.0.2.8", "192.0.2.9"], "match": "any"}, "up", ""),
        ("shop.test", {"expected": ["192.0.2.9"]}, "down", "expected was 192.0.2.9."),
        ("shop.test", {"record_type": "MX", "expected": ["10 MX1.shop.test"]}, "up", ""),
        ("shop.test", {"record_type": "TXT", "expected": ["v=spf1 -all"]}, "up", ""),
        ("www.shop.test", {"record_type": "CNAME", "expected": ["shop.test"]}, "up", ""),
        ("192.0.2.7", {"record_type": "PTR", "expected": ["shop.test"]}, "up", ""),
        ("shop.test", {"record_type": "AAAA"}, "down", "shop.test has no AAAA record."),
        ("gone.test", {}, "down", "(NXDOMAIN"),
        ("fails.test", {}, "down", "(SERVFAIL)"),
    ],
)
def test_dns_answer_gives_status(target: str, options: dict[str, Any], status: str, said: str) -> None:
    with dns_server(ZONE) as server:
        outcome = run("dns", target=target, options={"resolver": f"127.0.0.1:{server.port}", **options})
    assert outcome.status == status, outcome.error
    assert said in outcome.error and bool(said) == bool(outcome.error)


def test_dns_asks_again_when_a_datagram_is_lost_and_by_tcp_when_the_answer_is_long() -> None:
    with dns_server(ZONE, loses=1) as server:
        lost = run("dns", target="shop.test", options={"resolver": f"127.0.0.1:{server.port}"}, timeout_s=1.5)
    with dns_server(ZONE, truncate=True) as server:
        options = {"resolver": f"127.0.0.1:{server.port}", "expected": ["192.0.2.7"]}
        long = run("dns", target="shop.test", options=options)
    assert (lost.status, long.status) == ("up", "up")


def test_dns_garbage_is_down() -> None:
    with udp_server(lambda data: data[:2] + b"\xff") as server:
        outcome = run("dns", target="shop.test", options={"resolver": f"127.0.0.1:{server.port}"})
    assert outcome.status == "down" and "can't be read" in outcome.error


# --- icmp ------------------------------------------------------------------------------------------------------------


def _answering(loses: set[int]) -> socket.socket:
    """Return a socket whose other end answers echoes as a host does, but for the numbers given."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    theirs.settimeout(5)

    def answer() -> None:
        with theirs:
            try:
                while packet := theirs.recv(2000):
                    assert datagrams._checksum(packet) == 0
                    if int.from_bytes(packet[6:8]) not in loses:
                        theirs.send(b"\x00\x00\x00\x00" + packet[4:])
            except OSError:
                pass

    threading.Thread(target=answer, daemon=True).start()
    return ours


@pytest.mark.parametrize(
    ("loses", "accepted", "status", "said"),
    [
        (set(), 0, "up", ""),
        ({1, 3}, 0, "degraded", "2 of 5 echoes were lost (40 %)."),
        ({1, 3}, 40, "up", ""),
        ({0, 1, 2, 3, 4}, 99, "down", "answered none of 5 echoes within 0.4 s"),
    ],
)
def test_icmp_loss_is_degraded_with_its_figure(loses: set[int], accepted: int, status: str, said: str) -> None:
    config = make_config(
        endpoint_type="icmp", target="192.0.2.1", timeout_s=0.4, options={"loss_accepted": accepted, "count": 5}
    )

    async def series() -> datagrams.Echoes:
        with _answering(loses) as channel:
            place = Address("192.0.2.1", 7, socket.AF_INET)
            return await datagrams.echo_series(channel, place, timeout_s=0.4, count=5, gap_s=0.01, size=56)

    outcome = judge(config, asyncio.run(series()))
    assert outcome.status == status and said in outcome.error and bool(said) == bool(outcome.error)
    assert (outcome.latency_ms is None) == (status == "down")


def test_icmp_reaches_this_host_or_says_what_to_allow() -> None:
    outcome = run("icmp", target="127.0.0.1", options={"count": 2})
    try:
        datagrams.open_icmp(socket.AF_INET).close()
    except LocalError:
        assert outcome.status == "unknown" and "net.ipv4.ping_group_range" in outcome.error
    else:
        assert (outcome.status, outcome.error) == ("up", "")
        assert outcome.latency_ms is not None


def test_icmp_without_any_right_says_what_to_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def forbidden(family: int = -1, kind: int = -1, protocol: int = -1, *rest: Any) -> socket.socket:
        if protocol == socket.IPPROTO_ICMP:
            raise PermissionError("as for a process without CAP_NET_RAW")
        return real(family, kind, protocol, *rest)

    monkeypatch.setattr(socket, "socket", forbidden)
    with pytest.raises(LocalError, match="ping_group_range"):
        datagrams.open_icmp(socket.AF_INET)


# --- websocket -------------------------------------------------------------------------------------------------------


def test_websocket_refused_upgrade_is_down_with_its_status() -> None:
    with http_server(lambda request: Reply(403)) as server:
        outcome = run("websocket", target=server.url.replace("http", "ws"))
    assert (outcome.status, outcome.status_code) == ("down", 403)
    assert outcome.error == "The upgrade was refused: it answered 403 Forbidden."


def test_websocket_sends_headers_and_message_and_compares_the_answer() -> None:
    seen: list[str] = []

    def handler(connection: Any) -> None:
        seen.append(connection.request.headers.get("Authorization", ""))
        for message in connection:
            connection.send(f"you said {message}")
            connection.close()

    with websocket_server(handler, subprotocols=["v1"]) as server:
        values: dict[str, Any] = {"target": server.url, "headers": (("Authorization", "Bearer t0ken"),)}
        good = run("websocket", **values, options={"send": "hi", "expect": "^you said hi$", "subprotocol": "v1"})
        other = run("websocket", **values, options={"send": "hi", "expect": "bye", "subprotocol": "v1"})
    assert (good.status, good.status_code, other.status) == ("up", 101, "down")
    assert other.error == "It closed before the expected answer came: the last message was “you said hi”."
    assert seen[0] == "Bearer t0ken"


def test_websocket_over_tls_reads_the_certificate() -> None:
    with websocket_server(context=server_context(CA.issue())) as server:
        target = f"wss://localhost:{server.port}/live"
        outcome = run("websocket", target=target, ca_pem=CA.pem, options={"send": "x", "expect": "x"})
        strange = run("websocket", target=target)
    assert outcome.status == "up" and outcome.certificate is not None
    assert strange.status == "down" and strange.certificate is not None


# --- grpc ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "status", "said"),
    [
        ("", "up", ""),
        ("shop.Orders", "down", "The service shop.Orders says NOT_SERVING."),
        ("shop.None", "down", "The server does not know the service shop.None."),
    ],
)
def test_grpc_health_gives_status(service: str, status: str, said: str) -> None:
    with grpc_server({"": 1, "shop.Orders": 2}) as server:
        outcome = run("grpc", target=f"127.0.0.1:{server.port}", options={"service": service})
    assert (outcome.status, outcome.error) == (status, said)


def test_grpc_by_tls_and_where_there_is_no_health_service_or_no_grpc() -> None:
    with grpc_server({"": 1}, context=server_context(CA.issue())) as server:
        secure = run("grpc", target=f"localhost:{server.port}", ca_pem=CA.pem, options={"tls": True})
    with grpc_server({}, implements=False) as server:
        without = run("grpc", target=f"127.0.0.1:{server.port}")
    with hanging_server(b"220 smtp here\r\n") as server:
        other = run("grpc", target=f"127.0.0.1:{server.port}")
    assert secure.status == "up" and secure.certificate is not None
    assert without.error == "The server does not offer gRPC's health service."
    assert other.status == "down" and "does not speak HTTP/2" in other.error


# --- mail ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["smtp", "imap"])
def test_mail_server_by_starttls_by_tls_and_plain(kind: str) -> None:
    context = server_context(CA.issue(not_after=datetime.now(UTC) + timedelta(days=9)))
    with mail_server(kind, context=context) as server:
        starttls = run(kind, target=f"localhost:{server.port}", ca_pem=CA.pem)
    with mail_server(kind, context=context, implicit=True) as server:
        secure = run(kind, target=f"localhost:{server.port}", ca_pem=CA.pem, options={"security": "tls"})
    with mail_server(kind) as server:
        plain = run(kind, target=f"127.0.0.1:{server.port}", options={"security": "none", "banner": "mx1"})
    for outcome in (starttls, secure):
        assert (outcome.status, outcome.error) == ("up", "")
        assert outcome.certificate is not None and outcome.certificate.certificate is not None
        assert outcome.phases.tls_ms is not None
    assert plain.status == "up" and plain.certificate is None


@pytest.mark.parametrize("kind", ["smtp", "imap"])
def test_mail_server_without_starttls_with_another_greeting_or_certificate_is_down(kind: str) -> None:
    with mail_server(kind) as server:
        without = run(kind, target=f"127.0.0.1:{server.port}")
        other = run(kind, target=f"127.0.0.1:{server.port}", options={"banner": "mx9"})
    with mail_server(kind, context=server_context(CertificateAuthority("Stranger").issue())) as server:
        strange = run(kind, target=f"localhost:{server.port}", ca_pem=CA.pem)
    with hanging_server(b"HTTP/1.1 400 Bad Request\r\n") as server:
        wrong = run(kind, target=f"127.0.0.1:{server.port}")
    assert "STARTTLS" in without.error
    assert "The greeting does not contain “mx9”" in other.error and "mx1.test ready”." in other.error
    assert strange.status == "down" and strange.certificate is not None and strange.certificate.problem == "untrusted"
    assert wrong.status == "down" and "HTTP/1.1 400 Bad Request" in wrong.error


# --- databases -------------------------------------------------------------------------------------------------------

USER = {"username": "watch", "password": "hush"}


@pytest.mark.parametrize(("kind", "serve"), [("postgresql", postgresql_server), ("mysql", mysql_server)])
def test_database_query_is_read_only_and_its_value_compared(kind: str, serve: Any) -> None:
    with serve() as engine:
        engine.values["SELECT count(*) FROM orders"] = "42"
        target = f"127.0.0.1:{engine.port}"
        asked = {**USER, "query": "SELECT count(*) FROM orders"}
        good = run(kind, target=target, options={**asked, "expect": "42"})
        other = run(kind, target=target, options={**asked, "expect": "7"})
        missing = run(kind, target=target, options={**USER, "query": "SELECT 1 FROM none"})
        stranger = run(kind, target=target, options={**USER, "password": "wrong"})
    assert good.status == "up"
    assert other.error == "The query found 42; expected was 7."
    assert missing.status == "down" and "exist" in missing.error
    assert stranger.status == "down" and "watch" in stranger.error and "wrong" not in stranger.error
    assert any("READ ONLY" in query for query in engine.queries)


def test_postgresql_that_hangs_in_the_query_is_given_up_on_time() -> None:
    done = threading.Event()

    class Slow(dict[str, str]):
        def __contains__(self, query: object) -> bool:
            done.wait(60)
            return False

    async def check() -> CheckOutcome:
        config = make_config(endpoint_type="postgresql", target=f"127.0.0.1:{engine.port}", timeout_s=0.3, options=USER)
        outcome = await run_check(config)
        assert postgresql._winding_up  # the library's own way to give up takes longer; nobody waits for it
        done.set()
        return outcome

    with postgresql_server() as engine:
        engine.values = Slow()
        outcome = asyncio.run(check())
    assert outcome.is_timeout and "within 0.3 s" in outcome.error


@pytest.mark.parametrize("kind", ["postgresql", "mysql", "redis"])
def test_something_else_on_a_databases_port_is_down(kind: str) -> None:
    with tcp_server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        options = USER if kind != "redis" else {}
        outcome = run(kind, target=f"127.0.0.1:{server.port}", options=options, timeout_s=2)
    assert outcome.status == "down" and outcome.error


@pytest.mark.parametrize(
    ("pong", "options", "said"),
    [
        (b"+PONG\r\n", {}, "Redis wants a password."),
        (b"+PONG\r\n", {"password": "wrong"}, "Redis does not accept this user and password."),
        (
            b"-LOADING Redis is loading the dataset in memory\r\n",
            {"password": "hush"},
            "Redis is still loading its data.",
        ),
        (b"-MISCONF no disk\r\n", {"password": "hush"}, "Redis answered “MISCONF no disk”."),
        (b"+what\r\n", {"password": "hush"}, "It answered PING with “what”."),
    ],
)
def test_redis_refusals_are_told_apart(pong: bytes, options: dict[str, Any], said: str) -> None:
    with redis_server(pong=pong) as engine:
        outcome = run("redis", target=f"127.0.0.1:{engine.port}", options=options)
    assert (outcome.status, outcome.error) == ("down", said)


def test_redis_signs_in_as_a_user() -> None:
    with redis_server() as engine:
        outcome = run("redis", target=f"127.0.0.1:{engine.port}", options=USER)
    assert outcome.status == "up" and engine.queries == ["AUTH", "PING"]


# --- ssh -------------------------------------------------------------------------------------------------------------


def _fingerprint(key: paramiko.PKey) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def test_ssh_changed_host_key_is_a_failure_of_its_own() -> None:
    key, former = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    with ssh_server(key) as server:
        target = f"127.0.0.1:{server.port}"
        good = run("ssh", target=target, options={"fingerprints": [_fingerprint(former), _fingerprint(key)]})
        changed = run("ssh", target=target, options={"fingerprints": [_fingerprint(former)]})
        greeted = run("ssh", target=target, options={"banner": "OpenSSH_9"})
        other = run("ssh", target=target, options={"banner": "dropbear"})
    assert (good.status, greeted.status, other.status) == ("up", "up", "down")
    assert changed.status == "down" and changed.error.startswith(f"The host key has changed: it is {_fingerprint(key)}")
    assert "does not match" in other.error


def test_ssh_that_hangs_in_the_key_exchange_and_what_is_no_ssh_are_down() -> None:
    prints = {"fingerprints": [_fingerprint(paramiko.ECDSAKey.generate())]}
    with hanging_server(b"SSH-2.0-OpenSSH_9.6\r\n") as server:
        hung = run("ssh", target=f"127.0.0.1:{server.port}", options=prints, timeout_s=0.4)
    with hanging_server(b"220 ftp\r\n" * 60) as server:
        other = run("ssh", target=f"127.0.0.1:{server.port}")
    with hanging_server(b"SSH-1.5-old\r\n") as server:
        old = run("ssh", target=f"127.0.0.1:{server.port}")
    assert hung.is_timeout and "within 0.4 s" in hung.error
    assert "does not greet as SSH servers do" in other.error
    assert "of long ago" in old.error


# --- tls -------------------------------------------------------------------------------------------------------------


def test_tls_verifies_the_name_given_and_tells_not_yet_valid_and_missing_intermediates() -> None:
    now = datetime.now(UTC)
    with https_server(CA.issue(cn="shop", sans=("shop.example.org",))) as server:
        target = f"127.0.0.1:{server.port}"
        named = run("tls", target=target, ca_pem=CA.pem, options={"server_name": "shop.example.org"})
        unnamed = run("tls", target=target, ca_pem=CA.pem)
    with https_server(CA.issue(not_before=now + timedelta(days=1), not_after=now + timedelta(days=9))) as server:
        early = run("tls", target=f"localhost:{server.port}", ca_pem=CA.pem)
    assert (named.status, unnamed.status, early.status) == ("up", "down", "down")
    assert "not for 127.0.0.1" in unnamed.error and "not valid yet" in early.error


def test_hundred_blocking_checks_do_not_wait_for_those_that_hang() -> None:
    """A library that blocks holds a thread; there are as many as there may be checks."""

    async def all_of_them(hanging: int, good: int) -> CheckOutcome:
        slow = make_config(endpoint_type="mysql", target=f"127.0.0.1:{hanging}", options=USER, timeout_s=50)
        stuck = [asyncio.create_task(run_check(slow)) for _ in range(100)]
        config = make_config(endpoint_type="mysql", target=f"127.0.0.1:{good}", options=USER, timeout_s=40)
        outcome = await run_check(config)
        waiting = sum(not task.done() for task in stuck)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert waiting == 100
        return outcome

    with hanging_server() as hanging, mysql_server() as engine:
        outcome = asyncio.run(all_of_them(hanging.port, engine.port))
    assert outcome.status == "up"
