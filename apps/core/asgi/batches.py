"""Group commit: what many requests bring is stored in one transaction, and each is answered after it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import Error as DatabaseError
from django.db import connection

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large batches become.

    Args:
        items: most items of a batch.
        size: most of their sizes together, in the unit of `Batches.put`.
        rows: most of their rows together.
        waiting: sizes that may wait for the disk; beyond them the batches are full.
        gather_s: how long a batch that is not full waits for more.
        at_once: an item that finds nobody writing is not held up; only the batches behind it gather.
    """

    items: int
    waiting: int
    gather_s: float
    size: int = 2**62
    rows: int = 2**62
    at_once: bool = False


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    tell: Callable[[Result], object]
    size: int
    rows: int


class Batches(Generic[Item, Result]):
    """Collects items, and writes them batch by batch in threads of its own. Belongs to one event loop.

    Args:
        store: stores items in one transaction and returns a result for each, in their order.
        unstored: what is answered for an item that can't be stored.
        writers: how many batches may be written at once, asked when the first item comes.
    """

    def __init__(
        self,
        name: str,
        *,
        store: Callable[[list[Item]], Sequence[Result]],
        unstored: Callable[[Item], Result],
        bounds: Bounds,
        writers: Callable[[], int] = lambda: 1,
    ) -> None:
        self.name, self.bounds = name, bounds
        self._store, self._unstored, self._count = store, unstored, writers
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._size = 0
        self._writers: list[_Writer] = []

    @property
    def is_full(self) -> bool:
        """Return whether so much waits for the disk that the sender had better come again."""
        return self._size > self.bounds.waiting

    def put(self, item: Item, tell: Callable[[Result], object], *, size: int = 1, rows: int = 1) -> None:
        """Have an item stored; `tell` is called with what became of it, in the loop's thread."""
        self._waiting.append(_Waiting(item, tell, size, rows))
        self._size += size
        for writer in self._writers or self._hire():
            if writer.task is None or writer.task.done():
                writer.task = asyncio.get_running_loop().create_task(self._write(writer))
                return
            if writer.gathers:
                return

    async def ask(self, item: Item, *, size: int = 1, rows: int = 1) -> Result:
        """Have an item stored and return what became of it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        # Where the client went away meanwhile, its future is done.
        self.put(item, lambda result: None if future.done() else future.set_result(result), size=size, rows=rows)
        return await future

    async def drain(self) -> None:
        """Write and answer what waits, then end the threads and their connections."""
        while running := [one.task for one in self._writers if one.task is not None and not one.task.done()]:
            await asyncio.wait(running)
        writers, self._writers = self._writers, []
        for writer in writers:
            await asyncio.get_running_loop().run_in_executor(writer.thread, _hang_up)
            writer.thread.shutdown(wait=False)

    def _hire(self) -> "list[_Writer]":
        self._writers = [_Writer(ThreadPoolExecutor(1, thread_name_prefix=self.name)) for _ in range(self._count())]
        return self._writers

    async def _write(self, writer: "_Writer") -> None:
        loop, bounds = asyncio.get_running_loop(), self.bounds
        gathers = not bounds.at_once
        while self._waiting:
            if gathers and len(self._waiting) < bounds.items:
                writer.gathers = True
                await asyncio.sleep(bounds.gather_s)
                writer.gathers = False
            gathers = True
            batch = self._next_batch()
            if not batch:  # another writer took them
                return
            results = await loop.run_in_executor(writer.thread, self._stored, [one.item for one in batch])
            for one, result in zip(batch, results, strict=True):
                try:
                    one.tell(result)
                except Exception:  # a connection that can't be written to costs no other its answer
                    log.exception("one of %s could not be answered", self.name)

    def _next_batch(self) -> list[_Waiting[Item, Result]]:
        waiting, bounds = self._waiting, self.bounds
        batch: list[_Waiting[Item, Result]] = []
        size = rows = 0
        while waiting and len(batch) < bounds.items:
            first = waiting[0]
            size, rows = size + first.size, rows + first.rows
            if batch and (size > bounds.size or rows > bounds.rows):
                break
            batch.append(waiting.popleft())
            self._size -= first.size
        return batch

    def _stored(self, items: list[Item]) -> Sequence[Result]:
        """Store a batch, in a writer's thread: whole, once more after a fault of the database, else one by one."""
        for last in (False, True):
            try:
                return self._store(items)
            except DatabaseError:
                log.exception("storing %d of %s failed", len(items), self.name)
                if not connection.in_atomic_block:
                    connection.close()  # the next try gets a fresh one
                if last:
                    break
            except Exception:
                log.exception("storing %d of %s failed", len(items), self.name)
                break
        if len(items) == 1:
            return [self._unstored(items[0])]
        # One that can't be stored must not take those beside it along.
        return [self._stored_alone(item) for item in items]

    def _stored_alone(self, item: Item) -> Result:
        try:
            return self._store([item])[0]
        except Exception:
            log.exception("storing one of %s failed", self.name)
            return self._unstored(item)


def _hang_up() -> None:
    connection.close()  # looked up in the writer's thread: the connection is that thread's


@dataclass(slots=True)
class _Writer:
    thread: ThreadPoolExecutor
    task: "asyncio.Task[None] | None" = None
    gathers: bool = False
