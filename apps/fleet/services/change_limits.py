"""How many servers may be under change at once: the limits, and the slots that every command draws."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core.errors import Conflict, Invalid, NotFound, PreconditionFailed
from apps.core.events import Subject, emit
from apps.core.models import Tag
from apps.core.principals import Principal
from apps.fleet.models import ChangeLimit, ChangeSlot, Server

FIELDS = ("tag", "hosts_most", "percent_most", "enabled")
#: Names of holders in a refusal.
NAMED_MOST = 5


@dataclass(frozen=True, slots=True)
class Draw:
    """A wish to change a server.

    Args:
        kind, holder_id: what changes it; the slots go with it by `give_back`.
        name: it in words, for refusals: "command of ada".
        for_s: the slot is free after so long whatever happens.
    """

    server_id: UUID
    kind: str
    holder_id: UUID
    name: str
    for_s: float


def draw_slots(draws: Sequence[Draw], *, most: int | None = None) -> tuple[list[Draw], str]:
    """Take a slot for each draw that the limits leave room for, in order. Call it in the transaction of the change.

    A server that is under change already counts once, so a second change of it needs no room. Draws of other processes
    wait until this transaction ends: the rows of the limits are locked (PostgreSQL), writers are alone anyway (SQLite).

    Args:
        most: grant no more than so many.

    Returns:
        The draws that were granted, and the sentence of the limit that refused the others; "" where none did.
    """
    now = timezone.now()
    limits = list(ChangeLimit.objects.select_for_update().filter(enabled=True).order_by("pk")) if draws else []
    granted, refusal = list(draws[:most]), ""
    if limits:
        rooms = [_Room(limit, {one.server_id for one in draws}) for limit in limits]
        granted = []
        for draw in draws:
            against = next((room for room in rooms if not room.takes(draw.server_id)), None)
            if against is not None:
                refusal = refusal or against.refusal()
                continue
            for room in rooms:
                room.add(draw.server_id)
            granted.append(draw)
            if len(granted) == most:
                break
    ChangeSlot.objects.bulk_create(
        [
            ChangeSlot(
                server_id=one.server_id,
                holder_kind=one.kind,
                holder_id=one.holder_id,
                holder_name=one.name[:255],
                taken_at=now,
                until=now + timedelta(seconds=one.for_s),
            )
            for one in granted
        ],
        batch_size=200,
    )
    return granted, refusal


def give_back(kind: str, holder_ids: Collection[UUID]) -> None:
    """Free what these hold. Call it in the transaction that ends them."""
    ChangeSlot.objects.filter(holder_kind=kind, holder_id__in=list(holder_ids)).delete()


def free_old_slots() -> int:
    """Free slots whose time has run out; returns how many."""
    old = ChangeSlot.objects.filter(until__lt=timezone.now())
    return old.delete()[0] if old.exists() else 0


class _Room:
    """What a limit leaves."""

    def __init__(self, limit: ChangeLimit, wanted: Collection[UUID]) -> None:
        self.limit = limit
        members = Server.objects.filter(tags__name=limit.tag) if limit.tag else Server.objects.all()
        self.total = members.count()
        # Of a tag, those of its servers that are wanted now; of all, everybody.
        self.mine = set(members.filter(pk__in=wanted).values_list("pk", flat=True)) if limit.tag else set(wanted)
        slots = ChangeSlot.objects.filter(until__gt=timezone.now())
        if limit.tag:
            slots = slots.filter(server__tags__name=limit.tag)
        self.busy = set(slots.values_list("server_id", flat=True))
        self.most = most_of(limit, self.total)

    def takes(self, server_id: UUID) -> bool:
        return server_id not in self.mine or server_id in self.busy or len(self.busy) < self.most

    def add(self, server_id: UUID) -> None:
        if server_id in self.mine:
            self.busy.add(server_id)

    def refusal(self) -> str:
        rows = ChangeSlot.objects.filter(until__gt=timezone.now(), server_id__in=self.busy)
        held = rows.order_by("taken_at").values_list("server__name", "holder_name")[: NAMED_MOST + 1]
        names = [f"{server} ({holder})" for server, holder in held[:NAMED_MOST]]
        more = len(self.busy) - len(names)
        by = f": {', '.join(names)}" if names else ""
        rest = f" and {more} more" if names and more > 0 else ""
        return f"{sentence_of(self.limit, self.total)}, and {len(self.busy)} are{by}{rest}."


def most_of(limit: ChangeLimit, total: int) -> int:
    """Return how many of `total` servers a limit allows; a percentage never means fewer than one."""
    found = []
    if limit.hosts_most is not None:
        found.append(limit.hosts_most)
    if limit.percent_most is not None:
        found.append(max(1, total * limit.percent_most // 100))
    return min(found)


def sentence_of(limit: ChangeLimit, total: int) -> str:
    """Return a limit in words."""
    return f"At most {most_of(limit, total)} of {_counted(total, limit.tag)} may be under change at once"


def _counted(total: int, tag: str) -> str:
    noun = f"{total} server{'' if total == 1 else 's'}"
    return f"{noun} tagged {tag}" if tag else noun


def create_change_limit(*, actor: Principal, values: Mapping[str, Any]) -> ChangeLimit:
    """Add a limit.

    Args:
        values: tag ("" or absent: all servers), hosts_most, percent_most (1 to 100), of which at least one; where both
            are given the smaller counts; enabled (true).

    Raises:
        Invalid: a value is wrong, or the tag has a limit (422).

    Emits: change_limit.created
    """
    row = ChangeLimit()
    _apply(row, values)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            emit("change_limit.created", subject=_subject(row), actor=actor, data=_facts(row), after=_shown(row))
    except IntegrityError as error:
        raise Invalid({"tag": "there is a limit for it; change that one"}) from error
    return row


def update_change_limit(
    *, actor: Principal, limit_id: UUID | str, values: Mapping[str, Any], revision: int | None = None
) -> ChangeLimit:
    """Change a limit; what runs goes on.

    Args:
        values: as for `create_change_limit`; what is not given stays.

    Raises:
        NotFound: no such limit (404). PreconditionFailed: it was changed since (412). Invalid: a value is wrong (422).

    Emits: change_limit.updated where something changed.
    """
    try:
        with transaction.atomic():
            row = _locked(limit_id, actor)
            if revision is not None and row.revision != revision:
                raise PreconditionFailed(
                    "Somebody changed this since you read it; read it again and repeat your change."
                )
            before = _shown(row)
            _apply(row, values)
            after = _shown(row)
            if after != before:
                row.revision += 1
                row.save()
                emit(
                    "change_limit.updated", subject=_subject(row), actor=actor, data=_facts(row), before=before,
                    after=after,
                )  # fmt: skip
    except IntegrityError as error:
        raise Invalid({"tag": "there is a limit for it; change that one"}) from error
    return row


def delete_change_limit(*, actor: Principal, limit_id: UUID | str) -> None:
    """Remove a limit; from then on it holds nobody back.

    Raises:
        NotFound: no such limit (404).

    Emits: change_limit.deleted
    """
    with transaction.atomic():
        row = _locked(limit_id, actor)
        emit("change_limit.deleted", subject=_subject(row), actor=actor, data=_facts(row), before=_shown(row))
        row.delete()


def refuse(sentence: str) -> Conflict:
    """Return the refusal of a single change for which there is no room (409)."""
    return Conflict(f"{sentence} Wait for one of them, or change the limit.", code="change_limit_reached")


def _locked(limit_id: UUID | str, actor: Principal) -> ChangeLimit:
    row: ChangeLimit | None = (
        ChangeLimit.objects.visible_to(actor).select_for_update(of=("self",)).filter(pk=limit_id).first()
    )
    if row is None:
        raise NotFound("There is no such limit.")
    return row


def _apply(row: ChangeLimit, values: Mapping[str, Any]) -> None:
    for name in FIELDS:
        if name in values:
            setattr(row, name, values[name])
    row.tag = (row.tag or "").strip()
    problems: dict[str, str] = {}
    if row.tag and not Tag.objects.filter(name=row.tag).exists():
        problems["tag"] = "no server has this tag; leave it empty for all servers"
    if row.hosts_most is not None and not 1 <= row.hosts_most <= 100_000:
        problems["hosts_most"] = "must be at least 1"
    if row.percent_most is not None and not 1 <= row.percent_most <= 100:
        problems["percent_most"] = "must lie between 1 and 100"
    if row.hosts_most is None and row.percent_most is None:
        problems["hosts_most"] = "give a number of servers, a percentage, or both"
    if problems:
        raise Invalid(problems)


def _subject(row: ChangeLimit) -> Subject:
    return Subject("change_limit", str(row.pk), str(row))


def _facts(row: ChangeLimit) -> dict[str, Any]:
    return {"limit_id": str(row.pk), "tag": row.tag}


def _shown(row: ChangeLimit) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FIELDS}
