"""Whether a websocket opens and, where asked for, gives the right answer."""

from collections.abc import Mapping
from typing import Any

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from apps.core.net import InvalidTarget, NetError, Purpose, Talk, check_url, converse
from apps.core.net.hosts import Target, parse_url
from apps.core.net.messages import read_headers
from apps.core.patterns import PatternTooSlow, compile_pattern, is_found
from apps.monitors.checks.base import ERROR_LENGTH, CheckConfig, CheckOutcome, CheckType, failed, judged, register
from apps.monitors.checks.common import ENCRYPTED, IP_FAMILY, answered, family_of, quoted, tls_context
from apps.monitors.checks.options import Option
from apps.monitors.states.endpoints import DOWN, UNKNOWN

MESSAGE_MOST = 1 << 16


@register("websocket")
class WebsocketCheck(CheckType):
    """One opening handshake, perhaps one message and its answer."""

    label = "A websocket"
    target_help = "wss://shop.example.org/live"
    columns = ENCRYPTED | {"headers"}
    fields = (
        Option("subprotocol", "Subprotocol", most=100, placeholder="graphql-transport-ws"),
        Option("send", "Send", help="A text message that is sent once it is open."),
        Option(
            "expect",
            "Expect",
            kind="pattern",
            most=500,
            help="A regular expression that must be found in one of the messages that come.",
        ),
        IP_FAMILY,
    )

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with URL and headers."""
        found: dict[str, str] = {}
        try:
            target = _parse(values["target"])
            check_url(target.url, Purpose.PROBE)
            if target.username is not None:
                found["target"] = "Put user name and password into the header Authorization; everybody sees the target."
        except NetError as error:
            found["target"] = error.message
        try:
            read_headers(values["headers"])
        except NetError as error:
            found["headers"] = error.message
        return found

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return family and compiled pattern."""
        return {
            **options,
            "family": family_of(options),
            "expect": compile_pattern(options["expect"]) if options["expect"] else None,
        }

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port of the URL."""
        parsed = _parse(target)
        return parsed.host, parsed.port

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Open, ask, close."""
        options = config.options
        try:
            target = _parse(config.target)
            context = tls_context(config, alpn=("http/1.1",)) if target.scheme == "https" else None
            async with converse(
                target.host, target.port, Purpose.PROBE, config.timeout_s, family=options["family"], context=context
            ) as talk:
                return judged(config, await _talk(talk, config, target))
        except NetError as error:
            return failed(error)


async def _talk(talk: Talk, config: CheckConfig, target: Target) -> CheckOutcome:
    options = config.options
    url = f"{'wss' if target.scheme == 'https' else 'ws'}://{target.host_header}{target.path}"
    protocol = ClientProtocol(
        parse_uri(url), subprotocols=[options["subprotocol"]] if options["subprotocol"] else None, max_size=MESSAGE_MOST
    )
    request = protocol.connect()
    for name, value in config.headers:
        if name in request.headers:
            del request.headers[name]
        request.headers[name] = value
    protocol.send_request(request)
    _flush(protocol, talk)
    while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
        await _feed(protocol, talk)
    refusal = protocol.handshake_exc
    if refusal is not None:
        outcome = answered(talk, status=DOWN, error=f"The websocket did not open: {refusal}."[:ERROR_LENGTH])
        if isinstance(refusal, InvalidStatus):
            answer = refusal.response
            outcome.status_code = answer.status_code
            said = f"{answer.status_code} {answer.reason_phrase}".strip()
            outcome.error = f"The upgrade was refused: it answered {said}."
        return outcome
    if options["send"]:
        protocol.send_text(options["send"].encode())
        _flush(protocol, talk)
    outcome = answered(talk) if options["expect"] is None else await _expected(protocol, talk, options["expect"])
    outcome.status_code = 101
    if protocol.state is State.OPEN:
        protocol.send_close(1000)
    _flush(protocol, talk)
    return outcome


async def _expected(protocol: ClientProtocol, talk: Talk, pattern: Any) -> CheckOutcome:
    last = b""
    while True:
        for event in protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                last = bytes(event.data)
                try:
                    if is_found(pattern, last.decode("utf-8", "replace")):
                        return answered(talk)
                except PatternTooSlow:
                    return answered(talk, status=UNKNOWN, error="The pattern takes too long on this answer.")
        if protocol.state is not State.OPEN:
            said = f"the last message was {quoted(last)}" if last else "no message came"
            return answered(talk, status=DOWN, error=f"It closed before the expected answer came: {said}.")
        await _feed(protocol, talk)


async def _feed(protocol: ClientProtocol, talk: Talk) -> None:
    data = await talk.read_some()
    if data:
        protocol.receive_data(data)
    else:
        protocol.receive_eof()
    _flush(protocol, talk)


def _flush(protocol: ClientProtocol, talk: Talk) -> None:
    for data in protocol.data_to_send():
        if data:
            talk.write(data)


def _parse(target: str) -> Target:
    scheme, mark, rest = target.strip().partition("://")
    secure = {"ws": "http", "wss": "https"}.get(scheme.lower())
    if not mark or secure is None:
        raise InvalidTarget(f"“{target}” is not a URL that starts with ws:// or wss://.")
    return parse_url(f"{secure}://{rest}")
