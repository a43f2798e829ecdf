"""Whether a UDP port answers."""

from collections.abc import Mapping
from typing import Any

from apps.core.net import NetError, Purpose, datagrams
from apps.core.patterns import PatternTooSlow, compile_pattern, is_found
from apps.monitors.checks.base import CheckConfig, CheckOutcome, CheckType, failed, judged, register
from apps.monitors.checks.common import IP_FAMILY, family_of, quoted, unescaped
from apps.monitors.checks.options import Option
from apps.monitors.checks.targets import address_problem, parse_address
from apps.monitors.states.endpoints import DOWN, UNKNOWN, UP


@register("udp")
class UdpCheck(CheckType):
    """One datagram. An answer, silence, and the other side's word that nothing listens there are told apart."""

    label = "A UDP port"
    target_help = "host:port, for example ntp.example.org:123"
    fields = (
        Option(
            "send",
            "Send",
            help=r"The datagram's content; \x1b stands for a byte in hex, \r\n for the end of a line.",
            placeholder=r"\x1b\x00\x00",
        ),
        Option(
            "expect",
            "Expect",
            kind="pattern",
            most=500,
            help="A regular expression that must be found in the answer; without one any answer will do.",
        ),
        Option(
            "silence",
            "No answer means",
            kind="choice",
            default="down",
            choices=(("down", "It is down"), ("up", "It is up: this service answers nobody")),
        ),
        IP_FAMILY,
    )

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with the address and with what is sent."""
        options = values["options"]
        found: dict[str, str] = {}
        problem = address_problem(values["target"])
        if problem:
            found["target"] = problem
        try:
            unescaped(options["send"])
        except ValueError as error:
            found["options.send"] = str(error)
        if options["expect"] and options["silence"] == "up":
            found["options.silence"] = "an expected answer and silence don't go together"
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
        """Ask once."""
        options = config.options
        try:
            host, port = parse_address(config.target)
            answer = await datagrams.ask(
                host, port, options["send"], Purpose.PROBE, config.timeout_s, options["family"]
            )
        except NetError as error:
            return failed(error)
        outcome = CheckOutcome(status=UP, phases=answer.phases)
        if answer.data is None:
            if options["silence"] == "down":
                outcome.status, outcome.is_timeout = DOWN, True
                outcome.error = f"UDP port {port} of {host} did not answer within {config.timeout_s:g} s."
            return outcome
        outcome.latency_ms = answer.phases.total_ms
        try:
            if options["expect"] and not is_found(options["expect"], answer.data.decode("utf-8", "replace")):
                outcome.status, outcome.error = DOWN, f"It answered something else: {quoted(answer.data)}."
        except PatternTooSlow:
            outcome.status, outcome.error = UNKNOWN, "The pattern takes too long on this answer."
        return judged(config, outcome)
