"""The addresses that jobs call: parsing a path and a query into a ping. Shared by both ways in."""

import re
from functools import lru_cache
from urllib.parse import parse_qs
from uuid import UUID

from apps.core.errors import DomainError, NotFound
from apps.monitors.models.heartbeats import Ping
from apps.monitors.services.pings import PingRequest

_PATH = re.compile(r"^/ping/([^/]+)(?:/([^/]+))?/?$")
_UUID = re.compile(r"^[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")
_CODE = re.compile(r"^[0-9]{1,3}$")


def parse(path: str, query: bytes) -> PingRequest:
    """Return the ping that an address stands for.

    Raises:
        NotFound: no address of a heartbeat (404).
        DomainError: a signal or run id that is none (400).
    """
    uuid, kind, exit_code = _address(path)
    return PingRequest(uuid, kind, exit_code, rid=_run_id(query) if query else None)


@lru_cache(8192)  # jobs call the same address again and again
def _address(path: str) -> tuple[UUID, str, int | None]:
    match = _PATH.match(path)
    if match is None or not _UUID.match(match[1]):
        raise NotFound("There is no such heartbeat.")
    return UUID(match[1]), *_signal(match[2])


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


def _run_id(query: bytes) -> UUID | None:
    values = parse_qs(query.decode("latin-1")).get("rid")
    if not values:
        return None
    if not _UUID.match(values[0]):
        raise DomainError("rid must be a UUID: the same one at the start and the end of a run.", code="invalid_rid")
    return UUID(values[0])
