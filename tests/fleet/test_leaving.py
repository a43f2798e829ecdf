"""What becomes of commands whose process is stopped: as much as can be ends, and all of it is written down at once."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.commands import Command, Outcome
from apps.fleet.executors import LocalExecutor
from apps.fleet.models import CommandRun
from apps.fleet.services import background, cancel_run, leave_commands, run_in_background
from apps.fleet.services.commands import run_command
from apps.fleet.ssh import Reason, SshFault
from apps.fleet.states import RunStatus

pytestmark = pytest.mark.django_db(transaction=True)
ACTOR = system("test")


@pytest.fixture(autouse=True)
def stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(background, "_leaving", threading.Event())
    yield


def begin(text: str, executor: LocalExecutor | None = None) -> CommandRun:
    """Run a command in the background."""
    return run_in_background(actor=ACTOR, executor=executor or LocalExecutor("web"), command=Command(text, 100))


def _until(holds: Any) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until, threading.enumerate()
        time.sleep(0.05)


def has_written(row: CommandRun, text: str) -> bool:
    return CommandRun.objects.get(pk=row.pk).output == text


def test_command_that_goes_on_is_ended_and_lost_at_once_with_its_output() -> None:
    row = begin("echo $$; exec sleep 300")
    _until(lambda: CommandRun.objects.get(pk=row.pk).output)
    leave_commands(finish_s=0.1, end_s=10)
    row.refresh_from_db()
    assert (row.status, row.lease_until) == (RunStatus.LOST, None) and "was stopped" in row.error
    assert not Path(f"/proc/{row.output.strip()}").exists()
    fact = Event.objects.get(name="command.finished")
    assert (fact.data["status"], fact.data["error"]) == ("lost", row.error)


def test_command_that_ends_in_time_ends_as_it_does(tmp_path: Path) -> None:
    row = begin(f"echo begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo ended; exit 3")
    _until(lambda: has_written(row, "begun\n"))
    (tmp_path / "go").touch()
    leave_commands(finish_s=20, end_s=1)
    row.refresh_from_db()
    assert (row.status, row.exit_code, row.output) == (RunStatus.FAILED, 3, "begun\nended\n")


def test_command_that_does_not_end_in_time_is_lost_too() -> None:
    released = threading.Event()

    class Deaf(LocalExecutor):
        def run(self, command: Command, *, on_output: Any, cancelled: Any) -> Outcome:
            on_output(b"so far")
            released.wait(20)
            return Outcome("exited", 0)

    row = begin("x", Deaf())
    try:
        leave_commands(finish_s=0.1, end_s=0.1)
        row.refresh_from_db()
        assert (row.status, row.output) == (RunStatus.LOST, "so far") and "is not known" in row.error
    finally:
        released.set()
    _until(lambda: background.runner().free(background.LANE, 1) == 1)
    row.refresh_from_db()
    assert row.status == RunStatus.LOST
    assert Event.objects.filter(name="command.finished").count() == 1


def test_command_that_never_began_has_failed_and_not_been_lost() -> None:
    class Connecting(LocalExecutor):
        def run(self, command: Command, *, on_output: Any, cancelled: Any) -> Outcome:
            while not cancelled():
                time.sleep(0.02)
            raise SshFault(Reason.CANCELLED, "connect", "It was cancelled before the command began.")

    row = begin("x", Connecting())
    leave_commands(finish_s=0.1, end_s=10)
    row.refresh_from_db()
    assert (row.status, row.error) == (RunStatus.FAILED, "Watchkeeper was stopped before the command began.")


def test_command_that_somebody_cancelled_is_cancelled() -> None:
    row = begin("echo begun; exec sleep 300")
    _until(lambda: has_written(row, "begun\n"))
    cancel_run(actor=ACTOR, run_id=row.pk)
    leave_commands(finish_s=20, end_s=1)
    row.refresh_from_db()
    assert row.status == RunStatus.CANCELLED


def test_command_that_somebody_waits_for_is_told_as_lost() -> None:
    ended: list[CommandRun] = []

    def wait() -> None:
        ended.append(run_command(actor=ACTOR, executor=LocalExecutor(), command=Command("echo so far; sleep 300", 100)))
        connection.close()

    waiting = threading.Thread(target=wait)
    waiting.start()
    _until(lambda: CommandRun.objects.filter(output="so far\n").exists())
    leave_commands(finish_s=0.1, end_s=10)
    assert CommandRun.objects.get().status == RunStatus.LOST
    waiting.join(20)
    assert [row.status for row in ended] == [RunStatus.LOST]


def test_process_that_ends_takes_no_more_commands() -> None:
    assert background.room_in_background() > 0
    leave_commands(finish_s=0, end_s=0)
    assert background.room_in_background() == 0
