"""What all rehearsals share: their bounds, what fired, and whom it would have told."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.alerts.models import Alert
from apps.core.errors import Forbidden, Invalid
from apps.core.events import Subject
from apps.core.ids import new_id
from apps.core.principals import Principal
from apps.core.registries import Registry
from apps.notifications.routing import MadeFact, current_routes
from apps.notifications.selectors import explain_routing

#: A rehearsal reads at most so many rows and works at most so long; what lies beyond is said in its notes.
ROWS_MOST, TIME_MOST_S = 200_000, 7.0
#: So many of what fired are listed, and of so many it is worked out whom they would have told.
LISTED_MOST, EXPLAINED_MOST = 500, 60
SPAN_MOST = timedelta(days=730)


class Budget:
    """How much a rehearsal may still do."""

    def __init__(self) -> None:
        self.rows = ROWS_MOST
        self._until = time.monotonic() + TIME_MOST_S

    @property
    def is_spent(self) -> bool:
        """Return whether it must end now."""
        return self.rows <= 0 or time.monotonic() > self._until


@dataclass(slots=True)
class Firing:
    """An alert that would have been: opened, perhaps escalated, perhaps resolved."""

    source: str
    kind: str
    subject: Subject
    level: str
    opened_at: datetime
    message: str
    value: float | None = None
    server_id: UUID | None = None
    tags: list[str] = field(default_factory=list)
    escalated_at: datetime | None = None
    resolved_at: datetime | None = None
    told: list[dict[str, Any]] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return it as answers show it."""
        lasted = (self.resolved_at - self.opened_at).total_seconds() if self.resolved_at else None
        return {
            "source": self.source,
            "type": self.kind,
            "subject_kind": self.subject.kind,
            "subject_id": self.subject.id,
            "subject_name": self.subject.name,
            "level": self.level,
            "opened_at": self.opened_at,
            "escalated_at": self.escalated_at,
            "resolved_at": self.resolved_at,
            "duration_s": lasted,
            "message": self.message,
            "value": self.value,
            "told": self.told,
        }


@dataclass(slots=True)
class Report:
    """What a rehearsal found.

    Args:
        basis: what of the past it read, in words.
        until: how far it came; earlier than asked where its bounds ended it.
        real: how many alerts of these things there really were, None where that can't be compared.
    """

    kind: str
    since: datetime
    until: datetime
    basis: str = ""
    is_complete: bool = True
    notes: list[str] = field(default_factory=list)
    fired: list[Firing] = field(default_factory=list)
    real: int | None = None
    told: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def per_day(self) -> list[dict[str, Any]]:
        """Return how many opened on each UTC day of the span, the empty ones too where there are not many."""
        counts = Counter(one.opened_at.date() for one in self.fired)
        days = (self.until.date() - self.since.date()).days
        if days <= 366:
            for number in range(days + 1):
                counts.setdefault(self.since.date() + timedelta(days=number), 0)
        return [{"day": day, "count": counts[day]} for day in sorted(counts)]

    def plain(self) -> dict[str, Any]:
        """Return it as answers show it."""
        return {
            "kind": self.kind,
            "from": self.since,
            "to": self.until,
            "basis": self.basis,
            "complete": self.is_complete,
            "notes": self.notes,
            "count": len(self.fired),
            "real_count": self.real,
            "open_at_end": sum(1 for one in self.fired if one.resolved_at is None),
            "per_day": self.per_day(),
            "told": [
                {"kind": kind, "destination": name, "outcome": outcome, "count": count}
                for (kind, name, outcome), count in self.told.most_common()
            ],
            "fired": [one.plain() for one in self.fired[:LISTED_MOST]],
        }

    def cut(self, until: datetime) -> None:
        """Note that the bounds ended it."""
        self.until, self.is_complete = until, False
        self.notes.append(
            f"There was too much to go through; it ends at {until:%Y-%m-%d %H:%M} UTC. Ask for a shorter span or fewer "
            "things."
        )


Rehearse = Callable[[Report, Mapping[str, Any], Principal, Budget], None]
KINDS: Registry[tuple[str, Rehearse]] = Registry("rehearsal")


def rehearsal(kind: str, code: str) -> Callable[[Rehearse], Rehearse]:
    """Register how a kind is rehearsed, and the permission that its things need."""

    def register(run: Rehearse) -> Rehearse:
        KINDS.register(kind, (code, run))
        return run

    return register


def rehearse(
    *, kind: str, proposal: Mapping[str, Any], since: datetime, until: datetime | None = None, actor: Principal
) -> Report:
    """Run a proposed configuration over the stored past.

    Args:
        kind: "threshold", "rule", "schedule" or "endpoint".
        proposal: fields as the service of that thing takes them; see each module.
        since, until: the span; until now where absent.

    Raises:
        Invalid: an unknown kind, a span of the wrong form, or a proposal that would be refused (422).
        Forbidden, NotFound: the caller may not see the things (403, 404).
    """
    now = timezone.now()
    until = min(until or now, now)
    if kind not in KINDS:
        raise Invalid({"kind": f"must be one of {', '.join(KINDS)}"})
    if not actor.can(KINDS[kind][0]):
        raise Forbidden("You may not see what this would be tried on.")
    if since >= until:
        raise Invalid({"from": "must lie before the end, and in the past"})
    if until - since > SPAN_MOST:
        raise Invalid({"from": f"a rehearsal goes back over at most {SPAN_MOST.days} days"})
    report = Report(kind, since, until)
    budget = Budget()
    KINDS[kind][1](report, proposal, actor, budget)
    report.fired = sorted(
        (one for one in report.fired if since <= one.opened_at <= report.until), key=lambda one: one.opened_at
    )
    if kind != "rule":
        _explain(report, budget)
    if len(report.fired) > LISTED_MOST:
        report.notes.append(f"The first {LISTED_MOST} of {len(report.fired)} are listed.")
    return report


def really_opened(report: Report, **filters: Any) -> int:
    """Return how many alerts of these really opened in the span."""
    return Alert.objects.filter(opened_at__gte=report.since, opened_at__lt=report.until, **filters).count()


def _explain(report: Report, budget: Budget) -> None:
    """Work out whom the first ones would have told, by the rules in force."""
    routes = current_routes()
    done = 0
    for one in report.fired[:EXPLAINED_MOST]:
        if done and budget.is_spent:
            break
        fact = MadeFact(
            subject_id=str(new_id()),
            subject_name=one.subject.name,
            level=one.level,
            tags=one.tags,
            at=one.opened_at,
            audience={
                "permission": "alerts:view",
                **({"server_id": str(one.server_id)} if one.server_id else {}),
            },
            data={
                "source": one.source,
                "type": one.kind.partition(":")[0],
                "subject_kind": one.subject.kind,
                "subject_id": one.subject.id,
                "subject_name": one.subject.name,
                "server_id": str(one.server_id) if one.server_id else None,
                "level": one.level,
                "message": one.message,
            },
        )
        for answer in explain_routing(fact, at=one.opened_at, routes=routes):
            if answer.kind == "rule" or answer.outcome == "not told":
                continue
            one.told.append(
                {
                    "kind": answer.kind,
                    "destination": answer.destination,
                    "rule": answer.rule,
                    "outcome": answer.outcome,
                    "reason": answer.reason,
                }
            )
            report.told[answer.kind, answer.destination, answer.outcome] += 1
        done += 1
    if done < len(report.fired):
        report.notes.append(f"Whom it would have told is worked out for the first {done} of them.")
