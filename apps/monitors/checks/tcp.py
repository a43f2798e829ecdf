"""Whether a TCP port accepts connections."""

from collections.abc import Mapping
from typing import Any

from apps.core.net import ConnectError, NetError, Purpose, tcp
from apps.monitors.checks.base import CheckConfig, CheckOutcome, failed, judged, register
from apps.monitors.checks.targets import address_problem, parse_address
from apps.monitors.states.endpoints import DEGRADED, UP

WATCH_S = 0.1  # how long a connection must hold


@register("tcp")
class TcpCheck:
    """One connection. A port that refuses, one that does not answer, and one that accepts only to close are told apart.

    The last is degraded: something accepts, often a forwarder whose own target is gone.
    """

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
            phases = await tcp.connect(host, port, Purpose.PROBE, config.timeout_s, watch_s=WATCH_S)
        except ConnectError as error:
            outcome = failed(error)
            if error.reason == "closed":
                outcome.status, outcome.latency_ms = DEGRADED, error.phases.total_ms
            return outcome
        except NetError as error:
            return failed(error)
        return judged(config, CheckOutcome(status=UP, latency_ms=phases.total_ms, phases=phases))
