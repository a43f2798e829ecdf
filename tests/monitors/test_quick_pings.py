"""Plain pings on the short way, over real connections: what a client sees is what the usual way answers."""

import socket
import threading
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
import uvicorn
from asgiref.sync import async_to_sync

from apps.core import registries
from apps.core.asgi import Edge, QuickProtocol, Switch
from apps.core.asgi.quick import Headers
from apps.core.context import RequestContext
from apps.monitors.hot import PingApplication
from apps.monitors.models import Ping
from tests.factories.heartbeats import make_heartbeat, state_of

pytestmark = pytest.mark.django_db(transaction=True)


class Live:
    """A server, and how many requests took the short way and the usual one."""

    def __init__(self) -> None:
        self.quick = self.usual = 0
        self.pings = PingApplication()
        self._take, self._listener = self.pings.take, socket.create_server(("127.0.0.1", 0))
        self.pings.take = self._counted  # type: ignore[assignment, method-assign]
        edge = Edge(
            Switch(http=self._nothing, websocket=self._nothing, hot=[("/ping/", self._usual)]),
            quick=[(b"/ping/", self.pings)],
        )
        config = uvicorn.Config(
            edge, http=QuickProtocol, lifespan="off", log_level="error", server_header=False, proxy_headers=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()
        assert not self._thread.is_alive()

    def connect(self) -> socket.socket:
        return socket.create_connection(self._listener.getsockname(), timeout=20)

    def ask(self, *requests: bytes) -> list[bytes]:
        """Send requests over one connection, each after the answer to the last."""
        with self.connect() as connection:
            return [self._answer(connection, request) for request in requests]

    @staticmethod
    def _answer(connection: socket.socket, request: bytes) -> bytes:
        connection.sendall(request)
        return read_answer(connection, has_content=not request.startswith(b"HEAD"))

    def _counted(self, *arguments: object) -> bool:
        is_taken = self._take(*arguments)  # type: ignore[arg-type]
        self.quick += is_taken
        return is_taken

    async def _usual(self, scope: object, receive: object, send: object) -> None:
        self.usual += 1
        await self.pings(scope, receive, send)  # type: ignore[arg-type]

    async def _nothing(self, scope: object, receive: object, send: object) -> None:
        raise AssertionError("a ping is never Django's")


def read_answer(connection: socket.socket, *, has_content: bool = True) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        got += _more(connection, 1)
    if has_content:
        length = int(header(got, b"content-length"))
        while len(got.partition(b"\r\n\r\n")[2]) < length:
            got += _more(connection, length)
    return got


def _more(connection: socket.socket, most: int) -> bytes:
    got = connection.recv(most)
    assert got, "the server hung up"
    return got


def header(answer: bytes, name: bytes) -> bytes:
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return next(line.partition(b": ")[2] for line in lines if line.partition(b":")[0] == name)


def names(answer: bytes) -> set[bytes]:
    return {line.partition(b":")[0] for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]}


def request(path: str, method: str = "GET", *more: str, body: bytes = b"", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: 127.0.0.1", "User-Agent: curl/8", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
def live() -> Iterator[Live]:
    server = Live()
    server.start()
    server.ask(request(f"/ping/{uuid4()}"))  # from now on the address is known to the edge
    server.quick = server.usual = 0
    yield server
    server.stop()


def test_plain_ping_takes_the_short_way_and_looks_like_any_other(live: Live) -> None:
    heartbeat = make_heartbeat()
    path = f"/ping/{heartbeat.uuid}"
    quick, head, usual = live.ask(
        request(path, "GET", "X-Request-ID: quick-0001"),
        request(path, "HEAD"),
        request(path, "POST", "Content-Length: 2", body=b"hi"),
    )
    assert (live.quick, live.usual) == (2, 1)
    assert quick.startswith(b"HTTP/1.1 200 OK\r\n") and quick.endswith(b"\r\n\r\nOK")
    assert head.endswith(b"\r\n\r\n") and header(head, b"content-length") == b"2"
    assert names(quick) == names(head) == names(usual)
    assert header(quick, b"x-request-id") == b"quick-0001"
    rows = (
        Ping.objects.filter(num=heartbeat.num).order_by("n").values_list("method", "remote_addr", "user_agent", "body")
    )
    assert list(rows) == [
        (method, "127.0.0.1", "curl/8", body) for method, body in (("GET", ""), ("HEAD", ""), ("POST", "hi"))
    ]


def test_signal_and_query_count_on_the_short_way(live: Live) -> None:
    heartbeat = make_heartbeat()
    rid = uuid4()
    path = f"/ping/{heartbeat.uuid}"
    live.ask(request(f"{path}/start?rid={rid}"), request(f"{path}/3?rid={rid}"))
    assert (live.quick, live.usual) == (2, 0)
    assert state_of(heartbeat).status == "down"
    assert list(Ping.objects.filter(num=heartbeat.num).order_by("n").values_list("kind", "exit_code", "rid")) == [
        ("start", None, rid), ("fail", 3, rid),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("/ping/{uuid}", version="1.0"), 200),
        (request("/ping/{uuid}", "GET", "Connection: close"), 200),
        (request("/ping/%7B{uuid}%7D"), 404),
        (request("/ping/{uuid}/1000"), 400),
        (request("/ping/{uuid}", "DELETE"), 405),
        (request("/ping/{uuid}", "GET", "Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n"), 200),
        (request("/ping/{uuid}").replace(b"Host: 127.0.0.1", b"Host: elsewhere.example"), 400),
    ],
)
def test_unusual_request_takes_the_usual_way(live: Live, sent: bytes, status: int) -> None:
    heartbeat = make_heartbeat()
    [answer] = live.ask(sent.replace(b"{uuid}", str(heartbeat.uuid).encode()))
    assert int(answer.split()[1]) == status
    assert live.quick == 0


def test_unknown_address_is_refused_with_what_to_do(live: Live) -> None:
    [answer] = live.ask(request(f"/ping/{uuid4()}"))
    assert answer.startswith(b"HTTP/1.1 404") and b"There is no such heartbeat." in answer
    assert live.quick == 1


def test_blocked_address_never_takes_the_short_way(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat = make_heartbeat()
    gates = dict(registries.address_gates.items())
    monkeypatch.setattr(registries.address_gates, "items", lambda: {**gates, "no": lambda address: False}.items())
    monkeypatch.setattr("apps.core.asgi.edge.GATE_KEPT_S", -1.0)
    [answer] = live.ask(request(f"/ping/{heartbeat.uuid}"))
    assert answer.startswith(b"HTTP/1.1 403")
    assert state_of(heartbeat).ping_count == 0


def test_requests_in_a_pipeline_are_answered_in_their_order(live: Live) -> None:
    heartbeat = make_heartbeat()
    sent = [request(f"/ping/{heartbeat.uuid}", "GET", f"X-Request-ID: in-a-row-{n}") for n in range(20)]
    with live.connect() as connection:
        connection.sendall(b"".join(sent))
        answers = [read_answer(connection) for _ in sent]
    assert [header(answer, b"x-request-id") for answer in answers] == [f"in-a-row-{n}".encode() for n in range(20)]
    assert state_of(heartbeat).ping_count == 20


def test_client_that_goes_away_costs_nobody_an_answer(live: Live) -> None:
    heartbeat = make_heartbeat()
    for _ in range(5):
        with live.connect() as connection:
            connection.sendall(request(f"/ping/{heartbeat.uuid}"))
    [answer] = live.ask(request(f"/ping/{heartbeat.uuid}"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert state_of(heartbeat).ping_count >= 1


def test_server_that_stops_answers_what_it_has_taken() -> None:
    heartbeat = make_heartbeat()
    server = Live()
    server.start()
    server.ask(request(f"/ping/{heartbeat.uuid}"))
    with server.connect() as connection:
        connection.sendall(request(f"/ping/{heartbeat.uuid}"))
        while server.quick == 0:
            time.sleep(0.001)
        server.stop()
        assert read_answer(connection).startswith(b"HTTP/1.1 200")
        assert connection.recv(1) == b""
    assert state_of(heartbeat).ping_count == 2


def test_connection_that_can_not_be_answered_costs_no_other_its_answer() -> None:
    heartbeat = make_heartbeat()
    answered: list[int] = []

    def broken(status: int, headers: Headers, content: bytes) -> None:
        raise OSError("this connection is gone")

    async def send_three() -> None:
        app = PingApplication()
        target, facts = f"/ping/{heartbeat.uuid}".encode(), RequestContext("r", "192.0.2.7", "curl/8")
        for reply in (broken, broken, lambda status, headers, content: answered.append(status)):
            assert app.take("GET", target, [], facts, reply)
        await app.drain()

    async_to_sync(send_three)()
    assert answered == [200]
    assert state_of(heartbeat).ping_count == 3
