"""Whether a TCP port accepts connections."""

from collections.abc import Mapping
from typing import Any

from apps.core.net import NetError, Purpose, tcp
from apps.monitors.checks.base import CheckConfig, CheckOutcome, failed, judged, register
from apps.monitors.checks.targets import address_problem, parse_address
from apps.monitors.states.endpoints import UP


@register("tcp")
class TcpCheck:
    """One connection, closed at once. A port that refuses and one that does not answer are told apart."""

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with the address."""
        problem = address_problem(values["target"])
        return {"target": problem} if problem else {}

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port."""
        return parse_address(target)

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Connect once."""
        try:
            host, port = parse_address(config.target)
            phases = await tcp.connect(host, port, Purpose.PROBE, config.timeout_s)
        except NetError as error:
            return failed(error)
        return judged(config, CheckOutcome(status=UP, latency_ms=phases.total_ms, phases=phases))
