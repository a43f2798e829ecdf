"""The real product as real processes: `manage.py up`, and the scale layout. For tests that kill parts of it.

Needs no Django in the test's own process.
"""

import base64
import contextlib
import http.client
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")
ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 120.0
"""How long a test waits for something that must happen; no test depends on how soon it does."""

# What the test run sets for its own process, or the shell for another installation.
NOT_INHERITED = {
    "WATCHKEEPER_TESTING", "WATCHKEEPER_EMBED_BEAT", "DATA_DIR", "DATABASE_URL", "REDIS_URL", "REDIS_PREFIX",
    "SECRET_KEY", "VAULT_KEY", "VAULT_KEYS_OLD", "PUBLIC_URL", "HOST", "PORT", "ALLOWED_HOSTS", "ADMIN_PASSWORD",
}  # fmt: skip


def wait_for(read: Callable[[], Found], *, what: str, patience_s: float = PATIENCE_S) -> Found:
    """Return the first true answer of `read`; fail with `what` if none comes.

    It asks less and less often: each question costs the product about as much as what it is to do meanwhile.
    """
    began = time.monotonic()
    while True:
        found = read()
        if found:
            return found
        waited = time.monotonic() - began
        assert waited < patience_s, f"{what}: not within {patience_s:g} s"
        time.sleep(min(0.5, max(0.02, waited / 5)))


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_of(text: str) -> dict[int, str]:
    """Return the command lines, by pid, of the processes whose command line or environment holds the text."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if text.encode() in command + (entry / "environ").read_bytes() and is_alive(int(entry.name)):
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now.

    It lies below the ports that outgoing connections take, and each worker of a parallel run has a range of its own:
    the port may stay unused for a while, and nobody else may take it meanwhile.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0)
    first = 20_000 + 1_500 * (worker % 8)
    while True:
        port = next(_ports) % 1_500 + first
        with socket.socket() as candidate:
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


_ports = count(random.randrange(1_500))


def answers(port: int, path: str = "/healthz") -> bool:
    """Tell whether a GET on the loopback port is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True, kw_only=True)
class Admin:
    """The first admin, as the start of the product named it."""

    username: str
    password: str


@dataclass(frozen=True, kw_only=True)
class Template:
    """A folder whose database a start has made ready, to be copied for installations that have another subject."""

    data_dir: Path
    admin: Admin


class Installation:
    """`manage.py up` on a folder of its own. Starting it again on the same folder is another `start()`."""

    def __init__(
        self,
        *,
        data_dir: Path,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
        template: Template | None = None,
    ) -> None:
        if template is not None:
            shutil.copytree(template.data_dir, data_dir)
        self.admin = template.admin if template is not None else None
        self.data_dir, self.port = data_dir, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command, self.cwd = [sys.executable, str(ROOT / "manage.py"), "up"], ROOT
        self.environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        self.environment |= {"DATA_DIR": str(data_dir), "HOST": "127.0.0.1", "PORT": str(self.port), **(env or {})}
        self._output = data_dir.with_name(f"{data_dir.name}.up.log")
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the product and wait for nothing."""
        with self._output.open("ab") as output:
            process = self._process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return process

    def start(self) -> "Installation":
        """Start the product and wait until it says that it is ready."""
        begin = self._output.stat().st_size if self._output.exists() else 0
        process = self.launch()

        def said() -> str:
            return self._output.read_bytes()[begin:].decode(errors="replace")

        wait_for(lambda: "Stop      Ctrl-C" in said() or process.poll() is not None, what="a ready installation")
        assert process.poll() is None, f"the start failed:\n{said()}"
        shown = re.search(r"^  User      (\S+)\n  Password  (\S+)", said(), re.MULTILINE)
        if shown:
            password = self.environment.get("ADMIN_PASSWORD") or shown[2]
            self.admin = Admin(username=shown[1], password=password)
        return self

    def output(self) -> str:
        """Return everything that the supervisor has printed, over all of its starts."""
        return self._output.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """Tell whether the supervisor runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def supervisor_pid(self) -> int:
        """Return the pid of the supervisor."""
        assert self._process is not None
        return self._process.pid

    def pid(self, name: str, *, other_than: int = 0) -> int:
        """Return the pid of redis, web or worker, once it has one that differs from an earlier one."""

        def read() -> int:
            with contextlib.suppress(OSError, ValueError):
                pid = int((self.data_dir / "run" / f"{name}.pid").read_text())
                return pid if pid != other_than and is_alive(pid) else 0
            return 0

        return wait_for(read, what=f"a pid of {name}")

    def kill9(self, name: str) -> int:
        """Kill redis, web, worker or the supervisor, as the kernel does when memory runs out.

        Returns:
            The pid that was killed. For a part that is started again: `pid(name, other_than=...)` waits for the next.
        """
        if name == "supervisor":
            assert self._process is not None
            self._process.kill()
            self._process.wait(PATIENCE_S)
            return self._process.pid
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not is_alive(pid), what=f"the death of {name}")
        return pid

    def wait_until_serving(self) -> None:
        """Wait until the web server answers."""
        wait_for(lambda: answers(self.port), what="an answer of the web server")

    def manage(self, *arguments: str) -> str:
        """Run a command of `manage.py` on this installation and return what it prints."""
        argv = [sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(
            argv, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def assert_nothing_left(self) -> None:
        """Wait until no process of the installation is left; the children of a killed supervisor need a moment."""
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not processes_of(str(self.data_dir)), what="", patience_s=15)
        assert processes_of(str(self.data_dir)) == {}

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the product as Ctrl-C or a service manager does, and see that nothing is left of it."""
        if self._process is not None and self.is_running:
            self._process.send_signal(number)
            assert self._process.wait(PATIENCE_S) == 0, self.output()
        self.assert_nothing_left()

    def __enter__(self) -> "Installation":
        if self._process is not None:
            return self
        try:
            return self.start()
        except BaseException:
            if self._process and self._process.poll() is None:
                self.stop()
            raise

    def __exit__(self, *error: object) -> None:
        self.stop()


def make_template(data_dir: Path) -> Template:
    """Start the product on a new folder until its database is ready, and end it."""
    admin = Admin(username="admin", password=secrets.token_urlsafe(20))
    starting = Installation(data_dir=data_dir, env={"ADMIN_PASSWORD": admin.password})
    process = starting.launch()
    try:
        written = data_dir / "version.json"
        wait_for(lambda: written.exists() or process.poll() is not None, what="a database that is ready")
        assert process.poll() is None, f"the start failed:\n{starting.output()}"
    finally:
        starting.stop()
    return Template(data_dir=data_dir, admin=admin)


class ScaleLayout:
    """The services of `docker-compose.yml` as plain processes: two web, two workers, beat, on shared engines."""

    PARTS = ("web1", "web2", "worker1", "worker2", "beat")

    def __init__(
        self, *, data_dir: Path, database_url: str, redis_url: str, env: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir
        self.ports = {"web1": free_port(), "web2": free_port()}
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports.values()]
        self.admin: Admin | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        self.environment |= {
            "DATA_DIR": str(data_dir),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "REDIS_PREFIX": f"wk-{data_dir.name}-{secrets.token_hex(4)}",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "VAULT_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "PUBLIC_URL": self.urls[0],
            **(env or {}),
        }

    def _command(self, part: str) -> list[str]:
        if part.startswith("web"):
            return [
                "uvicorn", "config.asgi:application", "--http", "config.asgi:Protocol",
                "--host", "127.0.0.1", "--port", str(self.ports[part]),
                "--no-access-log", "--no-proxy-headers", "--no-server-header", "--log-level", "warning",
                "--ws", "config.asgi:SocketProtocol", "--ws-per-message-deflate", "false", "--ws-max-size", "5242880",
                "--lifespan", "on",
                "--timeout-graceful-shutdown", "5",
            ]  # fmt: skip
        if part == "beat":
            schedule = str(self.data_dir / "beat-schedule")
            return ["celery", "-A", "config", "beat", "--loglevel", "WARNING", "--schedule", schedule]
        return [
            "celery", "-A", "config", "worker", "-P", "threads", "-Q", "pulse,work", "--loglevel", "WARNING",
            "--without-mingle", "--without-gossip", "-n", f"{part}@%h",
        ]  # fmt: skip

    def start_part(self, part: str) -> None:
        """Start one of PARTS, at first or after a kill; a web process answers when this returns."""
        with (self.data_dir / f"{part}.log").open("ab") as log:
            process = self._processes[part] = subprocess.Popen(
                [sys.executable, "-m", *self._command(part)],
                cwd=ROOT,
                env={**self.environment, "PORT": str(self.ports.get(part, 8000))},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if part in self.ports:
            port = self.ports[part]
            wait_for(lambda: answers(port) or process.poll() is not None, what=f"an answer of {part}")
            assert process.poll() is None, self.log(part)

    def log(self, part: str) -> str:
        """Return what a part has said."""
        return (self.data_dir / f"{part}.log").read_text(errors="replace")

    def prepare(self) -> None:
        """Do what the service `migrate` does."""
        argv = [sys.executable, str(ROOT / "manage.py"), "prepare", "--json"]
        done = subprocess.run(
            argv, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        made = answer.get("admin") or answer
        if made.get("created"):
            password = made.get("password") or self.environment["ADMIN_PASSWORD"]
            self.admin = Admin(username=made["username"], password=password)

    def pid(self, part: str) -> int:
        """Return the pid of a part."""
        return self._processes[part].pid

    def kill9(self, part: str) -> None:
        """Kill a part. Nothing starts it again but `start_part`."""
        self._processes[part].kill()
        self._processes[part].wait(PATIENCE_S)

    def start(self) -> "ScaleLayout":
        """Migrate, start every part, and wait until both web processes answer."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.prepare()
        for part in self.PARTS:
            self.start_part(part)
        return self

    def stop(self) -> None:
        """End every part, and see that nothing is left of it."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                # A worker may take its tasks' ten seconds; what takes longer than that hangs.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(PATIENCE_S)
        wait_for(lambda: not processes_of(str(self.data_dir)), what="the end of every process")

    def __enter__(self) -> "ScaleLayout":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


@contextlib.contextmanager
def scale_layout(
    *, data_dir: Path, database_url: str, redis_url: str, env: Mapping[str, str] | None = None
) -> Iterator[ScaleLayout]:
    """Run the scale layout on the PostgreSQL and Redis given; the database must be empty or of the same keys."""
    layout = ScaleLayout(data_dir=data_dir, database_url=database_url, redis_url=redis_url, env=env)
    try:
        yield layout.start()
    finally:
        layout.stop()
