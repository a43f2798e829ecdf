"""Whether a Redis server answers PING. RESP by hand: three commands don't need a client."""

from collections.abc import Mapping
from typing import Any

from apps.core.net import NetError, ProtocolError, Purpose, Talk, converse
from apps.monitors.checks.base import CheckConfig, CheckOutcome, CheckType, failed, judged, register
from apps.monitors.checks.common import (
    ENCRYPTED,
    IP_FAMILY,
    PASSWORD,
    SERVER_NAME,
    TLS,
    USERNAME,
    answered,
    family_of,
    quoted,
    tls_context,
)
from apps.monitors.checks.targets import address_problem, parse_address

PORT = 6379


@register("redis")
class RedisCheck(CheckType):
    """AUTH where there is a password, then PING."""

    label = "A Redis server"
    target_help = "redis.example.org or redis.example.org:6379"
    columns = ENCRYPTED
    fields = (USERNAME, PASSWORD, TLS, SERVER_NAME, IP_FAMILY)

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with address and credentials."""
        found: dict[str, str] = {}
        problem = address_problem(values["target"], PORT)
        if problem:
            found["target"] = problem
        if values["options"]["username"] and not values["options"]["password"]:
            found["options.password"] = "give the password of that user"
        return found

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the family."""
        return {**options, "family": family_of(options)}

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port."""
        return parse_address(target, PORT)

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Ask once."""
        options = config.options
        try:
            host, port = parse_address(config.target, PORT)
            context = tls_context(config) if options["tls"] else None
            async with converse(
                host, port, Purpose.PROBE, config.timeout_s,
                family=options["family"], context=context, server_name=options["server_name"],
            ) as talk:  # fmt: skip
                if options["password"]:
                    words = [options["username"], options["password"]] if options["username"] else [options["password"]]
                    await _command(talk, "AUTH", *words)
                answer = await _command(talk, "PING")
                if answer != "PONG":
                    raise ProtocolError(f"It answered PING with {quoted(answer)}.")
                return judged(config, answered(talk))
        except NetError as error:
            return failed(error)


async def _command(talk: Talk, *words: str) -> str:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    talk.write(b"".join(parts))
    line = (await talk.read_line()).decode("utf-8", "replace")
    if line.startswith("+"):
        return line[1:]
    if not line.startswith("-"):
        raise ProtocolError(f"{talk.name} does not speak Redis' protocol: it answered {quoted(line)}.")
    if line.startswith("-NOAUTH"):
        raise ProtocolError("Redis wants a password.")
    if line.startswith(("-WRONGPASS", "-ERR invalid password")):
        raise ProtocolError("Redis does not accept this user and password.")
    if line.startswith("-LOADING"):
        raise ProtocolError("Redis is still loading its data.")
    raise ProtocolError(f"Redis answered {quoted(line[1:])}.")
