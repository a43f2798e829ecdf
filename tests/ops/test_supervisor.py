"""The supervisor over real, light processes: restarts, signals, and nothing left behind."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from config.supervisor.loop import KILL_AFTER_S, KILL_LAST_AFTER_S
from tests.ops.running import ROOT, is_alive, processes_mentioning, shell, sleeper, supervised, wait_for

IGNORES_TERM = "trap '' TERM INT; touch trapped; while :; do sleep 1; done"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_supervisor_imports_no_django() -> None:
    code = "import sys, config.supervisor.up; sys.exit('django' in sys.modules or 'celery' in sys.modules)"
    assert os.spawnve(os.P_WAIT, sys.executable, [sys.executable, "-c", code], {"PYTHONPATH": str(ROOT)}) == 0


def test_child_that_dies_is_started_again(folder: Path) -> None:
    with supervised(folder, sleeper("web")) as program:
        first = program.pid_of("web")
        os.kill(first, signal.SIGKILL)
        assert program.pid_of("web", other_than=first) != first
        assert "web ended (killed by SIGKILL); starting it again in 0.5 s." in program.output()


def test_child_that_keeps_dying_is_started_ever_later(folder: Path) -> None:
    with supervised(folder, shell("web", "exit 3", first_pause_s=0.05)) as program:
        program.wait_for_line("starting it again in 0.4 s.")
        pauses = re.findall(r"web ended \(exit code 3\); starting it again in (\S+) s\.", program.output())
        assert pauses[:4] == ["0.05", "0.1", "0.2", "0.4"]


def test_child_that_never_comes_up_ends_the_start_with_its_last_words(folder: Path) -> None:
    child = shell("web", "echo no such table: servers >&2; exit 1", first_pause_s=0.01)
    with supervised(folder, child, env={"READY": "never"}) as program:
        assert program.popen.wait(30) == 1
        assert "The web process ends as soon as it starts: no such table: servers" in program.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_every_child_and_exits_0(folder: Path, number: signal.Signals) -> None:
    with supervised(folder, sleeper("web"), sleeper("redis", stop_last=True)) as program:
        pids = [program.pid_of("web"), program.pid_of("redis")]
        assert program.end(number) == 0
        assert not any(map(is_alive, pids))


def test_time_for_an_end_is_at_most_ten_seconds() -> None:
    # What still lives one second after its KILL is given up.
    assert KILL_AFTER_S < KILL_LAST_AFTER_S <= 10 - 1


def test_child_that_ignores_term_is_killed(folder: Path) -> None:
    children = (shell("worker", IGNORES_TERM), sleeper("redis", stop_last=True))
    with supervised(folder, *children, env={"KILL_AFTER": "1 2"}) as program:
        pids = [program.pid_of("worker"), program.pid_of("redis")]
        wait_for((folder / "trapped").exists, what="the trap")
        assert program.end() == 0
        assert not any(map(is_alive, pids))


def test_second_interrupt_kills_at_once(folder: Path) -> None:
    with supervised(folder, shell("worker", IGNORES_TERM)) as program:
        pid = program.pid_of("worker")
        wait_for((folder / "trapped").exists, what="the trap")
        program.popen.send_signal(signal.SIGINT)
        program.wait_for_line("stopping")
        assert is_alive(pid)
        assert program.end(signal.SIGINT) == 0
        assert not is_alive(pid)


def test_child_needed_by_others_ends_after_them(folder: Path) -> None:
    worker = shell(
        "worker", "trap 'sleep 1; echo worker >>order; exit' TERM; touch worker; while :; do sleep 0.1; done"
    )
    redis = shell(
        "redis", "trap 'echo redis >>order; exit' TERM; touch redis; while :; do sleep 0.1; done", stop_last=True
    )
    with supervised(folder, redis, worker) as program:
        wait_for(lambda: (folder / "worker").exists() and (folder / "redis").exists(), what="both traps")
        program.end()
    assert (folder / "order").read_text().split() == ["worker", "redis"]


def test_killed_supervisor_leaves_no_process(folder: Path) -> None:
    grandchild = f"sleep 601 & {IGNORES_TERM}"
    with supervised(folder, sleeper("redis"), shell("worker", grandchild)) as program:
        pids = [program.pid_of("redis"), program.pid_of("worker")]
        program.end(signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, pids)), what="the end of the children")
        wait_for(lambda: not processes_mentioning(str(folder)), what="the end of the launchers")


def test_killed_launcher_takes_its_child_with_it(folder: Path) -> None:
    with supervised(folder, sleeper("redis")) as program:
        child = program.pid_of("redis")
        launcher = os.getpgid(child)
        assert launcher != child
        os.kill(launcher, signal.SIGKILL)
        assert program.pid_of("redis", other_than=child) != child
        assert not is_alive(child)


def test_next_run_waits_for_what_a_killed_one_left(folder: Path) -> None:
    slow = shell("worker", "exec 2>/dev/null; trap 'sleep 1; exit' TERM; touch trapped; while :; do sleep 0.1; done")
    with supervised(folder, slow) as program:
        left = program.pid_of("worker")
        wait_for((folder / "trapped").exists, what="the trap")
        program.end(signal.SIGKILL)
        assert is_alive(left)
        with supervised(folder, slow) as again:
            assert again.pid_of("worker", other_than=left) != left
            assert not is_alive(left)


def test_second_run_on_the_same_folder_is_refused(folder: Path) -> None:
    with supervised(folder, sleeper("web")) as program:
        web = program.pid_of("web")
        with supervised(folder, sleeper("web")) as second:
            assert second.popen.wait(30) == 1
        said = f"Watchkeeper already runs here (pid {program.popen.pid}, http://127.0.0.1:1)"
        assert said in second.output()
        assert is_alive(web)
