"""One command over a signed-in connection: stdin, environment, sudo, time-out, cancel, exit code or signal."""

import contextlib
import re
import secrets
import shlex
import time
from collections.abc import Mapping

import paramiko
from paramiko.channel import Channel
from paramiko.common import cMSG_CHANNEL_REQUEST

from apps.fleet.commands import Cancelled, Command, Deadline, OnOutput, Outcome
from apps.fleet.marks import MARK
from apps.fleet.ssh.errors import Reason, SshFault

OPEN_S = 15.0
TICK_S = 0.2
#: How long after the end of a command what it left behind may still write.
LINGER_S = 1.0
#: How long a command has to end by itself once it was asked to.
SIGNAL_S, HUNT_S, GRACE_S = 0.3, 5.0, 2.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def is_variable_name(name: str) -> bool:
    """Return whether a shell takes this as a variable's name."""
    return _NAME.fullmatch(name) is not None


def with_environment(command: str, env: Mapping[str, str]) -> tuple[str, bytes]:
    """Return the command line that reads its variables from stdin first, and what to send there.

    Most servers refuse variables of the protocol, and in the command line everybody on the machine could read them.
    """
    if not env:
        return command, b""
    mark = secrets.token_hex(12)
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
    head = (
        f'_wk=; while IFS= read -r _wkl && [ "$_wkl" != {mark} ]; do _wk="$_wk$_wkl\n"; done; '
        'eval "$_wk"; unset _wk _wkl\n'
    )
    return head + command, f"{exports}{mark}\n".encode()


class _Prompt:
    """Takes sudo's prompt out of the output and tells when it came."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt.encode()
        self._held = b""
        self._skips_newline = False

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Return the output without prompts, and how many there were; a possible beginning of one is held back."""
        data = self._held + data
        count, out = 0, b""
        while True:
            before, found, data_after = data.partition(self.prompt)
            if not found:
                break
            out, data, count = out + self._clean(before), data_after, count + 1
            self._skips_newline = True  # sudo ends the line that the password did not
        keep = next(
            (n for n in range(min(len(self.prompt) - 1, len(data)), 0, -1) if self.prompt.startswith(data[-n:])), 0
        )
        self._held = data[len(data) - keep :] if keep else b""
        return out + self._clean(data[: len(data) - keep]), count

    def rest(self) -> bytes:
        """Return what was held back and is no prompt."""
        held, self._held = self._held, b""
        return held

    def _clean(self, data: bytes) -> bytes:
        if self._skips_newline and data:
            self._skips_newline = False
            return data.removeprefix(b"\r").removeprefix(b"\n")
        return data


def run(transport: paramiko.Transport, command: Command, *, on_output: OnOutput, cancelled: Cancelled) -> Outcome:
    """Run a command and follow it to its end. Blocks.

    With sudo it runs over a terminal, where the password answers the prompt and nothing is echoed.

    Raises:
        SshFault: the connection broke, the server refused to run it, or sudo refused the password.
    """
    try:
        channel = transport.open_session(timeout=OPEN_S)
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise SshFault(Reason.BUSY, "run", f"The machine opened no channel for the command ({error}).") from error
    begun = _Run(channel, command, on_output, cancelled)
    try:
        return begun.follow()
    except (paramiko.SSHException, OSError, EOFError) as error:
        # Where the connection is gone with the answer to the request, the command may run nevertheless.
        if begun.is_taken or (begun.is_sent and not transport.is_active()):
            raise _broken() from error
        raise SshFault(Reason.RUN, "run", f"The machine did not run the command ({error}).") from error
    finally:
        channel.close()


def _broken() -> SshFault:
    sentence = "The connection broke off while the command ran; whether and how it ended is not known."
    return SshFault(Reason.BROKEN, "run", sentence)


class _Run:
    def __init__(self, channel: Channel, command: Command, on_output: OnOutput, cancelled: Cancelled) -> None:
        self.channel, self.command = channel, command
        self.on_output, self.cancelled = on_output, cancelled
        self.prompt: _Prompt | None = None
        self.answers = 0
        self.pending = b""
        self.is_sent = self.is_taken = False
        self.mark = secrets.token_hex(12)

    def follow(self) -> Outcome:
        channel, deadline = self.channel, Deadline(self.command.timeout_s)
        self._begin()
        silent_since = time.monotonic()
        while True:
            self._send()
            try:
                data = channel.recv(32768)
            except TimeoutError:
                data = None
            if data:
                silent_since = time.monotonic()
                self._take(data)
            elif data == b"":
                break
            elif channel.status_event.is_set() and time.monotonic() - silent_since > LINGER_S:
                break  # it ended, but left something behind that keeps the output open
            if self.cancelled():
                return self._end("cancelled")
            if deadline.is_over:
                return self._end("timed_out")
        while not channel.status_event.wait(TICK_S):
            if self.cancelled():
                return self._end("cancelled")
            if deadline.is_over:
                return self._end("timed_out")
        self._flush()
        return self._outcome()

    def _begin(self) -> None:
        channel, command = self.channel, self.command
        channel.settimeout(OPEN_S)
        channel.set_combine_stderr(True)
        if command.sudo:
            prompt = f"[{secrets.token_hex(8)}] "
            self.prompt = _Prompt(prompt)
            channel.get_pty("dumb", 200, 50)
            line = (
                "stty -opost -echo 2>/dev/null; "
                f"exec sudo -p {shlex.quote(prompt)} -- /bin/sh -c {shlex.quote(command.text)} </dev/null"
            )
        else:
            line, head = with_environment(command.text, command.env)
            self.pending = head + command.stdin
        channel.set_environment_variable(MARK, self.mark)
        self.is_sent = True
        channel.exec_command(line.encode("utf-8", "surrogateescape"))
        self.is_taken = True
        channel.settimeout(TICK_S)
        if not command.sudo and not self.pending:
            channel.shutdown_write()

    def _send(self) -> None:
        """Send what the other side takes now: to wait for it would keep its output from us."""
        channel = self.channel
        while self.pending and channel.send_ready() and not channel.closed:
            try:
                sent = channel.send(self.pending[:32768])
            except (TimeoutError, OSError):
                self.pending = b""  # it reads no more
                return
            self.pending = self.pending[sent:]
            if not self.pending:
                channel.shutdown_write()
            if channel.recv_ready():
                return

    def _take(self, data: bytes) -> None:
        if self.prompt is None:
            self.on_output(data)
            return
        data, prompts = self.prompt.feed(data)
        if data:
            self.on_output(data)
        for _ in range(prompts):
            if self.answers or not self.command.sudo_password:
                self._signal("KILL")
                said = "refused the password" if self.answers else "asks for a password, and none is set"
                raise SshFault(Reason.SIGN_IN, "sudo", f"sudo {said}; set it in the connection.")
            self.answers += 1
            self.channel.sendall(self.command.sudo_password.encode() + b"\n")

    def _flush(self) -> None:
        if self.prompt is not None:
            rest = self.prompt.rest()
            if rest:
                self.on_output(rest)

    def _end(self, how: str) -> Outcome:
        """End the command over there: by signals where the server passes them on, by its mark, by its terminal."""
        if self.prompt is not None:
            self.channel.sendall(b"\x03")
        for name in ("TERM", "KILL"):
            self._signal(name)
            if self._has_ended(SIGNAL_S):
                break
            self._hunt(name)
            if self._has_ended(GRACE_S):
                break
        # The command itself is gone; what it put into the background or another session may not be.
        self._hunt("TERM", then_kill=True)
        self._flush()
        left = not self.channel.status_event.is_set() and self.prompt is None
        return Outcome(how, error="It may still run there: the server passes no signals on." if left else "")

    def _has_ended(self, within_s: float) -> bool:
        until = time.monotonic() + within_s
        while time.monotonic() < until and not self.channel.status_event.is_set() and not self.channel.closed:
            try:
                data = self.channel.recv(32768)
            except TimeoutError:
                continue
            if data:
                self._take(data)
            else:
                self.channel.status_event.wait(TICK_S)
        return self.channel.status_event.is_set()

    def _hunt(self, name: str, *, then_kill: bool = False) -> None:
        """Signal all processes that carry the run's mark: sshd passes no signals on for root.

        Args:
            then_kill: kill those that are still there a second later.
        """
        look = (
            f'hunt() {{ n=0; for e in /proc/[0-9]*/environ; do grep -qsaF {MARK}={self.mark} "$e" && p=${{e#/proc/}} '
            f'&& kill -$1 "${{p%/environ}}" 2>/dev/null && n=1; done; [ $n = 1 ]; }}; hunt {name}'
        )
        if then_kill:
            look += " && sleep 0.3 && hunt 0 && sleep 0.7 && hunt KILL"
        try:
            channel = self.channel.transport.open_session(timeout=HUNT_S)
            try:
                channel.exec_command(f"/bin/sh -c {shlex.quote(look)}")
                channel.status_event.wait(HUNT_S)
            finally:
                channel.close()
        except (paramiko.SSHException, OSError, EOFError):
            pass  # then its end is not known, and that is said

    def _signal(self, name: str) -> None:
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(self.channel.remote_chanid)
        message.add_string("signal")
        message.add_boolean(False)
        message.add_string(name)
        # Where it is gone already that is what we want.
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            self.channel.transport._send_user_message(message)

    def _outcome(self) -> Outcome:
        channel = self.channel
        signal = str(getattr(channel, "exit_signal", ""))
        if signal:
            return Outcome("exited", None, signal)
        if channel.exit_status < 0:
            raise _broken()
        return Outcome("exited", channel.exit_status)
