"""Rules that few heartbeats have: several expected pings for a run, and words in the body that say how it went.

Pure, but for reading and writing at the end: a batch without such heartbeats pays for none of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.monitors.models.heartbeats import Heartbeat, HeartbeatWindow, to_ms

#: Sources of one heartbeat whose last ping is remembered; a job that makes up names must not fill the table.
SOURCES_MOST = 200
SOURCE_CHARS = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a success really is: "success", "fail", "start" or "log", and for a failure why."""

    kind: str
    why: str = ""


AS_REPORTED = Verdict("success")


@dataclass(slots=True)
class Rules:
    """The rules of one heartbeat, and which of its expected pings have come for the run that is collected.

    Args:
        expected: successes that make a run complete; 0: one.
        sources: those that must be among them, by name.
        seen: names that have come; "" for a ping without one.
        last: name -> epoch ms of its last success.
    """

    expected: int = 0
    sources: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()
    success: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    otherwise: str = Heartbeat.AS_SUCCESS
    seen: list[str] = field(default_factory=list)
    last: dict[str, int] = field(default_factory=dict)
    is_changed: bool = False

    def judge(self, text: str) -> Verdict:
        """Return what a success with this body is: failure words win over success words, those over start words."""
        if not (self.failure or self.success or self.start):
            return AS_REPORTED
        for word in self.failure:
            if word in text:
                return Verdict("fail", f'its output contains "{word}"')
        if any(word in text for word in self.success):
            return AS_REPORTED
        if any(word in text for word in self.start):
            return Verdict("start")
        if self.otherwise == Heartbeat.AS_FAIL:
            return Verdict("fail", "its output contains none of the words that stand for a success")
        return Verdict("log") if self.otherwise == Heartbeat.AS_LOG else AS_REPORTED

    def note(self, source: str, at: datetime) -> None:
        """Remember when a source came last."""
        if source in self.last or len(self.last) < SOURCES_MOST:
            self.last[source] = to_ms(at)
            self.is_changed = True

    def add(self, source: str) -> bool:
        """Count a success for the run that is collected; returns whether that completes it."""
        if (not source or source not in self.seen) and len(self.seen) < SOURCES_MOST:
            self.seen.append(source)
            self.is_changed = True
        return len(self.seen) >= self.expected and all(name in self.seen for name in self.sources)

    def drop(self, source: str) -> None:
        """Take back a source that reported a failure."""
        if source in self.seen:
            self.seen.remove(source)
            self.is_changed = True

    def clear(self) -> None:
        """Begin with the next run."""
        if self.seen:
            self.seen = []
            self.is_changed = True

    def tally(self) -> str:
        """Return who came and who did not: "4 of 5 came, db3 is missing"."""
        missing = [name for name in self.sources if name not in self.seen]
        came = f"{len(self.seen)} of {self.expected} came" if self.seen else f"none of {self.expected} came"
        if not missing or not self.seen:
            return came
        return f"{came}, {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"


_COLUMNS = (
    "id", "expected_pings", "expected_sources", "failure_keywords", "success_keywords", "start_keywords", "otherwise",
)  # fmt: skip


def read_rules(ids: Iterable[UUID]) -> dict[UUID, Rules]:
    """Return the rules of heartbeats by their id, with what has come. Two queries."""
    wanted = list(ids)
    found = {
        id_: Rules(expected, _words(sources), _words(failure), _words(success), _words(start), otherwise)
        for id_, expected, sources, failure, success, start, otherwise in Heartbeat.objects.filter(pk__in=wanted)
        .order_by()
        .values_list(*_COLUMNS)
    }
    if any(rules.expected for rules in found.values()):
        windows: Any = HeartbeatWindow.objects.filter(pk__in=wanted).values_list("pk", "seen", "last")
        for pk, seen, last in windows:
            found[pk].seen, found[pk].last = list(seen), dict(last)
    return found


def _words(kept: Any) -> tuple[str, ...]:
    return tuple(kept or ())


def write_rules(changed: Sequence[tuple[UUID, Rules]]) -> None:
    """Keep what has come, in the transaction that read it. One statement."""
    HeartbeatWindow.objects.bulk_create(
        [HeartbeatWindow(heartbeat_id=id_, seen=rules.seen, last=rules.last) for id_, rules in changed],
        update_conflicts=True,
        unique_fields=["heartbeat"],
        update_fields=["seen", "last"],
    )
    for _, rules in changed:
        rules.is_changed = False
