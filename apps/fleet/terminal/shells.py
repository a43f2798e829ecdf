"""Open shells: over SSH, and on the platform's own host. Others implement the same `Shell`."""

import contextlib
import fcntl
import os
import pwd
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import paramiko
from paramiko.channel import Channel

from apps.core.masking import Masker
from apps.fleet.signalling import signal_name
from apps.fleet.ssh import Reason, Session, SshFault

TERM = "xterm-256color"
READ_MOST = 32 * 1024
OPEN_S = 15.0
#: What the other side may send before we have read it; more would only wait in our memory.
WINDOW = 256 * 1024
#: How long what runs in a terminal has to end by itself once the terminal is gone.
GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class Size:
    """How large a terminal is, in characters."""

    cols: int = 80
    rows: int = 24


@dataclass(frozen=True, slots=True)
class ShellEnd:
    """How a shell ended.

    Args:
        exit_code: None where a signal ended it, or it is not known.
        signal: e.g. "HUP".
        error: why its end is not known; "" where it is.
    """

    exit_code: int | None = None
    signal: str = ""
    error: str = ""


class Shell(Protocol):
    """An interactive shell on a machine. One thread reads, another writes; both may wait, none for long.

    Attributes:
        masker: of what signed in on the way; the caller masks the output with it.
    """

    masker: Masker

    def read(self, timeout_s: float) -> bytes | None:
        """Return output, at most `READ_MOST` bytes; None where none came in time, b"" once it has ended."""
        ...

    def write(self, data: bytes, timeout_s: float) -> int:
        """Return how many bytes of input were taken; 0 where none could be in time."""
        ...

    def resize(self, size: Size) -> None:
        """Tell the programs there how large the terminal is now."""
        ...

    def end(self) -> ShellEnd:
        """Return how it ended; called once `read` has returned b""."""
        ...

    def close(self) -> None:
        """Hang up: what runs in it is told, and ends unless it was made to stay. A second call does nothing."""
        ...


class SshShell:
    """A login shell over an SSH session of its own, which ends with it."""

    def __init__(self, session: Session, size: Size) -> None:
        self.session, self.masker = session, session.masker
        try:
            self.channel: Channel = session.transport.open_session(window_size=WINDOW, timeout=OPEN_S)
            self.channel.settimeout(OPEN_S)
            self.channel.set_combine_stderr(True)
            self.channel.get_pty(TERM, size.cols, size.rows)
            self.channel.invoke_shell()
        except (paramiko.SSHException, OSError, EOFError) as error:
            session.close()
            detail = str(error) or "it broke off"
            raise SshFault(Reason.RUN, "run", f"The machine opened no terminal ({detail}).") from error

    def read(self, timeout_s: float) -> bytes | None:
        """Return output."""
        self.channel.settimeout(timeout_s)
        try:
            return self.channel.recv(READ_MOST)
        except TimeoutError:
            return None
        except (paramiko.SSHException, OSError, EOFError):
            return b""

    def write(self, data: bytes, timeout_s: float) -> int:
        """Send input, as far as the other side takes it."""
        until = time.monotonic() + timeout_s
        while not self.channel.send_ready():
            if self.channel.closed or time.monotonic() >= until:
                return 0
            time.sleep(0.02)
        try:
            return self.channel.send(data[:READ_MOST])
        except (TimeoutError, paramiko.SSHException, OSError, EOFError):
            return 0

    def resize(self, size: Size) -> None:
        """Tell the other side."""
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            self.channel.resize_pty(size.cols, size.rows)

    def end(self) -> ShellEnd:
        """Return how it ended."""
        self.channel.status_event.wait(GRACE_S)
        ended_by = str(getattr(self.channel, "exit_signal", ""))
        if ended_by:
            return ShellEnd(signal=ended_by)
        if self.channel.exit_status < 0:
            return ShellEnd(error="The connection to the machine broke off.")
        return ShellEnd(self.channel.exit_status)

    def close(self) -> None:
        """Close channel and connection; the server hangs up what runs there."""
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            self.channel.close()
        self.session.close()


class LocalShell:
    """A login shell on the platform's own host, as the platform's own user, in a terminal and session of its own."""

    def __init__(self, env: dict[str, str], size: Size) -> None:
        self.masker = Masker([])
        # Held for each use of the terminal's number: once it is closed the number may be somebody else's.
        self._lock = threading.Lock()
        self._is_closed = False
        self.master, slave = os.openpty()
        try:
            self.resize(size)
            os.set_blocking(self.master, False)
            program = _login_shell()
            home, own = env.get("HOME", ""), {"TERM": TERM, "SHELL": program}
            # A session's first process takes the terminal that it opens for its own; so no code of ours runs between
            # fork and exec, which is not safe beside other threads.
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", 'exec "$1" -l <"$0" >"$0" 2>&1', os.ttyname(slave), program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**({} if env.keys() & {"LANG", "LC_ALL"} else {"LANG": "C.UTF-8"}), **env, **own},
                cwd=home if home and Path(home).is_dir() else "/",
                start_new_session=True,
            )
            # Until the shell holds the terminal we do; held by nobody it would end before it began.
            self._slave: int | None = slave
        except BaseException:
            os.close(self.master)
            os.close(slave)
            raise

    def read(self, timeout_s: float) -> bytes | None:
        """Return output."""
        if not self._ready(select.POLLIN, timeout_s):
            if self.process.poll() is not None:
                self._let_go()
            return b"" if self._is_closed else None
        with self._lock:
            if self._is_closed:
                return b""
            try:
                data = os.read(self.master, READ_MOST)
            except BlockingIOError:
                return None
            except OSError:  # nobody holds the other end any more
                return b""
        self._let_go()
        return data

    def _ready(self, what: int, timeout_s: float) -> bool:
        waiting = select.poll()
        waiting.register(self.master, what)
        return bool(waiting.poll(timeout_s * 1000))

    def _let_go(self) -> None:
        """Close our hold of the shell's end: what was written shows that the shell has it, or it is over."""
        slave, self._slave = self._slave, None
        if slave is not None:
            os.close(slave)

    def write(self, data: bytes, timeout_s: float) -> int:
        """Write input, as far as the terminal takes it."""
        if not self._ready(select.POLLOUT, timeout_s):
            return 0
        with self._lock:
            if self._is_closed:
                return 0
            try:
                return os.write(self.master, data[:READ_MOST])
            except OSError:
                return 0

    def resize(self, size: Size) -> None:
        """Tell the terminal, which tells its programs."""
        with self._lock, contextlib.suppress(OSError):
            if not self._is_closed:
                fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.cols, 0, 0))

    def end(self) -> ShellEnd:
        """Return how it ended."""
        try:
            code = self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            return ShellEnd(error="The shell closed its terminal and ran on; it was ended.")
        return ShellEnd(signal=signal_name(-code)) if code < 0 else ShellEnd(code)

    def close(self) -> None:
        """Hang up, and end a shell that doesn't mind."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._let_go()
            os.close(self.master)  # the kernel hangs up the session
        if self.process.poll() is not None:
            return
        self._signal(signal.SIGHUP)
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def _login_shell() -> str:
    """Return the shell of the platform's user; /bin/sh where that one lets nobody in."""
    with contextlib.suppress(KeyError):
        found = pwd.getpwuid(os.getuid()).pw_shell
        if found and os.access(found, os.X_OK) and Path(found).name not in ("nologin", "false"):
            return found
    return "/bin/sh"
