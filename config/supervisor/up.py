"""`manage.py up`: start the product in the right order, say where it is, keep it running."""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from config import env
from config.supervisor import datadir, installation, redis, release
from config.supervisor.loop import Spec, StopRequestedError, Supervisor
from config.supervisor.output import say
from config.supervisor.refusal import StartRefused
from config.version import VERSION

CHILDREN = ("redis", "prepare", "web", "worker", "smtp")
USAGE = """usage: manage.py up

Start Watchkeeper: a private Redis, the web server and the worker. Ctrl-C ends all of them.
Settings come from the environment and from the file .env; .env.example lists them."""


def main(arguments: Sequence[str]) -> int:
    """Run the product until it is told to stop.

    Returns:
        The exit code: 0 after a stop that was asked for.
    Raises:
        StartRefused: one sentence, exit code 1.
    """
    if arguments:
        say(USAGE)
        return 0 if arguments[0] in ("-h", "--help") else 2
    # Until the supervisor handles it, Ctrl-C ends the process without a trace.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.umask(0o077)
    here = installation.read()
    datadir.prepare(here.data_dir)
    lock = datadir.Lock(here.data_dir, address=here.public_url)
    run_dir = here.data_dir / "run"
    datadir.await_earlier_run(run_dir, CHILDREN)
    installation.check_port(here.host, here.port)
    if here.smtp is not None:
        installation.check_port(*here.smtp, host_variable="SMTP_ADDRESS", port_variable="SMTP_PORT")
    known = release.of_folder(here.data_dir)
    release.refuse_newer(here.data_dir, folder=known, checkout=_release(here))
    installation.check_keys(here)
    supervisor = Supervisor(
        run_dir=run_dir, log_dir=here.data_dir / "logs", terminal=say, longest_pause_s=here.restart_pause_most_s
    )
    try:
        _start(supervisor, here, known)
        supervisor.run()
    except StopRequestedError:
        say("Stopping ...")
    finally:
        supervisor.stop()
        lock.release()
    say("Watchkeeper has stopped.")
    return 0


def _start(supervisor: Supervisor, here: installation.Installation, known: release.Release | None) -> None:
    begun = time.monotonic()
    redis_url, redis_spec, sock = _redis(here)
    environment = installation.child_environment(here, redis_url=redis_url)
    checkout = _release(here)
    older = known is not None and (known.version, known.migrations) != (checkout.version, checkout.migrations)
    unchanged = known is not None and not older and known.fingerprint == checkout.fingerprint
    if known is not None and older and here.database is not None and here.database.exists():
        copy = release.back_up(here.database, into=here.data_dir / "backups", label=known.version)
        say(f"Migrating from version {known.version}; the database as it was is {copy}.")

    if redis_spec is not None:
        supervisor.start(redis_spec)
    if sock is not None:
        supervisor.wait_until(
            lambda: redis.answers(sock),
            timeout_s=20,
            otherwise=lambda: f"Redis does not answer; see {here.data_dir / 'logs' / 'redis.log'}.",
        )
    # A database that was prepared by this very code needs no third start of Django, which takes seconds. Of PostgreSQL
    # nothing is known before it is asked.
    prepared = unchanged and here.database is not None
    answer = {} if prepared else _prepare(supervisor, here, environment)
    web = supervisor.start(_spec("web", installation.web_command(here), environment))
    supervisor.start(_spec("worker", installation.worker_command(), {**environment, "WATCHKEEPER_EMBED_BEAT": "1"}))
    if here.smtp is not None:
        supervisor.start(_spec("smtp", installation.smtp_command(), environment))
    supervisor.wait_until(
        lambda: _serves(here),
        timeout_s=60,
        otherwise=lambda: f"The web server does not answer: {web.last_words()} (see {here.data_dir}/logs/web.log).",
    )
    if here.smtp is not None:
        where = here.smtp
        supervisor.wait_until(
            lambda: _takes_mail(*where),
            timeout_s=60,
            otherwise=lambda: f"The mail listener does not answer; see {here.data_dir / 'logs' / 'smtp.log'}.",
        )
    supervisor.declare_ready()
    say(_ready_block(here, answer, seconds=time.monotonic() - begun))


def _release(here: installation.Installation) -> release.Release:
    # Another database or another key gives `prepare` something to do or to refuse.
    state = release.database_state(here.database) if here.database is not None else ""
    also = (env.text("DATABASE_URL"), state, *_key_texts(here))
    return release.of_checkout(installation.BASE_DIR, version=VERSION, also=also)


def _key_texts(here: installation.Installation) -> list[str]:
    found = []
    for name in ("SECRET_KEY", "VAULT_KEY"):
        file = here.data_dir / "keys" / name.lower()
        found.append(env.text(name) or (file.read_text() if file.exists() else ""))
    return found


def _spec(name: str, argv: list[str], environment: dict[str, str]) -> Spec:
    return Spec(name=name, argv=argv, env=environment, cwd=installation.BASE_DIR)


def _redis(here: installation.Installation) -> tuple[str, Spec | None, Path | None]:
    if here.redis_url:
        return here.redis_url, None, None
    sock = redis.socket_path(here.data_dir)
    spec = Spec(
        name="redis",
        argv=redis.command(redis.find_server(), data_dir=here.data_dir, sock=sock),
        env={"PATH": os.environ.get("PATH", os.defpath)},
        cwd=here.data_dir / "redis",
        stop_last=True,
        on_terminal=False,
    )
    return f"unix://{sock}", spec, sock


def _prepare(supervisor: Supervisor, here: installation.Installation, environment: dict[str, str]) -> dict[str, object]:
    """Run `prepare` and return what it says of the first admin; a refusal of its is ours, in its own words."""
    prepare = supervisor.start(
        Spec(
            name="prepare",
            argv=installation.prepare_command(),
            env=environment,
            cwd=installation.BASE_DIR,
            restart=False,
            on_terminal=False,  # what it refuses is said once, as the reason why nothing starts
            secret_answer=True,  # it holds the first admin's password
        )
    )
    supervisor.wait_until(
        lambda: prepare.exit_code is not None,
        timeout_s=600,
        otherwise=lambda: f"The database is not ready after ten minutes: {prepare.last_words()}",
    )
    if prepare.exit_code != 0:
        raise StartRefused(prepare.last_words())
    for line in reversed(prepare.out.last):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict):
            release.record(here.data_dir, _release(here))
            admin = answer.get("admin")
            return admin if isinstance(admin, dict) else answer
    raise StartRefused(f"The database could not be made ready; see {here.data_dir / 'logs' / 'prepare.log'}.")


def _serves(here: installation.Installation) -> bool:
    connection = http.client.HTTPConnection(here.reachable_host, here.port, timeout=2)
    allowed = [name for name in env.words("ALLOWED_HOSTS") if not name.startswith((".", "*"))]
    try:
        # Named as the outside names it: any other host is refused with 400.
        name = allowed[0] if allowed else urlsplit(here.public_url).hostname or "localhost"
        connection.request("GET", "/healthz", headers={"Host": f"[{name}]" if ":" in name else name})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _takes_mail(host: str, port: int) -> bool:
    try:
        with socket.create_connection((installation.WILDCARDS.get(host, host), port), timeout=2) as client:
            return client.recv(4) == b"220 "
    except OSError:
        return False


def _ready_block(here: installation.Installation, admin: dict[str, object], *, seconds: float) -> str:
    lines = [
        "",
        f"Watchkeeper {VERSION} is running (ready after {seconds:.1f} s).",
        "",
        f"  Console   {here.public_url}/",
    ]
    if admin.get("created"):
        password = admin.get("password")
        shown = f"{password}   (shown this once)" if password else "the password given in ADMIN_PASSWORD"
        lines += [f"  User      {admin.get('username')}", f"  Password  {shown}"]
    if here.smtp is not None:
        lines.append(f"  Mail      {here.smtp[0]} port {here.smtp[1]}")
    lines += [f"  Data      {here.data_dir}", "  Stop      Ctrl-C", ""]
    return "\n".join(lines)
