"""Group commit: everybody is answered once, after the commit, and one bad item costs no other anything."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from django.db import OperationalError

from apps.core.asgi.batches import Batches, Bounds

BOUNDS = Bounds(items=4, waiting=100, gather_s=0.01)


class Disk:
    """Stores numbers; batches that hold `bad` fail."""

    def __init__(self, bad: int | None = None, fault: type[Exception] = OSError, times: int = 10**6) -> None:
        self.bad, self.fault, self.times = bad, fault, times
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()

    def store(self, items: list[int]) -> Sequence[str]:
        self.threads.add(threading.get_ident())
        self.gate.wait(20)
        if self.bad in items and self.times > 0:
            self.times -= 1
            raise self.fault("the disk is away")
        self.batches.append(items)
        return [f"stored {item}" for item in items]


def batches_on(disk: Disk, bounds: Bounds = BOUNDS, writers: int = 1) -> Batches[int, str]:
    return Batches(
        "things", store=disk.store, unstored=lambda item: f"lost {item}", bounds=bounds, writers=lambda: writers
    )


async def test_items_of_one_moment_are_written_together_up_to_the_bounds() -> None:
    disk = Disk()
    batches = batches_on(disk)
    answers = await asyncio.gather(*(batches.ask(n) for n in range(10)))
    await batches.drain()
    assert answers == [f"stored {n}" for n in range(10)]
    assert disk.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_batch_ends_before_its_sizes_or_rows_grow_too_large_but_takes_one_giant() -> None:
    disk = Disk()
    batches = batches_on(disk, Bounds(items=4, waiting=100, gather_s=0.01, size=10, rows=5))
    asked = [(0, 6, 1), (1, 6, 1), (2, 30, 1), (3, 1, 4), (4, 1, 2)]
    await asyncio.gather(*(batches.ask(n, size=size, rows=rows) for n, size, rows in asked))
    await batches.drain()
    assert disk.batches == [[0], [1], [2], [3], [4]]


async def test_lonely_item_is_written_at_once_where_that_is_wished() -> None:
    disk = Disk()
    batches = batches_on(disk, Bounds(items=4, waiting=100, gather_s=3600, at_once=True))
    assert await asyncio.wait_for(batches.ask(1), 20) == "stored 1"
    await batches.drain()


@pytest.mark.parametrize("writers", [1, 2])
async def test_what_comes_while_others_are_written_is_not_forgotten(writers: int) -> None:
    disk = Disk()
    batches = batches_on(disk, writers=writers)
    disk.gate.clear()
    asked = []
    for n in range(12):
        asked.append(asyncio.create_task(batches.ask(n)))
        await asyncio.sleep(0.005)
    disk.gate.set()
    assert await asyncio.wait_for(asyncio.gather(*asked), 20) == [f"stored {n}" for n in range(12)]
    assert len(disk.threads) == writers
    await batches.drain()


async def test_item_that_can_not_be_stored_costs_no_other_its_place() -> None:
    disk = Disk(bad=2)
    batches = batches_on(disk)
    answers = await asyncio.gather(*(batches.ask(n) for n in range(4)))
    await batches.drain()
    assert answers == ["stored 0", "stored 1", "lost 2", "stored 3"]


@pytest.mark.django_db(transaction=True)
async def test_fault_of_the_database_is_tried_once_more_as_a_whole() -> None:
    disk = Disk(bad=1, fault=OperationalError, times=1)
    batches = batches_on(disk)
    assert await asyncio.gather(batches.ask(0), batches.ask(1)) == ["stored 0", "stored 1"]
    assert disk.batches == [[0, 1]]
    await batches.drain()


async def test_connection_that_can_not_be_answered_costs_no_other_its_answer() -> None:
    batches = batches_on(Disk())

    def broken(result: str) -> None:
        raise ConnectionResetError

    batches.put(0, broken)
    assert await batches.ask(1) == "stored 1"
    await batches.drain()


async def test_fullness_is_what_waits_and_ends_with_it() -> None:
    disk = Disk()
    batches = batches_on(disk, Bounds(items=4, waiting=10, gather_s=0.01))
    disk.gate.clear()
    asked = [asyncio.create_task(batches.ask(n, size=6)) for n in range(2)]
    await asyncio.sleep(0)
    assert batches.is_full
    disk.gate.set()
    await asyncio.gather(*asked)
    assert not batches.is_full
    await batches.drain()


async def test_drain_answers_what_waits() -> None:
    batches, answers = batches_on(Disk()), []
    for n in range(6):
        batches.put(n, answers.append)
    await batches.drain()
    assert answers == [f"stored {n}" for n in range(6)]
