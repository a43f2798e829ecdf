"""Log lines, looked for and counted.

The newest come first. A line's id grows with its time, so a range of time is a range of ids, and a page goes on below
the last id of the page before.

What indexes find is found at once. What they don't (`-word` alone, a word that is common elsewhere but not on this
server) is looked for line by line from the newest on, and nobody waits until the last of millions: after a while the
page ends where the search has come to, and the next one goes on from there.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models.expressions import RawSQL

from apps.core.errors import NotFound
from apps.core.patience import TookTooLong, read_within
from apps.core.principals import Principal
from apps.fleet.logs.bodies import line_body
from apps.fleet.logs.entries import LEVELS, SOURCES
from apps.fleet.logs.words import Term, as_fts5, as_fts5_of_unwanted, as_tsquery, matches, places
from apps.fleet.models import LogEntry, LogState, Server
from apps.fleet.models.logs import ID_BITS
from apps.fleet.querysets import LogEntryQuerySet
from apps.fleet.states import LogLevel

#: How many lines are counted: the first number, or where that takes too long the next.
COUNT_MOST = (10_000, 1_000)
#: How long the database may look for a page, and for each count, before it is done otherwise (ms).
PAGE_MS, COUNT_MS = 150, 100
#: How long is looked line by line (ms), and how many lines are looked at in the first step.
WALK_MS, STEP = 150, 20_000
#: From this level on a small index of its own finds lines.
_BAD = int(LogLevel.WARNING)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What is looked for.

    Args:
        levels, sources: any of these; empty: all.
        since, until: epoch ms, the second excluded. before, after: ids between which lines lie.
    """

    server: Server | None = None
    levels: frozenset[int] = frozenset()
    sources: frozenset[int] = frozenset()
    source_name: str = ""
    terms: tuple[Term, ...] = ()
    since: int | None = None
    until: int | None = None
    before: int | None = None
    after: int | None = None

    def covers(self, body: dict[str, Any]) -> bool:
        """Return whether a line, as the API shows it, is one of those looked for; time aside."""
        return (
            (self.server is None or body["server_id"] == str(self.server.id))
            and (not self.levels or LEVELS[body["level"]] in self.levels)
            and (not self.sources or SOURCES[body["source"]] in self.sources)
            and (not self.source_name or body["source_name"] == self.source_name)
            and matches(self.terms, body["message"])
        )


@dataclass(slots=True)
class LogPage:
    """A page of lines, as the API shows them.

    Args:
        last_id: below it the next page begins; None where there is none.
        looked_to: epoch ms; older lines were not looked at, as that would have taken too long. None: all were.
        skipped, unskipped: how many of the lines to pass over were, and how many the next page must.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    has_more: bool = False
    last_id: int | None = None
    looked_to: int | None = None
    skipped: int = 0
    unskipped: int = 0


def _filtered(query: LogQuery, principal: Principal) -> LogEntryQuerySet:
    rows: LogEntryQuerySet = LogEntry.objects.visible_to(principal)
    if query.server is not None:
        rows = rows.filter(num=query.server.num)
    if query.levels:
        rows = rows.filter(level__in=sorted(query.levels))
        if min(query.levels) >= _BAD:
            rows = rows.filter(level__gte=_BAD)  # says the same, in the words of the index
    if query.sources:
        rows = rows.filter(source__in=sorted(query.sources))
    if query.source_name:
        rows = rows.filter(source_name=query.source_name)
    if query.since is not None:
        rows = rows.filter(id__gte=query.since << ID_BITS)
    if query.until is not None:
        rows = rows.filter(id__lt=query.until << ID_BITS)
    if query.before is not None:
        rows = rows.filter(id__lt=query.before)
    if query.after is not None:
        rows = rows.filter(id__gt=query.after)
    return _with_words(rows, query.terms)


def _with_words(rows: LogEntryQuerySet, terms: Sequence[Term]) -> LogEntryQuerySet:
    if not terms:
        return rows
    table, tables = LogEntry._meta.db_table, []
    wanted = as_fts5(terms)
    if connection.vendor == "postgresql":
        where, word = [f"{table}.words @@ to_tsquery('simple', %s)"], as_tsquery(terms)
    elif wanted:  # joined, so that the index hands out the newest first and stops at the page's end
        tables, word = ["fleet_logsearch"], wanted
        where = ["fleet_logsearch.fleet_logsearch MATCH %s", f"fleet_logsearch.rowid = {table}.id"]
    else:
        word = as_fts5_of_unwanted(terms)
        looked_up = f"SELECT 1 FROM fleet_logsearch AS s WHERE s.fleet_logsearch MATCH %s AND s.rowid = {table}.id"
        where = [f"NOT EXISTS ({looked_up})"]
    found: Any = rows.extra(tables=tables, where=where, params=[word])
    narrowed: LogEntryQuerySet = found
    return narrowed


def _newest_first(rows: LogEntryQuerySet, terms: Sequence[Term]) -> LogEntryQuerySet:
    order: Any = "-id"
    if connection.vendor != "postgresql" and as_fts5(terms):
        order = RawSQL("fleet_logsearch.rowid", []).desc()
    return rows.order_by(order)


def search_logs(query: LogQuery, principal: Principal, *, limit: int, offset: int = 0) -> LogPage:
    """Return a page of the lines that match, newest first, with the places of the words looked for.

    Args:
        offset: how many of the matching lines to pass over.
    """
    try:
        with read_within(PAGE_MS):
            rows = _newest_first(_filtered(query, principal), query.terms)
            found, page = list(rows[offset : offset + limit + 1]), LogPage(skipped=offset)
    except TookTooLong:
        found, page = _walk(query, principal, limit + 1, offset)
    shown = found[:limit]
    page.entries = _bodies(shown, query.terms)
    if len(found) > limit:
        page.has_more, page.last_id, page.looked_to = True, shown[-1].id, None
    return page


def _walk(query: LogQuery, principal: Principal, wanted: int, offset: int) -> tuple[list[LogEntry], LogPage]:
    """Look line by line, and say how far that went."""
    end = time.monotonic() + WALK_MS / 1000
    found: list[LogEntry] = []
    page = LogPage(unskipped=offset)
    for low, step in _steps(query, principal):
        if page.unskipped:
            passed = _filtered(step, principal).order_by()[: page.unskipped].count()
            page.skipped, page.unskipped = page.skipped + passed, page.unskipped - passed
            skip = passed
        else:
            skip = 0
        if not page.unskipped:
            rows = _newest_first(_filtered(step, principal), query.terms)
            found += rows[skip : skip + wanted - len(found)]
        if len(found) == wanted or low is None:
            break
        if time.monotonic() >= end:
            page.has_more, page.last_id, page.looked_to = True, low, low >> ID_BITS
            break
    return found, page


def _steps(query: LogQuery, principal: Principal) -> Iterator[tuple[int | None, LogQuery]]:
    """Yield (the id of the oldest line of the step, None at the end; the question for these lines alone)."""
    size = STEP
    while True:
        # Of the filters only those whose lines an index hands out in their order.
        name = "" if query.server else query.source_name
        lines = _filtered(
            replace(query, terms=(), levels=frozenset(), sources=frozenset(), source_name=name), principal
        )
        low = lines.order_by("-id").values_list("id", flat=True)[size - 1 : size].first()
        began = time.monotonic()
        yield low, query if low is None else replace(query, after=low - 1)
        if time.monotonic() - began < WALK_MS / 8000:
            size *= 2
        query = replace(query, before=low)


def count_logs(query: LogQuery, principal: Principal, page: LogPage) -> tuple[int, bool]:
    """Return (how many lines match, whether that is exact); of many no more than 10,000 are counted.

    Args:
        page: what was found: so many there are at least.
    """
    seen = page.skipped + len(page.entries)
    if page.looked_to is not None:
        return seen, False
    for most in COUNT_MOST:
        try:
            with read_within(COUNT_MS):
                count = _filtered(replace(query, before=None), principal).order_by()[: most + 1].count()
        except TookTooLong:
            continue
        return (most, False) if count > most else (count, True)
    return seen, not page.has_more and query.before is None


def _bodies(rows: Iterable[LogEntry], terms: Sequence[Term] = ()) -> list[dict[str, Any]]:
    rows = list(rows)
    servers = {
        num: (str(id), slug)
        for num, id, slug in Server.objects.filter(num__in={row.num for row in rows}).values_list("num", "id", "slug")
    }
    bodies = []
    for row in rows:
        server_id, slug = servers.get(row.num, ("", ""))
        body = line_body(
            id=row.id,
            server_id=server_id,
            slug=slug,
            received_at=row.received_at,
            sent_at=row.sent_at,
            level=row.level,
            source=row.source,
            source_name=row.source_name,
            message=row.message,
            fields=row.fields,
            is_cut=row.is_cut,
        )
        body["highlights"] = [list(place) for place in places(terms, row.message)] if terms else []
        bodies.append(body)
    return bodies


def log_context(line_id: str, principal: Principal, *, before: int, after: int) -> list[dict[str, Any]]:
    """Return a line with those that came before and after it from the same source of its server, oldest first.

    Raises:
        NotFound: no such line, or it is not the caller's to see (404).
    """
    rows: LogEntryQuerySet = LogEntry.objects.visible_to(principal)
    number = int(line_id) if line_id.isascii() and line_id.isdigit() and len(line_id) < 20 else -1
    line = rows.filter(id=number).first() if 0 <= number < 2**63 else None
    if line is None:
        raise NotFound("There is no such log line: it may be older than lines are kept.")
    same = rows.filter(num=line.num, source=line.source, source_name=line.source_name)
    older = list(same.filter(id__lt=line.id).order_by("-id")[:before])
    newer = list(same.filter(id__gt=line.id).order_by("id")[:after])
    return _bodies([*reversed(older), line, *newer])


def log_volumes(principal: Principal, server_ids: Iterable[UUID] | None = None) -> list[LogState]:
    """Return how much of the servers' logs is kept, the largest first."""
    rows = LogState.objects.filter(server__in=Server.objects.visible_to(principal)).select_related("server")
    if server_ids is not None:
        rows = rows.filter(server_id__in=list(server_ids))
    return list(rows.order_by("-bytes", "server_id"))
