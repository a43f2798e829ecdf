"""Accept samples: many pushes, one transaction, whoever sent them and by whatever path.

The raw application, the DRF view and the local sampler all call `accept_samples`. Keys and rows are read inside the
transaction that writes, so a revoked key or a removed server is refused at once.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from django.db import connection, transaction

from apps.accounts.authentication import principals_of_api_keys
from apps.core import disk, runtime_settings
from apps.core.errors import DomainError, Forbidden, Invalid, NotFound, TooLarge, TooMany, Unavailable
from apps.core.events import publish_live
from apps.core.principals import Principal
from apps.fleet import retention
from apps.fleet.models import DirtyBucket, LatestSnapshot, ProcessTable, Sample, ServerState
from apps.fleet.models.telemetry import FIGURES
from apps.fleet.querysets import by_refs
from apps.fleet.services.presence import come_online, health_of
from apps.fleet.services.servers import subject_of
from apps.fleet.snapshots import BadSample, Reading, compact, read_sample, to_iso
from apps.fleet.states import Health, Presence

MOST_A_PUSH = 500  # rows a transaction may write on SQLite
FUTURE_MS = 5 * 60_000
PUSH_CODE = "samples:push"

runtime_settings.declare(
    "limits",
    "sample_bytes_per_minute",
    "int",
    64 * 1024 * 1024,
    "Bytes of samples that one key may send in a minute.",
    least=1024,
    most=10**12,
)


@dataclass(slots=True)
class Push:
    """One call: samples for one server.

    Args:
        server: slug or id.
        body: JSON as it came, or already parsed.
        key: API key to authenticate inside the transaction; or
        principal: who was authenticated before.
        size: bytes of the body, counted against the sender's minute; 0 once they are.
    """

    server: str
    body: bytes | Any
    key: str = ""
    principal: Principal | None = None
    size: int = 0
    readings: list[tuple[int, Reading]] = field(default_factory=list)


@dataclass(slots=True)
class Outcome:
    """What became of a push: how many were accepted, which were refused and why; or the error of the whole."""

    accepted: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    error: DomainError | None = None

    def body(self) -> dict[str, Any]:
        """Return the answer's body."""
        return {"accepted": self.accepted, "refused": self.refused}


class _ByteBudget:
    """Bytes a key sent in the current minute, counted in this process."""

    def __init__(self) -> None:
        self._window = 0
        self._sent: dict[str, int] = {}

    def take(self, who: str, size: int) -> None:
        """Count `size` bytes; it reads a setting, so never call it from an event loop.

        Raises:
            TooMany: the minute's budget is used up (429).
        """
        now = time.time()
        if int(now // 60) != self._window:
            self._window, self._sent = int(now // 60), {}
        sent = self._sent.get(who, 0) + size
        self._sent[who] = sent
        if sent > runtime_settings.get("limits.sample_bytes_per_minute"):
            raise TooMany("This key has sent its bytes of this minute.", retry_after_s=max(1, int(60 - now % 60)))


byte_budget = _ByteBudget()


def accept_samples(pushes: Sequence[Push]) -> list[Outcome]:
    """Store the samples of one or more pushes in one transaction.

    A sample that is there already counts as accepted and is stored once. One from the future (over 5 min), older than
    the raw retention, or of the wrong form is refused by its index.

    Returns:
        One outcome a push, in their order; a push that is refused as a whole carries its error: 400 (no JSON), 401
        (key), 403 (not the key's server), 404 (server), 413 (too many samples), 422 (no sample), 429 (too many bytes),
        503 (disk full).

    Emits: server.online; live server.sample, server.snapshot where somebody follows it.
    """
    outcomes = [Outcome() for _ in pushes]
    if not disk.telemetry_allowed():
        full = Unavailable("The disk is nearly full: telemetry is refused until there is room.", code="disk_full")
        return [Outcome(error=full) for _ in pushes]
    now_ms = time.time_ns() // 1_000_000
    oldest = now_ms - retention.RAW.keep_ms
    for push, outcome in zip(pushes, outcomes, strict=True):
        try:
            _read(push, outcome, now_ms, oldest)
        except DomainError as error:
            outcome.error = error
    open_pushes = [(push, outcome) for push, outcome in zip(pushes, outcomes, strict=True) if outcome.error is None]
    if open_pushes:
        with transaction.atomic():
            _store(open_pushes, now_ms)
    return outcomes


def _read(push: Push, outcome: Outcome, now_ms: int, oldest: int) -> None:
    byte_budget.take(push.key[:11] or (push.principal.pk if push.principal else ""), push.size)
    push.size, push.readings = 0, []  # a push whose batch failed is read once more
    body = push.body
    if isinstance(body, bytes):
        try:
            body = orjson.loads(body)
        except ValueError:
            raise DomainError("The body is not JSON.") from None
    entries = body if isinstance(body, list) else [body]
    if not isinstance(body, list | dict) or not entries:
        raise Invalid({"": "give a sample or an array of samples"})
    if len(entries) > MOST_A_PUSH:
        raise TooLarge(f"At most {MOST_A_PUSH} samples a call; send the rest with the next.")
    for index, entry in enumerate(entries):
        try:
            reading = read_sample(entry)
            if reading.at > now_ms + FUTURE_MS:
                raise BadSample("is from the future; set the sender's clock")
            if reading.at < oldest:
                raise BadSample("is older than raw samples are kept")
            push.readings.append((index, reading))
        except BadSample as error:
            outcome.refused.append({"index": index, "reason": str(error)})
    _pack_newest(push, outcome)


def _pack_newest(push: Push, outcome: Outcome) -> None:
    while push.readings:
        newest = max(push.readings, key=lambda one: one[1].at)
        try:
            newest[1].pack()
            return
        except BadSample as error:
            push.readings.remove(newest)
            outcome.refused = sorted(
                [*outcome.refused, {"index": newest[0], "reason": str(error)}], key=lambda one: int(one["index"])
            )


def _store(pushes: list[tuple[Push, Outcome]], now_ms: int) -> None:
    callers = principals_of_api_keys({push.key for push, _ in pushes if push.key})
    states = _lock_states({push.server for push, _ in pushes})
    per_state: dict[int, list[Reading]] = {}
    by_num: dict[int, ServerState] = {}
    for push, outcome in pushes:
        try:
            state = _authorise(push, callers, states)
        except DomainError as error:
            outcome.error, outcome.refused = error, []
            continue
        outcome.accepted = len(push.readings)
        by_num[state.server.num] = state
        per_state.setdefault(state.server.num, []).extend(reading for _, reading in push.readings)
    _write(by_num, per_state, now_ms)


def _lock_states(refs: set[str]) -> dict[str, ServerState]:
    wanted = by_refs(refs, "server__")
    rows = (
        ServerState.objects.select_for_update(of=("self",))
        .select_related("server")
        .filter(wanted)
        .order_by("server__num")
    )
    found: dict[str, ServerState] = {}
    for state in rows:
        found[str(state.server_id)] = found[state.server.slug] = state
    return found


def _authorise(
    push: Push, callers: Mapping[str, Principal | DomainError], states: Mapping[str, ServerState]
) -> ServerState:
    caller = callers[push.key] if push.key else push.principal
    if isinstance(caller, DomainError):
        raise caller
    if caller is None or not caller.can(PUSH_CODE):
        raise Forbidden("Your role does not allow this.")
    state = states.get(push.server) or states.get(push.server.lower())
    if caller.bound_kind and (
        caller.bound_kind != "server"
        or state is None
        or caller.bound_id not in (str(state.server_id), state.server.slug)
    ):
        raise Forbidden("This key belongs to another server.", code="wrong_server")
    if state is None:
        raise NotFound("There is no such server.")
    return state


def _write(states: dict[int, ServerState], readings: dict[int, list[Reading]], now_ms: int) -> None:
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    rows: list[list[Any]] = []
    marks: set[tuple[int, int]] = set()
    snapshots: list[tuple[Any, int, bytes]] = []
    tables: list[tuple[Any, int, bytes]] = []
    for num in sorted(states):
        state = states[num]
        news: Reading | None = None
        for reading in sorted(readings[num], key=lambda one: one.at):
            if state.sample_at is None or reading.at > state.sample_at:
                _fill_rates(state, reading)
                _take_over(state, reading)
                news = reading
            rows.append([num, reading.at, *reading.row()])
            marks.add((num, reading.at // retention.MINUTE.ms * retention.MINUTE.ms))
        state.last_seen_at = now
        if state.status != Presence.ONLINE:
            come_online(state, now=now)
        if state.health_status == Health.UNKNOWN:
            state.health_status = health_of(state)
        if news is not None:
            server_id = ServerState._meta.pk.get_db_prep_value(state.server_id, connection)
            snapshots.append((server_id, news.at, news.packed))
            if news.packed_table:
                tables.append((server_id, news.at, news.packed_table))
            transaction.on_commit(_publisher(state, news, now_ms))
    _insert_samples(rows)
    mark_dirty(retention.MINUTE.ms, marks, now_ms)
    _save_states([states[num] for num in sorted(states)])
    _upsert_bodies(LatestSnapshot._meta.db_table, snapshots)
    _upsert_bodies(ProcessTable._meta.db_table, tables)


def _fill_rates(state: ServerState, reading: Reading) -> None:
    """Work out the rates that the sender did not give from the counters of its sample before."""
    if state.sample_at is None:
        return
    seconds = (reading.at - state.sample_at) / 1000
    for counter, rate in (
        ("rx_bytes", "rx_rate"),
        ("tx_bytes", "tx_rate"),
        ("read_bytes", "read_rate"),
        ("write_bytes", "write_rate"),
    ):
        before, after = getattr(state, counter), reading.counters.get(counter)
        # A counter that went back was reset by a reboot: no rate is truer than a wrong one.
        if reading.figures.get(rate) is None and before is not None and after is not None and after >= before:
            reading.figures[rate] = round((after - before) / seconds, 1)


_TAKEN = ("cpu", "memory", "swap", "disk", "inodes", "load1", "temperature", "rx_rate", "tx_rate")
_COUNTERS = ("rx_bytes", "tx_bytes", "read_bytes", "write_bytes")
_STATE_COLUMNS = (
    "status",
    "health_status",
    "last_seen_at",
    "offline_since",
    "sample_at",
    *_TAKEN,
    "load_per_core",
    "mounts",
    *_COUNTERS,
)


def _take_over(state: ServerState, reading: Reading) -> None:
    figures = reading.figures
    state.sample_at = reading.at
    for name in _TAKEN:
        setattr(state, name, figures.get(name))
    load, cores = figures.get("load1"), figures.get("cores")
    state.load_per_core = round(load / cores, 3) if load is not None and cores else None
    state.mounts = compact(reading.mounts)
    for name in _COUNTERS:
        setattr(state, name, reading.counters.get(name))


def _sql_insert(table: str, columns: Sequence[str], conflict: str) -> str:
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))}) ON CONFLICT {conflict}"
    )


_SAMPLE_SQL = _sql_insert(
    Sample._meta.db_table, ("num", "at", *FIGURES, "mounts", "interfaces"), "(num, at) DO NOTHING"
)
# An update, not "do nothing": on PostgreSQL it waits for a roll-up that is about to remove the mark, so that no row
# is missed.
_MARK_SQL = _sql_insert(
    DirtyBucket._meta.db_table,
    ("level", "num", "at", "marked_at"),
    "(level, num, at) DO UPDATE SET marked_at = excluded.marked_at",
)
_STATE_SET = ", ".join(f"{name} = %s" for name in _STATE_COLUMNS)
_STATE_SQL = f"UPDATE {ServerState._meta.db_table} SET {_STATE_SET} WHERE server_id = %s"


def _insert_samples(rows: list[list[Any]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_SAMPLE_SQL, rows)


def mark_dirty(level_ms: int, buckets: set[tuple[int, int]], now_ms: int) -> None:
    """Mark the buckets (num, beginning) of a level for the next roll-up; in one order everywhere, against deadlocks."""
    if buckets:
        with connection.cursor() as cursor:
            cursor.executemany(_MARK_SQL, [(level_ms, num, at, now_ms) for num, at in sorted(buckets)])


def _save_states(states: list[ServerState]) -> None:
    by_name = {one.name: one for one in ServerState._meta.concrete_fields}
    fields = [by_name[name] for name in _STATE_COLUMNS]
    rows = [
        [
            *(one.get_db_prep_save(getattr(state, one.attname), connection) for one in fields),
            ServerState._meta.pk.get_db_prep_value(state.server_id, connection),
        ]
        for state in states
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_STATE_SQL, rows)


def _upsert_bodies(table: str, rows: list[tuple[Any, int, bytes]]) -> None:
    if rows:
        sql = _sql_insert(
            table,
            ("server_id", "at", "body"),
            f"(server_id) DO UPDATE SET at = excluded.at, body = excluded.body WHERE {table}.at < excluded.at",
        )
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)


def _publisher(state: ServerState, reading: Reading, now_ms: int) -> Any:
    server, figures, is_followed = state.server, reading.figures, state.followed_until > now_ms or state.server.is_local
    at = datetime.fromtimestamp(reading.at / 1000, UTC)

    def publish() -> None:
        head = {"server_id": str(server.id), "slug": server.slug, "at": to_iso(reading.at)}
        data = {
            **head,
            "cpu_percent": figures.get("cpu"),
            "memory_percent": figures.get("memory"),
            "swap_percent": figures.get("swap"),
            "disk_percent": figures.get("disk"),
            **{
                name: figures.get(name)
                for name in ("rx_rate", "tx_rate", "load1", "temperature", "connections", "processes")
            },
        }
        publish_live("server.sample", subject=subject_of(server), data=data, server_id=server.id, at=at)
        if is_followed:
            publish_live(
                "server.snapshot",
                subject=subject_of(server),
                data={**head, "snapshot": reading.snapshot},
                server_id=server.id,
                at=at,
            )

    return publish
