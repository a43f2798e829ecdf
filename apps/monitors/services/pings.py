"""Accepting pings: one batch, one transaction, a few statements, on disk before the answers leave.

Both ways in, the raw application of `hot.py` and its twin in the API, call `accept_pings`. The addresses are looked up
inside the transaction, so a deleted heartbeat answers 404 at once. What is written for a ping is the heartbeat's state
(always), its line in the log and its run (thinned where a heartbeat is flooded), and a fact where it changed something.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from apps.core import disk, runtime_settings
from apps.core.api.throttling import windows
from apps.core.bell import live_is_followed
from apps.core.events import Emission, Subject, emit_many, publish_live
from apps.core.models import Tag
from apps.core.principals import system
from apps.core.rows import insert_rows
from apps.monitors import bulk
from apps.monitors.models.heartbeats import Heartbeat, HeartbeatDay, HeartbeatState, Ping, Run, of_ms, to_ms
from apps.monitors.schedules import Schedule
from apps.monitors.services.beat import Beat, OpenRun
from apps.monitors.services.heartbeat_days import excuse_missed, fault_of
from apps.monitors.services.ping_rules import AS_REPORTED, Rules, read_rules, write_rules
from apps.monitors.services.slug_pings import NOTHING, Found, SlugAddress, find_slugs
from apps.monitors.states import heartbeats as states
from apps.monitors.states.heartbeats import RUNNING

log = logging.getLogger(__name__)

BATCH_MOST = 512
#: Bytes of a ping's body that are kept; announced in the header Ping-Body-Limit.
PING_BODY_LIMIT = 100_000
#: A body above this is refused (413).
PING_BODY_MOST = 1_000_000

runtime_settings.declare(
    "limits",
    "unknown_pings_per_minute",
    "int",
    60,
    "Pings a minute to unknown addresses, by one client, after which it must wait. Known ones are never refused.",
    least=1,
    most=1_000_000,
)


@dataclass(slots=True)
class PingRequest:
    """A ping as it arrived.

    Args:
        kind: "success", "start", "fail" or "log".
        exit_code: as given in the path; 1 for /fail; None for a plain success, a start and a log line.
        at: time of arrival.
        body: at most `PING_BODY_LIMIT` bytes.
        source: who of several that report to one heartbeat.
        slug: the address where it is not the uuid; `uuid` is `NOWHERE` then until it is looked up.
    """

    uuid: UUID
    kind: str = Ping.SUCCESS
    exit_code: int | None = None
    at: datetime | None = None
    method: str = "GET"
    remote_addr: str = ""
    user_agent: str = ""
    rid: UUID | None = None
    body: bytes = b""
    source: str = ""
    slug: SlugAddress | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of a ping.

    Args:
        status: 200 accepted and on disk, 201 and its heartbeat was added, 404 unknown, 409 for what `detail` says, 429
            too many unknown ones from this address.
    """

    status: int
    retry_after_s: int = 0
    detail: str = ""


ACCEPTED, ADDED, UNKNOWN = Answer(200), Answer(201), Answer(404)
#: No heartbeat has this address.
NOWHERE = UUID(int=0)

_TIMES = ("since", "last_ping_at", "next_due_at", "deadline", "run_deadline", "wake_at", "last_start_at",
          "down_since", "missed_until")  # fmt: skip
_PLAIN = (
    "config_revision", "status", "open_runs", "last_duration_ms", "ping_count", "last_exit_code", "alerting",
    "consecutive_failures", "log_minute", "log_count", "day", "day_ok", "day_failed", "day_missed",
)  # fmt: skip
_CONFIG_COLUMNS = (
    "uuid", "id", "num", "name", "interval_seconds", "cron", "timezone", "grace_seconds", "early_seconds",
    "max_runtime_seconds", "resume_on_ping", "has_rules", "revision",
)  # fmt: skip
# What a plain success changes, and what it leaves alone: most pings write the first group only.
_USUAL = ("last_ping_at", "next_due_at", "deadline", "wake_at", "ping_count", "log_minute", "log_count", "day_ok")
_OFTEN = tuple(name for name in _USUAL if name != "wake_at")
_RARE = tuple(name for name in (*_TIMES, *_PLAIN[1:]) if name not in _USUAL)
_often_values, _usual_values, _rare_values = attrgetter(*_OFTEN), attrgetter(*_USUAL), attrgetter(*_RARE)
#: The one indexed time may stay so much behind: a job that pings many times a second costs no index page each time.
WAKE_BEHIND = timedelta(seconds=5)
_PING_COLUMNS = ("num", "at", "n", "kind", "exit_code", "method", "remote_addr", "user_agent", "rid", "body")
_RUN_COLUMNS = ("num", "at", "n", "rid", "finished_at", "end_n", "duration_ms", "exit_code", "result")
_RUN_END = ("finished_at", "end_n", "duration_ms", "exit_code", "result")


def accept_pings(batch: Sequence[PingRequest]) -> list[Answer]:
    """Accept up to 512 pings in one transaction; when it returns they are committed.

    Returns:
        One answer a ping, in order.

    Emits: heartbeat.failed, heartbeat.recovered, heartbeat.resumed, heartbeat.created; live heartbeat.pinged.
    """
    assert len(batch) <= BATCH_MOST
    unknown: list[int] = []
    with transaction.atomic():
        found = _look_up(batch) if any(ping.slug for ping in batch) else {}
        keys = bulk.all_to_database([ping.uuid for ping in batch])
        by_key = {beat.uuid: beat for beat in read_beats("h.uuid", set(keys))}
        answers = [ACCEPTED] * len(batch)
        logged: list[tuple[object, ...]] = []
        last: dict[int, tuple[Beat, PingRequest, datetime]] = {}
        faults: dict[int, tuple[Beat, Exception]] = {}
        missed: list[tuple[Beat, int]] = []
        per_minute = settings.PING_LOG_PER_MINUTE
        may_log = disk.telemetry_allowed()  # the state is kept when the disk is full; its log is not
        for index, ping in enumerate(batch):
            beat = by_key.get(keys[index])
            if beat is None:
                problem = found[ping.slug].problem if ping.slug in found else ""
                answers[index] = Answer(409, detail=problem) if problem else UNKNOWN
                if not problem:
                    unknown.append(index)
                continue
            at = ping.at or datetime.now(UTC)
            if ping.slug is not None and found[ping.slug].is_new:
                answers[index] = ADDED
            n = beat.count(at)
            why = ""
            if beat.rules is not None and ping.kind == Ping.SUCCESS:
                ping, why = _judged(beat.rules, ping)
            is_logged = may_log and beat.takes_log(at, per_minute)
            before = beat.day_missed
            try:
                _apply(beat, ping, at, n, is_logged, why)
            except Exception as error:  # a schedule that can't be worked out costs no other job its ping
                faults[beat.num] = (beat, error)
            if beat.day_missed > before:
                missed.append((beat, beat.day_missed - before))
            if is_logged:
                logged.append(_log_row(beat, ping, at, n))
                last[beat.num] = (beat, ping, at)
        touched = list(by_key.values())
        if touched:
            insert_rows(Ping, _PING_COLUMNS, logged)
            excuse_missed(missed, at=datetime.now(UTC))
            write_beats(touched, moved_by=WAKE_BEHIND)
            _set_aside(faults.values())
            if last:
                transaction.on_commit(lambda: _tell(last.values()))
    if unknown:
        _limit_unknown(batch, unknown, answers)
    return answers


def _set_aside(faults: Iterable[tuple[Beat, Exception]]) -> None:
    """Show jobs whose times can't be worked out as unknown; the sweep looks at them again within a minute."""
    now = datetime.now(UTC)
    for beat, error in faults:
        log.error("heartbeat %s can't be evaluated: %s", beat.num, error)
        rows = HeartbeatState.objects.filter(pk=beat.id)
        rows.exclude(status=states.UNKNOWN).update(status=states.UNKNOWN, since=now)
        rows.update(wake_at=now + timedelta(minutes=1), fault=fault_of(beat, error))


def _look_up(batch: Sequence[PingRequest]) -> Mapping[SlugAddress | None, Found]:
    """Find the heartbeats of pings that come by key and slug."""
    found: dict[SlugAddress | None, Found] = {}
    found.update(find_slugs({ping.slug for ping in batch if ping.slug is not None}).items())
    for ping in batch:
        if ping.slug is not None:
            ping.uuid = found.get(ping.slug, NOTHING).uuid or NOWHERE
    return found


def _judged(rules: Rules, ping: PingRequest) -> tuple[PingRequest, str]:
    """Return a success as what its body says it is, and for a failure why."""
    verdict = rules.judge(ping.body.decode("utf-8", "replace"))
    if verdict is AS_REPORTED:
        return ping, ""
    return replace(ping, kind=verdict.kind, exit_code=1 if verdict.kind == Ping.FAIL else None), verdict.why


def _apply(beat: Beat, ping: PingRequest, at: datetime, n: int, is_logged: bool, why: str) -> None:
    if ping.kind == Ping.LOG or beat.is_deaf():
        return
    if ping.kind == Ping.START:
        beat.start(at, n, ping.rid)
    elif ping.kind == Ping.FAIL:
        code = 1 if ping.exit_code is None else ping.exit_code
        beat.fail(at, n, ping.rid, code, is_logged, source=ping.source, why=why)
    elif beat.rules is None:
        beat.succeed(at, n, ping.rid, ping.exit_code, is_logged)
    else:
        beat.succeed_as(ping.source, at, n, ping.rid, ping.exit_code, is_logged)


def _log_row(beat: Beat, ping: PingRequest, at: datetime, n: int) -> tuple[object, ...]:
    # No database keeps a NUL in text, and what a job prints is not always UTF-8.
    body = ping.body[:PING_BODY_LIMIT].decode("utf-8", "replace").replace("\x00", "\ufffd") if ping.body else ""
    agent = ping.user_agent[:200].replace("\x00", "\ufffd")
    return (
        beat.num, to_ms(at), n, ping.kind, ping.exit_code, ping.method[:8], ping.remote_addr[:45], agent,
        ping.rid, body,
    )  # fmt: skip


def _tell(last: Iterable[tuple[Beat, PingRequest, datetime]]) -> None:
    if not live_is_followed():
        return  # saves the making of the payloads
    for beat, ping, at in last:
        publish_live(
            "heartbeat.pinged",
            subject=Subject("heartbeat", str(beat.id), beat.name),
            data={
                "heartbeat_id": str(beat.id),
                "name": beat.name,
                "kind": ping.kind,
                "exit_code": ping.exit_code,
                "at": at.isoformat(),
                "status": beat.status,
            },
            at=at,
        )


def _limit_unknown(batch: Sequence[PingRequest], unknown: Iterable[int], answers: list[Answer]) -> None:
    limit = int(runtime_settings.get("limits.unknown_pings_per_minute"))
    now = windows.clock()
    for index in unknown:
        count, reset = windows.hit(f"unknown-ping:{batch[index].remote_addr}", now)
        if count > limit:
            answers[index] = Answer(429, max(1, round(reset - now)))


# --- reading and writing many heartbeats, shared with the sweep and the services ---------------------------------


def read_beats(column: str, values: Iterable[object]) -> list[Beat]:
    """Return the heartbeats whose `column` ("h.uuid", "h.id") is one of `values`, locked, by `num`.

    Call it inside the transaction that writes them. The order of the locks is everywhere the same, so that two batches
    wait for each other instead of dying of a deadlock.
    """
    wanted = bulk.all_to_database(list(values))
    if not wanted:
        return []
    query = _select(column, len(wanted))
    beats: list[Beat] = []
    for _ in range(2):
        beats = [_beat(row) for row in bulk.fetch(query, wanted)]
        if all(beat.revision == beat.config_revision for beat in beats):
            break
        # A change of the configuration was committed while this waited for the lock: the state is the new one, the
        # configuration was read before. The locks are held now, so the second look finds both.
    _read_open_runs([beat for beat in beats if beat.open_runs])
    ruled = [beat for beat in beats if beat.rules is not None]
    if ruled:
        rules = read_rules([beat.id for beat in ruled])
        for beat in ruled:
            beat.rules = rules[beat.id]
    return beats


@lru_cache(2 * BATCH_MOST)
def _select(column: str, count: int) -> str:
    times = [bulk.time_expression(f"s.{name}") for name in _TIMES]
    columns = [*(f"h.{name}" for name in _CONFIG_COLUMNS), *times, *(f"s.{name}" for name in _PLAIN)]
    rest = (
        f"FROM {Heartbeat._meta.db_table} h JOIN {HeartbeatState._meta.db_table} s ON s.heartbeat_id = h.id "
        f"WHERE {column} IN ({', '.join(['%s'] * count)})"
    )
    return bulk.select(columns, rest, ordered_and_locked="ORDER BY h.num FOR UPDATE OF s")


_schedule = lru_cache(4096)(Schedule)
NO_RULES = Rules()


def _beat(row: Sequence[Any]) -> Beat:
    uuid, key, num, name, interval, cron, zone, grace, early, limit, resumes, has_rules, revision, *state = row
    (since, last_ping_at, next_due_at, deadline, run_deadline, wake_at, last_start_at, down_since,
     missed_until) = map(bulk.time_from_database, state[: len(_TIMES)])  # fmt: skip
    (config_revision, status, open_runs, last_duration_ms, ping_count, last_exit_code, alerting,
     consecutive_failures, *counts) = state[len(_TIMES) :]  # fmt: skip
    assert since is not None
    beat = Beat(
        uuid, key, num, name, _schedule(interval, cron, zone), grace, early, limit, bool(resumes),
        revision, config_revision, status, since, last_ping_at, next_due_at, deadline, run_deadline, wake_at,
        last_start_at, open_runs, last_duration_ms, ping_count, last_exit_code, bool(alerting), down_since,
        missed_until, consecutive_failures, *counts,
    )  # fmt: skip
    beat.as_read, beat.wake_as_read = _rare_values(beat), wake_at
    if has_rules:
        beat.rules = NO_RULES  # read_beats puts the real ones here
    return beat


def _read_open_runs(beats: Sequence[Beat]) -> None:
    if not beats:
        return
    runs: defaultdict[int, list[OpenRun]] = defaultdict(list)
    rows = Run.objects.filter(num__in=[beat.num for beat in beats], result=RUNNING).order_by("at", "n")
    for num, at, n, rid in rows.values_list("num", "at", "n", "rid"):
        runs[num].append(OpenRun(num, of_ms(at), n, rid))
    for beat in beats:
        beat.runs = runs[beat.num]


def write_beats(beats: Sequence[Beat], *, moved_by: timedelta | None = None) -> None:
    """Write changed beats back: states, runs, finished days and facts. In the transaction that read them.

    Args:
        moved_by: a time to look again that is still to come is left as it is where it would move by no more than this;
            the sweep then finds nothing and moves it.
    """
    often: list[list[object]] = []
    usual: list[list[object]] = []
    whole: list[list[object]] = []
    now = datetime.now(UTC)
    for beat in beats:
        rare = _rare_values(beat)
        if rare != beat.as_read:
            whole.append([*_usual_values(beat), *rare, beat.key])
            beat.as_read = rare
        elif moved_by is not None and _is_near(beat.wake_as_read, beat.wake_at, now, moved_by):
            often.append([*_often_values(beat), beat.key])
            continue
        else:
            usual.append([*_usual_values(beat), beat.key])
        beat.wake_as_read = beat.wake_at
    bulk.update_rows(HeartbeatState, _OFTEN, ("heartbeat_id",), often)
    bulk.update_rows(HeartbeatState, _USUAL, ("heartbeat_id",), usual)
    bulk.update_rows(HeartbeatState, (*_USUAL, *_RARE), ("heartbeat_id",), whole)
    _write_runs(beats)
    _write_days([(beat.num, *day) for beat in beats for day in beat.days])
    _emit_facts([beat for beat in beats if beat.facts])
    changed = [(beat.id, beat.rules) for beat in beats if beat.rules is not None and beat.rules.is_changed]
    if changed:
        write_rules(changed)


def _is_near(stored: datetime | None, wanted: datetime | None, now: datetime, most: timedelta) -> bool:
    return stored is not None and wanted is not None and now < stored <= wanted <= stored + most


def _write_runs(beats: Sequence[Beat]) -> None:
    fresh: list[list[object]] = []
    ended: list[list[object]] = []
    dropped: list[list[object]] = []
    for beat in beats:
        for run in beat.closed:
            if not run.fresh:
                # The run of a ping that a flood kept out of the log leaves the log too.
                (ended if run.is_logged else dropped).append(_run_end(run) if run.is_logged else _run_key(run))
            elif run.is_logged:
                fresh.append([*_run_key(run), run.rid, *_run_end(run)[:5]])
        for run in beat.runs:
            if run.fresh:
                fresh.append([*_run_key(run), run.rid, *_run_end(run)[:5]])
                run.fresh = False
        beat.closed = []
    insert_rows(Run, _RUN_COLUMNS, fresh)
    bulk.update_rows(Run, _RUN_END, ("num", "at", "n"), ended)
    bulk.delete_rows(Run, ("num", "at", "n"), dropped)


def _run_key(run: OpenRun) -> list[object]:
    return [run.num, to_ms(run.at), run.n]


def _run_end(run: OpenRun) -> list[object]:
    finished = None if run.finished_at is None else to_ms(run.finished_at)
    return [finished, run.end_n, run.duration_ms, run.exit_code, run.result, *_run_key(run)]


def _write_days(days: Sequence[tuple[int, int, int, int, int]]) -> None:
    if not days:
        return
    table = HeartbeatDay._meta.db_table
    with connection.cursor() as cursor:
        # A day that was closed already (a clock that was set back) is added to.
        cursor.executemany(
            f"INSERT INTO {table} (num, day, ok, failed, missed) VALUES (%s, %s, %s, %s, %s) "
            f"ON CONFLICT (num, day) DO UPDATE SET ok = {table}.ok + excluded.ok, "
            f"failed = {table}.failed + excluded.failed, missed = {table}.missed + excluded.missed",
            days,
        )


def _emit_facts(beats: Sequence[Beat]) -> None:
    if not beats:
        return
    tags: defaultdict[UUID, list[str]] = defaultdict(list)
    links = Tag.objects.filter(heartbeats__in=[beat.id for beat in beats]).values_list("heartbeats", "name")
    for heartbeat_id, tag in links:
        tags[heartbeat_id].append(tag)
    actor = system("monitors")
    emit_many(
        Emission(
            fact.name,
            subject=Subject("heartbeat", str(beat.id), beat.name),
            actor=actor,
            data={"heartbeat_id": str(beat.id), "name": beat.name, **fact.data},
            level=fact.level,
            tags=tags[beat.id],
        )
        for beat in beats
        for fact in beat.facts
    )
    for beat in beats:
        beat.facts = []
