"""Accept log lines: many pushes, few transactions, whoever sent them and by whatever path.

Keys and servers are read inside the transaction that writes, so a revoked key or a removed server is refused at once.
A line, the count of its server and what the rules make of it are written together: killed at any moment, each line
that was accepted is there and has counted once.
"""

import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from apps.accounts.authentication import principals_of_api_keys
from apps.core import bell, disk, leases, runtime_settings
from apps.core.errors import DomainError, Forbidden, Invalid, TooLarge, TooMany, Unavailable
from apps.core.events import publish_live
from apps.core.principals import Principal
from apps.core.rows import insert_rows
from apps.fleet.logs.bodies import line_body
from apps.fleet.logs.entries import BadEntry, Line, read_entry
from apps.fleet.models import LogEntry, LogFollower, LogState, Server
from apps.fleet.models.logs import ID_BITS
from apps.fleet.querysets import by_refs
from apps.fleet.services import log_rules
from apps.fleet.services.servers import LOCAL_SLUG, subject_of

log = logging.getLogger(__name__)

MOST_A_PUSH = 5000
#: On SQLite nobody else writes meanwhile.
ROWS_A_TRANSACTION = {"sqlite": 500, "postgresql": 2000}
LINES_A_LIVE_EVENT = 200
PUSH_CODE = "logs:push"
FOLLOW_S = 30.0
_LOW = 1 << ID_BITS
_BLOCK = 1 << 14  # numbers that a process takes at once
_COLUMNS = (
    "id", "num", "received_at", "sent_at", "level", "source", "source_name", "message", "fields", "is_cut", "size",
    "mark",
)  # fmt: skip


@dataclass(slots=True)
class LogPush:
    """One call: log lines of one server or several.

    Args:
        body: JSON as it came, or already parsed.
        key: API key to authenticate inside the transaction; or
        principal: who was authenticated before.
        server: slug or id of the server of lines that name none; "": the one the key is bound to, else this host.
        size: bytes of the body, counted against the sender's minute; 0 once they are.
    """

    body: bytes | Any
    key: str = ""
    principal: Principal | None = None
    server: str = ""
    size: int = 0


@dataclass(slots=True)
class LogOutcome:
    """What became of a push: how many were accepted, which were refused and why; or the error of the whole."""

    accepted: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    error: DomainError | None = None

    def refuse(self, index: int, reason: str) -> None:
        """Note that a line is not kept."""
        self.refused.append({"index": index, "reason": reason})

    def body(self) -> dict[str, Any]:
        """Return the answer's body."""
        return {"accepted": self.accepted, "refused": sorted(self.refused, key=lambda one: int(one["index"]))}


@dataclass(slots=True)
class _Item:
    push: LogPush
    outcome: LogOutcome
    index: int
    line: Line
    rules: list[log_rules.Rule]
    id: int = 0


class _ByteBudget:
    """Bytes a key sent in the current minute, counted in this process."""

    def __init__(self) -> None:
        self._window = 0
        self._sent: dict[str, int] = {}

    def take(self, who: str, size: int) -> None:
        """Count `size` bytes.

        Raises:
            TooMany: the minute's budget is used up (429).
        """
        now = time.time()
        if int(now // 60) != self._window:
            self._window, self._sent = int(now // 60), {}
        self._sent[who] = self._sent.get(who, 0) + size
        if self._sent[who] > runtime_settings.get("limits.log_bytes_per_minute"):
            raise TooMany("This key has sent its bytes of this minute.", retry_after_s=max(1, int(60 - now % 60)))


class _Numbers:
    """Running numbers of this process, taken in blocks from a counter that all processes share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next, self._end = 0, 0

    def take(self, count: int) -> int:
        """Return the first of `count` numbers in a row. Call it before the transaction that uses them."""
        with self._lock:
            if self._end - self._next < count:
                with transaction.atomic():
                    self._end = leases.next_value("log lines", by=_BLOCK)
                self._next = self._end - _BLOCK
            first = self._next
            self._next += count
            return first


byte_budget = _ByteBudget()
_numbers = _Numbers()
_followed: tuple[float, bool] = (0.0, False)


def accept_logs(pushes: Sequence[LogPush]) -> list[LogOutcome]:
    """Store the lines of one or more pushes, some hundreds a transaction.

    A line that is there already (same server, source, name and `entry_id`) counts as accepted and is stored once. A
    line that can't be kept is refused by its index; the others are kept.

    Returns:
        One outcome a push, in their order; a push that is refused as a whole carries its error: 400 (no JSON), 401
        (key), 403 (no right), 413 (too many lines), 422 (no array), 429 (too many bytes), 503 (disk full, or nothing
        of it could be stored).

    Emits: log.alert where a rule's count is reached; live server.logs while somebody follows.
    """
    outcomes = [LogOutcome() for _ in pushes]
    if not disk.telemetry_allowed():
        full = Unavailable("The disk is nearly full: telemetry is refused until there is room.", code="disk_full")
        return [LogOutcome(error=full) for _ in pushes]
    now_ms = time.time_ns() // 1_000_000
    oldest = now_ms - int(runtime_settings.get("retention.logs") * 1000)
    items: list[_Item] = []
    empty: list[tuple[LogPush, LogOutcome]] = []
    watching = log_rules.current_rules()
    for push, outcome in zip(pushes, outcomes, strict=True):
        try:
            found = _read(push, outcome, now_ms, oldest, watching)
            items += found
            if not found:
                empty.append((push, outcome))
        except DomainError as error:
            outcome.error = error
    _authorise_empty(empty)
    log_rules.switch_off_slow(watching)
    is_followed = bell.live_is_followed() and _is_followed(now_ms)
    size = ROWS_A_TRANSACTION[connection.vendor]
    for start in range(0, len(items), size):
        part = [item for item in items[start : start + size] if item.outcome.error is None]
        try:
            _store(part, now_ms, is_followed)
        except Exception:
            if start == 0:
                raise
            log.exception("storing %d log lines failed", len(part))
            # What was stored before stays: the sender is told which lines to send again.
            for item in part:
                item.outcome.refuse(item.index, "could not be stored; send it again")
    return outcomes


def _authorise_empty(pushes: Sequence[tuple[LogPush, LogOutcome]]) -> None:
    """Refuse who may not send, although nothing of it would be stored: what was wrong is told to nobody else."""
    callers = principals_of_api_keys({push.key for push, _ in pushes if push.key}) if pushes else {}
    for push, outcome in pushes:
        outcome.error = _refusal_of(callers[push.key] if push.key else push.principal)


def _refusal_of(caller: Principal | DomainError | None) -> DomainError | None:
    if isinstance(caller, DomainError):
        return caller
    if caller is None or not caller.can(PUSH_CODE) or caller.bound_kind not in ("", "server"):
        return Forbidden("Your role does not allow this.")
    return None


def follow_logs(*, follower: UUID, seconds: float = FOLLOW_S) -> None:
    """Have lines published live for a while; who follows renews it. `seconds` of 0 ends it."""
    now_ms = time.time_ns() // 1_000_000
    LogFollower.objects.filter(until__lt=now_ms).delete()
    if seconds <= 0:
        LogFollower.objects.filter(id=follower).delete()
    else:
        LogFollower.objects.update_or_create(id=follower, defaults={"until": now_ms + int(seconds * 1000)})


def _is_followed(now_ms: int) -> bool:
    global _followed
    if time.monotonic() - _followed[0] > 0.5:
        _followed = (time.monotonic(), LogFollower.objects.filter(until__gt=now_ms).exists())
    return _followed[1]


def _read(
    push: LogPush, outcome: LogOutcome, now_ms: int, oldest: int, watching: Sequence[log_rules.Rule]
) -> list[_Item]:
    byte_budget.take(push.key[:11] or (push.principal.pk if push.principal else ""), push.size)
    push.size = 0  # a push whose batch failed is read once more
    body = push.body
    if isinstance(body, bytes):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            raise DomainError("The body is not JSON.") from None
    entries = [body] if isinstance(body, dict) and body else body
    if not isinstance(entries, list):
        raise Invalid({"": "give an array of log lines"})
    if len(entries) > MOST_A_PUSH:
        raise TooLarge(f"At most {MOST_A_PUSH} lines a call; send the rest with the next.")
    items = []
    for index, entry in enumerate(entries):
        try:
            line = read_entry(entry, now_ms, oldest)
        except BadEntry as error:
            outcome.refuse(index, str(error))
            continue
        items.append(_Item(push, outcome, index, line, log_rules.rules_of(line, watching)))
    return items


def _store(items: list[_Item], now_ms: int, is_followed: bool) -> None:
    if not items:
        return
    first = _numbers.take(len(items))
    with transaction.atomic():
        callers = principals_of_api_keys({item.push.key for item in items if item.push.key})
        by_server, servers = _sort(items, callers)
        if not by_server:
            return
        states = _lock_states(list(servers.values()))
        fresh: list[_Item] = []
        for server_id in sorted(by_server):
            fresh += _unknown(servers[server_id], by_server[server_id])
        _insert(fresh, servers, now_ms, first)
        _count(fresh, servers, states)
        hits: dict[tuple[UUID, UUID], list[_Item]] = defaultdict(list)
        rules: dict[UUID, log_rules.Rule] = {}
        for item in fresh:
            server = servers[UUID(item.line.server)]
            for rule in item.rules:
                if rule.is_about(server):
                    rules[rule.id] = rule
                    hits[rule.id, server.id].append(item)
        for (rule_id, server_id), found in sorted(hits.items(), key=lambda pair: (str(pair[0][1]), str(pair[0][0]))):
            log_rules.note_hits(
                rule=rules[rule_id],
                server=servers[server_id],
                lines=[(item.line.at, item.id, item.line.message) for item in found],
                now_ms=now_ms,
            )
        if is_followed:
            transaction.on_commit(lambda: _publish(fresh, servers, now_ms))
    for item in items:
        if item.id and item.outcome.error is None:
            item.outcome.accepted += 1


def _sort(
    items: Sequence[_Item], callers: Mapping[str, Principal | DomainError]
) -> tuple[dict[UUID, list[_Item]], dict[UUID, Server]]:
    """Return the lines that are allowed, by server; refuse the others. A line's `server` is its id from here on."""
    refs: set[str] = set()
    asked: list[tuple[_Item, Principal, str]] = []
    for item in items:
        caller = callers[item.push.key] if item.push.key else item.push.principal
        item.outcome.error = _refusal_of(caller)
        if item.outcome.error is not None or not isinstance(caller, Principal):
            continue
        ref = item.line.server or item.push.server or (caller.bound_id if caller.bound_kind else LOCAL_SLUG)
        ref = ref.lower()
        refs.add(ref)
        asked.append((item, caller, ref))
    found: dict[str, Server] = {}
    if refs:
        for server in Server.objects.filter(by_refs(refs)).only("id", "num", "slug", "name"):
            found[str(server.id)] = found[server.slug] = server
    sorted_items: dict[UUID, list[_Item]] = defaultdict(list)
    for item, caller, ref in asked:
        server_or_none = found.get(ref)
        if caller.bound_kind and (
            server_or_none is None or caller.bound_id not in (str(server_or_none.id), server_or_none.slug)
        ):
            item.outcome.refuse(item.index, "agent_id names another server than the one this key belongs to")
        elif server_or_none is None:
            item.outcome.refuse(item.index, f"agent_id: there is no server {ref}")
        else:
            item.line.server = str(server_or_none.id)
            sorted_items[server_or_none.id].append(item)
    return sorted_items, {server.id: server for server in found.values()}


def _lock_states(servers: list[Server]) -> dict[UUID, LogState]:
    """Return the counts of the servers, locked in one order everywhere, against deadlocks."""
    ids = [server.id for server in servers]

    def locked() -> dict[UUID, LogState]:
        rows = LogState.objects.select_for_update().filter(server_id__in=ids).order_by("server_id")
        return {row.server_id: row for row in rows}

    states = locked()
    missing = [LogState(server_id=one) for one in sorted(set(ids) - set(states))]
    if missing:
        LogState.objects.bulk_create(missing, ignore_conflicts=True)
        states = locked()
    return states


def _unknown(server: Server, items: list[_Item]) -> list[_Item]:
    """Return the lines that are not there yet; those that are count as accepted."""
    marks = [item.line.mark for item in items if item.line.mark is not None]
    seen: set[int | None] = set()
    if marks:
        seen.update(LogEntry.objects.filter(num=server.num, mark__in=marks).values_list("mark", flat=True))
    fresh = []
    for item in items:
        mark = item.line.mark
        if mark is not None and mark in seen:
            item.id = -1
            continue
        if mark is not None:
            seen.add(mark)
        fresh.append(item)
    return fresh


def _insert(items: list[_Item], servers: Mapping[UUID, Server], now_ms: int, first: int) -> None:
    if not items:
        return
    for attempt in range(5):
        rows: list[tuple[Any, ...]] = []
        for place, item in enumerate(items):
            line = item.line
            # Two processes may come to the same number in the same millisecond: a later one is free.
            at = line.at + attempt * (1 + first % 7)
            item.id = at << ID_BITS | (first + place) % _LOW
            rows.append(
                (
                    item.id, servers[UUID(line.server)].num, now_ms, line.sent_at, line.level, line.source,
                    line.source_name, line.message, line.fields, line.is_cut, line.size, line.mark,
                )
            )  # fmt: skip
        try:
            with transaction.atomic():
                insert_rows(LogEntry, _COLUMNS, rows)
            return
        except IntegrityError:
            if attempt == 4:
                raise


_COUNT_SQL = (
    f"UPDATE {LogState._meta.db_table} SET lines = lines + %s, bytes = bytes + %s, newest_at = %s WHERE server_id = %s"
)


def _count(items: Sequence[_Item], servers: Mapping[UUID, Server], states: Mapping[UUID, LogState]) -> None:
    sums: dict[UUID, list[int]] = {}
    for item in items:
        found = sums.setdefault(UUID(item.line.server), [0, 0, 0])
        found[0] += 1
        found[1] += item.line.size
        found[2] = max(found[2], item.line.at)
    key = LogState._meta.pk
    rows = [
        (lines, size, max(newest, states[server_id].newest_at or 0), key.get_db_prep_value(server_id, connection))
        for server_id, (lines, size, newest) in sorted(sums.items())
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_COUNT_SQL, rows)


def _publish(items: Sequence[_Item], servers: Mapping[UUID, Server], now_ms: int) -> None:
    by_server: dict[UUID, list[_Item]] = defaultdict(list)
    for item in items:
        by_server[UUID(item.line.server)].append(item)
    for server_id, found in by_server.items():
        server = servers[server_id]
        for start in range(0, len(found), LINES_A_LIVE_EVENT):
            lines = [_live(item, server, now_ms) for item in found[start : start + LINES_A_LIVE_EVENT]]
            data = {"server_id": str(server.id), "slug": server.slug, "lines": lines}
            publish_live("server.logs", subject=subject_of(server), data=data, server_id=server.id)


def _live(item: _Item, server: Server, now_ms: int) -> dict[str, Any]:
    line = item.line
    return line_body(
        id=item.id,
        server_id=str(server.id),
        slug=server.slug,
        received_at=now_ms,
        sent_at=line.sent_at,
        level=line.level,
        source=line.source,
        source_name=line.source_name,
        message=line.message,
        fields=line.fields,
        is_cut=line.is_cut,
    )
