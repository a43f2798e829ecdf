"""Start one child so that nothing of it outlives the supervisor.

Each child has a session of its own with a shell of a few hundred kilobytes at its head. The shell's standard input is
the read end of a pipe whose write end only the supervisor holds. However the supervisor ends, the kernel closes that
pipe; the shell then asks the whole group to end, and kills it five seconds later. A thread inside the child could not
do that for Redis, and not for a Python process that hangs in C code.

The child's tree also holds a lock on `run/NAME.lock`, which tells a later supervisor, without trusting process ids,
whether anything of an earlier run is still alive.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_S = 5
"""Seconds between asking an abandoned group to end and killing it; half of what a stop may take."""

# $1: the file that receives the real child's pid. The trap keeps the shell alive until the child has ended: `wait`
# returns early on a trapped signal, hence the loop. The watcher ignores TERM, or an ordinary stop would end it and
# leave a child that refuses to end unwatched.
SCRIPT = f"""
pidfile=$1; shift
exec 3<&0 </dev/null
trap : TERM INT HUP
"$@" 3<&- &
child=$!
echo $child >"$pidfile"
{{
    trap '' TERM INT HUP
    exec >/dev/null 2>&1
    read -r _ <&3
    kill -TERM 0
    n=0
    while [ $n -lt {GRACE_S * 10} ] && kill -0 $child; do n=$((n + 1)); sleep 0.1; done
    kill -KILL 0
}} &
wait $child; code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
exit $code
"""

# Above every number that a shell uses itself.
LOWEST_LOCK_FD = 64


class StillAliveError(Exception):
    """Something of an earlier child of this name is still running."""


def lock_tree(run_dir: Path, name: str) -> int:
    """Return a locked descriptor for the child's tree to hold.

    Raises:
        StillAliveError: a process of an earlier child of this name holds it.
    """
    opened = os.open(run_dir / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, LOWEST_LOCK_FD)
    finally:
        os.close(opened)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StillAliveError(name) from None
    return descriptor


class Process:
    """One running child: its launcher, its group, its output and the write end of its lifeline."""

    def __init__(self, *, name: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path, run_dir: Path) -> None:
        """Start the child.

        Raises:
            StillAliveError: its predecessor has not ended yet.
            OSError: the system can't start a process.
        """
        self.pidfile = run_dir / f"{name}.pid"
        lock = lock_tree(run_dir, name)
        read_end, self._lifeline = os.pipe()
        try:
            self._popen = subprocess.Popen(
                ["/bin/sh", "-c", SCRIPT, f"watchkeeper-{name}", str(self.pidfile), *argv],
                stdin=read_end,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                pass_fds=(lock,),
                umask=0o077,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(read_end)
            os.close(lock)
        assert self._popen.stdout is not None and self._popen.stderr is not None
        self.stdout, self.stderr = self._popen.stdout, self._popen.stderr
        for stream in (self.stdout, self.stderr):
            os.set_blocking(stream.fileno(), False)

    def has_ended(self) -> bool:
        """Tell whether the launcher has ended; it stays unreaped, so that its group can't be another's."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self._popen.returncode is not None or os.waitid(os.P_PID, self._popen.pid, flags) is not None

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to every process of the child's group."""
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)

    def reap(self) -> int:
        """Kill what is left of the group of an ended launcher, and return the child's exit code.

        Returns:
            As the shell says it: 128 + n for a child that signal n ended.
        """
        self.signal_group(signal.SIGKILL)
        code = self._popen.wait()
        os.close(self._lifeline)
        self.stdout.close()
        self.stderr.close()
        self.pidfile.unlink(missing_ok=True)
        return code if code >= 0 else 128 - code
