"""Databases as far as a sign-in and a query go, on 127.0.0.1: PostgreSQL, MySQL and Redis, each by its protocol."""

import contextlib
import hashlib
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.servers import tcp_server


@dataclass
class Engine:
    """A running engine; `queries` is what it was asked.

    Args:
        values: query -> value of its only column; others are refused.
    """

    port: int = 0
    queries: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=lambda: {"SELECT 1": "1"})


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise OSError("the client has gone")
        data += more
    return data


# --- PostgreSQL, protocol 3.0 ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def postgresql_server(user: str = "watch", password: str = "hush") -> Iterator[Engine]:
    """Serve PostgreSQL's protocol, sign-in by a password in plain text."""
    engine = Engine()

    def handle(connection: socket.socket) -> None:
        while True:
            size, code = struct.unpack("!II", _exactly(connection, 8))
            rest = _exactly(connection, size - 8)
            if code in (80877103, 80877104):  # TLS or GSS, please
                connection.sendall(b"N")
                continue
            break
        words = rest.decode().split("\0")
        given = dict(zip(words[::2], words[1::2], strict=False))
        connection.sendall(_pg(b"R", struct.pack("!I", 3)))
        answer = _pg_read(connection)[1].rstrip(b"\0").decode()
        if (given.get("user"), answer) != (user, password):
            text = f'password authentication failed for user "{given.get("user")}"'
            connection.sendall(_pg(b"E", _pg_error("FATAL", "28P01", text)))
            return
        facts = {"server_version": "16.3", "client_encoding": "UTF8", "standard_conforming_strings": "on"}
        connection.sendall(_pg(b"R", struct.pack("!I", 0)))
        for name, value in facts.items():
            connection.sendall(_pg(b"S", f"{name}\0{value}\0".encode()))
        connection.sendall(_pg(b"Z", b"I"))
        while True:
            kind, body = _pg_read(connection)
            if kind != b"Q":
                return
            query = body.rstrip(b"\0").decode()
            engine.queries.append(query)
            connection.sendall(_pg_answer(engine, query) + _pg(b"Z", b"I"))

    with tcp_server(handle) as server:
        engine.port = server.port
        yield engine


def _pg_answer(engine: Engine, query: str) -> bytes:
    if query.startswith("BEGIN"):
        return _pg(b"C", b"BEGIN\0")
    if query not in engine.values:
        return _pg(b"E", _pg_error("ERROR", "42P01", "relation does not exist"))
    value = engine.values[query].encode()
    column = b"x\0" + struct.pack("!IHIhih", 0, 0, 25, -1, -1, 0)
    return (
        _pg(b"T", struct.pack("!H", 1) + column)
        + _pg(b"D", struct.pack("!HI", 1, len(value)) + value)
        + _pg(b"C", b"SELECT 1\0")
    )


def _pg(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _pg_error(severity: str, code: str, text: str) -> bytes:
    return f"S{severity}\0V{severity}\0C{code}\0M{text}\0\0".encode()


def _pg_read(connection: socket.socket) -> tuple[bytes, bytes]:
    kind = _exactly(connection, 1)
    return kind, _exactly(connection, struct.unpack("!I", _exactly(connection, 4))[0] - 4)


# --- MySQL, protocol 10 ----------------------------------------------------------------------------------------------

_CAPABILITIES = 0x0008_F7FF & ~0x0800  # what a server of today offers, but TLS; with plug-ins of sign-in


@contextlib.contextmanager
def mysql_server(user: str = "watch", password: str = "hush") -> Iterator[Engine]:
    """Serve MySQL's protocol, sign-in by mysql_native_password."""
    engine = Engine()

    def handle(connection: socket.socket) -> None:
        salt = bytes(byte % 127 + 1 for byte in os.urandom(20))
        greeting = (
            b"\x0a8.0.36\0" + struct.pack("<I", 1) + salt[:8] + b"\0"
            + struct.pack("<HBHH", _CAPABILITIES & 0xFFFF, 45, 2, _CAPABILITIES >> 16)
            + bytes([21]) + b"\0" * 10 + salt[8:] + b"\0" + b"mysql_native_password\0"
        )  # fmt: skip
        connection.sendall(_my(0, greeting))
        number, answer = _my_read(connection)
        name, _, rest = answer[32:].partition(b"\0")
        proof = rest[1 : 1 + rest[0]]
        if (name.decode(), proof) != (user, _my_proof(password, salt)):
            text = f"Access denied for user '{name.decode()}'@'localhost'"
            connection.sendall(_my(number + 1, _my_error(1045, "28000", text)))
            return
        connection.sendall(_my(number + 1, _MY_OK))
        while True:
            _, packet = _my_read(connection)
            if packet[0] != 3:  # not a query
                return
            query = packet[1:].decode()
            engine.queries.append(query)
            if query.startswith(("SET", "START")):
                connection.sendall(_my(1, _MY_OK))
            elif query in engine.values:
                connection.sendall(_my_row(engine.values[query].encode()))
            else:
                connection.sendall(_my(1, _my_error(1146, "42S02", "Table 'shop.none' doesn't exist")))

    with tcp_server(handle) as server:
        engine.port = server.port
        yield engine


_MY_OK = b"\0\0\0\x02\0\0\0"
_MY_END = b"\xfe\0\0\x02\0"


def _my(number: int, body: bytes) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


def _my_read(connection: socket.socket) -> tuple[int, bytes]:
    head = _exactly(connection, 4)
    return head[3], _exactly(connection, int.from_bytes(head[:3], "little"))


def _my_error(code: int, state: str, text: str) -> bytes:
    return b"\xff" + struct.pack("<H", code) + f"#{state}{text}".encode()


def _my_proof(password: str, salt: bytes) -> bytes:
    first = hashlib.sha1(password.encode()).digest()
    second = hashlib.sha1(salt + hashlib.sha1(first).digest()).digest()
    return bytes(left ^ right for left, right in zip(first, second, strict=True))


def _my_row(value: bytes) -> bytes:
    def text(word: bytes) -> bytes:
        return bytes([len(word)]) + word

    column = (
        text(b"def") + text(b"") * 3 + text(b"x") * 2 + b"\x0c" + struct.pack("<HIBHB", 45, 255, 253, 0, 0) + b"\0\0"
    )
    return _my(1, b"\x01") + _my(2, column) + _my(3, _MY_END) + _my(4, text(value)) + _my(5, _MY_END)


# --- Redis, RESP 2 ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def redis_server(password: str = "hush", *, pong: bytes = b"+PONG\r\n") -> Iterator[Engine]:
    """Serve PING and AUTH; nobody gets further without the password."""
    engine = Engine()

    def handle(connection: socket.socket) -> None:
        lines = connection.makefile("rb")
        is_in = not password
        while head := lines.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int(lines.readline()[1:])
                words.append(lines.read(size + 2)[:-2].decode())
            engine.queries.append(words[0])
            if words[0] == "AUTH":
                is_in = words[-1] == password
                connection.sendall(b"+OK\r\n" if is_in else b"-WRONGPASS invalid username-password pair\r\n")
            elif not is_in:
                connection.sendall(b"-NOAUTH Authentication required.\r\n")
            else:
                connection.sendall(pong)

    with tcp_server(handle) as server:
        engine.port = server.port
        yield engine
