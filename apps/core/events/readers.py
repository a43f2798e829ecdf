"""Durable readers: each reads facts in order and moves its cursor in the transaction of its effects."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from apps.core import leases
from apps.core.events.catalogue import matches
from apps.core.events.emit import Subject, emit
from apps.core.events.sequencer import last_seq
from apps.core.models import Event, ReaderCursor, SetAsideFact
from apps.core.principals import system
from apps.core.registries import Registry

log = logging.getLogger(__name__)

BATCH = 500
BUDGET_S = 0.05  # a write transaction on SQLite keeps everybody else waiting
GIVE_UP_AFTER = 3

LEAST_CHUNK, CHUNK = 50, 250  # facts that a reader of many gets at once; fewer cost more than they spare

Handler = Callable[[Event], None]
ManyHandler = Callable[[Sequence[Event]], None]


@dataclass(frozen=True, slots=True)
class Reader:
    """A subscriber: `handle` runs once per fact whose name matches, inside the cursor's transaction.

    Args:
        handle_many: the same for many facts, in their order; where it fails they are handed over one by one.
    """

    name: str
    patterns: tuple[str, ...]
    handle: Handler
    handle_many: ManyHandler | None = None


readers: Registry[Reader] = Registry("reader")
#: Facts that fit into the budget, by reader, as far as this process has learned it.
_sizes: defaultdict[str, int] = defaultdict(lambda: LEAST_CHUNK)


def reader(name: str, *patterns: str, many: ManyHandler | None = None) -> Callable[[Handler], Handler]:
    """Register a function of an app's `subscribers.py` as a durable reader of the facts that match.

    The function writes rows and emits; it never calls the network. What must leave the database becomes a delivery.
    `many` does for many facts in a few statements what the function does for each.
    """

    def register(handle: Handler) -> Handler:
        readers.register(name, Reader(name, patterns, handle, many))
        return handle

    return register


def read_once(one: Reader) -> int:
    """Hand the next facts to a reader: at most 500, at most 50 ms of transaction.

    Returns:
        How many facts its cursor passed; 0 when it has caught up.
    """
    newest = last_seq()
    cursor, _ = ReaderCursor.objects.get_or_create(name=one.name)
    if cursor.seq >= newest:
        return 0
    failed: tuple[Event, Exception] | None = None
    with transaction.atomic():
        cursor = ReaderCursor.objects.select_for_update().get(name=one.name)
        start, began = cursor.seq, time.monotonic()
        page = min(BATCH, 2 * _sizes[one.name]) if one.handle_many else BATCH  # what is not handed over is read again
        facts = list(Event.objects.filter(seq__gt=cursor.seq, seq__lte=newest).order_by("seq")[:page])
        while facts and not failed:
            size = _sizes[one.name] if one.handle_many else 1
            chunk, facts = facts[:size], facts[size:]
            handed = time.monotonic()
            failed = _hand_over(one, chunk, cursor)
            if len(chunk) == size > 1:
                took = max(time.monotonic() - handed, 0.001)
                _sizes[one.name] = min(CHUNK, max(LEAST_CHUNK, int(size * BUDGET_S / took)))
            if time.monotonic() - began > BUDGET_S:  # behind the first at the earliest, however slow the machine is
                break
        passed = cursor.seq - start
        if passed:
            cursor.save(update_fields=["seq", "updated_at"])
    if failed:
        return passed + _note_failure(one, *failed)
    return passed


def _hand_over(one: Reader, chunk: list[Event], cursor: ReaderCursor) -> tuple[Event, Exception] | None:
    """Hand facts to a reader and move its cursor past them; returns the one it failed on, and how."""
    wanted = [fact for fact in chunk if matches(fact.name, one.patterns)]
    if one.handle_many is not None and len(wanted) > 1:
        try:
            with transaction.atomic():
                one.handle_many(wanted)
        except Exception:  # one of them is to blame: the slow way finds it
            log.warning("reader %s failed on %d facts together; each is tried alone", one.name, len(wanted))
        else:
            wanted = []
    left = {fact.id for fact in wanted}
    for fact in chunk:
        if fact.id in left:
            try:
                with transaction.atomic():
                    one.handle(fact)
            except Exception as error:  # a handler's fault must not stop the others' facts
                return fact, error
        assert fact.seq is not None
        cursor.seq = fact.seq
    return None


def _note_failure(one: Reader, fact: Event, error: Exception) -> int:
    log.exception("reader %s failed on %s", one.name, fact, exc_info=error)
    with transaction.atomic():
        cursor = ReaderCursor.objects.select_for_update().get(name=one.name)
        cursor.failures = cursor.failures + 1 if cursor.failing_seq == fact.seq else 1
        cursor.failing_seq, cursor.last_error = fact.seq, f"{type(error).__name__}: {error}"[:2000]
        given_up = cursor.failures >= GIVE_UP_AFTER
        if given_up and fact.seq is not None:
            SetAsideFact.objects.get_or_create(
                reader=one.name, seq=fact.seq, defaults={"event_name": fact.name, "error": cursor.last_error}
            )
            cursor.seq, cursor.failing_seq, cursor.failures = fact.seq, None, 0
            emit(
                "system.alert",
                subject=Subject("reader", one.name, one.name),
                actor=system("readers"),
                level="warning",
                data={
                    "title": f"A fact was set aside by {one.name}",
                    "message": f"{fact.name} (no. {fact.seq}) failed three times: {cursor.last_error[:300]}",
                    "level": "warning",
                },
            )
        cursor.save()
    return 1 if given_up else 0


def dispatch_all() -> int:
    """Let every reader whose lease this process gets read on.

    Returns:
        How many facts were passed in all; call again while it is not 0.
    """
    newest = last_seq()
    behind, total = _pass_over(newest)
    for name in behind:
        if leases.keep(f"reader:{name}", seconds=30):
            total += read_once(readers[name])
    return total


def _pass_over(newest: int) -> tuple[list[str], int]:
    """Move the readers that none of the next facts concerns past these, all of them in one statement.

    Most facts concern one reader or two. No lease is needed: nothing is handed over, and a cursor that somebody else
    moves meanwhile stays where he put it.

    Returns:
        The readers that have facts to read, and how many facts the others passed.
    """
    known = dict(ReaderCursor.objects.filter(name__in=list(readers)).values_list("name", "seq"))
    behind, at = [], defaultdict(list)
    for name in readers:
        if name not in known:
            behind.append(name)
        elif known[name] < newest:
            at[known[name]].append(name)
    passed = 0
    for start, names in at.items():
        facts = Event.objects.filter(seq__gt=start, seq__lte=newest).order_by("seq").values_list("seq", "name")[:BATCH]
        read = list(facts)
        end = read[-1][0] if len(read) == BATCH and read[-1][0] else newest
        kinds = {kind for _, kind in read}
        concerned = [name for name in names if any(matches(kind, readers[name].patterns) for kind in kinds)]
        behind += concerned
        others = sorted(set(names) - set(concerned))
        if others:
            moved = ReaderCursor.objects.filter(name__in=others, seq=start).update(seq=end, updated_at=timezone.now())
            passed += moved * (end - start)
    return behind, passed
