"""`DATA_DIR`: made for its owner alone, and locked while the product runs on it."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path

from config.supervisor.launcher import GRACE_S, StillAliveError, lock_tree
from config.supervisor.refusal import StartRefused

FOLDERS = ("keys", "run", "logs", "redis", "backups")


def prepare(path: Path) -> None:
    """Make the folder and its parts, readable by their owner alone.

    Raises:
        StartRefused: it can't be made or written, or belongs to somebody else.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.stat().st_uid != os.geteuid():
            raise StartRefused(
                f"{path} belongs to another user; start Watchkeeper as that one, or set DATA_DIR to a folder of yours."
            )
        for folder in (path, *(path / name for name in FOLDERS)):
            folder.mkdir(exist_ok=True, mode=0o700)
            # Only what is too open is changed: a chmod of what is right already would fail on some mounts.
            if folder.stat().st_mode & 0o077:
                folder.chmod(0o700)
        probe = path / "run" / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StartRefused(
            f"{path} can't be written ({error.strerror}); make it writable, or set DATA_DIR to a folder that is."
        ) from None


class Lock:
    """The folder's lock. The kernel frees it when its holder ends, however it ends."""

    def __init__(self, path: Path, *, address: str) -> None:
        """Take the lock, and write down who holds it.

        Raises:
            StartRefused: another supervisor runs on the folder.
        """
        self._fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._fd, 400).decode(errors="replace").split()
            os.close(self._fd)
            pid, where = (holder + ["unknown", "unknown"])[:2]
            raise StartRefused(
                f"Watchkeeper already runs here (pid {pid}, {where}); open that address, or end it with `kill {pid}`."
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()} {address}\n".encode(), 0)

    def release(self) -> None:
        """Give the folder free."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def await_earlier_run(run_dir: Path, names: Iterable[str], *, timeout_s: float = GRACE_S + 5) -> None:
    """Wait until nothing of an earlier run lives; after a kill -9 its children take a few seconds to end.

    Two Redis on one folder would spoil its file, two web servers can't have one port.

    Raises:
        StartRefused: something still lives after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    for name in names:
        while True:
            try:
                os.close(lock_tree(run_dir, name))
                break
            except StillAliveError:
                if time.monotonic() > deadline:
                    raise StartRefused(
                        f"The {name} of an earlier run still lives{_pid_of(run_dir, name)}; end it, then start again."
                    ) from None
                time.sleep(0.05)
        (run_dir / f"{name}.pid").unlink(missing_ok=True)


def _pid_of(run_dir: Path, name: str) -> str:
    with contextlib.suppress(OSError):
        return f" (pid {(run_dir / f'{name}.pid').read_text().strip()})"
    return ""
