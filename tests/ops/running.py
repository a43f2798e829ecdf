"""Start programs for the tests of the supervisor, read what they say, and see what is left of them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.processes import PATIENCE_S, ROOT, is_alive, wait_for

__all__ = ["ROOT", "Program", "is_alive", "processes_mentioning", "shell", "sleeper", "supervised", "wait_for"]


def processes_mentioning(text: str) -> list[int]:
    """Return the pids whose command line holds the text."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if text.encode() in (entry / "cmdline").read_bytes() and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return found


class Program:
    """A running supervisor and its output."""

    def __init__(self, argv: list[str], *, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.said = folder, folder.parent / f"{folder.name}.out"
        with self.said.open("ab") as out:
            self.popen = subprocess.Popen(
                argv, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def output(self) -> str:
        """Return everything it has said."""
        return self.said.read_text()

    def wait_for_line(self, text: str) -> None:
        """Wait until it has said the text."""
        wait_for(lambda: text in self.output() or self.popen.poll() is not None, what=f"{text!r} in the output")
        assert text in self.output(), self.output()

    def pid_of(self, name: str, *, other_than: int = 0) -> int:
        """Return the pid of a child, once it has one that differs from an earlier one."""

        def read() -> int:
            with contextlib.suppress(OSError, ValueError):
                pid = int((self.folder / "run" / f"{name}.pid").read_text())
                return pid if pid != other_than and is_alive(pid) else 0
            return 0

        return wait_for(read, what=f"a pid of {name}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(PATIENCE_S)


@contextlib.contextmanager
def supervised(folder: Path, *specs: dict[str, Any], env: dict[str, str] | None = None) -> Iterator[Program]:
    """Run the supervisor over light children; once the outermost has ended, nothing of the folder's is left."""
    argv = [sys.executable, "-m", "tests.ops.driver", str(folder), json.dumps(specs)]
    program = Program(argv, folder=folder, env=env or {})
    try:
        yield program
    finally:
        if program.popen.poll() is None:
            program.end()
        others = {pid for pid in processes_mentioning(f"tests.ops.driver\0{folder}\0") if pid != program.popen.pid}
        wait_for(lambda: others or not processes_mentioning(str(folder)), what="the end of every process")


def shell(name: str, script: str, **more: Any) -> dict[str, Any]:
    """Return the spec of a child that is a shell script."""
    return {"name": name, "argv": ["/bin/sh", "-c", script], **more}


def sleeper(name: str, **more: Any) -> dict[str, Any]:
    """Return the spec of a child that runs until it is told to end."""
    return {"name": name, "argv": ["sleep", "600"], **more}
