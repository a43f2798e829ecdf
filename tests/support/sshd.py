"""Real SSH servers on loopback: Debian's sshd as the current user, and one in this process that knows a password."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paramiko
import pytest

USER = pwd.getpwuid(os.getuid()).pw_name
SUDO_PASSWORD = "canary-of-sudo-Zq8"

#: A stand-in for sudo that behaves as the real one on a terminal: prompts there, echoes nothing, asks again.
_SUDO = """#!/bin/sh
[ "$1" = -p ] && prompt=$2
shift 3
stty -echo </dev/tty
for attempt in 1 2 3; do
    printf '%s' "$prompt" >/dev/tty
    IFS= read -r given </dev/tty
    printf '\\n' >/dev/tty
    [ "$given" = '{password}' ] && exec "$@"
    echo 'Sorry, try again.' >/dev/tty
done
exit 1
"""


_LIBC = ctypes.CDLL(None)


def _end_with_us() -> None:
    """Have the kernel end the process where the tests are killed."""
    _LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _program(name: str) -> str:
    """Return the path of a program of OpenSSH. A machine without it leaves these tests out; CI has to have it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("CI"):
            raise RuntimeError(f"There is no {name}; install openssh-server and openssh-client.")
        pytest.skip(f"needs {name}: apt-get install openssh-server openssh-client")
    return found


def make_key(folder: Path, name: str, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Return the path of a new private key; its public half lies beside it."""
    path = folder / name
    size = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(
        [_program("ssh-keygen"), "-q", "-t", kind, *size, "-N", passphrase, "-C", name, "-f", str(path)], check=True
    )  # fmt: skip
    return path


def public_half(path: Path) -> str:
    """Return "type base64" of a key made by `make_key`."""
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])


@dataclass
class Sshd:
    """A running sshd."""

    folder: Path
    port: int
    host_key: str
    process: subprocess.Popen[bytes] = field(repr=False)
    ports: list[int] = field(default_factory=list)  # all that it listens on; a command sees its own in SSH_CONNECTION

    def log(self) -> str:
        """Return what it wrote."""
        return (self.folder / "sshd.log").read_text()


@contextmanager
def sshd(
    folder: Path,
    *,
    accepts: list[Path],
    host_key: Path | None = None,
    port: int = 0,
    more_ports: int = 0,
    quiet: bool = False,
) -> Iterator[Sshd]:
    """Run an sshd that lets the current user in with the given keys.

    Args:
        port: 0 for a free one.
        more_ports: free ones that it listens on besides, as if it were so many machines more.
        quiet: write down errors alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    key = host_key or make_key(folder, "host_key")
    authorized = folder / "authorized_keys"
    authorized.write_text("".join(public_half(one) + "\n" for one in accepts))
    authorized.chmod(0o600)
    bin = folder / "bin"
    bin.mkdir(exist_ok=True)
    (bin / "sudo").write_text(_SUDO.format(password=SUDO_PASSWORD))
    (bin / "sudo").chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True) if os.getuid() == 0 else None
    for _ in range(5):
        chosen = port or _free_port()
        ports = [chosen, *(_free_port() for _ in range(more_ports))]
        listen = "".join(f"ListenAddress 127.0.0.1:{one}\n" for one in ports)
        # SHLVL: under sshd bash reads ~/.bashrc unless it runs within another shell; what stands there may take long.
        (folder / "sshd_config").write_text(
            f"{listen}HostKey {key}\nAuthorizedKeysFile {authorized}\nPidFile none\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin yes\nLogLevel {'ERROR' if quiet else 'VERBOSE'}\nMaxStartups 300\nUseDNS no\n"
            f"AcceptEnv LANG LC_*\nSetEnv PATH={bin}:/usr/bin:/bin SHLVL=2\n"
        )
        log = (folder / "sshd.log").open("wb")
        process = subprocess.Popen(
            [_program("sshd"), "-D", "-e", "-f", str(folder / "sshd_config")],
            stderr=log,
            stdin=subprocess.DEVNULL,
            preexec_fn=_end_with_us,
        )
        if _answers(chosen, process):
            break
        process.wait(5)
    else:
        raise RuntimeError((folder / "sshd.log").read_text())
    try:
        yield Sshd(folder, chosen, public_half(key), process, ports)
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


class _Rules(paramiko.ServerInterface):
    def __init__(self, server: "PasswordServer") -> None:
        self.server = server

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_none(self, username: str) -> int:
        self.server.attempts.append(("none", username, ""))
        return paramiko.common.AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        self.server.attempts.append(("password", username, password))
        right = password == self.server.password
        return paramiko.common.AUTH_SUCCESSFUL if right else paramiko.common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        if self.server.on_exec == "vanish":
            channel.transport.sock.close()
        if self.server.on_exec != "run":
            return False

        def answer() -> None:
            while channel.recv(4096):  # its end comes after our consent to the request went out
                pass
            channel.sendall(b"ran " + command)
            channel.send_exit_status(0)
            channel.close()

        threading.Thread(target=answer, daemon=True).start()
        return True


@dataclass
class PasswordServer:
    """A server that knows one password and remembers every attempt to sign in."""

    password: str
    key: paramiko.PKey
    port: int = 0
    attempts: list[tuple[str, str, str]] = field(default_factory=list)
    on_exec: str = "run"  # "refuse" the command; or "vanish", its connection with it, once it has come

    @property
    def host_key(self) -> str:
        """Return its public key, "type base64"."""
        return f"{self.key.get_name()} {self.key.get_base64()}"


@contextmanager
def password_server(password: str, key: paramiko.PKey, *, port: int = 0) -> Iterator[PasswordServer]:
    """Run a server in this process that answers each command with "ran" and the command."""
    server = PasswordServer(password, key)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(20)
    server.port = int(listener.getsockname()[1])
    transports: list[paramiko.Transport] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transports.append(transport)
            transport.add_server_key(key)
            try:
                transport.start_server(event=threading.Event(), server=_Rules(server))
            except (paramiko.SSHException, EOFError, OSError):
                continue

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for transport in transports:
            transport.close()
        thread.join(5)


@contextmanager
def ssh_agent(folder: Path, *keys: Path) -> Iterator[str]:
    """Run an ssh-agent that holds the keys; yield the path of its socket."""
    path = folder / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL, preexec_fn=_end_with_us)
    until = time.monotonic() + 10
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)
    try:
        for key in keys:
            subprocess.run(["ssh-add", "-q", str(key)], env={**os.environ, "SSH_AUTH_SOCK": str(path)}, check=True)
        yield str(path)
    finally:
        process.terminate()
        process.wait(10)
