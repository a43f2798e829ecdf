"""Each of the days set before a domain's end is told once."""

from uuid import UUID

from apps.core.events import Subject, emit
from apps.core.principals import Principal
from apps.monitors.checks import CheckOutcome
from apps.monitors.models import Endpoint, EndpointState


def tell_days_left(
    *, endpoint: tuple[int, UUID, str], warned_days: int | None, outcome: CheckOutcome, actor: Principal
) -> int | None:
    """Tell where another of the days set has passed; call it in the transaction of the result.

    Args:
        endpoint: number, id and name.
        warned_days: the day that was told last; None: none.

    Returns:
        The day that is told now.

    Emits: domain.expiring.
    """
    num, pk, name = endpoint
    day, facts = outcome.warn_day or None, outcome.registration
    if day == warned_days or facts is None or facts["expires_at"] is None:
        return warned_days
    if day is not None and (warned_days is None or day < warned_days):
        emit(
            "domain.expiring",
            subject=Subject("endpoint", str(pk), name),
            actor=actor,
            level="warning",
            tags=list(Endpoint.tags.through.objects.filter(endpoint_id=pk).values_list("tag__name", flat=True)),
            data={
                "endpoint_id": str(pk),
                "name": name,
                "domain": facts["domain"],
                "registrar": facts["registrar"],
                "expires_at": facts["expires_at"].isoformat(),
                "days_left": facts["days_left"],
                "warn_day": day,
                "is_first": warned_days is None,
                "message": outcome.error,
            },
        )
    EndpointState.objects.filter(num=num).update(warned_days=day)
    return day
