"""Trying a configuration out: a check that leaves nothing behind but a line in the audit trail."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.utils import timezone

from apps.core.errors import Conflict
from apps.core.events import Subject, emit
from apps.core.net import run_sync
from apps.core.principals import Principal
from apps.monitors.checks import as_expected, run_check
from apps.monitors.models import Endpoint
from apps.monitors.services.endpoint_configs import config_of
from apps.monitors.services.endpoint_groups import check_members
from apps.monitors.services.endpoint_pushes import takes_results
from apps.monitors.services.endpoint_results import CheckRun
from apps.monitors.services.endpoint_rules import clean_endpoint
from apps.monitors.services.endpoints import columns_of, merged_values, values_of

UNNAMED = "Not saved yet"


def try_endpoint(*, actor: Principal, values: Mapping[str, Any], endpoint: Endpoint | None = None) -> CheckRun:
    """Check a configuration now, in this thread, within its time-out. Nothing is stored or counted.

    Args:
        values: as `create_endpoint` takes them; with an endpoint what differs from it.
        endpoint: one that exists; "***" stands for its secrets.

    Raises:
        Invalid: some values are wrong (422).
        Conflict: results of this type are sent in, so there is nothing to try (409).

    Emits: endpoint.tested.
    """
    given = dict(values)
    if endpoint is not None:
        given = merged_values(values_of(endpoint), given)
    elif not given.get("name"):
        given["name"] = UNNAMED
    clean = clean_endpoint(given)
    if takes_results(clean["endpoint_type"]):
        raise Conflict("Results of this type are sent in; send one to its push address.", code="wrong_state")
    check_members(clean["endpoint_type"], clean["options"], group=endpoint.pk if endpoint else None)
    trial = Endpoint(num=endpoint.num if endpoint else 0, **columns_of(clean))
    if endpoint is not None:
        trial.pk, trial.revision = endpoint.pk, endpoint.revision
    started = timezone.now()
    config = replace(config_of(trial), newer_than=started)
    run = CheckRun(config, started, as_expected(config, run_sync(run_check(config))))
    emit(
        "endpoint.tested",
        subject=Subject("endpoint", str(endpoint.pk) if endpoint else "", clean["name"]),
        actor=actor,
        data={
            "endpoint_id": str(endpoint.pk) if endpoint else None,
            "name": clean["name"],
            "endpoint_type": clean["endpoint_type"],
            "target": clean["target"],
            "status": run.outcome.status,
        },
    )
    return run
