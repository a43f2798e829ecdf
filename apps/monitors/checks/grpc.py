"""gRPC's own health check, `grpc.health.v1.Health/Check`, spoken over HTTP/2 by hand."""

from collections.abc import Mapping
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from apps.core.net import NetError, ProtocolError, Purpose, Talk, converse
from apps.monitors.checks.base import ERROR_LENGTH, CheckConfig, CheckOutcome, CheckType, failed, judged, register
from apps.monitors.checks.common import (
    ENCRYPTED,
    IP_FAMILY,
    SERVER_NAME,
    TLS,
    answered,
    family_of,
    quoted,
    tls_context,
)
from apps.monitors.checks.options import Option
from apps.monitors.checks.targets import address_problem, parse_address
from apps.monitors.states.endpoints import DOWN

ANSWER_MOST = 65_536
SERVING = 1
_WORDS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_FRAME_HEAD, _SETTINGS = 9, 4
_UNIMPLEMENTED, _NOT_FOUND = "12", "5"


@register("grpc")
class GrpcCheck(CheckType):
    """One call. Only SERVING is up."""

    label = "A gRPC service"
    columns = ENCRYPTED
    fields = (
        Option("service", "Service", most=500, help="The whole server where empty.", placeholder="shop.v1.Orders"),
        TLS,
        SERVER_NAME,
        IP_FAMILY,
    )

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with the address."""
        problem = address_problem(values["target"])
        return {"target": problem} if problem else {}

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the request's message and the family."""
        service = options["service"].encode()
        message = b"\x0a" + _varint(len(service)) + service if service else b""
        return {
            **options,
            "family": family_of(options),
            "message": b"\x00" + len(message).to_bytes(4) + message,
        }

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port."""
        return parse_address(target)

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Call once."""
        options = config.options
        try:
            host, port = parse_address(config.target)
            context = tls_context(config, alpn=("h2",)) if options["tls"] else None
            async with converse(
                host, port, Purpose.PROBE, config.timeout_s,
                family=options["family"], context=context, server_name=options["server_name"],
            ) as talk:  # fmt: skip
                try:
                    return judged(config, await _call(talk, config, f"{host}:{port}"))
                except h2.exceptions.ProtocolError as error:
                    raise ProtocolError(f"{host} does not speak HTTP/2, as gRPC does, on port {port}.") from error
        except NetError as error:
            return failed(error)


async def _call(talk: Talk, config: CheckConfig, authority: str) -> CheckOutcome:
    options = config.options
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    connection.send_headers(
        1,
        [
            (":method", "POST"),
            (":scheme", "https" if options["tls"] else "http"),
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "Watchkeeper"),
            ("grpc-timeout", f"{max(1, int(config.timeout_s * 1000))}m"),
        ],
    )
    connection.send_data(1, options["message"], end_stream=True)
    talk.write(connection.data_to_send())
    headers: dict[str, str] = {}
    body = bytearray()
    done = False
    # A server begins with its settings; anything else would be taken for a very long frame. Source: RFC 9113, 3.4.
    head = await talk.read_exactly(_FRAME_HEAD)
    if head[3] != _SETTINGS:
        raise h2.exceptions.ProtocolError
    connection.receive_data(head)
    while not done:
        data = await talk.read_some()
        if not data:
            raise ProtocolError(f"{talk.name} closed the connection before it answered.")
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                headers.update({str(name): str(value) for name, value in event.headers or ()})
            elif isinstance(event, h2.events.DataReceived):
                body += event.data or b""
                connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
                done = len(body) > ANSWER_MOST
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                raise ProtocolError(f"{talk.name} broke the call off (HTTP/2 error {event.error_code}).")
            elif isinstance(event, h2.events.StreamEnded):
                done = True
        talk.write(connection.data_to_send())
    problem = _problem(headers, bytes(body), options["service"])
    return answered(talk, status=DOWN, error=problem[:ERROR_LENGTH]) if problem else answered(talk)


def _problem(headers: Mapping[str, str], body: bytes, service: str) -> str:
    named = f"the service {service}" if service else "the server"
    if headers.get(":status") != "200":
        return f"It answered HTTP status {headers.get(':status', '?')}, which is not gRPC."
    code = headers.get("grpc-status", "")
    if code == _UNIMPLEMENTED:
        return "The server does not offer gRPC's health service."
    if code == _NOT_FOUND:
        return f"The server does not know {named}."
    if code != "0":
        return f"The call failed with gRPC status {code or '?'}: {quoted(headers.get('grpc-message', ''))}."
    if len(body) < 5 or body[0]:
        return "The answer of the health service can't be read."
    state = _status(body[5 : 5 + int.from_bytes(body[1:5])])
    return "" if state == SERVING else f"{named[0].upper()}{named[1:]} says {_WORDS.get(state, state)}."


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _status(message: bytes) -> int:
    """Return field 1 of a HealthCheckResponse; 0 where it is absent, as proto3 leaves defaults out."""
    return message[1] & 127 if len(message) >= 2 and message[0] == 0x08 else 0
