"""Monitors of other tools: what their files would make here, and making it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction

from apps.core import errors
from apps.core.errors import DomainError
from apps.core.imports import (
    BYTES_MOST,
    DRAFTS_MOST,
    EXISTS,
    FILES_MOST,
    IMPOSSIBLE,
    NEW,
    ImportItem,
    ImportReport,
    SourceFile,
)
from apps.core.principals import Principal
from apps.monitors.importers import Draft, importers
from apps.monitors.importers.base import ENDPOINT, HEARTBEAT, MAINTENANCE, ImportFault
from apps.monitors.models import Endpoint, Heartbeat, MaintenanceWindow
from apps.monitors.selectors.heartbeats import ping_url
from apps.monitors.services.endpoint_rules import clean_endpoint
from apps.monitors.services.endpoints import create_endpoint
from apps.monitors.services.heartbeat_rules import cleaned as clean_heartbeat
from apps.monitors.services.heartbeat_rules import cleaned_tags
from apps.monitors.services.heartbeats import create_heartbeat, pause_heartbeat
from apps.monitors.services.maintenance_windows import create_window

_PORTION = 500

CODES = {ENDPOINT: "endpoints:create", HEARTBEAT: "heartbeats:create", MAINTENANCE: "maintenance:create"}

_HEARTBEAT: dict[str, Any] = {
    "name": "", "description": "", "interval_seconds": None, "cron": "", "on_calendar": "", "timezone": "UTC",
    "grace_seconds": None, "early_seconds": None, "max_runtime_seconds": None, "resume_on_ping": False, "slug": "",
    "ping_key_id": None, "expected_pings": 0, "expected_sources": [], "failure_keywords": [], "success_keywords": [],
    "start_keywords": [], "otherwise": Heartbeat.AS_SUCCESS,
}  # fmt: skip


@dataclass(slots=True)
class MonitorItem(ImportItem):
    """One thing of a file, and what a job needs of it.

    Args:
        url: the address a job reports to, where one was made.
        snippet: what to put into the job.
    """

    url: str = ""
    snippet: str = ""


def import_monitors(
    *, actor: Principal, format: str, files: Sequence[SourceFile], dry_run: bool
) -> ImportReport[MonitorItem]:
    """Make what files of another tool say, each thing whole or not at all; a second time makes nothing twice.

    What is there already is recognised by type, target and name. Not to be called inside a transaction.

    Args:
        format: a name in `importers`.
        dry_run: make nothing, and tell what would be made.

    Raises:
        Invalid: unknown format, a file that can't be read, too much at once (422).

    Emits: endpoint.created, heartbeat.created, heartbeat.paused, maintenance.created.

    Source: POST /api/v1/monitors/import.
    """
    return _Import(actor, dry_run).run(format, read_drafts(format, files))


def read_drafts(format: str, files: Sequence[SourceFile]) -> list[Draft]:
    """Return what the files say.

    Raises:
        Invalid: unknown format, a file that can't be read, too much at once (422).
    """
    importer = importers.get(format)
    if importer is None:
        raise errors.Invalid({"format": f"must be one of {', '.join(importers)}"})
    if not files or not any(file.text.strip() for file in files):
        raise errors.Invalid({"contents": "give the text of at least one file"})
    if len(files) > FILES_MOST:
        raise errors.Invalid({"contents": f"give at most {FILES_MOST} files at once"})
    if sum(len(file.text.encode("utf-8", "surrogatepass")) for file in files) > BYTES_MOST:
        raise errors.Invalid({"contents": f"give at most {BYTES_MOST >> 20} MB at once"})
    # A byte-order mark is how some editors of Windows begin a file.
    plain = [SourceFile(file.name, file.text.removeprefix("\ufeff")) for file in files]
    try:
        drafts = importer.read(plain)
    except ImportFault as fault:
        raise errors.Invalid({"contents": str(fault)}) from fault
    if len(drafts) > DRAFTS_MOST:
        raise errors.Invalid({"contents": f"they hold {len(drafts):,} things; give at most {DRAFTS_MOST:,} at once"})
    return drafts


def sentence_of(error: DomainError) -> str:
    """Return a refusal as one text that names the fields."""
    text = str(error) if isinstance(error, errors.Invalid) else error.detail
    return text if text.endswith((".", "!", "?")) else f"{text}."


class _Import:
    """One run over the drafts."""

    def __init__(self, actor: Principal, dry_run: bool) -> None:
        self.actor, self.dry_run = actor, dry_run
        self.known: dict[tuple[Any, ...], list[str]] = {}
        self.uuids: dict[str, str] = {}
        self.items: dict[int, MonitorItem] = {}
        self.by_key: dict[str, int] = {}
        self.drafts: list[Draft] = []

    def run(self, format: str, drafts: list[Draft]) -> ImportReport[MonitorItem]:
        """Go over the drafts: single things first, then groups from the inside out, then maintenance."""
        self.drafts = drafts
        self.by_key = {draft.key: number for number, draft in enumerate(drafts) if draft.key}
        self._load(drafts)
        for wants_window in (False, True):
            for number, draft in enumerate(drafts):
                if (draft.kind == MAINTENANCE) == wants_window:
                    self._settle(number, ())
        return ImportReport(format, self.dry_run, [self.items[number] for number in range(len(drafts))])

    def _load(self, drafts: list[Draft]) -> None:
        """Read once what is there under the names of the drafts."""
        found: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        for part in _portions(sorted({draft.name for draft in drafts if draft.kind == ENDPOINT})):
            rows = Endpoint.objects.filter(name__in=part).order_by("num")
            for kind, target, name, pk in rows.values_list("endpoint_type", "target", "name", "pk"):
                found[ENDPOINT, kind, target, name].append(str(pk))
        for part in _portions(sorted({draft.name for draft in drafts if draft.kind == HEARTBEAT})):
            columns = ("name", "kind", "interval_seconds", "cron", "timezone", "pk")
            heartbeats = Heartbeat.objects.filter(name__in=part).order_by("num")
            for *identity, pk in heartbeats.values_list(*columns):
                found[HEARTBEAT, *identity].append(str(pk))
        given = {draft.values["ping_uuid"] for draft in drafts if draft.values.get("ping_uuid")}
        for part in _portions(sorted(given)):
            pairs = Heartbeat.objects.filter(uuid__in=part).values_list("uuid", "pk")
            self.uuids.update({str(uuid): str(pk) for uuid, pk in pairs})
        titles = {draft.name for draft in drafts if draft.kind == MAINTENANCE}
        if titles:
            windows = MaintenanceWindow.objects.filter(title__in=sorted(titles)[:_PORTION])
            for title, kind, pk in windows.values_list("title", "kind", "pk"):
                found[MAINTENANCE, title, kind].append(str(pk))
        self.known = found

    def _settle(self, number: int, above: tuple[int, ...]) -> MonitorItem:
        """Make one thing, after those it is made of."""
        known = self.items.get(number)
        if known is not None:
            return known
        draft = self.drafts[number]
        item = MonitorItem(draft.place, draft.kind, draft.name, reason=draft.problem, notes=list(draft.notes))
        if number in above:
            item.reason = "The group contains itself."
            return item
        if not item.reason:
            members = [self._settle(self.by_key[key], (*above, number)) for key in draft.members if key in self.by_key]
            usable = [member for member in members if member.outcome != IMPOSSIBLE]
            lost = len(draft.members) - len(usable)
            if draft.members and not usable:
                item.reason = "None of its monitors can be made."
            elif lost:
                item.notes.append(f"{lost} of its {len(draft.members)} monitors can't be made and are missing in it.")
            if not item.reason:
                self._make(draft, item, [member.id for member in usable])
        self.items[number] = item
        return item

    def _make(self, draft: Draft, item: MonitorItem, members: list[str]) -> None:
        code = CODES.get(draft.kind)
        if code is None:
            item.reason = "Nothing of this kind is made here."
        elif not self.actor.can(code):
            item.reason = f"You may not add it: this needs the permission {code}."
        else:
            make = {ENDPOINT: self._endpoint, HEARTBEAT: self._heartbeat, MAINTENANCE: self._window}[draft.kind]
            try:
                with transaction.atomic():
                    make(draft, item, members)
            except DomainError as error:
                item.outcome, item.reason, item.id = IMPOSSIBLE, sentence_of(error), ""
            except (DatabaseError, ValueError, TypeError) as error:  # e.g. a null character
                item.outcome, item.id = IMPOSSIBLE, ""
                item.reason = f"It can't be stored ({type(error).__name__}): look at its values."

    def _is_known(self, identity: tuple[Any, ...], item: MonitorItem) -> bool:
        # Of several that look the same, each takes one of those that are there.
        there = self.known.get(identity)
        if not there:
            return False
        item.outcome, item.id, item.reason = EXISTS, there.pop(0), "It is there already."
        return True

    # --- by kind -------------------------------------------------------------------------------------------------

    def _endpoint(self, draft: Draft, item: MonitorItem, members: list[str]) -> None:
        values = dict(draft.values)
        is_group = bool(draft.members)
        pending = is_group and not all(members)  # in a dry run what would be made has no id yet
        if is_group and not pending:
            values["options"] = {**values.get("options", {}), "members": members}
        item.summary = _endpoint_words(values, len(members))
        if pending:
            if not self._is_known((ENDPOINT, values["endpoint_type"], values.get("target", ""), draft.name), item):
                item.outcome = NEW
            return
        clean = clean_endpoint(values)
        if self._is_known((ENDPOINT, clean["endpoint_type"], clean["target"], clean["name"]), item):
            return
        item.outcome = NEW
        if self.dry_run:
            return
        endpoint = create_endpoint(actor=self.actor, values=values)
        item.id = str(endpoint.pk)
        token = getattr(endpoint, "push_token", "")
        if token:
            item.url = f"{settings.PUBLIC_URL}/api/v1/push/{token}"
            item.snippet = f'curl -fsS -m 10 --retry 5 -o /dev/null "{item.url}?status=up&msg=OK"'

    def _heartbeat(self, draft: Draft, item: MonitorItem, members: list[str]) -> None:
        values = dict(draft.values)
        is_paused, uuid = values.pop("is_paused", False), values.pop("ping_uuid", None)
        zone, tags = values.pop("timezone_name", "UTC"), values.pop("tags", [])
        clean = clean_heartbeat({**_HEARTBEAT, **values, "timezone": zone})
        cleaned_tags(tags)
        item.summary = f"{clean['cron']} ({zone})" if clean["cron"] else f"every {clean['interval_seconds']} s"
        if uuid is not None and str(uuid) in self.uuids:
            item.outcome, item.id, item.reason = EXISTS, self.uuids[str(uuid)], "Its UUID is there already."
            return
        identity = (HEARTBEAT, clean["name"], clean["kind"], clean["interval_seconds"], clean["cron"], zone)
        if uuid is None and self._is_known(identity, item):
            return
        item.outcome = NEW
        if uuid is not None:
            self.uuids[str(uuid)] = ""
        if self.dry_run:
            return
        heartbeat = create_heartbeat(actor=self.actor, **values, timezone_name=zone, tags=tags, ping_uuid=uuid)
        if is_paused:
            pause_heartbeat(heartbeat_id=heartbeat.pk, actor=self.actor)
        item.id, item.url = str(heartbeat.pk), ping_url(heartbeat)
        item.snippet = draft.snippet(item.url) if draft.snippet else ""

    def _window(self, draft: Draft, item: MonitorItem, members: list[str]) -> None:
        values = dict(draft.values)
        item.summary = f"{values['kind']}, {values.get('timezone', 'UTC')}"
        if draft.members:
            pending = not all(members)
            values |= {"all_targets": True} if pending else {"targets": [(ENDPOINT, pk) for pk in members]}
        if self._is_known((MAINTENANCE, draft.name, values["kind"]), item):
            return
        window = create_window(actor=self.actor, values=values)
        item.outcome, item.id = NEW, str(window.pk)
        if self.dry_run:
            item.id = ""
            transaction.set_rollback(True)


def _endpoint_words(values: dict[str, Any], members: int) -> str:
    kind, target = values["endpoint_type"], values.get("target", "")
    words = [kind, f"of {members}"] if members else [kind, target]
    every = values.get("interval_s")
    text = " ".join(word for word in words if word) + (f", every {every} s" if every else "")
    return text + ("" if values.get("enabled", True) else ", paused")


def _portions(names: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return [names[start : start + _PORTION] for start in range(0, len(names), _PORTION)]
