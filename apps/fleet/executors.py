"""How a command reaches a machine: over SSH, or on the platform's own host."""

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings

from apps.core.errors import Conflict, Forbidden
from apps.core.masking import Masker
from apps.core.principals import Principal
from apps.core.registries import Registry
from apps.fleet.commands import Cancelled, Command, Deadline, OnOutput, Outcome, Output
from apps.fleet.marks import MARK, has_processes, signal_session
from apps.fleet.models import Server, SshConnection
from apps.fleet.selectors.ssh import chain_of, token_of, way_of
from apps.fleet.signalling import signal_here, signal_name, signal_over_shell
from apps.fleet.ssh import Hop, Reason, Session, SshFault, connect, pool, run
from apps.fleet.terminal.shells import LocalShell, Shell, Size, SshShell
from apps.secrets.services import read_for_use

GRACE_S = 2.0
LINGER_S = 1.0
TICK_S = 0.2
READ_MOST = 32 * 1024
#: Readings of what a command that was ended has left in its pipe, which holds 64 KiB.
DRAINS_MOST = 8
#: Times that what a command started is looked for; what forks meanwhile is found the next time.
HUNTS_MOST = 5
SIGNAL_S = 15.0
#: What a local command gets of this process's surroundings, which hold the platform's own keys.
LOCAL_ENV = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "SHELL")


class Executor(Protocol):
    """A way to run a command on one machine.

    Attributes:
        name: "ssh", "local" or "agent".
        target: the machine, as people call it.
    """

    name: str
    target: str

    def run(self, command: Command, *, on_output: OnOutput, cancelled: Cancelled) -> Outcome:
        """Run a command and follow it to its end; output comes masked. Blocks.

        Raises:
            SshFault: it could not be run, or how it ended is not known.
        """
        ...

    def shell(self, size: Size, *, cancelled: Cancelled) -> Shell:
        """Open an interactive shell. Blocks until it is there; the caller closes it.

        Raises:
            SshFault: there is none.
        """
        ...

    def signal(self, pid: int, start_time: str, number: int) -> dict[str, Any] | None:
        """Send a signal to the process of this number and start time; see `fleet.signalling.signal_here`."""
        ...


#: Ways that higher apps know, asked first: a server and who asks -> an executor, or None where theirs leads not there.
executor_providers: Registry[Callable[[Server, Principal], Executor | None]] = Registry("executor provider")

#: Of a provider's name: server ids -> those it may know a way to. Asked once before many executors are.
provided_servers: Registry[Callable[[Collection[UUID]], Collection[UUID]]] = Registry("finder of provided servers")


def provided_among(server_ids: Collection[UUID]) -> Collection[UUID]:
    """Return the servers for which providers have to be asked; for `executor_of`, where there are many."""
    found: set[UUID] = set()
    for name, _ in executor_providers.items():
        find = provided_servers.get(name)
        if find is None:
            return server_ids
        found.update(find(server_ids))
    return found


class SshExecutor:
    """Runs commands over an SSH connection, on one that is open already where there is one."""

    name = "ssh"

    def __init__(self, connection: SshConnection, actor: Principal) -> None:
        self.connection, self.actor = connection, actor
        self.target = connection.name
        #: Chain and token, where somebody has just read them for many at once.
        self.known: tuple[list[SshConnection], str] | None = None
        #: The way with its credentials, read in the same manner; used once.
        self.way: list[Hop] | None = None

    def run(self, command: Command, *, on_output: OnOutput, cancelled: Cancelled) -> Outcome:
        """Run a command over there."""
        connection, password = self.connection, ""
        chain, token = self.known or (chain_of(connection), "")
        if command.sudo and connection.sudo_secret_id:
            purpose = f"sudo on {connection.name}"
            password = read_for_use(secret_id=connection.sudo_secret_id, purpose=purpose, actor=self.actor)
            command = replace(command, sudo_password=password)

        def open_session() -> Session:
            # The credentials are read only where a connection is opened.
            way, self.way = self.way or way_of(chain, actor=self.actor), None
            return _connected(way, cancelled)

        with pool.lease(str(connection.pk), token or token_of(chain), open_session) as session:
            of_way, of_run = session.masker.stream(), Masker([password]).stream()

            def take(data: bytes) -> None:
                _give(on_output, of_run.feed(of_way.feed(data)))

            try:
                return run(session.transport, command, on_output=take, cancelled=cancelled)
            finally:
                _give(on_output, of_run.feed(of_way.flush()) + of_run.flush())

    def shell(self, size: Size, *, cancelled: Cancelled) -> Shell:
        """Open a login shell over there, over a connection of its own: it lasts, and writes much."""
        way = way_of(chain_of(self.connection), actor=self.actor)
        return SshShell(_connected(way, cancelled), size)

    def signal(self, pid: int, start_time: str, number: int) -> dict[str, Any] | None:
        """Send a signal to a process over there, as the connection's user."""

        def ask(line: str) -> tuple[int | None, str]:
            output = Output()
            outcome = self.run(Command(line, SIGNAL_S), on_output=output.feed, cancelled=lambda: False)
            output.finish()
            if outcome.ended != "exited":
                sentence = f"{self.target} gave no answer within {SIGNAL_S:g} s; whether it was signalled is not known."
                raise SshFault(Reason.TIMEOUT, "run", sentence)
            return outcome.exit_code, output.text

        return signal_over_shell(ask, pid, start_time, number)


def _connected(way: list[Hop], cancelled: Cancelled) -> Session:
    """Connect, and keep asking meanwhile whether that is still wanted: this is also what renews a run's lease."""
    opened: Future[Session] = Future()

    def work() -> None:
        try:
            opened.set_result(connect(way))
        except BaseException as error:
            opened.set_exception(error)

    threading.Thread(target=work, name="ssh-connect", daemon=True).start()
    while True:
        try:
            return opened.result(TICK_S)
        except FutureTimeout:
            if opened.done():
                raise
            if cancelled():
                opened.add_done_callback(lambda done: None if done.exception() else done.result().close())
                raise SshFault(Reason.CANCELLED, "connect", "It was cancelled before the command began.") from None


def _give(on_output: OnOutput, data: bytes) -> None:
    if data:
        on_output(data)


class LocalExecutor:
    """Runs commands on the platform's own host, as the platform's own user."""

    name = "local"

    def __init__(self, target: str = "local") -> None:
        self.target = target

    def run(self, command: Command, *, on_output: OnOutput, cancelled: Cancelled) -> Outcome:
        """Run a command with /bin/sh in a session of its own, marked so that all it starts is found again."""
        deadline, mark = Deadline(command.timeout_s), secrets.token_hex(12)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command.text],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**_local_env(), **command.env, MARK: mark},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return Outcome("failed", error=f"This host did not start it: {error.strerror}.")
        try:
            how = self._follow(process, command, deadline, on_output, cancelled)
            return how if isinstance(how, Outcome) else self._end(process, mark, how, on_output)
        finally:
            _kill_group(process)  # what it left behind there; a daemon has one of its own
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None and not pipe.closed:
                    pipe.close()

    def shell(self, size: Size, *, cancelled: Cancelled) -> Shell:
        """Open the login shell of the platform's own user."""
        return LocalShell(_local_env(), size)

    def signal(self, pid: int, start_time: str, number: int) -> dict[str, Any] | None:
        """Send a signal to a process of this host."""
        return signal_here(pid, start_time, number)

    def _follow(
        self,
        process: "subprocess.Popen[bytes]",
        command: Command,
        deadline: Deadline,
        on_output: OnOutput,
        cancelled: Cancelled,
    ) -> Outcome | str:
        """Return how it ended, or why it is to be ended."""
        assert process.stdin is not None and process.stdout is not None
        pending, ended_at = memoryview(command.stdin), 0.0
        os.set_blocking(process.stdin.fileno(), False)
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            if pending:
                waiting.register(process.stdin, selectors.EVENT_WRITE)
            else:
                process.stdin.close()
            while True:
                for key, _ in waiting.select(TICK_S):
                    if key.fileobj is process.stdout:
                        data = os.read(process.stdout.fileno(), READ_MOST)
                        if not data:
                            waiting.unregister(process.stdout)
                            return self._outcome(process, deadline, cancelled)
                        on_output(data)
                    else:
                        try:
                            pending = pending[os.write(process.stdin.fileno(), pending[:32768]) :]
                        except BrokenPipeError:
                            pending = pending[:0]
                        if not pending:
                            waiting.unregister(process.stdin)
                            process.stdin.close()
                if process.poll() is not None:
                    ended_at = ended_at or time.monotonic()
                    if time.monotonic() - ended_at > LINGER_S:
                        return self._outcome(process, deadline, cancelled)
                elif cancelled():
                    return "cancelled"
                elif deadline.is_over:
                    return "timed_out"

    def _outcome(
        self, process: "subprocess.Popen[bytes]", deadline: Deadline, cancelled: Cancelled
    ) -> Outcome | str:  # fmt: skip
        while process.poll() is None:  # it closed its output and goes on
            if cancelled():
                return "cancelled"
            if deadline.is_over:
                return "timed_out"
            time.sleep(TICK_S / 4)
        code = process.returncode
        if code < 0:
            return Outcome("exited", None, signal_name(-code))
        return Outcome("exited", code)

    def _end(self, process: "subprocess.Popen[bytes]", mark: str, how: str, on_output: OnOutput) -> Outcome:
        """End it with all it started; what it writes until then is output like all before."""
        signal_session(process.pid, signal.SIGTERM, mark)
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until and (process.poll() is None or has_processes(process.pid, mark)):
            self._drain(process, on_output, TICK_S / 4)
        for _ in range(HUNTS_MOST):
            if not signal_session(process.pid, signal.SIGKILL, mark):
                break
        _kill_group(process)
        process.wait()
        for _ in range(DRAINS_MOST):  # what somebody else keeps writing is not waited for
            if not self._drain(process, on_output, 0.0):
                break
        return Outcome(how)

    def _drain(self, process: "subprocess.Popen[bytes]", on_output: OnOutput, wait_s: float) -> bool:
        """Take output that comes in time; return whether there was some."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            data = os.read(process.stdout.fileno(), READ_MOST) if waiting.select(wait_s) else b""
        if data:
            on_output(data)
        elif wait_s:
            time.sleep(wait_s)  # its output is closed, which is no wait
        return bool(data)


def _local_env() -> dict[str, str]:
    return {name: os.environ[name] for name in LOCAL_ENV if name in os.environ}


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def executor_of(server: Server, actor: Principal, *, provided: Collection[UUID] | None = None) -> Executor:
    """Return how commands reach a server.

    Args:
        provided: what `provided_among` said of this server and others; None asks.

    Raises:
        Conflict: no way leads there, or local commands are switched off (409).
        Forbidden: it is the platform's own host, and the caller may not (403).
    """
    asked = executor_providers.items() if provided is None or server.pk in provided else []
    for _, provide in asked:
        found = provide(server, actor)
        if found is not None:
            return found
    if server.ssh_connection is not None:
        return SshExecutor(server.ssh_connection, actor)
    if not server.is_local:
        raise Conflict(
            f"No way leads to {server.name}: install a host agent there, or choose an SSH connection for it.",
            code="no_executor",
        )
    if not actor.can("servers:execute_local"):
        raise Forbidden("Commands on the platform's own host need the permission servers:execute_local.")
    if not settings.LOCAL_COMMANDS:
        raise Conflict(
            "Commands on the platform's own host are off; LOCAL_COMMANDS=on allows them.", code="local_commands_off"
        )  # fmt: skip
    return LocalExecutor(server.name)
