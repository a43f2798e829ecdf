"""Silences: for a time nobody is told of the alerts that match."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.alerts.models import Alert, Silence
from apps.alerts.services.suppression import review_all_open, review_due
from apps.alerts.services.verdicts import forget_silences, matches
from apps.alerts.states import LEVELS, RANK
from apps.core import bell
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.events import Subject, emit
from apps.core.principals import Principal, system

LONGEST = timedelta(days=366)
MOST_WORDS = 50
#: How a matcher may be called, and the column it stands in.
MATCHERS = {
    "source": "sources", "sources": "sources", "entity_type": "sources",
    "entity": "entities", "entities": "entities", "entity_id": "entities",
    "level": "levels", "levels": "levels", "severity": "levels",
    "tag": "tags", "tags": "tags",
}  # fmt: skip


def create_silence(
    *,
    actor: Principal,
    matchers: Mapping[str, Any],
    ends_at: datetime | None = None,
    duration_s: float | None = None,
    starts_at: datetime | None = None,
    reason: str = "",
) -> Silence:
    """Silence the alerts that match, those that are open now too.

    Args:
        matchers: source, entity (id, "kind:id" or a name with * and ?), level, tag; a text or a list each. All must
            match; none at all silences everything.
        ends_at, duration_s: exactly one of them; a silence without an end is not made.
        starts_at: now where absent.

    Raises:
        Invalid: no end, one in the past or more than a year away, an unknown matcher or level (422).

    Emits: silence.created, and alert.silenced for each open alert that matches.
    """
    now = timezone.now()
    columns, problems = _cleaned(matchers)
    start = starts_at or now
    if (ends_at is None) == (duration_s is None):
        problems["ends_at"] = "give an end, or a duration such as 2h; exactly one of them"
    end = ends_at if ends_at is not None else start + _length(duration_s)
    if "ends_at" not in problems:
        field = "ends_at" if ends_at is not None else "duration"
        if end <= max(start, now):
            problems[field] = "must lie after the start, and in the future"
        elif end - start > LONGEST:
            problems[field] = "at most a year; a monitor that is never to tell can be paused"
    if len(reason) > 500:
        problems["reason"] = "at most 500 characters"
    if problems:
        raise Invalid(problems)
    silence = Silence(**columns, reason=reason.strip(), starts_at=start, ends_at=end, created_by=actor.name[:255])
    with transaction.atomic():
        silence.save(force_insert=True)
        _announce()
        _emit(
            "silence.created", silence, actor, after={**columns, "reason": silence.reason, "ends_at": end.isoformat()}
        )
    if start <= now:
        begin_and_end(now=now)
    return silence


def cancel_silence(*, silence_id: UUID | str, actor: Principal) -> Silence:
    """End a silence now; its row stays. What still stands and matches no other silence is told.

    Raises:
        NotFound: no such silence (404).
        Conflict: it is over already (409).

    Emits: silence.cancelled, and what `review_due` emits.
    """
    with transaction.atomic():
        silence = Silence.objects.select_for_update().visible_to(actor).filter(id=silence_id).first()
        if silence is None:
            raise NotFound("There is no such silence.")
        if silence.state in ("cancelled", "ended"):
            raise Conflict("This silence is over already.", code="wrong_state")
        silence.cancelled_at, silence.cancelled_by = timezone.now(), actor.name[:255]
        silence.revision += 1
        silence.save(update_fields=["cancelled_at", "cancelled_by", "revision", "updated_at"])
        _announce()
        _emit("silence.cancelled", silence, actor, before={"ends_at": silence.ends_at.isoformat()})
    begin_and_end()
    return silence


def begin_and_end(*, now: datetime | None = None) -> int:
    """Follow up the silences that have begun or ended since the last look: have the alerts looked at again.

    Returns:
        How many began or ended.

    Emits: silence.ended for those whose time is over, and what `review_due` emits.
    """
    moment = now or timezone.now()
    begun = list(
        Silence.objects.filter(began_at__isnull=True, ended_at__isnull=True, cancelled_at__isnull=True)
        .filter(starts_at__lte=moment)
        .order_by("id")[:50]
    )
    over = Q(cancelled_at__isnull=False) | Q(ends_at__lte=moment)
    ended = list(Silence.objects.filter(over, ended_at__isnull=True).order_by("id")[:50])
    if begun or ended:
        with transaction.atomic():
            Silence.objects.filter(id__in=[one.id for one in begun]).update(began_at=moment)
            Silence.objects.filter(id__in=[one.id for one in ended]).update(ended_at=moment)
            forget_silences()
            if begun:
                review_all_open(now=moment)
            Alert.objects.unresolved().filter(cause_kind="silence", cause_id__in=[str(one.id) for one in ended]).update(
                review_at=moment
            )
            for silence in ended:
                if silence.cancelled_at is None:
                    _emit("silence.ended", silence, system("alerts"))
        review_due(now=moment, limit=100)  # in somebody's request; the sweep goes on with what is left
    return len(begun) + len(ended)


def muted_by_silences(silences: Iterable[Silence]) -> dict[UUID, list[Alert]]:
    """Return the open alerts that each of the silences matches now, newest first; none for one that is not active.

    One query for any number of silences.
    """
    running = {one.id: one for one in silences if one.is_active}
    found: dict[UUID, list[Alert]] = {number: [] for number in running}
    if running:
        columns = ("id", "source", "kind", "level", "tags", "subject_kind", "subject_id", "subject_name", "server_id")
        for alert in Alert.objects.unresolved().only(*columns, "status").order_by("-id")[:5000]:
            for number, silence in running.items():
                if matches(silence, alert):
                    found[number].append(alert)
    return found


def _announce() -> None:
    """Have every process read the silences again."""
    forget_silences()

    def ring() -> None:
        forget_silences()
        bell.ring(bell.SETTINGS)

    transaction.on_commit(ring)


def _length(seconds: float | None) -> timedelta:
    try:
        return timedelta(seconds=seconds or 0)
    except OverflowError:
        return LONGEST * 2


def _cleaned(matchers: Mapping[str, Any]) -> tuple[dict[str, list[str]], dict[str, str]]:
    columns: dict[str, list[str]] = {"sources": [], "entities": [], "levels": [], "tags": []}
    problems: dict[str, str] = {}
    for name, given in matchers.items():
        column = MATCHERS.get(name)
        if column is None:
            problems[f"matchers.{name}"] = "is no matcher; use source, entity, level or tag"
            continue
        words = [given] if isinstance(given, str) else given
        if words is None:
            continue
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            problems[f"matchers.{name}"] = "give a text or a list of texts"
            continue
        words = [word.strip() for word in words if word.strip()]
        if len(words) > MOST_WORDS or any(len(word) > 255 for word in words):
            problems[f"matchers.{name}"] = f"at most {MOST_WORDS} texts of 255 characters"
        elif column == "levels" and (wrong := sorted(set(words) - set(RANK))):
            problems[f"matchers.{name}"] = f"“{wrong[0]}” is not one of {', '.join(LEVELS)}"
        else:
            columns[column] = list(dict.fromkeys([*columns[column], *words]))
    return columns, problems


def _emit(name: str, silence: Silence, actor: Principal, **audit: Mapping[str, Any]) -> None:
    emit(
        name,
        subject=Subject("silence", str(silence.id), str(silence)),
        actor=actor,
        data={
            "silence_id": str(silence.id),
            "about": silence.about,
            "reason": silence.reason,
            "starts_at": silence.starts_at.isoformat(),
            "ends_at": silence.ends_at.isoformat(),
        },
        before=audit.get("before"),
        after=audit.get("after"),
    )
