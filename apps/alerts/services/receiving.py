"""Alerts of other systems, taken into ours: which of them is news, and what becomes of it.

What a source said last of each of its things is a row. A post locks the rows of its alerts, compares, and calls the
same services as every other cause of alerts. Portions are short transactions; a post that is cut off half-way is sent
again, and what was taken before is then no news.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.alerts.inbound import Batch, Incoming, Problem, kinds
from apps.alerts.models import Alert, AlertSource, ReceivedAlert
from apps.alerts.services.alerts import clear_alert, open_alert
from apps.alerts.states import RANK, RESOLVED
from apps.core.errors import DomainError
from apps.core.events import Subject
from apps.core.models import Tag
from apps.core.principals import Principal
from apps.core.registries import parent_finders
from apps.fleet.selectors.addresses import servers_of_hosts

#: What such alerts have as their source, and their things as their kind.
EXTERNAL = "external"
#: Alerts of one transaction at first, at least and at most: what opens takes far longer than what is known already.
PORTION, PORTION_LEAST, PORTION_MOST = 20, 10, 200
#: How long a transaction may last: on SQLite it keeps everybody else waiting.
BUDGET_S = 0.04
ERRORS_MOST = 100

State = ReceivedAlert.State
OPENED, UPDATED, ENDED, IGNORED = "opened", "updated", "resolved", "ignored"


@dataclass(slots=True)
class Outcome:
    """What became of a post."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as the answer shows it."""
        return {
            "accepted": self.counts.total(),
            **{word: self.counts[word] for word in (OPENED, UPDATED, ENDED, IGNORED)},
            "errors": [one.as_dict() for one in self.problems[:ERRORS_MOST]],
            "warnings": list(self.warnings),
        }

    @property
    def error(self) -> str:
        """Return in a sentence what was not taken; "" where all was."""
        if not self.problems:
            return ""
        one = self.problems[0]
        more = f", and {len(self.problems) - 1} more" if len(self.problems) > 1 else ""
        place = f"alert {one.index + 1}" + (f", {one.field}" if one.field else "")
        return f"Not taken: {place}: {one.message}{more}"[:500]


def actor_of(source: AlertSource) -> Principal:
    """Return who acts for what a source says."""
    return Principal(kind="system", id=f"alert_source:{source.pk}", name=source.name, permissions=frozenset())


def subject_id_of(source: AlertSource, fingerprint: str) -> str:
    """Return the id under which a thing of a source stands in alerts."""
    return hashlib.sha256(f"{source.pk}:{fingerprint}".encode()).hexdigest()[:40]


def take_batch(source: AlertSource, batch: Batch) -> Outcome:
    """Take what a post says, in order. Everything counted in the outcome is committed.

    A repetition of what is known changes no state and tells nobody: it is only counted. One alert is the same outage as
    long as fingerprint and start are the same; an alert that people resolved by hand stays so until a new one begins or
    it gets worse.

    Emits: what `open_alert` and `clear_alert` emit.
    """
    outcome = Outcome(Counter({IGNORED: batch.ignored} if batch.ignored else {}), list(batch.problems), batch.warnings)
    places = _Places()
    actor, done, size = actor_of(source), 0, PORTION
    while done < len(batch.alerts):
        portion = batch.alerts[done : done + size]
        places.learn(portion)  # reads, before the transaction
        indexes = batch.indexes[done : done + size] or range(done, done + len(portion))
        began = time.monotonic()
        taken = _take_portion(source, portion, indexes, places, outcome, actor)
        done += taken
        if taken < len(portion):
            size = max(PORTION_LEAST, taken)
        elif time.monotonic() - began < BUDGET_S / 2:
            size = min(PORTION_MOST, size * 2)
    return outcome


def _take_portion(
    source: AlertSource,
    portion: Sequence[Incoming],
    indexes: Sequence[int],
    places: "_Places",
    outcome: Outcome,
    actor: Principal,
) -> int:
    """Take alerts until the transaction has lasted long enough; returns how many, at least one."""
    ids = [subject_id_of(source, one.fingerprint) for one in portion]
    counts: Counter[str] = Counter()
    problems: list[Problem] = []
    done = 0
    with transaction.atomic():
        began, now = time.monotonic(), timezone.now()
        rows = _rows(source, sorted(set(ids)), now)
        known = [row.alert_id for row in rows.values() if row.alert_id]
        alerts = Alert.objects.select_for_update().unresolved().filter(id__in=known).order_by("id")
        still_open = set(alerts.values_list("id", flat=True)) if known else set()
        seen: Counter[UUID] = Counter()
        changed: dict[str, ReceivedAlert] = {}
        for one, subject_id in zip(portion, ids, strict=True):
            done += 1
            taking = _Taking(source, rows[subject_id], one, places.find(one), actor, now, still_open, seen)
            try:
                if taking.is_known():
                    counts[IGNORED] += 1
                else:
                    with transaction.atomic():
                        counts[taking.take()] += 1
            except (DataError, IntegrityError, DomainError, ValueError) as error:
                problems.append(Problem(indexes[done - 1], "", f"could not be stored: {type(error).__name__}"))
            else:
                changed[subject_id] = rows[subject_id]
            if time.monotonic() - began > BUDGET_S:
                break
        for times in sorted(set(seen.values())):
            again = [number for number, count in seen.items() if count == times]
            Alert.objects.filter(id__in=again).update(count=F("count") + times, last_seen_at=now)
        # Far cheaper than an update row by row; all of them are there.
        ReceivedAlert.objects.bulk_create(
            [changed[one] for one in sorted(changed)],
            update_conflicts=True,
            unique_fields=["subject_id"],
            update_fields=_WRITTEN,
        )
    outcome.counts += counts
    outcome.problems += problems
    return done


_WRITTEN = (
    "name", "server_id", "state", "starts_at", "said_at", "ends_at", "level", "digest", "alert_id", "last_seen_at",
)  # fmt: skip


def _rows(source: AlertSource, ids: list[str], now: datetime) -> dict[str, ReceivedAlert]:
    """Return the locked rows of these subjects, always in the same order; those that are missing are added."""

    def locked(wanted: Iterable[str]) -> dict[str, ReceivedAlert]:
        found = ReceivedAlert.objects.select_for_update().filter(subject_id__in=list(wanted)).order_by("subject_id")
        return {row.subject_id: row for row in found}

    rows = locked(ids)
    missing = [one for one in ids if one not in rows]
    if missing:
        # Another post may add the same at this moment: then this waits for it and finds its rows.
        ReceivedAlert.objects.bulk_create(
            [ReceivedAlert(source=source, subject_id=one, last_seen_at=now) for one in missing], ignore_conflicts=True
        )
        rows |= locked(missing)
    return rows


@dataclass(slots=True)
class _Taking:
    """One alert against what is known of its thing."""

    source: AlertSource
    row: ReceivedAlert
    one: Incoming
    place: "_Place"
    actor: Principal
    now: datetime
    still_open: set[UUID]
    seen: Counter[UUID]

    def is_known(self) -> bool:
        """Return whether it says again what is known and stands, and count it; most posts are that."""
        row, one = self.row, self.one
        if row.state != State.FIRING or not one.is_firing or row.alert_id not in self.still_open:
            return False
        if one.starts_at != row.starts_at and one.starts_at and row.starts_at or row.digest != one.digest:
            return False
        if self._is_stale():
            return False
        self.seen[row.alert_id] += 1
        self._note(State.FIRING)
        return True

    def take(self) -> str:
        """Do what follows; returns opened, updated, resolved or ignored."""
        return self._firing() if self.one.is_firing else self._over()

    def _is_stale(self) -> bool:
        """Return whether it is older than what is known."""
        one, row = self.one, self.row
        if one.starts_at and row.starts_at:
            return one.starts_at < row.starts_at
        return bool(one.said_at and row.said_at and one.said_at < row.said_at)

    def _over(self) -> str:
        row = self.row
        if row.state == State.FIRING and self._is_stale():
            return IGNORED  # the end of an earlier outage, late
        word = IGNORED
        if row.state == State.FIRING:
            note = f"{self.source.name} says that it is over."
            alert = clear_alert(source=EXTERNAL, kind="", subject_id=row.subject_id, actor=self.actor, note=note)
            if alert is not None:
                self.still_open.discard(alert.id)
                word = ENDED
        self._note(State.RESOLVED)
        return word

    def _firing(self) -> str:
        row, one = self.row, self.one
        level = one.level or self.source.default_level
        if row.state in (State.FIRING, State.RESOLVED) and self._is_stale():
            return IGNORED
        if row.state == State.RESOLVED and one.starts_at and one.starts_at == row.starts_at:
            return IGNORED  # that outage is over; this was on its way for longer than its end
        is_same = row.state == State.FIRING and not (one.starts_at and row.starts_at and one.starts_at > row.starts_at)
        is_open = row.alert_id in self.still_open
        if is_same and not is_open and RANK[level] <= RANK.get(row.level, -1):
            self._note(State.FIRING)
            return IGNORED  # resolved by hand, and nothing new
        if self.place.server_id != row.server_id:  # written before: what it depends on is asked of this row
            row.server_id = self.place.server_id
            row.save(update_fields=["server_id"])
        row.name = one.name
        alert = open_alert(
            source=EXTERNAL,
            kind=one.kind or "alert",
            subject=Subject(EXTERNAL, row.subject_id, one.name),
            level=level,
            message=one.message,
            actor=self.actor,
            value=one.value,
            server_id=self.place.server_id,
            tags=self._tags(),
            evidence=self._evidence(),
        )
        word = UPDATED if is_open and alert.id == row.alert_id else OPENED
        self._note(State.FIRING)
        row.alert_id, row.level, row.digest = alert.id, level, one.digest
        self.still_open.add(alert.id)
        return word

    def _note(self, state: str) -> None:
        row, one = self.row, self.one
        row.state, row.last_seen_at, row.ends_at = state, self.now, one.ends_at
        row.starts_at = max(filter(None, (row.starts_at, one.starts_at)), default=None)
        row.said_at = max(filter(None, (row.said_at, one.said_at)), default=None)

    def _tags(self) -> list[str]:
        labels = self.one.labels
        named = (f"{name}:{labels[name]}"[:64] for name in self.source.tag_labels if labels.get(name))
        return list(dict.fromkeys([*self.source.tags, *named, *self.place.tags]))

    def _evidence(self) -> Mapping[str, Any]:
        one = self.one
        found = {
            "received_from": self.source.name,
            "system": kinds[self.source.kind].label,
            "severity": one.severity,
            "started_at": one.starts_at.isoformat() if one.starts_at else "",
            "link": one.link,
            "labels": dict(one.labels),
            "annotations": dict(one.annotations),
        }
        return {name: value for name, value in found.items() if value}


# --- the server an alert is about ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    server_id: UUID | None = None
    tags: tuple[str, ...] = ()


_NOWHERE = _Place()


class _Places:
    """Which of our servers alerts are about: each name is looked up once a post."""

    def __init__(self) -> None:
        self._of_host: dict[str, _Place] = {}

    def learn(self, alerts: Iterable[Incoming]) -> None:
        """Look up the names that are new."""
        hosts = {host for one in alerts for host in one.hosts} - self._of_host.keys()
        servers = servers_of_hosts(hosts)
        ids = {UUID(found.id) for found in servers.values()}
        tags: dict[str, list[str]] = {}
        if ids:
            for server_id, name in Tag.objects.filter(servers__in=ids).order_by("name").values_list("servers", "name"):
                tags.setdefault(str(server_id), []).append(name)
        for host in hosts:
            found = servers.get(host)
            self._of_host[host] = _Place(UUID(found.id), tuple(tags.get(found.id, ()))) if found else _NOWHERE

    def find(self, one: Incoming) -> _Place:
        """Return where an alert belongs; the first name that is known counts."""
        return next((place for host in one.hosts if (place := self._of_host[host]).server_id), _NOWHERE)


def _parents_of_external(subject_id: str) -> list[tuple[str, str]]:
    server_id = ReceivedAlert.objects.filter(subject_id=subject_id).values_list("server_id", flat=True).first()
    return [("server", str(server_id))] if server_id else []


parent_finders.register(EXTERNAL, _parents_of_external)


# --- what nobody speaks of any more --------------------------------------------------------------------------------


def end_silent(*, now: datetime | None = None, limit: int = 500) -> int:
    """Resolve alerts whose sender named an end that has come, or has said nothing for as long as its source allows.

    Short transactions. Returns how many things were ended.

    Emits: alert.resolved, one an alert.
    """
    moment = now or timezone.now()
    due = Q(ends_at__lte=moment)
    limits = AlertSource.objects.filter(resolve_after_s__isnull=False).values_list("pk", "resolve_after_s")
    for pk, seconds in limits:
        assert seconds is not None
        due |= Q(source=pk, last_seen_at__lte=moment - timedelta(seconds=seconds))
    ids = list(
        ReceivedAlert.objects.filter(due, state=State.FIRING).order_by("id").values_list("id", flat=True)[:limit]
    )
    done = 0
    while done < len(ids):
        began = time.monotonic()
        with transaction.atomic():
            for number in ids[done : done + PORTION_MOST]:
                _end(number, due, moment)
                done += 1
                if time.monotonic() - began > BUDGET_S:
                    break
    return len(ids)


def _end(number: int, due: Q, now: datetime) -> None:
    rows = ReceivedAlert.objects.select_for_update(of=("self",)).select_related("source")
    row = rows.filter(due, id=number, state=State.FIRING).first()
    if row is None:  # news came meanwhile
        return
    note = "The end that its sender named has come."
    if row.ends_at is None or row.ends_at > now:
        note = f"No news from {row.source.name} since {row.last_seen_at:%Y-%m-%d %H:%M} UTC."
    clear_alert(source=EXTERNAL, kind="", subject_id=row.subject_id, actor=actor_of(row.source), note=note)
    row.state = State.EXPIRED
    row.save(update_fields=["state"])


def prune_received(limit: int, before: datetime) -> int:
    """Delete at most `limit` things of which nothing was said since `before` and whose alert is over."""
    quiet = ReceivedAlert.objects.exclude(state=State.FIRING).filter(last_seen_at__lt=before)
    ids = list(quiet.order_by("last_seen_at").values_list("id", flat=True)[:limit])
    ReceivedAlert.objects.filter(id__in=ids).delete()
    return len(ids)


def open_count(source: AlertSource) -> int:
    """Return how many alerts of a source are open."""
    firing = source.received.filter(state=State.FIRING, alert_id__isnull=False).values("alert_id")
    return Alert.objects.filter(id__in=firing).exclude(status=RESOLVED).count()
