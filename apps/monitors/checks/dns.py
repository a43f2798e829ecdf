"""Whether a name server gives the right answer."""

import ipaddress
import time
from collections.abc import Mapping
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.reversename

from apps.core.net import NetError, NetTimeout, Phases, Purpose, converse, datagrams
from apps.monitors.checks.base import ERROR_LENGTH, CheckConfig, CheckOutcome, CheckType, failed, judged, register
from apps.monitors.checks.options import Option
from apps.monitors.checks.targets import address_problem, parse_address
from apps.monitors.states.endpoints import DOWN, UNKNOWN, UP

TYPES = ("A", "AAAA", "CNAME", "MX", "NS", "TXT", "SOA", "SRV", "CAA", "PTR")
TRIES = 3  # a datagram may be lost
PORT = 53
_KEEP_S = 60.0
_system: tuple[float, str] = (0.0, "")


@register("dns")
class DnsCheck(CheckType):
    """One question. That the name does not exist, that the server fails, answers otherwise or not at all: each has its
    own words."""

    label = "A DNS answer"
    target_help = "The name to look up, for example example.org"
    fields = (
        Option("record_type", "Record", kind="choice", default="A", choices=tuple((one, one) for one in TYPES)),
        Option(
            "resolver",
            "Ask",
            kind="address",
            most=260,
            help="Name server as host or host:port; the system's where empty.",
            placeholder="9.9.9.9",
        ),
        Option(
            "expected",
            "Expected answer",
            kind="texts",
            most=500,
            help="Values, apart by commas; any answer will do where empty.",
        ),
        Option(
            "match",
            "It is right when it holds",
            kind="choice",
            default="all",
            choices=(("all", "All of these"), ("any", "At least one of these"), ("exact", "These and no others")),
        ),
    )

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with the name and the resolver."""
        found: dict[str, str] = {}
        try:
            _question(values["target"], values["options"]["record_type"])
        except ValueError as error:
            found["target"] = str(error)
        resolver = values["options"]["resolver"]
        problem = address_problem(resolver, PORT) if resolver else ""
        if problem:
            found["options.resolver"] = problem
        return found

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the expected values as they are compared."""
        return {**options, "expected": frozenset(_comparable(value) for value in options["expected"])}

    def address(self, target: str) -> tuple[str, int]:
        """Return the name and the port of DNS."""
        return target, PORT

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Ask once; a datagram that gets lost is sent again."""
        options = config.options
        started = time.perf_counter()
        wanted = options["resolver"] or system_resolver()
        if not wanted:
            return CheckOutcome(UNKNOWN, error="This machine names no resolver of its own; give one to ask.")
        try:
            query = _question(config.target, options["record_type"])
            host, port = parse_address(wanted, PORT)
            data, phases = await _ask(host, port, query.to_wire(), config.timeout_s)
            answer = dns.message.from_wire(data, ignore_trailing=True)
        except NetError as error:
            return failed(error)
        except (dns.exception.DNSException, ValueError) as error:
            sentence = f"The answer of {wanted} can't be read: {type(error).__name__}."
            return CheckOutcome(DOWN, error=sentence[:ERROR_LENGTH])
        phases.total_ms = (time.perf_counter() - started) * 1000
        problem = _problem(answer, config.target, options, wanted)
        outcome = CheckOutcome(DOWN if problem else UP, phases.total_ms, phases, error=problem[:ERROR_LENGTH])
        return judged(config, outcome)


def system_resolver() -> str:
    """Return the first name server of this machine, "" where it names none. Read again each minute."""
    global _system
    if not _system[0] or time.monotonic() - _system[0] > _KEEP_S:
        try:
            found = str(dns.resolver.Resolver().nameservers[0])
        except (dns.exception.DNSException, OSError, IndexError):
            found = ""
        _system = time.monotonic(), f"[{found}]" if ":" in found else found
    return _system[1]


async def _ask(host: str, port: int, wire: bytes, timeout_s: float) -> tuple[bytes, Phases]:
    data, phases = None, Phases()
    for _ in range(TRIES):
        answer = await datagrams.ask(
            host, port, wire, Purpose.PROBE, timeout_s / TRIES, accept=lambda data: data[:2] == wire[:2]
        )
        data, phases = answer.data, answer.phases
        if data is not None:
            break
    if data is None:
        error = NetTimeout(f"The name server {host} did not answer within {timeout_s:g} s.", phase="first_byte")
        error.phases = phases
        raise error
    if len(data) > 3 and data[2] & 0x02:  # truncated: the whole answer comes by TCP
        async with converse(host, port, Purpose.PROBE, timeout_s) as talk:
            talk.write(len(wire).to_bytes(2) + wire)
            data = await talk.read_exactly(int.from_bytes(await talk.read_exactly(2)))
            phases = talk.phases()
    return data, phases


def _question(target: str, record_type: str) -> dns.message.QueryMessage:
    name: Any = target
    try:
        if record_type == "PTR":
            try:
                name = dns.reversename.from_address(str(ipaddress.ip_address(target)))
            except ValueError:
                name = target
        if isinstance(name, str):
            if any(letter.isspace() for letter in name) or "/" in name or not name:
                raise ValueError(f"“{target}” is not a name: give one such as example.org")
            name = dns.name.from_text(name)
        return dns.message.make_query(name, record_type, use_edns=0, payload=1232)
    except dns.exception.DNSException as error:
        raise ValueError(f"“{target}” is not a name: {error}") from error


def _problem(answer: dns.message.Message, target: str, options: Mapping[str, Any], resolver: str) -> str:
    code = answer.rcode()
    if code == dns.rcode.NXDOMAIN:
        return f"The name {target} does not exist (NXDOMAIN, said by {resolver})."
    if code == dns.rcode.SERVFAIL:
        return f"{resolver} could not find the answer for {target} (SERVFAIL)."
    if code != dns.rcode.NOERROR:
        return f"{resolver} refused to answer for {target} ({dns.rcode.to_text(code)})."
    wanted = dns.rdatatype.from_text(options["record_type"])
    found = [_text(data) for entry in answer.answer if entry.rdtype == wanted for data in entry]
    if not found:
        return f"{target} has no {options['record_type']} record."
    expected: frozenset[str] = options["expected"]
    if not expected:
        return ""
    seen = {_comparable(value) for value in found}
    fits = {"all": expected <= seen, "any": bool(expected & seen), "exact": expected == seen}[options["match"]]
    if fits:
        return ""
    return f"The answer is {', '.join(sorted(found))}; expected was {', '.join(sorted(expected))}."


def _text(data: Any) -> str:
    strings = getattr(data, "strings", None)
    if strings is not None:
        return b"".join(strings).decode("utf-8", "replace")
    return str(data.to_text())


def _comparable(text: str) -> str:
    return text.strip().strip('"').removesuffix(".").casefold()
