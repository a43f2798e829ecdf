"""Groups: endpoints whose state follows that of others."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core.errors import Invalid
from apps.core.events import Subject, emit
from apps.core.principals import Principal
from apps.monitors.checks import as_expected, check_types
from apps.monitors.checks.base import CheckConfig, CheckOutcome
from apps.monitors.models import Endpoint
from apps.monitors.services.endpoint_configs import config_of
from apps.monitors.services.endpoint_results import CheckRun, record_results, status_watchers

LEVELS_MOST = 10


def member_options(endpoint_type: str, options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the options that name other endpoints."""
    kind = check_types.get(endpoint_type)
    fields = kind.fields if kind else ()
    return {one.name: list(options[one.name]) for one in fields if one.kind == "endpoints"}


def check_members(endpoint_type: str, options: Mapping[str, Any], *, group: UUID | None = None) -> list[UUID]:
    """Return the ids of an endpoint's members.

    Args:
        group: the endpoint they shall be members of; None while it is new.

    Raises:
        Invalid: there is no such endpoint, or the endpoint would contain itself (422).
    """
    found: list[UUID] = []
    for name, ids in member_options(endpoint_type, options).items():
        known = dict(Endpoint.objects.filter(pk__in=ids).values_list("pk", "name"))
        for text in ids:
            if UUID(text) not in known:
                raise Invalid({f"options.{name}": f"there is no endpoint {text}"})
        _refuse_circle(name, known, group)
        found += known
    return found


def _refuse_circle(name: str, members: Mapping[UUID, str], group: UUID | None) -> None:
    by_way: dict[UUID, str] = dict(members)
    for _ in range(LEVELS_MOST):
        if group in by_way:
            raise Invalid({f"options.{name}": f"“{by_way[group]}” contains this group itself"})
        links = Endpoint.members.through.objects.filter(from_endpoint_id__in=list(by_way))
        # The member through which one gets there is what the person chose, so it is what the sentence names.
        by_way = {
            inner: by_way[outer] for outer, inner in links.values_list("from_endpoint_id", "to_endpoint_id")
        }  # fmt: skip
        if not by_way:
            return
    raise Invalid({f"options.{name}": f"groups are nested more than {LEVELS_MOST} levels deep"})


def leave_groups(*, endpoint: Endpoint, actor: Principal) -> list[int]:
    """Take an endpoint that is removed out of its groups; call it in that transaction.

    Returns:
        The number of the endpoints whose state may change by it.

    Emits: endpoint.updated for each group.
    """
    nums = []
    for group in Endpoint.objects.select_for_update().filter(members=endpoint):
        for name, ids in member_options(group.endpoint_type, {"members": [], **group.options}).items():
            group.options[name] = [one for one in ids if one != str(endpoint.pk)]
        group.revision += 1
        group.save(update_fields=["options", "revision", "updated_at"])
        emit(
            "endpoint.updated",
            subject=Subject("endpoint", str(group.pk), group.name),
            actor=actor,
            data={"endpoint_id": str(group.pk), "name": group.name},
            tags=[tag.name for tag in group.tags.all()],
            before={"member": endpoint.name},
            after={"member": None},
        )
        nums.append(group.num)
    return nums


def refresh_groups(nums: Sequence[int]) -> None:
    """Evaluate the groups that contain endpoints with these numbers, outside of any transaction."""
    if nums:
        evaluate_groups(Endpoint.objects.filter(members__num__in=list(nums), enabled=True).distinct())


def evaluate_groups(groups: Iterable[Endpoint]) -> None:
    """Look at groups' members now. The moment is taken before the look, so that a later one always wins."""
    runs = []
    for group in groups:
        try:
            config = config_of(group)
        except Exception:  # the sweep says what is wrong with it
            continue
        evaluate = getattr(check_types.get(group.endpoint_type), "evaluate", None)
        if evaluate is not None:
            at = timezone.now()
            runs.append(CheckRun(config, at, as_expected(config, _evaluated(evaluate, config))))
    if runs:
        record_results(runs)


def refresh_after_commit(nums: Sequence[int]) -> None:
    """Evaluate the groups of these endpoints once the transaction is through."""
    transaction.on_commit(lambda: refresh_groups(nums))


def _evaluated(evaluate: Any, config: CheckConfig) -> CheckOutcome:
    outcome: CheckOutcome = evaluate(config)
    return outcome


status_watchers.append(refresh_groups)
