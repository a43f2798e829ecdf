"""The addresses that jobs call: parsing a path and a query into a ping. Shared by both ways in."""

import re
from dataclasses import replace
from functools import lru_cache
from urllib.parse import parse_qs
from uuid import UUID

from apps.core.errors import DomainError, NotFound
from apps.monitors.models.heartbeats import Ping
from apps.monitors.services.ping_rules import SOURCE_CHARS
from apps.monitors.services.pings import NOWHERE, PingRequest
from apps.monitors.services.slug_pings import SlugAddress

_PATH = re.compile(r"^/ping/([^/]+)(?:/([^/]+))?/?$")
_UUID = re.compile(r"^[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")
_SLUG_PATH = re.compile(r"^/ping/k/([^/]+)/([^/]+)(?:/([^/]+))?/?$")
_CODE = re.compile(r"^[0-9]{1,3}$")


def parse(path: str, query: bytes) -> PingRequest:
    """Return the ping that an address stands for.

    Raises:
        NotFound: no address of a heartbeat (404).
        DomainError: a signal or run id that is none (400).
    """
    uuid, kind, exit_code, slug = _address(path)
    ping = PingRequest(uuid, kind, exit_code, slug=slug)
    if query:
        _read_query(ping, query)
    return ping


@lru_cache(8192)  # jobs call the same address again and again
def _address(path: str) -> tuple[UUID, str, int | None, SlugAddress | None]:
    match = _PATH.match(path)
    if match is not None and _UUID.match(match[1]):
        return UUID(match[1]), *_signal(match[2]), None
    match = _SLUG_PATH.match(path)
    if match is not None:
        return NOWHERE, *_signal(match[3]), SlugAddress(match[1], match[2].lower())
    raise NotFound("There is no such heartbeat.")


def _signal(word: str | None) -> tuple[str, int | None]:
    if word is None:
        return Ping.SUCCESS, None
    if word in (Ping.START, Ping.LOG):
        return word, None
    if word == Ping.FAIL:
        return Ping.FAIL, 1
    if _CODE.match(word) and int(word) <= 255:
        code = int(word)
        return (Ping.FAIL if code else Ping.SUCCESS), code
    raise DomainError("After the address comes start, fail, log or an exit code 0..255.", code="invalid_exit_code")


def _read_query(ping: PingRequest, query: bytes) -> None:
    values = parse_qs(query.decode("latin-1"))
    if "rid" in values:
        if not _UUID.match(values["rid"][0]):
            raise DomainError("rid must be a UUID: the same one at the start and the end of a run.", code="invalid_rid")
        ping.rid = UUID(values["rid"][0])
    if "source" in values:
        ping.source = source_name(values["source"][0])
    if ping.slug is not None and values.get("create") == ["1"]:
        ping.slug = replace(ping.slug, create=True)


def source_name(text: str) -> str:
    """Return who of several sent a ping; what is too long or unprintable is cut."""
    return "".join(char for char in text.strip()[:SOURCE_CHARS] if char.isprintable())
