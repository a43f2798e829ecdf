"""Endpoints as their checks need them, parsed once for each revision."""

import json
import logging
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from apps.monitors.checks import CheckConfig, assertions, check_types
from apps.monitors.checks.base import NO_OPTIONS
from apps.monitors.checks.options import complete_options
from apps.monitors.models import Endpoint

log = logging.getLogger(__name__)

_KEPT_MOST = 20_000
_kept: dict[UUID, CheckConfig] = {}


def headers_of(endpoint: Endpoint) -> dict[str, str]:
    """Return the headers in plain text."""
    return dict(json.loads(endpoint.headers)) if endpoint.headers else {}


def stored_options(endpoint: Endpoint) -> dict[str, Any]:
    """Return what is stored of the options, secrets in plain text."""
    return {**endpoint.options, **(json.loads(endpoint.secrets) if endpoint.secrets else {})}


def options_of(endpoint: Endpoint) -> dict[str, Any]:
    """Return complete options, secrets in plain text; {} where the type is unknown."""
    kind = check_types.get(endpoint.endpoint_type)
    return complete_options(kind.fields, stored_options(endpoint)) if kind else {}


def config_of(endpoint: Endpoint) -> CheckConfig:
    """Parse an endpoint."""
    kind = check_types.get(endpoint.endpoint_type)
    return CheckConfig(
        endpoint_id=endpoint.pk,
        num=endpoint.num,
        revision=endpoint.revision,
        name=endpoint.name,
        endpoint_type=endpoint.endpoint_type,
        target=endpoint.target,
        interval_s=endpoint.interval_s,
        timeout_s=endpoint.timeout_s,
        method=endpoint.method or "GET",
        headers=tuple(headers_of(endpoint).items()),
        body=endpoint.body.encode(),
        expected_status=assertions.parse_status(endpoint.expected_status or "2xx"),
        keyword=endpoint.keyword,
        keyword_absent=endpoint.keyword_absent,
        json_path=assertions.parse_json_path(endpoint.json_path) if endpoint.json_path else (),
        json_value=endpoint.json_value,
        max_redirects=endpoint.max_redirects,
        tls_verify=endpoint.tls_verify,
        ca_pem=endpoint.ca_pem,
        degraded_over_ms=endpoint.degraded_over_ms,
        options=kind.ready_options(stored_options(endpoint)) if kind else NO_OPTIONS,
        inverse=endpoint.inverse,
        newer_than=endpoint.updated_at,
    )


def configs_of(wanted: Iterable[tuple[UUID, int]]) -> dict[UUID, CheckConfig]:
    """Return the configurations of endpoints given as (id, revision), in at most one query.

    Those that this process has parsed in that revision come from memory. One that was removed is missing.
    """
    pairs = dict(wanted)
    known = {pk: config for pk in pairs if (config := _kept.get(pk)) is not None and config.revision == pairs[pk]}
    missing = [pk for pk in pairs if pk not in known]
    if missing:
        if len(_kept) + len(missing) > _KEPT_MOST:
            _kept.clear()
        for endpoint in Endpoint.objects.filter(pk__in=missing):
            try:
                known[endpoint.pk] = _kept[endpoint.pk] = config_of(endpoint)
            except Exception as error:  # one row that can't be read must not stop the others' checks
                known[endpoint.pk] = _faulty(endpoint, error)
    return known


def _faulty(endpoint: Endpoint, error: Exception) -> CheckConfig:
    log.error("endpoint %s can't be checked: %s", endpoint.num, error)
    return CheckConfig(
        endpoint_id=endpoint.pk,
        num=endpoint.num,
        revision=endpoint.revision,
        name=endpoint.name,
        endpoint_type=endpoint.endpoint_type,
        target=endpoint.target,
        interval_s=endpoint.interval_s,
        timeout_s=endpoint.timeout_s,
        fault=f"Its configuration can't be read: {error}",
    )
