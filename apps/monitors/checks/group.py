"""Several endpoints as one: as bad as the worst of them."""

from collections.abc import Mapping
from typing import Any

from apps.monitors.checks.base import ERROR_LENGTH, CheckConfig, CheckOutcome, CheckType, in_thread, register
from apps.monitors.checks.options import Option
from apps.monitors.models import EndpointState
from apps.monitors.states.endpoints import DEGRADED, DOWN, PAUSED, UNKNOWN, UP

_NAMED_MOST = 5


@register("group")
class GroupCheck(CheckType):
    """The worst of its members; what is paused does not count, what is unknown only where nothing better is known."""

    label = "A group of monitors"
    target_help = ""
    minds_latency = False
    fields = (
        Option(
            "members",
            "Members",
            kind="endpoints",
            most=36,
            required=True,
            help="The group is as bad as the worst of them; paused ones don't count.",
        ),
    )

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong: a target would mislead."""
        return {"target": "a group has members, and nothing of its own to reach"} if values["target"] else {}

    def address(self, target: str) -> tuple[str, int]:
        """Return nothing: no certificate is ever seen here."""
        return "", 0

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Look at the members."""
        return await in_thread(self.evaluate, config)

    def evaluate(self, config: CheckConfig) -> CheckOutcome:
        """Look at the members, from a thread."""
        return worst_of_members(config)


def worst_of_members(config: CheckConfig) -> CheckOutcome:
    """Return what the members' states make of the group."""
    members = list(
        EndpointState.objects.filter(endpoint_id__in=config.options["members"])
        .order_by("endpoint__name")
        .values_list("status", "endpoint__name")
    )
    counted = [(status, name) for status, name in members if status != PAUSED]
    if not counted:
        return CheckOutcome(UNKNOWN, error="Every member is paused." if members else "The group has no members left.")
    for status, word in ((DOWN, "down"), (DEGRADED, "degraded")):
        names = [name for found, name in counted if found == status]
        if names:
            listed = ", ".join(names[:_NAMED_MOST]) + (", …" if len(names) > _NAMED_MOST else "")
            verb = "is" if len(names) == 1 else "are"
            return CheckOutcome(
                status, error=f"{len(names)} of {len(counted)} members {verb} {word}: {listed}."[:ERROR_LENGTH]
            )
    if any(status == UP for status, _ in counted):
        return CheckOutcome(UP)
    return CheckOutcome(UNKNOWN, error="Nothing is known about any of its members yet.")
