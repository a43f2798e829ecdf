"""A real container engine: Docker's dockerd on a socket of its own, with an image made of busybox alone."""

import contextlib
import ctypes
import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import is_alive, wait_for

IMAGE = "watchkeeper-test:1"
CGROUPS = Path("/sys/fs/cgroup")
_LIBC = ctypes.CDLL(None)


def _end_with_us() -> None:
    """Have the kernel end the engine where the tests are killed."""
    _LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _program(name: str) -> str:
    """Return the path of a program. Without it or root these tests are left out; CI has to have both."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None or os.getuid() != 0:
        if os.environ.get("CI"):
            raise RuntimeError(f"There is no {name}, or no root; install docker.io and busybox-static.")
        pytest.skip(f"needs root and {name}: apt-get install docker.io busybox-static")
    return found


class ContainerEngine:
    """A running dockerd with folders, socket and containers of its own; nothing of this machine's engine is touched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = str(folder / "docker.sock")
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "ContainerEngine":
        """Start it and wait until it answers."""
        arguments = [
            _program("dockerd"), "-H", self.url, "--data-root", str(self.folder / "data"), "--exec-root",
            str(self.folder / "exec"), "--pidfile", str(self.folder / "pid"), "--iptables=false", "--ip6tables=false",
            "--bridge=none", f"--cgroup-parent=/{self.folder.name}",
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as output:
            process = self._process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                preexec_fn=_end_with_us,
            )  # fmt: skip

        def answers() -> bool:
            assert process.poll() is None, (self.folder / "log").read_text()
            return subprocess.run(self._docker("version"), capture_output=True, check=False).returncode == 0

        wait_for(answers, what="the container engine")
        return self

    def _docker(self, *arguments: str) -> list[str]:
        return [_program("docker"), "-H", self.url, *arguments]

    def docker(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run a command of Docker's own client and return what it printed."""
        done = subprocess.run(self._docker(*arguments), input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def make_image(self) -> None:
        """Make `IMAGE` of busybox, whose shell is at /bin/sh."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(_program("busybox"), "bin/busybox")
            for name in ("sh", "sleep", "echo", "seq", "printf"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)
        self.docker("import", "-", IMAGE, stdin=packed.getvalue())

    def run(self, name: str, script: str, *options: str) -> str:
        """Run a shell script as a container; returns its id."""
        words = ["run", "-d", "--name", name, "--network", "none", *options, IMAGE, "/bin/sh", "-c", script]
        return self.docker(*words)

    def state(self, name: str) -> str:
        """Return what the engine says of a container."""
        return self.docker("inspect", "--format", "{{.State.Status}}", name)

    def kill9(self) -> None:
        """Kill the engine, and all that it has started."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._end_the_rest()

    def stop(self) -> None:
        """End it with all of its containers and folders, however it stands."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(10)
        self._end_the_rest()
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if (point := line.split()[1]).startswith(f"{self.folder}/"):
                subprocess.run(["umount", "-l", point], check=False)
        # What a killed engine leaves outside of its folder: the sockets of those that hold containers, and cgroups.
        for file in self.folder.glob("exec/containerd/**/address"):
            Path(file.read_text().removeprefix("unix://")).unlink(missing_ok=True)
        for group in (CGROUPS / self.folder.name, *CGROUPS.glob(f"*/{self.folder.name}")):
            for inner in sorted((one for one in group.rglob("*") if one.is_dir()), reverse=True):
                _remove(inner)
            _remove(group)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_the_rest(self) -> None:
        # containerd and what holds containers name the folder in their command lines; containers are their children.
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        left = {pid for pid in pids if f"{self.folder}/" in _command_of(pid)}
        left |= {pid for pid in pids if _parent_of(pid) in left}
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, left)), what="the end of the engine's processes", patience_s=20)


def _remove(group: Path) -> None:
    with contextlib.suppress(OSError):  # the kernel may take a moment to let go of it
        group.rmdir()


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def _parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@contextlib.contextmanager
def container_engine() -> Iterator[ContainerEngine]:
    """Run an engine that has `IMAGE` while the block runs."""
    for name in ("dockerd", "docker", "busybox"):
        _program(name)
    # A socket's path may have a hundred characters, which a test's own folder often has already.
    engine = ContainerEngine(Path(tempfile.mkdtemp(prefix="wk-engine-")))
    try:
        engine.start().make_image()
        yield engine
    finally:
        engine.stop()
