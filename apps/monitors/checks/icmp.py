"""Whether a host answers ICMP echoes, and how many get lost."""

from collections.abc import Mapping
from typing import Any

from apps.core.net import InvalidTarget, NetError, Purpose, check_host, datagrams
from apps.core.net.hosts import canonical_host
from apps.monitors.checks.base import CheckConfig, CheckOutcome, CheckType, failed, judged, register
from apps.monitors.checks.common import IP_FAMILY, family_of
from apps.monitors.checks.options import Option
from apps.monitors.states.endpoints import DEGRADED, DOWN, UP

_ECHO_PORT = 7  # the policy wants a port; echoes have none


@register("icmp")
class IcmpCheck(CheckType):
    """A few echoes. None answered is down, some lost is degraded."""

    label = "A host (ping)"
    target_help = "A host name or address"
    fields = (
        Option("count", "Echoes", kind="integer", default=3, least=1, most=20),
        Option(
            "loss_accepted",
            "Loss accepted (%)",
            kind="integer",
            default=0,
            least=0,
            most=99,
            help="More than this counts as degraded.",
        ),
        Option("size", "Bytes in each", kind="integer", default=56, least=8, most=1400),
        IP_FAMILY,
    )

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with the host."""
        try:
            self.address(values["target"])
            check_host(values["target"], _ECHO_PORT, Purpose.PROBE)
        except NetError as error:
            return {"target": error.message}
        return {}

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the family."""
        return {**options, "family": family_of(options)}

    def address(self, target: str) -> tuple[str, int]:
        """Return the host."""
        if "/" in target:
            raise InvalidTarget(f"“{target}” is not a host name or address.")
        return canonical_host(target), _ECHO_PORT

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Send the echoes and count the answers."""
        options = config.options
        try:
            found = await datagrams.ping(
                config.target,
                Purpose.PROBE,
                config.timeout_s,
                options["family"],
                count=options["count"],
                size=options["size"],
            )
        except NetError as error:
            return failed(error)
        return judge(config, found)


def judge(config: CheckConfig, found: datagrams.Echoes) -> CheckOutcome:
    """Return the outcome of a series of echoes; the latency is their mean round trip."""
    count = len(found.times_ms)
    if not count:
        sentence = f"{config.target} answered none of {found.sent} echoes within {config.timeout_s:g} s."
        return CheckOutcome(DOWN, phases=found.phases, error=sentence, is_timeout=True)
    outcome = CheckOutcome(UP, sum(found.times_ms) / count, found.phases)
    if found.lost_percent > config.options["loss_accepted"]:
        outcome.status = DEGRADED
        outcome.error = f"{found.sent - count} of {found.sent} echoes were lost ({found.lost_percent:.0f} %)."
        return outcome
    return judged(config, outcome)
