"""What the environment asks for, as far as the supervisor must know it before anything runs."""

import errno
import ipaddress
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from config import env, keys
from config.supervisor.refusal import StartRefused

BASE_DIR = Path(__file__).resolve().parent.parent.parent
MAKE_SECRET_KEY = "python3 -c 'import secrets; print(secrets.token_urlsafe(50))'"
MAKE_VAULT_KEY = "python3 -c 'import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode())'"
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One installation, read from the environment."""

    data_dir: Path
    host: str
    port: int
    public_url: str
    database: Path | None
    """The SQLite file; None for PostgreSQL."""
    redis_url: str
    """Empty: a private Redis is started."""
    smtp: tuple[str, int] | None = None
    """Where mail for heartbeats is taken; None for nowhere."""
    restart_pause_most_s: int = 30

    @property
    def reachable_host(self) -> str:
        """Return the address under which this machine reaches its own web server."""
        return WILDCARDS.get(self.host, self.host)


def read() -> Installation:
    """Return the installation that the environment describes.

    Raises:
        ConfigurationError: a value of the wrong form.
    """
    data_dir = Path(env.text("DATA_DIR", str(BASE_DIR / "var"))).resolve()
    host = env.text("HOST", "127.0.0.1")
    port = env.integer("PORT", 8000, least=1, most=65535)
    shown = WILDCARDS.get(host, host)
    address = f"[{shown}]" if ":" in shown else shown
    public_url = env.text("PUBLIC_URL", f"http://{address}:{port}").rstrip("/")
    smtp_port = env.integer("SMTP_PORT", 0, least=0, most=65535)
    return Installation(
        data_dir=data_dir,
        host=host,
        port=port,
        public_url=public_url,
        database=_sqlite_file(env.text("DATABASE_URL"), data_dir),
        redis_url=env.text("REDIS_URL"),
        smtp=(env.text("SMTP_ADDRESS", "127.0.0.1"), smtp_port) if smtp_port else None,
        restart_pause_most_s=env.integer("RESTART_PAUSE_MAX", 30, least=1, most=3600),
    )


def _sqlite_file(url: str, data_dir: Path) -> Path | None:
    if not url:
        return data_dir / "watchkeeper.sqlite3"
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        return None
    path = unquote(parts.path)
    return Path("/" + path.lstrip("/")) if len(path) > 1 else data_dir / "watchkeeper.sqlite3"


def check_keys(installation: Installation) -> None:
    """See to it that both keys are there, made on the first start where that is safe.

    Raises:
        StartRefused: a key must be given, or was lost while its data is still there.
        ConfigurationError: a key file that others may read.
    """
    makeable = installation.database is not None and _is_loopback(urlsplit(installation.public_url).hostname or "")
    lacking = [name for name in ("SECRET_KEY", "VAULT_KEY") if not env.text(name)]
    if lacking and not makeable:
        commands = {"SECRET_KEY": MAKE_SECRET_KEY, "VAULT_KEY": MAKE_VAULT_KEY}
        raise StartRefused(
            f"{' and '.join(lacking)} must be given where the database is not SQLite or PUBLIC_URL is not loopback;"
            f" make one with: {'  and  '.join(commands[name] for name in lacking)}"
        )
    folder = installation.data_dir / "keys"
    database = installation.database
    if "VAULT_KEY" in lacking and database and database.exists() and not (folder / "vault_key").exists():
        raise StartRefused(
            f"{folder / 'vault_key'} is gone although {database} is there;"
            " put the key back, without it no sealed value can be read."
        )
    for name in lacking:
        keys.load_or_create(installation.data_dir, name.lower())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_port(host: str, port: int, *, host_variable: str = "HOST", port_variable: str = "PORT") -> None:
    """Try to listen where a child will, while the reason can still be told in one sentence.

    Raises:
        StartRefused: the port is taken, or is not this machine's or this user's to use.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise StartRefused(
            f"{host_variable}: {host} is not an address of this machine; use 127.0.0.1 or 0.0.0.0."
        ) from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except PermissionError:
            raise StartRefused(f"Port {port} is reserved for root; choose one above 1023 as {port_variable}.") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StartRefused(
                    f"Port {port} on {host} is taken by another program;"
                    f" end that one, or choose another: {port_variable}={_free_port(port)} make run"
                ) from None
            raise StartRefused(f"{host_variable}: {host}:{port} can't be listened on ({error.strerror}).") from None


def _free_port(taken: int) -> int:
    for port in range(taken + 1, min(taken + 50, 65536)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return 0


def child_environment(installation: Installation, *, redis_url: str) -> dict[str, str]:
    """Return the environment of the Python children: ours, with every default spelt out."""
    return {
        **os.environ,
        "DATA_DIR": str(installation.data_dir),
        "HOST": installation.host,
        "PORT": str(installation.port),
        "PUBLIC_URL": installation.public_url,
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(BASE_DIR), os.environ.get("PYTHONPATH", "")])),
    }


def web_command(installation: Installation) -> list[str]:
    """Return the web server's command line; who the client is, the edge decides and not uvicorn."""
    return [
        sys.executable, "-m", "uvicorn", "config.asgi:application", "--http", "config.asgi:Protocol",
        "--host", installation.host, "--port", str(installation.port),
        "--no-access-log", "--no-proxy-headers", "--no-server-header", "--log-level", "warning",
        # Compression would cost each socket a quarter of a megabyte, for messages of some hundred bytes.
        "--ws", "config.asgi:SocketProtocol", "--ws-per-message-deflate", "false", "--ws-max-size", "5242880",
        "--lifespan", "on", "--timeout-graceful-shutdown", "5",
    ]  # fmt: skip


def worker_command() -> list[str]:
    """Return the worker's command line: one process, threads, both queues."""
    return [
        sys.executable, "-m", "celery", "-A", "config", "worker", "-P", "threads", "-Q", "pulse,work",
        "--loglevel", "WARNING", "--without-mingle", "--without-gossip",
    ]  # fmt: skip


def smtp_command() -> list[str]:
    """Return the command line of the mail listener."""
    return [sys.executable, str(BASE_DIR / "manage.py"), "smtp"]


def prepare_command() -> list[str]:
    """Return the command that makes the database ready: reach it, check the keys, migrate, first admin."""
    return [sys.executable, str(BASE_DIR / "manage.py"), "prepare", "--json"]
