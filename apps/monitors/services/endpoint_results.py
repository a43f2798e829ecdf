"""Results of checks: stored, counted, and told where they change something. One transaction a batch."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, transaction

from apps.core import disk
from apps.core.events import Subject, emit, publish_live
from apps.core.principals import Principal, system
from apps.monitors import series
from apps.monitors.checks import CheckConfig, CheckOutcome, check_types
from apps.monitors.checks.base import ERROR_LENGTH
from apps.monitors.models import CheckResult, DirtyBucket, Endpoint, EndpointState
from apps.monitors.services.certificate_results import alert_key, record_sighting
from apps.monitors.services.domain_warnings import tell_days_left
from apps.monitors.services.endpoint_certificates import facts_of, is_news, withdraw_former
from apps.monitors.services.maintenance import is_any_open, is_under_maintenance
from apps.monitors.services.timing import next_on_grid
from apps.monitors.states.endpoints import CODES, DEGRADED, DOWN, PAUSED, UNKNOWN, UP

log = logging.getLogger(__name__)

BUCKET_MS = 300_000
_PORTION = 200  # results a transaction: it keeps every other writer waiting
_SIGHTINGS = 25  # certificates that are news, a transaction; those beyond are news again with the next check


@dataclass(frozen=True, slots=True)
class CheckRun:
    """A check that has been made. `at` is when it began, `due` when the next one is; None: by the interval's grid."""

    config: CheckConfig
    at: datetime
    outcome: CheckOutcome
    due: datetime | None = None

    @property
    def at_ms(self) -> int:
        """Return the start in epoch ms, the key of the result."""
        return int(self.at.timestamp() * 1000)


#: Called after the commit with the numbers of endpoints whose status has changed.
status_watchers: list[Callable[[Sequence[int]], None]] = []


@dataclass(slots=True)
class _State:
    """The columns of a state and of its endpoint that a result needs, in the order of `_COLUMNS`."""

    num: int
    endpoint_id: UUID
    status: str
    since: datetime
    consecutive_failures: int
    consecutive_degraded: int
    consecutive_successes: int
    failing_since: datetime | None
    alert_level: str
    last_check_at: datetime | None
    recent: str
    certificate: dict[str, Any] | None
    certificate_alert: str
    revision: int
    name: str
    target: str
    failure_threshold: int
    recovery_threshold: int
    cert_warn_days: list[int]
    warned_days: int | None


_COLUMNS = (
    "num", "endpoint_id", "status", "since", "consecutive_failures", "consecutive_degraded", "consecutive_successes",
    "failing_since", "alert_level", "last_check_at", "recent", "certificate", "certificate_alert", "endpoint__revision",
    "endpoint__name", "endpoint__target", "endpoint__failure_threshold", "endpoint__recovery_threshold",
    "endpoint__cert_warn_days", "warned_days",
)  # fmt: skip


def record_results(runs: Sequence[CheckRun]) -> int:
    """Store results and move the states of their endpoints.

    A result is dropped where its endpoint was changed, paused or removed since the check began. One that is older than
    what the state knows is stored, but moves nothing; so a batch may be repeated.

    Returns:
        How many were stored.

    Emits: endpoint.alert, endpoint.recovery, certificate.alert, certificate.recovery, domain.expiring; live
        endpoint.check_result.
    """
    is_any_open()  # reads the windows before the transaction, so that nobody waits for that
    return sum(_record_apart(runs[start : start + _PORTION]) for start in range(0, len(runs), _PORTION))


def _record_apart(runs: Sequence[CheckRun]) -> int:
    """Record a portion; where one of its results can't be recorded, each by itself, so that only that one is lost."""
    try:
        return _record(runs)
    except DatabaseError:  # ours: the writer tries again
        raise
    except Exception as error:
        if len(runs) > 1:
            return sum(_record_apart([run]) for run in runs)
        [run] = runs
        log.exception("the result of endpoint %s could not be recorded", run.config.num)
        rows = EndpointState.objects.filter(num=run.config.num).exclude(status=PAUSED)
        rows.exclude(status=UNKNOWN).update(status=UNKNOWN, since=run.at)
        rows.update(
            last_error=f"The result of the check could not be recorded ({type(error).__name__}); "
            "change and save this monitor.",
            next_check_at=next_on_grid(num=run.config.num, interval_s=run.config.interval_s, after=run.at),
            lease_owner="",
            lease_until=None,
        )
        return 0


def _record(runs: Sequence[CheckRun]) -> int:
    actor = system("monitors")
    with transaction.atomic():
        states = _load({run.config.num for run in runs})
        kept: list[CheckRun] = []
        moved: dict[int, tuple[_State, CheckRun]] = {}
        changed: list[int] = []
        handed_on = 0
        for run in runs:
            state = states.get(run.config.num)
            if state is None or state.status == PAUSED or state.revision != run.config.revision:
                continue
            kept.append(run)
            if state.last_check_at is None or run.at > state.last_check_at:
                before = state.status
                _apply(state, run, actor)
                if handed_on < _SIGHTINGS and _apply_certificate(state, run, actor):
                    handed_on += 1
                if run.outcome.warn_day is not None:
                    state.warned_days = tell_days_left(
                        endpoint=(state.num, state.endpoint_id, state.name),
                        warned_days=state.warned_days,
                        outcome=run.outcome,
                        actor=actor,
                    )
                moved[state.num] = (state, run)
                if state.status != before:
                    changed.append(state.num)
        if disk.telemetry_allowed():  # states and alerts go on when the disk is full
            _insert(kept)
        _save(list(moved.values()))
        idle = [run.config.num for run in runs if run.config.num in states and run.config.num not in moved]
        if idle:
            EndpointState.objects.filter(num__in=idle).update(lease_owner="", lease_until=None)
        transaction.on_commit(lambda: _publish(kept))
        if changed:
            transaction.on_commit(lambda: _tell_watchers(changed))
    return len(kept)


def _tell_watchers(nums: Sequence[int]) -> None:
    for watch in status_watchers:
        try:
            watch(nums)
        except Exception:  # the results are stored; what follows from them is looked at again by the sweep
            log.exception("following %d changed endpoints failed", len(nums))


def release_checks(nums: Sequence[int]) -> None:
    """Give back claims whose checks were broken off, so that another worker needn't wait for their end."""
    EndpointState.objects.filter(num__in=list(nums)).update(lease_owner="", lease_until=None)


def store_manual_result(run: CheckRun) -> None:
    """Store a result that a person asked for: shown, but never counted."""
    _insert([run], manual=True)
    transaction.on_commit(lambda: _publish([run]))


# --- states ------------------------------------------------------------------------------------------------------


def _load(nums: set[int]) -> dict[int, _State]:
    rows = EndpointState.objects.filter(num__in=nums)
    if connection.features.has_select_for_update:
        # In order of their numbers, so that two workers can't lock each other out.
        list(rows.select_for_update().order_by("num").values_list("num"))
    return {row[0]: _State(*row) for row in rows.values_list(*_COLUMNS)}


def _apply(state: _State, run: CheckRun, actor: Principal) -> None:
    outcome, at = run.outcome, run.at
    if outcome.status != state.status:
        state.status, state.since = outcome.status, at
    state.last_check_at = at
    state.recent = series.add_recent(state.recent, outcome.status, outcome.latency_ms)
    if outcome.status == UP:
        state.consecutive_successes += 1
        state.consecutive_failures = state.consecutive_degraded = 0
        if state.alert_level:
            if state.consecutive_successes >= state.recovery_threshold:
                _tell_recovery(state, run, actor)
        else:
            state.failing_since = None
    elif outcome.status != UNKNOWN:  # what we could not check neither fails nor succeeds
        state.consecutive_successes = 0
        state.consecutive_degraded += 1
        state.consecutive_failures = state.consecutive_failures + 1 if outcome.status == DOWN else 0
        state.failing_since = state.failing_since or at
        if outcome.status == DOWN:
            if state.consecutive_failures >= state.failure_threshold and state.alert_level != "critical":
                _tell_alert(state, run, actor, "critical", state.consecutive_failures)
        elif state.consecutive_degraded >= state.failure_threshold and not state.alert_level:
            _tell_alert(state, run, actor, "warning", state.consecutive_degraded)


def _apply_certificate(state: _State, run: CheckRun, actor: Principal) -> bool:
    """Hand a certificate that is news on to its monitor; return whether it was."""
    seen = run.outcome.certificate
    if seen is None:
        return False
    news = is_news(state.certificate, seen)
    if news and seen.certificate is None and not seen.problem:
        return False
    key = alert_key(seen, state.cert_warn_days, run.at)
    if not news and key == state.certificate_alert:
        return False
    address = check_types[run.config.endpoint_type].address(run.config.target)
    withdraw_former(state.endpoint_id, state.certificate, state.certificate_alert, actor)
    record_sighting(
        endpoint_id=state.endpoint_id,
        address=address,
        seen=seen,
        warn_days=state.cert_warn_days,
        at=run.at,
        actor=actor,
        server_name=str(run.config.options.get("server_name") or ""),
        starttls=run.config.endpoint_type if run.config.options.get("security") == "starttls" else "",
    )
    facts = facts_of(seen, address)
    state.certificate, state.certificate_alert = facts, key
    EndpointState.objects.filter(num=state.num).update(certificate=facts, certificate_alert=key)
    return True


def _tell_alert(state: _State, run: CheckRun, actor: Principal, level: str, failures: int) -> None:
    state.alert_level = level
    assert state.failing_since is not None
    emit(
        "endpoint.alert",
        subject=Subject("endpoint", str(state.endpoint_id), state.name),
        actor=actor,
        level=level,
        tags=_tags(state),
        data={
            "endpoint_id": str(state.endpoint_id),
            "name": state.name,
            "target": state.target,
            "status": run.outcome.status,
            "level": level,
            "consecutive_failures": failures,
            "threshold": state.failure_threshold,
            "last_error": run.outcome.error,
            "since": state.failing_since.isoformat(),
            "latency_ms": _rounded(run.outcome.latency_ms),
        },
    )


def _tell_recovery(state: _State, run: CheckRun, actor: Principal) -> None:
    began = state.failing_since or state.since
    emit(
        "endpoint.recovery",
        subject=Subject("endpoint", str(state.endpoint_id), state.name),
        actor=actor,
        tags=_tags(state),
        data={
            "endpoint_id": str(state.endpoint_id),
            "name": state.name,
            "target": state.target,
            "status": state.status,
            "downtime_s": round((state.since - began).total_seconds(), 1),
            "since": began.isoformat(),
            "latency_ms": _rounded(run.outcome.latency_ms),
        },
    )
    state.alert_level, state.failing_since = "", None


def _tags(state: _State) -> list[str]:
    return list(Endpoint.tags.through.objects.filter(endpoint_id=state.endpoint_id).values_list("tag__name", flat=True))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


# --- rows --------------------------------------------------------------------------------------------------------
# By hand: the ORM's bulk_create and bulk_update take ten times as long for so many columns, and this runs for each
# check.

_STATE_SQL = """
UPDATE {table} SET status = %s, since = %s, consecutive_failures = %s, consecutive_degraded = %s,
    consecutive_successes = %s, failing_since = %s, alert_level = %s, last_check_at = %s, next_check_at = %s,
    last_response_time_ms = %s, last_status_code = %s, last_error = %s, recent = %s,
    lease_owner = '', lease_until = NULL
WHERE num = %s
"""
_RESULT_SQL = """
INSERT INTO {table} (num, at, status, manual, maintenance, latency_ms, dns_ms, connect_ms, tls_ms, first_byte_ms,
    status_code, error)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
# DO UPDATE and not DO NOTHING: it locks the mark, so that a roll-up that takes it away waits for these results.
_DIRTY_SQL = """
INSERT INTO {table} (level, at, num) VALUES (%s, %s, %s)
ON CONFLICT (level, at, num) DO UPDATE SET level = excluded.level
"""


def _save(moved: Sequence[tuple[_State, CheckRun]]) -> None:
    if not moved:
        return
    time = connection.ops.adapt_datetimefield_value
    rows = [
        (
            state.status,
            time(state.since),
            state.consecutive_failures,
            state.consecutive_degraded,
            state.consecutive_successes,
            time(state.failing_since),
            state.alert_level,
            time(state.last_check_at),
            time(run.due or next_on_grid(num=state.num, interval_s=run.config.interval_s, after=run.at)),
            _rounded(run.outcome.latency_ms),
            run.outcome.status_code,
            run.outcome.error,
            state.recent,
            state.num,
        )
        for state, run in moved
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_STATE_SQL.format(table=EndpointState._meta.db_table), rows)


def _excused(runs: Sequence[CheckRun]) -> set[tuple[int, int]]:
    """Return (num, at) of the results that were made while a maintenance window was open for their endpoint."""
    open_now = [run for run in runs if is_any_open(run.at)]
    tags: dict[UUID, list[str]] = {}
    if open_now:
        links = Endpoint.tags.through.objects.filter(endpoint_id__in={run.config.endpoint_id for run in open_now})
        for pk, name in links.values_list("endpoint_id", "tag__name"):
            tags.setdefault(pk, []).append(name)
    return {
        (run.config.num, run.at_ms)
        for run in open_now
        if is_under_maintenance("endpoint", run.config.endpoint_id, tags.get(run.config.endpoint_id, ()), run.at)
    }


def _insert(runs: Sequence[CheckRun], *, manual: bool = False) -> None:
    if not runs:
        return
    rows, dirty = [], set()
    excused = set() if manual else _excused(runs)
    for run in runs:
        outcome, phases, at = run.outcome, run.outcome.phases, run.at_ms
        rows.append(
            (
                run.config.num,
                at,
                CODES[outcome.status],
                manual,
                (run.config.num, at) in excused,
                _rounded(outcome.latency_ms),
                _rounded(phases.dns_ms),
                _rounded(phases.connect_ms),
                _rounded(phases.tls_ms),
                _rounded(phases.first_byte_ms),
                outcome.status_code,
                outcome.error[:ERROR_LENGTH],
            )
        )
        dirty.add((0, at - at % BUCKET_MS, run.config.num))
    with connection.cursor() as cursor:
        cursor.executemany(_RESULT_SQL.format(table=CheckResult._meta.db_table), rows)
        if not manual:
            cursor.executemany(_DIRTY_SQL.format(table=DirtyBucket._meta.db_table), sorted(dirty))


def _publish(runs: Sequence[CheckRun]) -> None:
    for run in runs:
        status = run.outcome.status
        publish_live(
            "endpoint.check_result",
            subject=Subject("endpoint", str(run.config.endpoint_id), run.config.name),
            at=run.at,
            data={
                "endpoint_id": str(run.config.endpoint_id),
                "name": run.config.name,
                "status": status,
                "up": None if status == UNKNOWN else status in (UP, DEGRADED),
                "latency_ms": _rounded(run.outcome.latency_ms),
                "status_code": run.outcome.status_code,
                "error": run.outcome.error,
                "at": run.at.isoformat(),
            },
        )
