"""The Registration Data Access Protocol: ask a registry about a domain, and read what it answers.

Source: RFC 7480 (over HTTP), RFC 9083 (answers), RFC 9224 (which server is asked), RFC 8056 (states of a domain).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import idna
from django.utils.dateparse import parse_datetime

from apps.core import net
from apps.core.net import InvalidTarget, NetError, Phases, Purpose
from apps.core.net.hosts import canonical_host, literal_ip, parse_url

DIRECTORY_URL = "https://data.iana.org/rdap/dns.json"
DIRECTORY_BYTES = 4 << 20
ANSWER_BYTES = 1 << 20
#: Where a server wants a rest and does not say how long.
REST = timedelta(hours=1)
REST_MOST = timedelta(days=2)
_HEADERS = {"Accept": "application/rdap+json, application/json", "User-Agent": "Watchkeeper"}


@dataclass(frozen=True, slots=True)
class Registration:
    """A registry's answer.

    Args:
        expires_at: None where it tells no end.
        statuses: states as RFC 8056 spells them ("client hold").
        parent: where the name is not registered, the registered name that it is a part of.
    """

    is_registered: bool
    expires_at: datetime | None = None
    registrar: str = ""
    statuses: tuple[str, ...] = ()
    parent: str = ""
    phases: Phases = field(default_factory=Phases)


class RdapFailure(Exception):
    """The registry could not be asked, or did not answer: it says nothing about the domain.

    Attributes:
        rest_until: until when the server wants to be left alone.
        refused: the outbound policy forbids to ask.
    """

    def __init__(self, message: str, *, rest_until: datetime | None = None, refused: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.rest_until = rest_until
        self.refused = refused


def domain_name(text: str) -> str:
    """Return a domain's name as registries know it: lower case, ASCII, without the final dot.

    Raises:
        InvalidTarget: it is no domain; the sentence says what would do.
    """
    given = text.strip().rstrip(".").lower()
    wanted = "give the registered name alone, for example example.org"
    if not given or any(mark in given for mark in "/:@ \t"):
        raise InvalidTarget(f"“{text}” is not a domain: {wanted}.")
    try:
        # By the rules of registries (IDNA 2008): the older ones would make strasse.de of straße.de, another domain.
        name = given if given.isascii() else idna.encode(given, uts46=True).decode()
        name = canonical_host(name)
    except (idna.IDNAError, NetError) as error:
        raise InvalidTarget(f"“{text}” is not a domain: {wanted}.") from error
    if "." not in name or literal_ip(name) is not None or "_" in name:
        raise InvalidTarget(f"“{text}” is not a domain: {wanted}.")
    return name


def read_directory(body: bytes) -> dict[str, list[str]]:
    """Return top-level domain -> base URLs, those with https first. Source: RFC 9224, section 3.

    Raises:
        RdapFailure: it is something else.
    """
    try:
        found: dict[str, list[str]] = {}
        for names, urls in json.loads(body)["services"]:
            kept = sorted((str(url) for url in urls), key=lambda url: not url.startswith("https:"))
            found.update({str(name).lower().rstrip("."): kept for name in names if kept})
    except (ValueError, KeyError, TypeError) as error:
        raise RdapFailure("The list of registries' servers can't be read.") from error
    if not found:
        raise RdapFailure("The list of registries' servers is empty.")
    return found


async def fetch_directory(timeout_s: float) -> dict[str, list[str]]:
    """Fetch the list of registries' servers.

    Raises:
        RdapFailure: it can't be had.
    """
    body, _ = await _get(DIRECTORY_URL, Purpose.DELIVER, timeout_s, DIRECTORY_BYTES)
    if body is None:
        raise RdapFailure(f"The list of registries' servers is not at {DIRECTORY_URL}.")
    return read_directory(body)


def server_of(domain: str, services: Mapping[str, list[str]]) -> str:
    """Return the base URL for a domain, by the longest name that fits; "" where its registry has no such server."""
    labels = domain.split(".")
    for start in range(1, len(labels)):
        urls = services.get(".".join(labels[start:]))
        if urls:
            return urls[0]
    return ""


async def look_up(domain: str, server: str, purpose: Purpose, timeout_s: float) -> Registration:
    """Ask a server about a domain. Where it is not registered and has more than two parts, the name above it is asked
    about as well, so that people can be told what they meant.

    Raises:
        RdapFailure: the server did not answer, or wants a rest.
    """
    body, phases = await _get(_url(server, domain), purpose, timeout_s, ANSWER_BYTES)
    if body is not None:
        return read_answer(body, phases)
    parent = domain.partition(".")[2]
    if "." in parent:
        try:
            above, _ = await _get(_url(server, parent), purpose, timeout_s, ANSWER_BYTES)
            found = read_answer(above, phases) if above is not None else None
        except RdapFailure:  # a hint less
            found = None
        if found is not None and found.is_registered and found.expires_at is not None:
            return Registration(False, parent=parent, phases=phases)
    return Registration(False, phases=phases)


def read_answer(body: bytes, phases: Phases) -> Registration:
    """Return what an answer says. Source: RFC 9083, section 5.3.

    Raises:
        RdapFailure: it is no answer about a domain.
    """
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise RdapFailure("The registry's answer is not JSON.") from error
    if not isinstance(answer, dict) or answer.get("objectClassName") != "domain":
        raise RdapFailure("The registry's answer is not about a domain.")
    ends: dict[str, datetime] = {}
    for event in _objects(answer.get("events")):
        at = _time(event.get("eventDate"))
        if at is not None:
            ends[str(event.get("eventAction", "")).lower()] = at
    statuses = answer.get("status")
    return Registration(
        is_registered=True,
        # Some registries leave it to the registrar to say.
        expires_at=ends.get("expiration") or ends.get("registrar expiration"),
        registrar=_registrar(answer)[:255],
        statuses=tuple(str(one)[:64] for one in statuses if isinstance(one, str))[:32]
        if isinstance(statuses, list)
        else (),
        phases=phases,
    )


def _registrar(answer: Mapping[str, Any]) -> str:
    """Return the registrar's name from its vCard, else its handle. Source: RFC 7095; RFC 9083, section 5.1."""
    for entity in _objects(answer.get("entities")):
        roles = entity.get("roles")
        if not isinstance(roles, list) or "registrar" not in roles:
            continue
        card = entity.get("vcardArray")
        fields = card[1] if isinstance(card, list) and len(card) > 1 and isinstance(card[1], list) else []
        for wanted in ("fn", "org"):
            for one in fields:
                if isinstance(one, list) and len(one) > 3 and one[0] == wanted and isinstance(one[3], str) and one[3]:
                    return one[3].strip()
        return str(entity.get("handle") or "")
    return ""


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        at = parse_datetime(text) or parse_datetime(f"{text}T00:00:00Z")
    except ValueError:
        return None
    return at if at is None or at.tzinfo else at.replace(tzinfo=UTC)


def _url(server: str, domain: str) -> str:
    return f"{server.rstrip('/')}/domain/{domain}"


async def _get(url: str, purpose: Purpose, timeout_s: float, most: int) -> tuple[bytes | None, Phases]:
    """Return the body, None where the server says that there is no such thing."""
    try:
        host = parse_url(url).host
        answer = await net.request(
            "GET",
            url,
            purpose=purpose,
            headers=_HEADERS,
            timeout_s=timeout_s,
            follow_redirects=True,
            max_body_bytes=most,
        )
    except NetError as error:
        raise RdapFailure(error.message, refused=error.kind == "refused") from error
    if answer.status == 404:
        return None, answer.phases
    if answer.status in (429, 503):
        rest = _rest(answer.headers.get("retry-after"), is_limit=answer.status == 429)
        if rest is not None:
            raise RdapFailure(
                f"{host} wants fewer questions ({answer.status}); it is asked again at {rest:%Y-%m-%d %H:%M} UTC.",
                rest_until=rest,
            )
    if not answer.ok:
        raise RdapFailure(f"{host} answered {answer.status} {answer.reason}".strip() + ".")
    if answer.truncated:
        raise RdapFailure(f"The answer of {host} is too long.")
    return answer.body, answer.phases


def _rest(text: str | None, *, is_limit: bool) -> datetime | None:
    """Return until when a server wants to be left alone. Source: RFC 9110, section 10.2.3."""
    now = datetime.now(UTC)
    if not text:
        return now + REST if is_limit else None
    if text.strip().isascii() and text.strip().isdigit():
        wait = timedelta(seconds=min(int(text), int(REST_MOST.total_seconds())))
    else:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return now + REST
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return now + min(max(wait, timedelta(0)), REST_MOST)
