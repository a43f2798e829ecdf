"""Whether a MySQL or MariaDB server lets a user in and answers a query."""

import socket
import ssl
from collections.abc import Mapping
from typing import Any

import pymysql
from pymysql.constants import ER

from apps.core.net import InvalidTarget, NetError, ProtocolError
from apps.monitors.checks import sql
from apps.monitors.checks.base import CheckConfig, CheckOutcome, CheckType, failed, judged, register
from apps.monitors.checks.blocking import with_socket
from apps.monitors.checks.common import ENCRYPTED, IP_FAMILY, TLS, family_of, tls_context
from apps.monitors.checks.targets import address_problem, parse_address
from apps.monitors.states.endpoints import DOWN, UP

PORT = 3306


@register("mysql")
class MysqlCheck(CheckType):
    """Handshake, sign-in, one query in a read-only transaction."""

    label = "A MySQL or MariaDB server"
    target_help = "db.example.org or db.example.org:3306"
    columns = ENCRYPTED
    fields = (*sql.fields("root"), TLS, IP_FAMILY)

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
        options = config.options
        try:
            host, port = parse_address(config.target, PORT)
            context = tls_context(config) if options["tls"] else None
            row, phases = await with_socket(
                config, host, port, lambda channel: _ask(channel, config, host, context), family=options["family"]
            )
        except NetError as error:
            return failed(error)
        problem = sql.judge(row, options["expect"])
        return judged(config, CheckOutcome(DOWN if problem else UP, phases.total_ms, phases, error=problem))


def _ask(channel: socket.socket, config: CheckConfig, host: str, context: ssl.SSLContext | None) -> Any:
    """Return the first value of the query's first row."""
    options = config.options
    try:
        connection = pymysql.connect(
            host=host,
            user=options["username"],
            password=options["password"],
            database=options["database"] or None,
            charset="utf8mb4",
            connect_timeout=config.timeout_s,
            read_timeout=config.timeout_s,
            write_timeout=config.timeout_s,
            ssl=context,
            ssl_disabled=context is None,
            local_infile=False,
            defer_connect=True,
        )
        connection.connect(channel)
        try:
            with connection.cursor() as cursor:
                cursor.execute("START TRANSACTION READ ONLY")
                cursor.execute(options["query"])
                row = cursor.fetchone()
        finally:
            connection.close()
    except pymysql.err.MySQLError as error:
        raise ProtocolError(_sentence(error, options["username"])) from error
    except (ValueError, IndexError, AssertionError) as error:  # as it fails on what is not its protocol
        raise ProtocolError("The server does not speak MySQL's protocol.") from error
    except UnicodeError as error:
        raise InvalidTarget("User name or password can't be sent in this encoding.") from error
    return row


def _sentence(error: pymysql.err.MySQLError, user: str) -> str:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    if code == ER.ACCESS_DENIED_ERROR:
        return f"MySQL does not let “{user}” in with this password."
    return f"MySQL answered: {text.rstrip('.')}."
