"""Results that are sent in: a job or another monitor says how it is; silence is down."""

from collections.abc import Mapping
from typing import Any

from apps.monitors.checks.base import CheckConfig, CheckOutcome, CheckType, register
from apps.monitors.states.endpoints import DOWN


@register("push")
class PushCheck(CheckType):
    """Nothing is asked here; `run` is called when nothing has come for longer than interval and time-out."""

    label = "Results sent in (push)"
    target_help = ""
    takes_results = True

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong: a target would mislead."""
        return {"target": "results are sent in; there is nothing to reach"} if values["target"] else {}

    def address(self, target: str) -> tuple[str, int]:
        """Return nothing: no certificate is ever seen here."""
        return "", 0

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Say that nothing has come."""
        wait = config.interval_s + config.timeout_s
        return CheckOutcome(DOWN, error=f"No result has been sent in for more than {wait:g} s.")
