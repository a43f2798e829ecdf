"""Mail servers, SMTP and IMAP: the greeting, TLS from the start or by STARTTLS, the certificate on the way."""

from collections.abc import Mapping
from typing import Any, ClassVar

from apps.core.net import NetError, ProtocolError, Purpose, Talk, converse
from apps.monitors.checks.base import CheckConfig, CheckOutcome, CheckType, failed, judged, register
from apps.monitors.checks.common import (
    ENCRYPTED,
    IP_FAMILY,
    SERVER_NAME,
    answered,
    family_of,
    quoted,
    tls_context,
)
from apps.monitors.checks.options import Option
from apps.monitors.checks.targets import address_problem, parse_address

LINES_MOST = 100

_FIELDS = (
    Option(
        "security",
        "Encryption",
        kind="choice",
        default="starttls",
        choices=(("starttls", "STARTTLS"), ("tls", "TLS from the start"), ("none", "None")),
    ),
    Option("banner", "Greeting contains", most=200, placeholder="mx1.example.org"),
    SERVER_NAME,
    IP_FAMILY,
)


class _MailCheck(CheckType):
    """What both have in common: connect, perhaps TLS, greet, perhaps STARTTLS, take leave."""

    target_help = "mail.example.org or mail.example.org:587"
    columns = ENCRYPTED
    fields = _FIELDS
    plain_port: ClassVar[int]

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with the address."""
        problem = address_problem(values["target"], self.plain_port)
        return {"target": problem} if problem else {}

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the family."""
        return {**options, "family": family_of(options)}

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port."""
        return parse_address(target, self.plain_port)

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Talk to the server once."""
        options = config.options
        try:
            host, port = parse_address(config.target, self.plain_port)
            context = tls_context(config) if options["security"] == "tls" else None
            async with converse(
                host, port, Purpose.PROBE, config.timeout_s,
                family=options["family"], context=context, server_name=options["server_name"],
            ) as talk:  # fmt: skip
                await self.talk(talk, config)
                return judged(config, answered(talk))
        except NetError as error:
            return failed(error)

    async def talk(self, talk: Talk, config: CheckConfig) -> None:
        """Speak the protocol up to the point where mail could go; raise ProtocolError where it can't."""
        raise NotImplementedError


def _greeted(greeting: str, config: CheckConfig) -> None:
    wanted = config.options["banner"]
    if wanted and wanted not in greeting:
        raise ProtocolError(f"The greeting does not contain “{wanted}”: {quoted(greeting)}.")


@register("smtp")
class SmtpCheck(_MailCheck):
    """Greeting, EHLO, STARTTLS and EHLO again. Source: RFC 5321, RFC 3207."""

    label = "A mail server (SMTP)"
    plain_port = 25

    async def talk(self, talk: Talk, config: CheckConfig) -> None:
        """Greet and, where asked for, begin TLS."""
        _greeted(await self._answer(talk, "220"), config)
        talk.write(b"EHLO [127.0.0.1]\r\n")
        offers = await self._answer(talk, "250")
        if config.options["security"] == "starttls":
            if "STARTTLS" not in offers.upper().split():
                raise ProtocolError("The mail server does not offer STARTTLS.")
            talk.write(b"STARTTLS\r\n")
            await self._answer(talk, "220")
            await talk.start_tls(tls_context(config), config.options["server_name"])
            talk.write(b"EHLO [127.0.0.1]\r\n")
            await self._answer(talk, "250")
        talk.write(b"QUIT\r\n")

    @staticmethod
    async def _answer(talk: Talk, wanted: str) -> str:
        text = ""
        for _ in range(LINES_MOST):
            line = (await talk.read_line()).decode("utf-8", "replace")
            text += line[4:] + "\n"
            if line[3:4] != "-":
                if line[:3] != wanted:
                    raise ProtocolError(f"The mail server answered {quoted(line)} where {wanted} was expected.")
                return text
        raise ProtocolError("The mail server does not come to an end with its answer.")


@register("imap")
class ImapCheck(_MailCheck):
    """Greeting, perhaps STARTTLS, NOOP. Source: RFC 9051."""

    label = "A mailbox server (IMAP)"
    target_help = "mail.example.org or mail.example.org:993"
    plain_port = 143

    async def talk(self, talk: Talk, config: CheckConfig) -> None:
        """Greet and, where asked for, begin TLS."""
        greeting = (await talk.read_line()).decode("utf-8", "replace")
        if not greeting.upper().startswith(("* OK", "* PREAUTH")):
            raise ProtocolError(f"The IMAP server greeted with {quoted(greeting)}.")
        _greeted(greeting, config)
        if config.options["security"] == "starttls":
            await self._command(talk, "w1", "STARTTLS")
            await talk.start_tls(tls_context(config), config.options["server_name"])
        await self._command(talk, "w2", "NOOP")
        talk.write(b"w3 LOGOUT\r\n")

    @staticmethod
    async def _command(talk: Talk, tag: str, command: str) -> None:
        talk.write(f"{tag} {command}\r\n".encode())
        for _ in range(LINES_MOST):
            line = (await talk.read_line()).decode("utf-8", "replace")
            if line.startswith(f"{tag} "):
                if not line[len(tag) + 1 :].upper().startswith("OK"):
                    raise ProtocolError(f"The IMAP server refused {command}: {quoted(line)}.")
                return
        raise ProtocolError("The IMAP server does not come to an end with its answer.")
