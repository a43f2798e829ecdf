"""Servers of the outside world for tests: HTTP, TLS and TCP on 127.0.0.1, in threads, and a throw-away CA.

Every server is a context manager that gives an object with `host`, `port` and `url`, and stops when the block ends.
"""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOCALHOST = "127.0.0.1"


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, both PEM; `chain` is what a server sends."""

    pem: str
    key_pem: str
    chain: str

    def der_fingerprint(self) -> str:
        """Return the SHA-256 of the certificate, hex."""
        return x509.load_pem_x509_certificate(self.pem.encode()).fingerprint(hashes.SHA256()).hex()


class CertificateAuthority:
    """A CA that exists for one test."""

    def __init__(self, name: str = "Test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        now = datetime.datetime.now(datetime.UTC)
        builder = _builder(self._name, self._name, self._key, now - _day(1), now + _day(3650))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(ca=True), critical=True)
        builder = builder.add_extension(_subject_key(self._key), critical=False)
        self.certificate = builder.sign(self._key, hashes.SHA256())
        self.pem = _pem(self.certificate)

    def issue(
        self,
        cn: str = "localhost",
        sans: Sequence[str] = ("localhost", LOCALHOST),
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
    ) -> Certificate:
        """Issue a certificate; without times it is valid from yesterday for 90 days."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _leaf(key, _name(cn), self._name, sans, not_before, not_after)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        pem = _pem(builder.sign(self._key, hashes.SHA256()))
        return Certificate(pem=pem, key_pem=_key_pem(key), chain=pem + self.pem)


def self_signed(cn: str = "localhost", sans: Sequence[str] = ("localhost", LOCALHOST)) -> Certificate:
    """Return a certificate that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(cn)
    pem = _pem(_leaf(key, name, name, sans, None, None).sign(key, hashes.SHA256()))
    return Certificate(pem=pem, key_pem=_key_pem(key), chain=pem)


def server_context(certificate: Certificate, *, client_ca_pem: str | None = None) -> ssl.SSLContext:
    """Return the TLS context of a server; with `client_ca_pem` it demands a client certificate of that CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
        chain.write_text(certificate.chain)
        key.write_text(certificate.key_pem)
        context.load_cert_chain(chain, key)
    if client_ca_pem is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_ca_pem)
    return context


@dataclass(frozen=True)
class Request:
    """What an HTTP server received; header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The query, parsed."""
        return parse_qs(urlsplit(self.target).query)


@dataclass
class Reply:
    """What an HTTP server answers."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Reply]


@dataclass
class Server:
    """A running server; `connections` counts what was accepted."""

    port: int
    scheme: str = "tcp"
    host: str = LOCALHOST
    connections: int = 0

    @property
    def url(self) -> str:
        """The base URL without a final slash."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port


@contextlib.contextmanager
def http_server(handler: Handler | None = None, *, port: int = 0) -> Iterator[Server]:
    """Serve HTTP; without a handler everything is answered 200 "ok"."""
    with _serve_http(handler, None, port) as server:
        yield server


@contextlib.contextmanager
def https_server(
    certificate: Certificate, handler: Handler | None = None, *, client_ca_pem: str | None = None, port: int = 0
) -> Iterator[Server]:
    """Serve HTTPS with a certificate."""
    with _serve_http(handler, server_context(certificate, client_ca_pem=client_ca_pem), port) as server:
        yield server


@contextlib.contextmanager
def tcp_server(
    handler: Callable[[socket.socket], None] | None = None, *, context: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[Server]:
    """Accept connections and give each to the handler, in a thread of its own; afterwards it is closed.

    Without a handler connections are accepted and closed. A handler that raises OSError is taken as done.
    """
    listener = socket.create_server((LOCALHOST, port), backlog=256)
    server = Server(listener.getsockname()[1], scheme="https" if context else "http")
    stopping = threading.Event()
    open_connections: set[socket.socket] = set()

    def serve(connection: socket.socket) -> None:
        try:
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
                open_connections.add(connection)
            if handler is not None:
                handler(connection)
        except OSError:
            pass
        finally:
            open_connections.discard(connection)
            with contextlib.suppress(OSError):
                connection.close()

    def accept() -> None:
        while not stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            open_connections.add(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        stopping.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in list(open_connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextlib.contextmanager
def hanging_server(send: bytes = b"") -> Iterator[Server]:
    """Accept connections, send what is given, and then never answer (until the block ends)."""
    done = threading.Event()

    def hang(connection: socket.socket) -> None:
        if send:
            connection.sendall(send)
        done.wait(60)

    with tcp_server(hang) as server:
        try:
            yield server
        finally:
            done.set()


def raw_reply(data: bytes) -> Callable[[socket.socket], None]:
    """Return a handler for `tcp_server` that reads one request's head, sends these bytes and closes."""

    def reply(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(data)

    return reply


def read_head(connection: socket.socket) -> bytes:
    """Read a request up to the end of its headers."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data


def unused_port() -> int:
    """Return a port on which nothing listens (just now)."""
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])


class RecordingReceiver:
    """An HTTP server that keeps what it receives, for webhooks and the like.

    Use as a context manager. `answer` sets what is answered from now on, `answer_next` what to the next requests, in
    order; `wait_for` blocks until so many requests have come.
    """

    def __init__(self, *, certificate: Certificate | None = None, port: int = 0) -> None:
        self.requests: list[Request] = []
        self._certificate = certificate
        self._port = port
        self._always: Reply | Handler = Reply()
        self._next: list[Reply] = []
        self._arrived = threading.Condition()
        self._stack = contextlib.ExitStack()
        self.server = Server(0)

    def __enter__(self) -> "RecordingReceiver":
        context = server_context(self._certificate) if self._certificate else None
        self.server = self._stack.enter_context(_serve_http(self._receive, context, self._port))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """The base URL without a final slash."""
        return self.server.url

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.server.port

    def answer(self, reply: Reply | Handler) -> None:
        """Answer every request from now on so."""
        with self._arrived:
            self._always = reply

    def answer_next(self, *replies: Reply) -> None:
        """Answer the next requests so, one each; after them as before."""
        with self._arrived:
            self._next.extend(replies)

    def clear(self) -> None:
        """Forget what was received."""
        with self._arrived:
            self.requests.clear()

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[Request]:
        """Return what was received as soon as there are `count` requests.

        Raises:
            AssertionError: they did not come in time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= count, timeout_s):
                raise AssertionError(f"{len(self.requests)} of {count} requests came within {timeout_s} s")
            return list(self.requests)

    def _receive(self, request: Request) -> Reply:
        with self._arrived:
            self.requests.append(request)
            reply = self._next.pop(0) if self._next else self._always
            self._arrived.notify_all()
        return reply(request) if callable(reply) else reply


@contextlib.contextmanager
def _serve_http(handler: Handler | None, context: ssl.SSLContext | None, port: int) -> Iterator[Server]:
    answer = handler or (lambda request: Reply())

    class RequestHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            server.connections += 1
            if context is not None:
                # Here and not on the listener: a slow or failing handshake must not hold up the others.
                self.request = context.wrap_socket(self.request, server_side=True, do_handshake_on_connect=False)
                try:
                    self.request.do_handshake()
                except OSError:
                    _close_gently(self.request)
                    raise
            super().setup()

        def finish(self) -> None:
            super().finish()
            if context is not None:
                # The server closes the socket it accepted; the TLS one that took it over is ours.
                with contextlib.suppress(OSError):
                    self.request.shutdown(socket.SHUT_WR)
                self.request.close()

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._handle
            raise AttributeError(name)

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else b""
            received = {name.lower(): value for name, value in self.headers.items()}
            reply = answer(Request(self.command, self.path, received, body))
            lines = [f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('Status',))[0]}"]
            lines += [f"{name}: {value}" for name, value in reply.headers.items()]
            if "content-length" not in {name.lower() for name in reply.headers}:
                lines.append(f"Content-Length: {len(reply.body)}")
            head = "\r\n".join(lines).encode() + b"\r\n\r\n"
            self.wfile.write(head + (b"" if self.command == "HEAD" else reply.body))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class HttpServer(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 256

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that breaks off, or refuses the certificate, is what many tests are about

    running = HttpServer((LOCALHOST, port), RequestHandler)
    server = Server(running.server_address[1], scheme="https" if context else "http")
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        running.shutdown()
        running.server_close()
        thread.join(5)


def _close_gently(connection: ssl.SSLSocket) -> None:
    """Close so that the alert that was sent arrives: data left unread would make the kernel reset the connection."""
    with contextlib.suppress(OSError):
        connection.settimeout(5)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    connection.close()


def _day(count: int) -> datetime.timedelta:
    return datetime.timedelta(days=count)


def _name(cn: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, cn), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests")]
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    not_before: datetime.datetime,
    not_after: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    issuer: x509.Name,
    sans: Sequence[str],
    not_before: datetime.datetime | None,
    not_after: datetime.datetime | None,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = _builder(subject, issuer, key, not_before or now - _day(1), not_after or now + _day(90))
    names = [_general_name(name) for name in sans]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return builder.add_extension(_subject_key(key), critical=False)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject_key(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
