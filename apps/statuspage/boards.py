"""The public pages as this process holds them: drawn once a change, read by every visitor, kept on disk for worse days.

A pump asks once a second whether anything changed. Where the database does not answer, what was drawn last stays in
force; a process that starts meanwhile reads the copies on the disk.
"""

import ipaddress
import json
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone

from apps.statuspage.models import StatusVersion
from apps.statuspage.rendering import Body, body, draw
from apps.statuspage.selectors.public import pages_facts

log = logging.getLogger(__name__)

#: At the latest then pages are drawn anew though nothing was marked: days end, monitors fall silent.
DRAW_AGAIN_S = 60.0
CHECK_S = 1.0
_FILES = {
    "page": "index.html",
    "history": "history.html",
    "json": "status.json",
    "feed": "feed.atom",
    "calendar": "calendar.ics",
    "logo": "logo",
}

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One page, ready to be served."""

    slug: str
    domain: str
    is_default: bool
    networks: Networks
    bodies: dict[str, Body]

    def may_read(self, address: str) -> bool:
        """Return whether a visitor from this address may read it."""
        if not self.networks:
            return True
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Boards:
    """All published pages."""

    by_slug: dict[str, Board] = field(default_factory=dict)
    by_domain: dict[str, Board] = field(default_factory=dict)
    default: Board | None = None

    def find(self, slug: str | None, host: str) -> Board | None:
        """Return the page of that slug; without one the page of that host, else the default page."""
        if slug:
            return self.by_slug.get(slug)
        return self.by_domain.get(host) or self.default


def _collected(found: list[Board]) -> Boards:
    return Boards(
        {one.slug: one for one in found},
        {one.domain: one for one in found if one.domain},
        next((one for one in found if one.is_default), None),
    )


def folder() -> Path:
    """Return where the copies lie."""
    return Path(settings.DATA_DIR) / "status"


class BoardStore:
    """See the module. One instance a process."""

    def __init__(self) -> None:
        self.boards: Boards | None = None
        self.is_stale = False  # the database did not answer when it was asked last
        self._token: UUID | None = None
        self._drawn_at = self._checked_at = float("-inf")
        self._lock = threading.Lock()
        self._written: dict[str, str] = {}

    def forget(self) -> None:
        """Forget everything that is held in memory."""
        self.__init__()  # type: ignore[misc]

    def preload(self) -> None:
        """Begin with the copies on the disk: a database that is away may take long to say so."""
        if self.boards is None:
            copies = read_copies()
            self.boards = copies if copies.by_slug else None

    def current(self, *, max_age_s: float = CHECK_S) -> Boards:
        """Return the pages, at most `max_age_s` behind; in the caller's thread."""
        if self.boards is None or time.monotonic() - self._checked_at > max_age_s:
            self.refresh()
        return self.boards or Boards()

    def refresh(self) -> None:
        """Draw the pages anew where something changed. Never raises for the database's sake."""
        with self._lock:
            self._checked_at = time.monotonic()
            try:
                self._look()
                self.is_stale = False
            except (DatabaseError, OSError) as error:
                if not self.is_stale:
                    log.warning("status pages are served from their copies: %s", error)
                self.is_stale = True
                if self.boards is None:
                    self.boards = read_copies()

    def _look(self) -> None:
        row = StatusVersion.objects.filter(id=1).first()
        token = row.token if row else None
        if self.boards is not None and token == self._token and time.monotonic() - self._drawn_at < DRAW_AGAIN_S:
            return
        updated_at = row.touched_at if row else timezone.now()
        found = []
        for page, facts in pages_facts(timezone.now()):
            old = self.boards.by_slug.get(page.slug) if self.boards else None
            try:
                networks = tuple(ipaddress.ip_network(word) for word in page.allowed_networks)
            except ValueError:  # who may read it can't be told, so nobody does
                log.error("the status page %s has networks that are none", page.slug)
                continue
            try:
                bodies = draw(page, facts, updated_at)
            except Exception:  # one page that can't be drawn must not take the others along
                log.exception("the status page %s can't be drawn", page.slug)
                if old is None:
                    continue
                bodies = old.bodies
            found.append(Board(page.slug, page.domain, page.is_default, networks, bodies))
        self.boards, self._token, self._drawn_at = _collected(found), token, time.monotonic()
        try:
            self._write_copies(found)
        except OSError:
            log.exception("the copies of the status pages can't be written")

    def _write_copies(self, found: list[Board]) -> None:
        digests = {f"{one.slug}/{name}": answer.etag for one in found for name, answer in one.bodies.items()}
        index = [
            {
                "slug": one.slug,
                "domain": one.domain,
                "is_default": one.is_default,
                "networks": [str(network) for network in one.networks],
                "types": {name: answer.content_type for name, answer in one.bodies.items()},
            }
            for one in found
        ]
        digests["index"] = json.dumps(index, sort_keys=True)
        if digests == self._written:
            return
        for one in found:
            place = folder() / one.slug
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, answer in one.bodies.items():
                key = f"{one.slug}/{name}"
                if self._written.get(key) != digests[key] or not (place / _FILES[name]).exists():
                    _replace(place / _FILES[name], answer.content)
        folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(folder() / "pages.json", json.dumps(index, indent=1).encode())
        self._written = digests


def _replace(path: Path, content: bytes) -> None:
    # A reader sees the old file or the new one, never half of one.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(path)


def read_copies() -> Boards:
    """Return the pages as they were written to the disk last; none where there are no copies."""
    try:
        index: list[dict[str, Any]] = json.loads((folder() / "pages.json").read_text())
        found = [
            Board(
                slug=entry["slug"],
                domain=entry["domain"],
                is_default=entry["is_default"],
                networks=tuple(ipaddress.ip_network(word) for word in entry["networks"]),
                bodies={
                    name: body(content_type, (folder() / entry["slug"] / _FILES[name]).read_bytes())
                    for name, content_type in entry["types"].items()
                },
            )
            for entry in index
        ]
    except (OSError, ValueError, KeyError):
        return Boards()
    return _collected(found)


def copies_written_at() -> datetime | None:
    """Return when the copies were written last."""
    try:
        return datetime.fromtimestamp((folder() / "pages.json").stat().st_mtime, UTC)
    except OSError:
        return None


def refresh_in_thread() -> None:
    """Refresh from a thread of a pool: its database connection is given back."""
    if not connection.in_atomic_block:
        close_old_connections()
    try:
        store.refresh()
    finally:
        if not connection.in_atomic_block:
            connection.close()


store = BoardStore()
