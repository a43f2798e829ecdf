"""Targets of the type domain, and a registry's RDAP server. How it fails has tests of its own: that is never "down"."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.servers import Reply, Request, Server, http_server

VALUES: dict[str, Any] = {
    "target": "example.org",
    "options": {"warn_days": ["60", "5"], "rdap_server": "https://rdap.example.net"},
}


def domain_answer(name: str, *, days: float | None = 200, statuses: tuple[str, ...] = ("active",)) -> dict[str, Any]:
    """Return a registry's answer in the form of RFC 9083, as gTLD registries give it."""
    now = datetime.now(UTC)
    events = [{"eventAction": "registration", "eventDate": "2001-05-03T12:00:00Z"}]
    if days is not None:
        ends = (now + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        events.append({"eventAction": "expiration", "eventDate": ends})
    card = ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", "Names & Co."]]]
    return {
        "objectClassName": "domain",
        "ldhName": name.upper(),
        "status": list(statuses),
        "events": events,
        "entities": [
            {"objectClassName": "entity", "roles": ["abuse"], "handle": "x"},
            {"objectClassName": "entity", "roles": ["registrar"], "handle": "292", "vcardArray": card},
        ],
        "rdapConformance": ["rdap_level_0"],
    }


class Registry:
    """A registry's server: `answers` by name; what is not there is 404. It keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any] | Reply] = {}
        self.asked: list[str] = []
        self.everything: Reply | None = None

    def __call__(self, request: Request) -> Reply:
        self.asked.append(request.path)
        if self.everything is not None:
            return self.everything
        found = self.answers.get(request.path.rpartition("/domain/")[2])
        if isinstance(found, Reply):
            return found
        if found is None:
            return Reply(404, b'{"errorCode": 404}')
        return Reply(200, json.dumps(found).encode(), {"Content-Type": "application/rdap+json"})


@contextmanager
def registry(**answers: dict[str, Any] | Reply) -> Iterator[tuple[Registry, Server]]:
    """Run a registry's server."""
    handler = Registry()
    handler.answers.update(answers)
    with http_server(handler) as server:
        yield handler, server


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    yield {"forbidden": {"target": "example.org", "options": {"rdap_server": "http://169.254.169.254"}}}
