"""Whether a PostgreSQL server lets a user in and answers a query."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any

import psycopg

from apps.core.net import ConnectError, NetError, Phases, ProtocolError, Purpose, resolve
from apps.core.net.contexts import as_file
from apps.core.net.http import Progress
from apps.monitors.checks import sql
from apps.monitors.checks.base import CheckConfig, CheckOutcome, CheckType, failed, judged, register
from apps.monitors.checks.common import IP_FAMILY, family_of, quoted
from apps.monitors.checks.options import Option
from apps.monitors.checks.targets import address_problem, parse_address
from apps.monitors.states.endpoints import DOWN, UP

PORT = 5432
_winding_up: set[asyncio.Future[Any]] = set()

# That a server which hangs does not cancel either is the outcome of the check, not news of ours.
logging.getLogger("psycopg").addFilter(lambda record: "cancel" not in str(record.msg))


@register("postgresql")
class PostgresqlCheck(CheckType):
    """Sign-in and one query in a read-only session."""

    label = "A PostgreSQL server"
    target_help = "db.example.org or db.example.org:5432"
    columns = frozenset({"ca_pem"})
    fields = (
        *sql.fields("postgres"),
        Option(
            "sslmode",
            "Encryption",
            kind="choice",
            default="prefer",
            choices=(
                ("disable", "None"),
                ("prefer", "Where the server offers it"),
                ("require", "Always, whatever its certificate"),
                ("verify-full", "Always, and the certificate must hold"),
            ),
        ),
        IP_FAMILY,
    )

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with address and query."""
        found = sql.problems(values["options"])
        problem = address_problem(values["target"], PORT)
        return {**found, "target": problem} if problem else found

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the family."""
        return {**options, "family": family_of(options)}

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port."""
        return parse_address(target, PORT)

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Sign in and ask once."""
        progress = Progress()
        name = config.target
        try:
            name, port = parse_address(config.target, PORT)
            row = await _in_time(_ask(config, name, port, progress), config.timeout_s)
        except TimeoutError:
            error: NetError = progress.timeout(f"{name}, port {port},", config.timeout_s)
            progress.stamp(error)
            return failed(error)
        except NetError as refusal:
            progress.stamp(refusal)
            return failed(refusal)
        phases: Phases = progress.stop()
        problem = sql.judge(row, config.options["expect"])
        return judged(config, CheckOutcome(DOWN if problem else UP, phases.total_ms, phases, error=problem))


async def _in_time(work: Coroutine[Any, Any, Any], timeout_s: float) -> Any:
    """Return what `work` does, or raise TimeoutError on time.

    The library answers a cancellation by asking the server to cancel, and waits for that; nobody here waits with it.
    """
    task = asyncio.ensure_future(work)
    _winding_up.add(task)
    task.add_done_callback(_forget)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        task.cancel()


def _forget(task: "asyncio.Future[Any]") -> None:
    _winding_up.discard(task)
    if not task.cancelled():
        task.exception()  # said, so that nobody warns of it


async def _ask(config: CheckConfig, host: str, port: int, progress: Progress) -> Any:
    options = config.options
    progress.begin("dns")
    addresses = await resolve(host, port, Purpose.PROBE, options["family"], config.timeout_s)
    progress.end()
    progress.begin("connect")
    with _trusted(config) as anchors:
        try:
            connection = await psycopg.AsyncConnection.connect(
                host=",".join([host] * len(addresses)),
                hostaddr=",".join(address.ip for address in addresses),  # those that were checked, and no others
                port=str(port),
                user=options["username"],
                password=options["password"] or None,
                dbname=options["database"] or options["username"],
                sslmode=options["sslmode"],
                gssencmode="disable",
                passfile="/nonexistent",
                application_name="watchkeeper",
                connect_timeout=max(2, int(config.timeout_s) + 1),
                sslcertmode="disable",
                sslrootcert=anchors,
                autocommit=True,
            )
        except psycopg.Error as error:
            raise _refusal(error, addresses[0].ip, port) from error
    progress.end()
    progress.begin("first_byte")
    try:
        await connection.execute("BEGIN READ ONLY")
        cursor = await connection.execute(options["query"])
        row = await cursor.fetchone() if cursor.description else None
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error)
        raise ProtocolError(f"PostgreSQL answered: {said.strip().rstrip('.')}.") from error
    finally:
        await connection.close()
    progress.end()
    return row


@contextlib.contextmanager
def _trusted(config: CheckConfig) -> Iterator[str]:
    """Offer the trusted certificates as the library wants them: as a file."""
    if config.options["sslmode"] != "verify-full":
        yield "/nonexistent"  # where the home folder has such a file, it would be judged by
    elif config.ca_pem:
        with as_file(config.ca_pem) as path:
            yield path
    else:
        yield ssl.get_default_verify_paths().cafile or "system"


def _refusal(error: psycopg.Error, ip: str, port: int) -> NetError:
    text = str(error).strip()
    if "Connection refused" in text:
        return ConnectError(
            f"{ip}:{port} refused the connection: nothing listens there, or a firewall rejects it.", reason="refused"
        )
    _, mark, said = text.rpartition("FATAL:  ")
    if mark:
        return ProtocolError(f"PostgreSQL refused: {said.splitlines()[0].strip().rstrip('.')}.")
    _, _, said = text.rpartition(" failed: ")
    return ProtocolError(f"No session with PostgreSQL came about: {quoted((said or text).splitlines()[0], 200)}.")
