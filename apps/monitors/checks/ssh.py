"""Whether an SSH server greets and, where one is given, still has the same host key."""

import base64
import hashlib
import logging
import re
import socket
from collections.abc import Mapping
from typing import Any

import paramiko

from apps.core.net import NetError, ProtocolError, Purpose, converse
from apps.core.patterns import PatternTooSlow, compile_pattern, is_found
from apps.monitors.checks.base import ERROR_LENGTH, CheckConfig, CheckOutcome, CheckType, failed, judged, register
from apps.monitors.checks.blocking import with_socket
from apps.monitors.checks.common import IP_FAMILY, answered, family_of, quoted
from apps.monitors.checks.options import Option
from apps.monitors.checks.targets import address_problem, parse_address
from apps.monitors.states.endpoints import DOWN, UNKNOWN, UP

PORT = 22
_LINES_MOST = 50  # what may come before the greeting. Source: RFC 4253, section 4.2
_PRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}\Z")

_silent = logging.getLogger("apps.monitors.checks.ssh.transport")
_silent.disabled = True  # what the other side does wrong is the outcome of the check, not news of ours


@register("ssh")
class SshCheck(CheckType):
    """The greeting; with a fingerprint also the key exchange. Nobody signs in."""

    label = "An SSH server"
    target_help = "host or host:2222"
    fields = (
        Option("banner", "Greeting matches", kind="pattern", most=500, placeholder="OpenSSH_9"),
        Option(
            "fingerprints",
            "Host key",
            kind="texts",
            most=60,
            help="Its fingerprints as ssh-keygen -lf shows them, apart by commas; another key is a failure of its own.",
            placeholder="SHA256:…",
        ),
        IP_FAMILY,
    )

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with address and fingerprints."""
        found: dict[str, str] = {}
        problem = address_problem(values["target"], PORT)
        if problem:
            found["target"] = problem
        for one in values["options"]["fingerprints"]:
            if not _PRINT.match(one):
                found["options.fingerprints"] = f"“{one}” is not a fingerprint such as SHA256: and 43 letters"
        return found

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return family and compiled pattern."""
        return {
            **options,
            "family": family_of(options),
            "banner": compile_pattern(options["banner"]) if options["banner"] else None,
        }

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port."""
        return parse_address(target, PORT)

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Listen to the greeting, or exchange keys."""
        options = config.options
        try:
            host, port = parse_address(config.target, PORT)
            if not options["fingerprints"]:
                async with converse(host, port, Purpose.PROBE, config.timeout_s, family=options["family"]) as talk:
                    for _ in range(_LINES_MOST):
                        line = (await talk.read_line()).decode("utf-8", "replace")
                        if line.startswith("SSH-"):
                            break
                    else:
                        raise ProtocolError(f"{host} does not greet as SSH servers do: {quoted(line)}.")
                    outcome = answered(talk)
            else:
                (line, key), phases = await with_socket(
                    config, host, port, lambda channel: _exchange(channel, config.timeout_s), family=options["family"]
                )
                outcome = CheckOutcome(UP, phases.total_ms, phases)
                if key not in options["fingerprints"]:
                    outcome.status = DOWN
                    outcome.error = f"The host key has changed: it is {key} now. Somebody may stand in between."
        except NetError as error:
            return failed(error)
        if outcome.status == UP:
            outcome.status, outcome.error = _judge_greeting(line, options["banner"])
        return judged(config, outcome)


def _judge_greeting(line: str, pattern: Any) -> tuple[str, str]:
    if not line.startswith(("SSH-2.0-", "SSH-1.99-")):
        return DOWN, f"It speaks an SSH of long ago: {quoted(line)}."
    try:
        if pattern is not None and not is_found(pattern, line):
            return DOWN, f"The greeting is {quoted(line)}, which does not match."[:ERROR_LENGTH]
    except PatternTooSlow:
        return UNKNOWN, "The pattern takes too long on this greeting."
    return UP, ""


def _exchange(channel: socket.socket, timeout_s: float) -> tuple[str, str]:
    """Return the server's greeting and the fingerprint of its key, having proved that it has it."""
    transport = paramiko.Transport(channel)
    transport.set_log_channel(_silent.name)
    try:
        transport.start_client(timeout=timeout_s)
        key = transport.get_remote_server_key()
        digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
        return transport.remote_version, f"SHA256:{digest}"
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise ProtocolError(f"The SSH key exchange failed: {error or type(error).__name__}.") from error
    finally:
        transport.close()
