"""Servers that speak one protocol each, as far as checks go, on 127.0.0.1."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import h2.config
import h2.connection
import h2.events
import paramiko
from websockets.sync.server import ServerConnection, serve

from tests.support.servers import LOCALHOST, Server, tcp_server

# --- UDP -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def udp_server(answer: Callable[[bytes], bytes | None] | None = None, *, port: int = 0) -> Iterator[Server]:
    """Answer each datagram with what `answer` returns (None: not at all); without it, with the same."""
    channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    channel.bind((LOCALHOST, port))
    channel.settimeout(0.05)
    server = Server(channel.getsockname()[1], scheme="udp")
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            try:
                data, sender = channel.recvfrom(65_535)
            except TimeoutError:
                continue
            server.connections += 1
            said = data if answer is None else answer(data)
            if said is not None:
                channel.sendto(said, sender)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        stopping.set()
        thread.join(5)
        channel.close()


# --- DNS -------------------------------------------------------------------------------------------------------------

Zone = Mapping[str, list[str]]


@contextlib.contextmanager
def dns_server(zone: Zone, *, truncate: bool = False, loses: int = 0) -> Iterator[Server]:
    """Answer from a zone: "name TYPE" -> values. The name "fails.test" is SERVFAIL, one that is missing NXDOMAIN.

    Args:
        truncate: say by UDP that the answer comes by TCP.
        loses: so many datagrams are lost first.
    """
    names = {key.split()[0] for key in zone}
    lost = [loses]

    def reply(data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        if name == "fails.test":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name not in names:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif f"{name} {kind}" in zone:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *zone[f"{name} {kind}"]))
        return answer.to_wire()

    def by_udp(data: bytes) -> bytes | None:
        if lost[0]:
            lost[0] -= 1
            return None
        if not truncate:
            return reply(data)
        cut = dns.message.make_response(dns.message.from_wire(data))
        cut.flags |= dns.flags.TC
        return cut.to_wire()

    def by_tcp(connection: socket.socket) -> None:
        size = int.from_bytes(_exactly(connection, 2))
        answer = reply(_exactly(connection, size))
        connection.sendall(len(answer).to_bytes(2) + answer)

    with tcp_server(by_tcp) as server, udp_server(by_udp, port=server.port):
        yield server


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise OSError("the client has gone")
        data += more
    return data


# --- websocket -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def websocket_server(
    handler: Callable[[ServerConnection], None] | None = None, *, context: ssl.SSLContext | None = None, **options: Any
) -> Iterator[Server]:
    """Serve websockets; without a handler each message is sent back."""

    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(handler or echo, LOCALHOST, 0, ssl=context, **options) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield Server(running.socket.getsockname()[1], scheme="wss" if context else "ws")
        running.shutdown()
        thread.join(5)


# --- gRPC ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def grpc_server(
    states: Mapping[str, int], *, context: ssl.SSLContext | None = None, implements: bool = True
) -> Iterator[Server]:
    """Serve `grpc.health.v1.Health/Check`: service -> state (1 is SERVING)."""
    if context is not None:
        context.set_alpn_protocols(["h2"])

    def handle(connection: socket.socket) -> None:
        link = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        link.initiate_connection()
        connection.sendall(link.data_to_send())
        bodies: dict[int, bytes] = {}
        while data := connection.recv(65_536):
            for event in link.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    bodies[event.stream_id] = b""
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    _answer_health(link, event.stream_id, bodies[event.stream_id], states if implements else None)
            connection.sendall(link.data_to_send())

    with tcp_server(handle, context=context) as server:
        yield server


def _answer_health(link: Any, stream: int, body: bytes, states: Mapping[str, int] | None) -> None:
    service = body[7:].decode() if len(body) > 5 else ""
    head = [(":status", "200"), ("content-type", "application/grpc")]
    if states is None or service not in states:
        code = "12" if states is None else "5"
        link.send_headers(stream, [*head, ("grpc-status", code), ("grpc-message", "no")], end_stream=True)
        return
    message = b"\x08" + bytes([states[service]])
    link.send_headers(stream, head)
    link.send_data(stream, b"\0" + struct.pack("!I", len(message)) + message)
    link.send_headers(stream, [("grpc-status", "0")], end_stream=True)


# --- mail ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mail_server(
    protocol: str, *, context: ssl.SSLContext | None = None, implicit: bool = False, greeting: str = "mx1.test ready"
) -> Iterator[Server]:
    """Serve SMTP or IMAP as far as a greeting goes; with a context STARTTLS, or TLS from the start."""

    def handle(connection: socket.socket) -> None:
        lines = connection.makefile("rb")
        connection.sendall(f"{'220' if protocol == 'smtp' else '* OK'} {greeting}\r\n".encode())
        encrypted = implicit
        while line := lines.readline():
            words = line.decode("latin-1").split() or [""]
            if protocol == "imap" and len(words) < 2:
                return
            tag, command = ("", words[0]) if protocol == "smtp" else (words[0], words[1])
            if command == "STARTTLS" and context is not None and not encrypted:
                connection.sendall(b"220 go ahead\r\n" if protocol == "smtp" else f"{tag} OK go ahead\r\n".encode())
                connection = context.wrap_socket(connection, server_side=True)
                lines, encrypted = connection.makefile("rb"), True
            elif command == "EHLO":
                offers = "250-mx1.test\r\n250 STARTTLS" if context and not encrypted else "250-mx1.test\r\n250 8BITMIME"
                connection.sendall(f"{offers}\r\n".encode())
            elif protocol == "imap" and command == "NOOP":
                connection.sendall(f"* 3 EXISTS\r\n{tag} OK done\r\n".encode())
            elif command in ("QUIT", "LOGOUT"):
                return
            else:
                connection.sendall(b"502 no\r\n" if protocol == "smtp" else f"{tag} BAD no\r\n".encode())

    with tcp_server(handle, context=context if implicit else None) as server:
        yield server


# --- SSH -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def ssh_server(key: paramiko.PKey) -> Iterator[Server]:
    """Exchange keys with everybody and let nobody in."""
    stopped = threading.Event()

    def handle(connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        transport.set_log_channel("tests.silent")
        transport.local_version = "SSH-2.0-OpenSSH_9.6"
        transport.add_server_key(key)
        with contextlib.suppress(paramiko.SSHException, EOFError):
            transport.start_server(server=paramiko.ServerInterface())
        while transport.is_active() and not stopped.wait(0.02):
            pass
        transport.close()

    with tcp_server(handle) as server:
        yield server
        stopped.set()
