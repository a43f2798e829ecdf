"""Writers of one SQLite file take turns."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.db import connection, transaction

from apps.core.models import StoredSetting
from apps.core.sqlite3 import turns
from apps.core.sqlite3.turns import Turns


def _is_taken(lock: str) -> bool:
    with Path(lock).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_thread_that_comes_back_at_once_lets_the_waiting_one_in(tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    greedy, waiting = Turns(path), Turns(path)
    order: list[str] = []
    assert greedy.enter()

    def wait() -> None:
        waiting.enter()
        order.append("waiting")
        waiting.leave()

    thread = threading.Thread(target=wait)
    thread.start()
    while not turns._queues[os.path.realpath(path)].next.locked():
        time.sleep(0.001)
    greedy.leave()
    greedy.enter()
    order.append("greedy")
    thread.join(10)
    assert order == ["waiting", "greedy"]


WRITER = """
import sys
from apps.core.sqlite3.turns import Turns
waiting = Turns(sys.argv[1])
assert waiting.enter()
open(sys.argv[2], "a").write("waiting ")
"""


def test_process_that_comes_back_at_once_lets_the_waiting_one_in(tmp_path: Path) -> None:
    path, order = str(tmp_path / "db"), tmp_path / "order"
    greedy = Turns(path)
    assert greedy.enter()
    with subprocess.Popen([sys.executable, "-c", WRITER, path, str(order)]) as process:
        while not _is_taken(f"{path}-next"):
            assert process.poll() is None
            time.sleep(0.001)
        greedy.leave()
        assert greedy.enter()
        with order.open("a") as file:
            file.write("greedy\n")
    greedy.close()
    assert process.returncode == 0 and order.read_text().split() == ["waiting", "greedy"]


def test_turn_that_was_given_up_blocks_nobody(tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    one, two, three = Turns(path), Turns(path), Turns(path)
    with Path(f"{path}-now").open("w") as other:  # as another process would
        fcntl.flock(other, fcntl.LOCK_EX)
        assert not one.enter(0.01)
    assert two.enter(0.01)
    assert not three.enter(0.01)
    two.leave()
    assert three.enter(0.01) and not one.is_held


def test_turn_that_does_not_come_is_given_up_after_its_time(tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    one, two = Turns(path), Turns(path)
    assert one.enter()
    assert not two.enter(0.01)
    one.leave()
    assert two.enter(0.01)


def test_turn_ends_with_the_files_of_a_closed_connection(tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    one, two = Turns(path), Turns(path)
    assert one.enter()
    one.close()
    assert two.enter(0.01)


@pytest.mark.django_db(transaction=True)
def test_transactions_and_single_statements_leave_no_turn_behind() -> None:
    with transaction.atomic():
        StoredSetting.objects.create(name="a", value=1)
    StoredSetting.objects.filter(name="a").update(value=2)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        StoredSetting.objects.filter(name="a").delete()
        raise ZeroDivisionError
    mine = getattr(connection, "_turns", None)
    assert mine is None or not mine.is_held
    assert StoredSetting.objects.get(name="a").value == 2


@pytest.mark.django_db(transaction=True)
def test_many_threads_write_without_losing_anything() -> None:
    StoredSetting.objects.create(name="count", value=0)

    def add() -> None:
        try:
            for _ in range(10):
                with transaction.atomic():
                    row = StoredSetting.objects.select_for_update().get(name="count")
                    row.value += 1
                    row.save()
        finally:
            connection.close()

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert StoredSetting.objects.get(name="count").value == 60
