"""The database from its URL. SQLite in `DATA_DIR` by default, PostgreSQL for more than one machine."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from config import env


def database_from_url(url: str, data_dir: Path, *, testing: bool) -> dict[str, Any]:
    """Return Django's database entry for `url`.

    Raises:
        ConfigurationError: a scheme other than sqlite and postgres(ql).
    """
    parts = urlsplit(url or f"sqlite:///{data_dir}/watchkeeper.sqlite3")
    if parts.scheme == "sqlite":
        return _sqlite(unquote(parts.path), data_dir, testing=testing)
    if parts.scheme in ("postgres", "postgresql"):
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")) or "watchkeeper",
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(parts.hostname or ""),
            "PORT": str(parts.port or ""),
            "CONN_MAX_AGE": 0,
            "CONN_HEALTH_CHECKS": False,
            "OPTIONS": {
                **dict(parse_qsl(parts.query)),
                # Threads of a request borrow from the pool; persistent connections ran out under ASGI.
                "pool": {"min_size": 1, "max_size": env.integer("DATABASE_POOL", 20, least=2, most=500), "timeout": 10},
            },
        }
    env.fail(
        "DATABASE_URL", f'"{parts.scheme}" is not supported; use sqlite:///PATH or postgres://USER:PASSWORD@HOST/NAME.'
    )


def _sqlite(path: str, data_dir: Path, *, testing: bool) -> dict[str, Any]:
    # FULL: an accepted ping or fact is on the disk before its answer leaves.
    synchronous = "OFF" if testing else "FULL"
    name = path if path.startswith("/") and len(path) > 1 else f"{data_dir}/watchkeeper.sqlite3"
    if name.startswith("//"):
        name = name[1:]
    return {
        "ENGINE": "apps.core.sqlite3",
        "NAME": name,
        "CONN_MAX_AGE": 0,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": (
                f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA busy_timeout=20000;"
                "PRAGMA cache_size=-16000; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=67108864;"
            ),
        },
        "TEST": {"NAME": f"{data_dir}/test.sqlite3"},
    }
