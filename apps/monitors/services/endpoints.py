"""Endpoint monitors: add, change, pause, remove, check now."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core import bell, errors, leases
from apps.core.events import Subject, emit
from apps.core.fields import MASK
from apps.core.models import Tag
from apps.core.net import run_sync
from apps.core.principals import Principal
from apps.monitors.checks import as_expected, check_types, run_check
from apps.monitors.checks.options import masked_options, split_options
from apps.monitors.models import DroppedSeries, Endpoint, EndpointState
from apps.monitors.services.endpoint_certificates import withdraw_certificate_alert
from apps.monitors.services.endpoint_configs import config_of, headers_of, options_of
from apps.monitors.services.endpoint_groups import check_members, leave_groups, refresh_after_commit
from apps.monitors.services.endpoint_pushes import new_token, silence_ends, takes_results, token_hash
from apps.monitors.services.endpoint_results import CheckRun, store_manual_result
from apps.monitors.services.endpoint_rules import DEFAULTS, clean_endpoint
from apps.monitors.states import endpoints as states

_SECRET = {"headers", "body"}


def create_endpoint(*, actor: Principal, values: Mapping[str, Any], push_token: str = "") -> Endpoint:
    """Add an endpoint monitor; it is checked at once.

    One whose results are sent in gets a token, which the instance returned carries as `push_token`, this once.

    Args:
        values: fields as `endpoint_rules.DEFAULTS` names them; `headers` is a mapping, `tags` a list of names,
            `options` those that the check type declares.
        push_token: a token that is in use already, for what comes from another product.

    Raises:
        Invalid: some values are wrong (422).

    Emits: endpoint.created.
    """
    clean = clean_endpoint(values)
    with transaction.atomic():
        members = check_members(clean["endpoint_type"], clean["options"])
        endpoint = Endpoint(num=leases.next_value("endpoints"), **columns_of(clean))
        token = _give_token(endpoint, push_token)
        endpoint.save(force_insert=True)
        endpoint.members.set(Endpoint.objects.filter(pk__in=members))
        now = timezone.now()
        EndpointState.objects.create(
            endpoint=endpoint,
            num=endpoint.num,
            status=states.UNKNOWN if endpoint.enabled else states.PAUSED,
            since=now,
            next_check_at=_first_check(endpoint, now) if endpoint.enabled else None,
        )
        endpoint.tags.set(_tags(clean["tags"]))
        _emit("endpoint.created", endpoint, actor, clean["tags"], after=_shown(clean))
        _ring_after_commit()
    endpoint.push_token = token  # type: ignore[attr-defined]
    return endpoint


def update_endpoint(
    *, endpoint: Endpoint, actor: Principal, values: Mapping[str, Any], expected_revision: int | None = None
) -> Endpoint:
    """Change an endpoint monitor; it is checked at once with its new values.

    `enabled` pauses and resumes. A header or secret option whose value is "***" keeps the value it has; options that
    are left out stay. One that becomes of a type whose results are sent in gets its token as in `create_endpoint`.

    Args:
        values: what changes; the rest stays.
        expected_revision: refuse where somebody else was faster.

    Raises:
        Invalid: some values are wrong (422).
        PreconditionFailed: the revision is another one (412).
        NotFound: it was removed meanwhile (404).

    Emits: endpoint.updated; endpoint.paused, endpoint.resumed; certificate.recovery where its certificate is watched
    no more.
    """
    with transaction.atomic():
        endpoint = _locked(endpoint)
        if expected_revision is not None and endpoint.revision != expected_revision:
            raise errors.PreconditionFailed(
                "Somebody changed this since you read it; read it again and repeat your change."
            )
        before = values_of(endpoint)
        clean = clean_endpoint(merged_values(before, values))
        enabled = clean.pop("enabled")
        was_enabled = before.pop("enabled")
        changed = {name for name, value in clean.items() if value != before[name]}
        token = ""
        if changed:
            members = check_members(clean["endpoint_type"], clean["options"], group=endpoint.pk)
            for name, value in columns_of(clean).items():
                setattr(endpoint, name, value)
            token = _give_token(endpoint)
            endpoint.revision += 1
            endpoint.save()
            if changed & {"endpoint_type", "options"}:
                endpoint.members.set(Endpoint.objects.filter(pk__in=members))
            if "tags" in changed:
                endpoint.tags.set(_tags(clean["tags"]))
            if changed & {"endpoint_type", "target"}:
                withdraw_certificate_alert(
                    endpoint=endpoint, actor=actor, reason="The monitor was pointed at something else."
                )
            if was_enabled:
                EndpointState.objects.filter(num=endpoint.num).update(
                    next_check_at=_first_check(endpoint, timezone.now())
                )
            shown = _shown(before), _shown(clean)
            _emit(
                "endpoint.updated",
                endpoint,
                actor,
                clean["tags"],
                before={name: shown[0][name] for name in changed},
                after={name: shown[1][name] for name in changed},
            )
        if enabled and not was_enabled:
            resume_endpoint(endpoint=endpoint, actor=actor)
        elif was_enabled and not enabled:
            pause_endpoint(endpoint=endpoint, actor=actor)
        _ring_after_commit()
    updated: Endpoint = Endpoint.objects.with_state().get(pk=endpoint.pk)
    updated.push_token = token  # type: ignore[attr-defined]
    return updated


def pause_endpoint(*, endpoint: Endpoint, actor: Principal) -> Endpoint:
    """Stop checking an endpoint; no uptime is lost, and what was failing is not failing any more.

    Raises:
        Conflict: it is paused already (409).
        NotFound: it was removed meanwhile (404).

    Emits: endpoint.paused.
    """
    with transaction.atomic():
        endpoint = _locked(endpoint)
        withdraw_certificate_alert(endpoint=endpoint, actor=actor, reason="The monitor was paused.", is_pause=True)
        _move(endpoint, states.PAUSED, enabled=False)
        _emit("endpoint.paused", endpoint, actor, _tag_names(endpoint))
    return endpoint


def resume_endpoint(*, endpoint: Endpoint, actor: Principal) -> Endpoint:
    """Check an endpoint again, at once.

    Raises:
        Conflict: it is not paused (409).
        NotFound: it was removed meanwhile (404).

    Emits: endpoint.resumed.
    """
    with transaction.atomic():
        endpoint = _locked(endpoint)
        if endpoint.enabled:
            raise errors.Conflict("This endpoint is not paused.", code="wrong_state")
        _move(endpoint, states.UNKNOWN, enabled=True)
        _emit("endpoint.resumed", endpoint, actor, _tag_names(endpoint))
        _ring_after_commit()
    return endpoint


def delete_endpoint(*, endpoint: Endpoint, actor: Principal) -> None:
    """Remove an endpoint monitor; its results go in small portions afterwards.

    Raises:
        NotFound: it was removed already (404).

    Emits: endpoint.deleted; certificate.recovery where its certificate was told about.
    """
    with transaction.atomic():
        endpoint = _locked(endpoint)
        withdraw_certificate_alert(endpoint=endpoint, actor=actor, reason="The monitor was removed.")
        _emit("endpoint.deleted", endpoint, actor, _tag_names(endpoint), before=_shown(values_of(endpoint)))
        groups = leave_groups(endpoint=endpoint, actor=actor)
        DroppedSeries.objects.get_or_create(num=endpoint.num)
        endpoint.delete()
        if groups:
            EndpointState.objects.filter(num__in=groups, next_check_at__isnull=False).update(
                next_check_at=timezone.now()
            )
            _ring_after_commit()


def check_endpoint(*, endpoint: Endpoint, actor: Principal) -> CheckRun:
    """Check an endpoint now, in this thread, paused or not.

    The result is shown among the others but counts neither for uptime nor for alerts.

    Raises:
        Conflict: results of this type are sent in, so there is nothing to check (409).

    Emits: endpoint.checked; live endpoint.check_result.
    """
    if takes_results(endpoint.endpoint_type):
        raise errors.Conflict("Results of this monitor are sent in; there is nothing to check.", code="wrong_state")
    started = timezone.now()
    config = replace(config_of(endpoint), newer_than=started)
    outcome = as_expected(config, run_sync(run_check(config)))
    run = CheckRun(config, started, outcome)
    with transaction.atomic():
        store_manual_result(run)
        emit(
            "endpoint.checked",
            subject=subject_of(endpoint),
            actor=actor,
            data={"endpoint_id": str(endpoint.pk), "name": endpoint.name, "status": outcome.status},
        )
    return run


# --- helpers -----------------------------------------------------------------------------------------------------


def subject_of(endpoint: Endpoint) -> Subject:
    """Return the endpoint as the subject of an event."""
    return Subject("endpoint", str(endpoint.pk), endpoint.name)


def values_of(endpoint: Endpoint) -> dict[str, Any]:
    """Return an endpoint's values under the names that `create_endpoint` takes, headers and secrets in plain text."""
    values = {name: getattr(endpoint, name) for name in DEFAULTS if name not in ("headers", "options", "tags")}
    return {
        **values,
        "headers": headers_of(endpoint),
        "options": options_of(endpoint),
        "tags": _tag_names(endpoint),
    }


def merged_values(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an endpoint's values with what is given put over them.

    A header or secret option whose value is "***" keeps the value it has; an option that is null gets its default. With
    another type the options begin anew.
    """
    wanted = {name: value for name, value in given.items() if name in DEFAULTS}
    if isinstance(wanted.get("headers"), Mapping):
        kept = before["headers"]
        wanted["headers"] = {
            name: kept[name] if value == MASK and name in kept else value for name, value in wanted["headers"].items()
        }
    kept = before["options"] if wanted.get("endpoint_type", before["endpoint_type"]) == before["endpoint_type"] else {}
    options = wanted.get("options")
    if options is None:
        wanted["options"] = kept
    elif isinstance(options, Mapping):
        masked = {name for name, value in options.items() if value == MASK and kept.get(name)}
        wanted["options"] = {**kept, **{name: value for name, value in options.items() if name not in masked}}
    if "timeout_s" not in wanted and wanted.get("interval_s") is not None:
        wanted["timeout_s"] = _fitting_timeout(before["timeout_s"], wanted["interval_s"])
    return {**before, **wanted}


def columns_of(clean: Mapping[str, Any]) -> dict[str, Any]:
    """Return clean values as the columns of a row."""
    columns = {name: value for name, value in clean.items() if name not in ("headers", "options", "tags")}
    columns["headers"] = json.dumps(dict(clean["headers"])) if clean["headers"] else ""
    columns["options"], secrets = split_options(check_types[clean["endpoint_type"]].fields, clean["options"])
    columns["secrets"] = json.dumps(secrets) if secrets else ""
    return columns


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as the audit trail may keep them."""
    shown: dict[str, Any] = {name: MASK if name in _SECRET and value else value for name, value in values.items()}
    kind = check_types.get(shown["endpoint_type"])
    shown["options"] = masked_options(kind.fields, shown["options"]) if kind else {}
    return shown


def _fitting_timeout(timeout_s: float, interval_s: Any) -> float:
    """Return the time-out, shortened to a new interval; a wrong interval is for the rules to name."""
    fits = isinstance(interval_s, int | float) and not isinstance(interval_s, bool) and interval_s >= 1
    return min(timeout_s, float(interval_s)) if fits else timeout_s


def _locked(endpoint: Endpoint) -> Endpoint:
    found: Endpoint | None = Endpoint.objects.select_for_update().filter(pk=endpoint.pk).first()
    if found is None:
        raise errors.NotFound("There is no such endpoint any more.")
    return found


def _move(endpoint: Endpoint, status: str, *, enabled: bool) -> None:
    state = EndpointState.objects.select_for_update().get(num=endpoint.num)
    states.ENDPOINT.check(state.status, status)
    now = timezone.now()
    EndpointState.objects.filter(num=endpoint.num).update(
        status=status,
        since=now,
        next_check_at=_first_check(endpoint, now) if enabled else None,
        consecutive_failures=0,
        consecutive_degraded=0,
        consecutive_successes=0,
        failing_since=None,
        alert_level="",
        certificate_alert="",  # what it was about is quiet while paused, and told again when it still holds
    )
    endpoint.enabled = enabled
    endpoint.revision += 1
    endpoint.save(update_fields=["enabled", "revision", "updated_at"])
    refresh_after_commit([endpoint.num])


def _first_check(endpoint: Endpoint, now: datetime) -> datetime:
    """Return when something added, changed or resumed is looked at: at once, or when silence would be a failure."""
    if not takes_results(endpoint.endpoint_type):
        return now
    return silence_ends(interval_s=endpoint.interval_s, timeout_s=endpoint.timeout_s, after=now)


def _give_token(endpoint: Endpoint, given: str = "") -> str:
    """Give an endpoint whose results are sent in a token where it has none; take it from any other.

    Returns:
        The token, "" where there is none to show.
    """
    if not takes_results(endpoint.endpoint_type):
        endpoint.token_hash = None
        return ""
    if endpoint.token_hash:
        return ""
    if given:
        token, endpoint.token_hash = given, token_hash(given)
        if Endpoint.objects.filter(token_hash=endpoint.token_hash).exists():
            raise errors.Invalid({"push_token": "is in use for another monitor"})
        return token
    token, endpoint.token_hash = new_token()
    return token


def _tags(names: Iterable[str]) -> list[Tag]:
    return [Tag.objects.get_or_create(name=name)[0] for name in names]


def _tag_names(endpoint: Endpoint) -> list[str]:
    return sorted(tag.name for tag in endpoint.tags.all())


def _emit(
    name: str,
    endpoint: Endpoint,
    actor: Principal,
    tags: Iterable[str],
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    data = {"endpoint_id": str(endpoint.pk), "name": endpoint.name}
    emit(name, subject=subject_of(endpoint), actor=actor, data=data, tags=tags, before=before, after=after)


def _ring_after_commit() -> None:
    transaction.on_commit(lambda: bell.ring(bell.WORK))
