"""Registries by which a higher app tells a lower one that it is there."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind; a name is taken once."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._items: dict[str, T] = {}

    def register(self, name: str, item: T) -> T:
        """Add `item` under `name`; a second, different item of that name is a programming error."""
        if self._items.get(name, item) is not item:
            raise RuntimeError(f"{self.noun} {name!r} is registered twice")
        self._items[name] = item
        return item

    def get(self, name: str) -> T | None:
        """Return the item or None."""
        return self._items.get(name)

    def __getitem__(self, name: str) -> T:
        return self._items[name]

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))

    def items(self) -> list[tuple[str, T]]:
        """Return the pairs, sorted by name."""
        return sorted(self._items.items())


@dataclass(frozen=True, slots=True)
class SubjectKind:
    """How to ask about things of one kind without importing their app.

    Args:
        find: id -> its name, or None where there is no such thing.
        url: id -> path of its console page.
        resolve: id or other name (a server's slug) -> its id, or None; absent where a thing has its id alone.
    """

    find: Callable[[str], str | None]
    url: Callable[[str], str]
    resolve: Callable[[str], str | None] | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What a health part answers. `status` is "ok", "degraded", "down" or "off"."""

    status: str
    detail: str = ""
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """A growing table: its setting and how to prune it.

    Args:
        table: database table.
        setting: "category.key" of its keep time in the runtime settings.
        prune: deletes at most `limit` rows older than the keep time; returns how many.
        telemetry: telemetry is refused and pruned before state when the disk is full.
    """

    table: str
    setting: str
    prune: Callable[[int], int]
    telemetry: bool = False


@dataclass(frozen=True, slots=True)
class Overdue:
    """Scheduled things that nobody has looked at although their time has come.

    Args:
        what: in words, with their number: "3 endpoints".
        since: the earliest time that was missed.
    """

    what: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Watch:
    """How another process finds out that things of one kind are silent.

    Args:
        find: now -> what is overdue, or None.
        mark: now -> shows what is overdue as unknown; absent where nothing is shown.
    """

    find: Callable[[datetime], Overdue | None]
    mark: Callable[[datetime], object] | None = None


subjects: Registry[SubjectKind] = Registry("subject kind")
health_parts: Registry[Callable[[], Health]] = Registry("health part")
features: Registry[Callable[[], bool]] = Registry("feature")
metric_collectors: Registry[Callable[[bool], Iterator[Any]]] = Registry("metric collector")
keeps: Registry[Keep] = Registry("keep")
#: Everything that is evaluated by schedule; the web processes ask, never the one that evaluates.
watches: Registry[Watch] = Registry("watch")
#: now -> what keeps us from alerting, in a sentence; "" where nothing does. Asked before each outside heartbeat.
vital_signs: Registry[Callable[[datetime], str]] = Registry("vital sign")
#: address -> may it speak to us? `accounts` answers with its IP rules; the edge asks.
address_gates: Registry[Callable[[str], bool]] = Registry("address gate")
#: Which facts nobody is to be told of now? Asked with (event, subject kind, subject id) triples, when a fact is routed
#: and again when its message is about to leave; answers those that stay untold, each with one sentence that says why.
delivery_holds: Registry[Callable[[Collection[tuple[str, str, str]]], Mapping[tuple[str, str, str], str]]] = Registry(
    "delivery hold"
)
#: Kind of a thing -> (its id) -> (kind, id) of what it can't be well without, as far as that follows from what is
#: known.
parent_finders: Registry[Callable[[str], Collection[tuple[str, str]]]] = Registry("parent finder")
#: Kind of a parent -> (its id) -> (kind, id) of what can't be well without it; the other direction, for pages.
child_finders: Registry[Callable[[str], Collection[tuple[str, str]]]] = Registry("child finder")
#: Queues a mail (to, subject, text); nothing is registered where no mail is configured.
mailers: Registry[Callable[[str, str, str], None]] = Registry("mailer")
#: Steps of `manage.py prepare` after the migrations, in order of name; each returns facts for its one JSON line.
preparations: Registry[Callable[[], dict[str, Any]]] = Registry("preparation")


@dataclass(frozen=True, slots=True)
class SignInPage:
    """A page of the console that answers before anybody is signed in: its path below /admin/ and its view."""

    route: str
    view: Callable[..., Any]


#: By the name under which the console's site knows the page ("login", "logout", "mfa" ...); `accounts` registers them.
sign_in_pages: Registry[SignInPage] = Registry("sign-in page")
