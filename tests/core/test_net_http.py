"""The HTTP client against servers of every kind, good and bad."""

import asyncio
import gzip
import ipaddress
import socket
import threading
import zlib
from collections.abc import Iterator

import pytest

from apps.core.net import (
    ConnectError,
    DnsError,
    InvalidTarget,
    NetError,
    NetTimeout,
    OutboundRefused,
    ProtocolError,
    Purpose,
    Response,
    TooLarge,
    open_socket,
    request,
    request_sync,
)
from apps.core.net.hosts import parse_url
from apps.core.net.messages import request_bytes
from tests.support.servers import (
    LOCALHOST,
    CertificateAuthority,
    RecordingReceiver,
    Reply,
    Request,
    hanging_server,
    http_server,
    https_server,
    raw_reply,
    read_head,
    tcp_server,
    unused_port,
)


async def get(url: str, **options) -> Response:
    return await request("GET", url, purpose=Purpose.PROBE, **options)


async def answer_to(data: bytes, *, method: str = "GET", **options) -> Response:
    """Return what the client makes of these bytes."""
    with tcp_server(raw_reply(data)) as server:
        return await request(method, f"http://{LOCALHOST}:{server.port}/", purpose=Purpose.PROBE, **options)


@pytest.fixture
def receiver() -> Iterator[RecordingReceiver]:
    with RecordingReceiver() as running:
        yield running


# Requests


async def test_get_sends_a_plain_request_and_times_its_phases(receiver) -> None:
    response = await get(f"{receiver.url}/path?q=1")

    sent = receiver.requests[0]
    assert (sent.method, sent.target, sent.body) == ("GET", "/path?q=1", b"")
    assert sent.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert sent.headers["connection"] == "close"
    assert sent.headers["user-agent"] == "Watchkeeper"
    assert (response.status, response.reason, response.body, response.ok) == (200, "OK", b"ok", True)
    assert (response.remote_ip, response.url) == (LOCALHOST, f"{receiver.url}/path?q=1")
    assert response.certificate is None
    phases = response.phases
    parts = (phases.dns_ms, phases.connect_ms, phases.first_byte_ms)
    assert all(part is not None and part >= 0 for part in parts)
    assert phases.tls_ms is None
    assert sum(part or 0 for part in parts) <= (phases.total_ms or 0)


async def test_post_sends_body_and_headers(receiver) -> None:
    await request(
        "POST",
        f"{receiver.url}/hook",
        purpose=Purpose.PROBE,
        headers={"Content-Type": "application/json", "User-Agent": "Mine", "X-Name": "ü"},
        body=b"{}" * 100_000,
    )

    sent = receiver.requests[0]
    assert sent.body == b"{}" * 100_000
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["user-agent"] == "Mine"


async def test_empty_post_names_its_length(receiver) -> None:
    await request("POST", receiver.url, purpose=Purpose.PROBE)

    assert receiver.requests[0].headers["content-length"] == "0"


async def test_user_and_password_in_the_url_become_basic_auth(receiver) -> None:
    response = await get(receiver.url.replace("://", "://me:p%40ss@"))

    assert receiver.requests[0].headers["authorization"] == "Basic bWU6cEBzcw=="
    assert "p%40ss" not in response.url


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GE T", {}),
        ("GET\r\nX: y", {}),
        ("GET", {"Bad Name": "x"}),
        ("GET", {"X": "a\r\nInjected: yes"}),
        ("GET", {"X": "a\x00b"}),
        ("GET", {"Content-Length": "5"}),
        ("GET", {"transfer-encoding": "chunked"}),
    ],
)
async def test_request_that_would_break_the_framing_is_invalid(receiver, method: str, headers: dict) -> None:
    with pytest.raises(InvalidTarget):
        await request(method, receiver.url, purpose=Purpose.PROBE, headers=headers)
    assert receiver.requests == []


def test_request_line_escapes_what_a_url_may_not_contain() -> None:
    sent = request_bytes("GET", parse_url("http://example.test/a b\tc?x=ü".replace("\t", "%09")), [], b"")

    assert sent.startswith(b"GET /a%20b%09c?x=%C3%BC HTTP/1.1\r\nHost: example.test\r\n")


async def test_proxies_of_the_environment_are_ignored(receiver, monkeypatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")

    assert (await get(receiver.url)).status == 200


# Answers


async def test_chunked_body_is_put_together_and_trailers_are_dropped() -> None:
    response = await answer_to(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n"
    )

    assert response.body == b"hello world"
    assert "x-trailer" not in response.headers


async def test_body_without_length_ends_with_the_connection() -> None:
    assert (await answer_to(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")).body == b"until the end"


async def test_interim_answers_are_skipped() -> None:
    response = await answer_to(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nhi"
    )

    assert (response.status, response.reason, response.body) == (201, "Created", b"hi")
    assert "link" not in response.headers


@pytest.mark.parametrize("status", [204, 304])
async def test_answer_that_has_no_body_ends_at_once(status: int) -> None:
    head = f"HTTP/1.1 {status} Nothing\r\nContent-Length: 10\r\n\r\n".encode()
    with tcp_server(_then_hang(head)) as server:
        response = await get(f"http://{LOCALHOST}:{server.port}/")

    assert (response.status, response.body) == (status, b"")


async def test_head_has_no_body_whatever_its_length_says() -> None:
    response = await answer_to(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", method="HEAD")

    assert (response.status, response.body, response.truncated) == (200, b"", False)


async def test_headers_are_case_insensitive_and_repeated_ones_kept() -> None:
    response = await answer_to(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n"
        b"X-Empty:\r\nX-Latin: \xfc\r\nContent-Length: 0\r\n\r\n"
    )

    assert response.headers.get("SET-COOKIE") == "a=1"
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert response.headers["x-empty"] == ""
    assert response.headers.get("x-latin") == "ü"
    assert response.headers.get("absent", "none") == "none"


async def test_bare_line_feeds_are_accepted_as_browsers_do() -> None:
    response = await answer_to(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok")

    assert response.body == b"ok"


async def test_text_follows_the_charset_that_is_named() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=%s\r\n\r\n\xfc"

    assert (await answer_to(head % b"iso-8859-1")).text() == "ü"
    assert (await answer_to(head % b"no-such-charset")).text() == "\ufffd"


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"hello " * 1000, mtime=0)),
        ("x-gzip", gzip.compress(b"hello " * 500, mtime=0) + gzip.compress(b"hello " * 500, mtime=0)),
        ("deflate", zlib.compress(b"hello " * 1000)),
        ("deflate", zlib.compress(b"hello " * 1000)[2:-4]),
    ],
)
async def test_compressed_body_is_decoded(encoding: str, packed: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(packed)}\r\n\r\n".encode()

    response = await answer_to(head + packed)

    assert response.body == b"hello " * 1000
    assert not response.truncated


async def test_gzip_bomb_is_cut_off_at_the_limit() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()

    response = await answer_to(head + bomb, max_body_bytes=100_000)

    assert len(response.body) == 100_000
    assert response.truncated


@pytest.mark.parametrize("packed", [b"this is not gzip at all", gzip.compress(b"hello" * 100, mtime=0)[:20]])
async def test_broken_compressed_body_is_a_protocol_error(packed: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()

    with pytest.raises(ProtocolError):
        await answer_to(head + packed)


# Limits


@pytest.mark.parametrize("framing", [b"Content-Length: 5000\r\n", b""])
async def test_body_over_the_limit_is_truncated(framing: bytes) -> None:
    response = await answer_to(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + b"x" * 5000, max_body_bytes=1000)

    assert response.body == b"x" * 1000
    assert response.truncated


async def test_body_of_exactly_the_limit_is_whole() -> None:
    response = await answer_to(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000, max_body_bytes=1000)

    assert len(response.body) == 1000
    assert not response.truncated


async def test_limit_of_zero_ends_after_the_headers() -> None:
    with tcp_server(_then_hang(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")) as server:
        response = await get(f"http://{LOCALHOST}:{server.port}/", max_body_bytes=0)

    assert (response.status, response.body, response.truncated) == (200, b"", True)


@pytest.mark.parametrize("line", [b"X-Long: " + b"a" * 100_000, b"X: y\r\n" * 20_000])
async def test_headers_over_the_limit_are_too_large(line: bytes) -> None:
    with pytest.raises(TooLarge, match="64 KiB of headers") as caught:
        await answer_to(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n")
    assert caught.value.kind == "too_large"


async def test_endless_headers_are_too_large() -> None:
    def endless(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X: y\r\n" * 1000)

    with tcp_server(endless) as server, pytest.raises(TooLarge):
        await get(f"http://{LOCALHOST}:{server.port}/")


async def test_endless_trailers_are_too_large() -> None:
    def endless(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        while True:
            connection.sendall(b"X: y\r\n" * 1000)

    with tcp_server(endless) as server, pytest.raises(TooLarge):
        await get(f"http://{LOCALHOST}:{server.port}/", max_body_bytes=1000)


async def test_body_that_drips_ends_at_the_time_out() -> None:
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.01):
            connection.sendall(b"x")

    with tcp_server(drip) as server:
        with pytest.raises(NetTimeout) as caught:
            await get(f"http://{LOCALHOST}:{server.port}/", timeout_s=0.3)
        stop.set()
    assert caught.value.phase == "body"
    assert caught.value.phases.first_byte_ms is not None
    assert caught.value.remote_ip == LOCALHOST


async def test_server_that_never_answers_times_out_waiting_for_the_first_byte() -> None:
    with hanging_server() as server, pytest.raises(NetTimeout, match=r"within 0\.1 s") as caught:
        await get(f"http://{LOCALHOST}:{server.port}/", timeout_s=0.1)
    assert (caught.value.kind, caught.value.phase) == ("timeout", "first_byte")
    assert caught.value.phases.connect_ms is not None
    assert caught.value.phases.total_ms is not None


# Failures


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "without an answer"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS"),
        (b"HTTP/1.1 200 OK\r\nContent-", "middle of the headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "before the body was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", "rules of HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "rules of HTTP"),
        (b"HTTP/1.1 200 OK\r\nBad Header\r\n\r\n", "rules of HTTP"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "rules of HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n", "rules of HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", "rules of HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n", "rules of HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "before the body was complete"),
    ],
)
async def test_answer_that_breaks_the_protocol_says_how(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as caught:
        await answer_to(data)
    assert caught.value.kind == "protocol"
    assert caught.value.remote_ip == LOCALHOST


async def test_closed_port_is_a_connect_error() -> None:
    with pytest.raises(ConnectError, match="nothing listens") as caught:
        await get(f"http://{LOCALHOST}:{unused_port()}/")
    assert caught.value.reason == "refused"
    assert caught.value.phases.dns_ms is not None


async def test_reset_connection_is_a_connect_error() -> None:
    def reset(connection: socket.socket) -> None:
        read_head(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.close()

    with tcp_server(reset) as server, pytest.raises(ConnectError) as caught:
        await get(f"http://{LOCALHOST}:{server.port}/")
    assert caught.value.reason == "reset"


async def test_unknown_name_is_a_dns_error(monkeypatch) -> None:
    def look_up(*args, **options):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    with pytest.raises(DnsError, match="DNS server did not answer") as caught:
        await get("http://somewhere.test/")
    assert caught.value.phases.total_ms is not None


async def test_cancelled_request_closes_its_connection() -> None:
    arrived, closed = threading.Event(), threading.Event()

    def watch(connection: socket.socket) -> None:
        read_head(connection)
        arrived.set()
        if not connection.recv(1):
            closed.set()

    with tcp_server(watch) as server:
        task = asyncio.create_task(get(f"http://{LOCALHOST}:{server.port}/"))
        assert await asyncio.to_thread(arrived.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(closed.wait, 10)


# Policy and redirects


async def test_deliver_to_loopback_is_refused_until_it_is_listed(receiver, settings) -> None:
    with pytest.raises(OutboundRefused, match="OUTBOUND_ALLOW=127"):
        await request("POST", receiver.url, purpose=Purpose.DELIVER)
    assert receiver.server.connections == 0

    settings.OUTBOUND_ALLOW = [ipaddress.ip_network("127.0.0.0/8")]
    assert (await request("POST", receiver.url, purpose=Purpose.DELIVER)).status == 200


async def test_own_endpoint_is_refused_for_checks(receiver, settings) -> None:
    settings.OWN_ENDPOINTS = {("localhost", receiver.port)}

    with pytest.raises(OutboundRefused, match="own database or Redis"):
        await get(receiver.url)
    assert receiver.server.connections == 0


async def test_rebinding_name_connection_goes_to_the_address_that_was_checked(receiver, monkeypatch) -> None:
    answers = iter([LOCALHOST, "169.254.169.254"])
    asked = []

    def look_up(host, port, *args, **options):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    response = await get(f"http://rebind.test:{receiver.port}/")

    assert (response.status, response.remote_ip, asked) == (200, LOCALHOST, ["rebind.test"])
    with pytest.raises(OutboundRefused, match="cloud metadata"):
        await get(f"http://rebind.test:{receiver.port}/")


def _redirect_to(location: str, status: int = 302) -> Reply:
    return Reply(status=status, headers={"Location": location}, body=b"moved")


async def test_redirect_is_the_answer_unless_following_is_asked_for(receiver) -> None:
    receiver.answer(_redirect_to("/other"))

    response = await get(receiver.url)

    assert (response.status, response.body, response.headers["location"]) == (302, b"moved", "/other")


async def test_redirects_are_followed_and_listed(receiver) -> None:
    receiver.answer_next(_redirect_to("/one?a=b#part"), _redirect_to("two"))

    response = await get(f"{receiver.url}/start", follow_redirects=True)

    assert [sent.target for sent in receiver.requests] == ["/start", "/one?a=b", "/two"]
    assert response.redirects == [f"{receiver.url}/one?a=b", f"{receiver.url}/two"]
    assert (response.status, response.url) == (200, f"{receiver.url}/two")


async def test_redirect_loop_ends_at_the_limit(receiver) -> None:
    receiver.answer(_redirect_to("/again"))

    with pytest.raises(ProtocolError, match="more than 3 times"):
        await get(receiver.url, follow_redirects=True, max_redirects=3)
    assert len(receiver.requests) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "//2852039166/",
        "http://metadata.google.internal/",
    ],
)
async def test_redirect_to_metadata_is_refused(receiver, location: str) -> None:
    receiver.answer(_redirect_to(location))

    with pytest.raises(OutboundRefused, match="metadata"):
        await get(receiver.url, follow_redirects=True)


async def test_redirect_to_own_endpoint_is_refused(receiver, settings) -> None:
    with http_server() as own:
        settings.OWN_ENDPOINTS = {(LOCALHOST, own.port)}
        receiver.answer(_redirect_to(own.url))
        with pytest.raises(OutboundRefused):
            await get(receiver.url, follow_redirects=True)
        assert own.connections == 0


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://", "http://[::1"])
async def test_redirect_to_something_else_is_a_protocol_error(receiver, location: str) -> None:
    receiver.answer(_redirect_to(location))

    with pytest.raises(ProtocolError):
        await get(receiver.url, follow_redirects=True)


SECRETS = {
    "Authorization": "Bearer secret",
    "Cookie": "session=secret",
    "X-API-Key": "secret",
    "Private-Token": "secret",
    "webhook-signature": "v1,secret",
}


async def test_credentials_do_not_follow_a_redirect_to_another_origin(receiver) -> None:
    with RecordingReceiver() as other:
        receiver.answer(_redirect_to(f"{other.url}/landing"))

        await get(receiver.url, follow_redirects=True, headers={**SECRETS, "Accept-Language": "de"})

    assert receiver.requests[0].headers["x-api-key"] == "secret"
    landed = other.requests[0]
    assert "secret" not in str(landed.headers)
    assert landed.headers["accept-language"] == "de"


async def test_credentials_do_not_come_back_after_a_detour(receiver) -> None:
    with RecordingReceiver() as other:
        receiver.answer_next(_redirect_to(other.url))
        other.answer(_redirect_to(f"{receiver.url}/back"))

        await get(receiver.url.replace("://", "://me:secret@"), follow_redirects=True, headers=SECRETS)

    assert receiver.requests[-1].path == "/back"
    assert "authorization" not in receiver.requests[-1].headers
    assert "secret" not in str(receiver.requests[-1].headers)


async def test_credentials_follow_a_redirect_on_the_same_origin(receiver) -> None:
    receiver.answer_next(_redirect_to("/next"))

    await get(receiver.url.replace("://", "://me:pw@"), follow_redirects=True, headers={"X-API-Key": "k"})

    assert receiver.requests[1].headers["x-api-key"] == "k"
    assert receiver.requests[1].headers["authorization"].startswith("Basic ")


async def test_client_certificate_does_not_follow_a_redirect_to_another_origin(receiver) -> None:
    ca = CertificateAuthority()
    client = ca.issue(cn="client", sans=["client"])

    with https_server(ca.issue(), client_ca_pem=ca.pem) as other:
        receiver.answer(_redirect_to(other.url))
        with pytest.raises(NetError) as caught:
            await get(receiver.url, follow_redirects=True, ca_pem=ca.pem, client_cert=(client.pem, client.key_pem))
    assert getattr(caught.value, "reason", "") == "client_certificate"


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (303, "HEAD", "HEAD")],
)
async def test_redirect_that_changes_the_method_drops_the_body(receiver, status: int, method: str, then: str) -> None:
    receiver.answer_next(_redirect_to("/next", status))

    await request(
        method, receiver.url, purpose=Purpose.PROBE, body=b"data" if method != "HEAD" else b"",
        headers={"Content-Type": "text/plain"}, follow_redirects=True,
    )  # fmt: skip

    assert (receiver.requests[1].method, receiver.requests[1].body) == (then, b"")
    assert method == "HEAD" or "content-type" not in receiver.requests[1].headers


@pytest.mark.parametrize("status", [307, 308])
async def test_redirect_that_keeps_the_method_repeats_the_body_on_the_same_origin_only(receiver, status: int) -> None:
    receiver.answer_next(_redirect_to("/next", status))
    await request("POST", receiver.url, purpose=Purpose.PROBE, body=b"data", follow_redirects=True)
    assert receiver.requests[1].body == b"data"

    with RecordingReceiver() as other:
        receiver.answer_next(_redirect_to(other.url, status))
        response = await request("POST", receiver.url, purpose=Purpose.PROBE, body=b"data", follow_redirects=True)
    assert response.status == status
    assert other.requests == []


# Threads


def test_request_sync_works_from_threads(receiver) -> None:
    response = request_sync("POST", receiver.url, purpose=Purpose.PROBE, body=b"x")

    assert response.status == 200
    with pytest.raises(ConnectError):
        request_sync("GET", f"http://{LOCALHOST}:{unused_port()}/", purpose=Purpose.PROBE)


async def test_request_sync_on_an_event_loop_is_refused(receiver) -> None:
    with pytest.raises(RuntimeError, match="await"):
        request_sync("GET", receiver.url, purpose=Purpose.PROBE)


def test_open_socket_gives_a_connected_socket_and_keeps_the_policy(receiver) -> None:
    with open_socket("localhost", receiver.port, purpose=Purpose.PROBE, family=socket.AF_INET) as connection:
        assert connection.getpeername() == (LOCALHOST, receiver.port)
    with pytest.raises(OutboundRefused):
        open_socket("localhost", receiver.port, purpose=Purpose.DELIVER)
    with pytest.raises(ConnectError):
        open_socket(LOCALHOST, unused_port(), purpose=Purpose.PROBE)


def test_receiver_answers_as_told(receiver) -> None:
    receiver.answer(lambda sent: Reply(body=sent.path.encode()))
    receiver.answer_next(Reply(status=503))

    statuses = [request_sync("GET", f"{receiver.url}/a", purpose=Purpose.PROBE).status for _ in range(2)]

    assert statuses == [503, 200]
    assert isinstance(receiver.wait_for(2)[0], Request)


@pytest.mark.parametrize("policy", ["asyncio", "uvloop"])
def test_both_event_loops_give_the_same_answers(policy: str) -> None:
    ca = CertificateAuthority()
    runner = asyncio.run if policy == "asyncio" else pytest.importorskip("uvloop").run

    with https_server(ca.issue(), lambda sent: Reply(body=b"x" * 300_000)) as server, http_server() as plain:

        async def story() -> list[object]:
            answers: list[object] = [len((await get(server.url, ca_pem=ca.pem)).body), (await get(plain.url)).body]
            for url, options in ((server.url, {}), (f"http://{LOCALHOST}:{unused_port()}/", {})):
                try:
                    await get(url, **options)
                except NetError as error:
                    answers.append(error.kind)
            return answers

        assert runner(story()) == [300_000, b"ok", "tls", "connect"]


def _then_hang(data: bytes):
    """Send an answer's beginning and keep the connection open until the client closes it."""

    def reply(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(data)
        connection.recv(1)

    return reply
