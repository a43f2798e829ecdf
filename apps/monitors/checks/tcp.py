"""Whether a TCP port accepts connections and, where asked for, gives the right answer."""

from collections.abc import Mapping
from typing import Any

from apps.core.net import ConnectError, NetError, Purpose, converse, tcp
from apps.core.patterns import PatternTooSlow, compile_pattern, is_found
from apps.monitors.checks.base import CheckConfig, CheckOutcome, CheckType, failed, judged, register
from apps.monitors.checks.common import (
    ENCRYPTED,
    IP_FAMILY,
    SERVER_NAME,
    TLS,
    answered,
    family_of,
    quoted,
    tls_context,
    unescaped,
)
from apps.monitors.checks.options import Option
from apps.monitors.checks.targets import address_problem, parse_address
from apps.monitors.states.endpoints import DEGRADED, DOWN, UNKNOWN, UP

WATCH_S = 0.1  # how long a connection must hold
ANSWER_MOST = 65_536


@register("tcp")
class TcpCheck(CheckType):
    """One connection. A port that refuses, one that does not answer, and one that accepts only to close are told apart.

    The last is degraded: something accepts, often a forwarder whose own target is gone.
    """

    label = "A TCP port"
    columns = ENCRYPTED
    fields = (
        Option("send", "Send", help=r"What is sent first; \r\n stands for the end of a line.", placeholder=r"PING\r\n"),
        Option(
            "expect",
            "Expect",
            kind="pattern",
            most=500,
            help="A regular expression that must be found in the answer.",
            placeholder="^220 ",
        ),
        TLS,
        SERVER_NAME,
        IP_FAMILY,
    )

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with the address and with what is sent."""
        found: dict[str, str] = {}
        problem = address_problem(values["target"])
        if problem:
            found["target"] = problem
        try:
            unescaped(values["options"]["send"])
        except ValueError as error:
            found["options.send"] = str(error)
        return found

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the bytes to send and the compiled pattern."""
        return {
            **options,
            "send": unescaped(options["send"]),
            "expect": compile_pattern(options["expect"]) if options["expect"] else None,
            "family": family_of(options),
        }

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port."""
        return parse_address(target)

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Connect once."""
        options = config.options
        try:
            host, port = parse_address(config.target)
            if options["send"] or options["expect"] or options["tls"]:
                return judged(config, await _exchange(config, host, port))
            phases = await tcp.connect(host, port, Purpose.PROBE, config.timeout_s, options["family"], watch_s=WATCH_S)
        except ConnectError as error:
            outcome = failed(error)
            if error.reason == "closed" and not options["expect"]:
                outcome.status, outcome.latency_ms = DEGRADED, error.phases.total_ms
            return outcome
        except NetError as error:
            return failed(error)
        return judged(config, CheckOutcome(status=UP, latency_ms=phases.total_ms, phases=phases))


async def _exchange(config: CheckConfig, host: str, port: int) -> CheckOutcome:
    options = config.options
    context = tls_context(config) if options["tls"] else None
    seen = bytearray()
    try:
        async with converse(
            host, port, Purpose.PROBE, config.timeout_s,
            family=options["family"], context=context, server_name=options["server_name"],
        ) as talk:  # fmt: skip
            if options["send"]:
                talk.write(options["send"])
            while options["expect"] is not None:
                try:
                    if seen and is_found(options["expect"], seen.decode("utf-8", "replace")):
                        break
                except PatternTooSlow:
                    return answered(talk, status=UNKNOWN, error="The pattern takes too long on this answer.")
                data = await talk.read_some() if len(seen) < ANSWER_MOST else b""
                if not data:
                    said = f"it said {quoted(bytes(seen))}" if seen else "it said nothing"
                    return answered(talk, status=DOWN, error=f"The expected answer did not come: {said}.")
                seen += data
            return answered(talk)
    except NetError as error:
        outcome = failed(error)
        if outcome.is_timeout and seen:
            outcome.error = (
                f"The expected answer did not come within {config.timeout_s:g} s: it said {quoted(bytes(seen))}."
            )
        return outcome
