"""Healthchecks: the checks as its management API lists them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from apps.core.imports import SourceFile
from apps.monitors.importers.base import HEARTBEAT, Draft, ImportFault, register
from apps.monitors.importers.endpoints import tags_of
from apps.monitors.importers.reading import Table, each, load_json


@register("healthchecks")
class Healthchecks:
    """Checks with schedule, grace, tags and keywords; each keeps its UUID where the export contains it."""

    label = "Healthchecks"
    help = "The answer of GET /api/v3/checks/, asked with a key that may write, so that it contains the UUIDs."
    extensions = (".json",)

    def read(self, files: Sequence[SourceFile]) -> list[Draft]:
        """Return a heartbeat for each check, and the integrations as what can't be made."""
        drafts: list[Draft] = []
        for file in files:
            data = load_json(file)
            if isinstance(data, list):
                data = {"checks": data}
            if not isinstance(data, dict) or not isinstance(data.get("checks") or data.get("channels"), list):
                raise ImportFault(f"{file.name}: this is no list of checks of Healthchecks; it has no “checks”.")

            def failed(place: str, problem: str, row: Any) -> Draft:
                name = str(row.get("name") or place) if isinstance(row, dict) else place
                return Draft(place=place, kind=HEARTBEAT, name=name, problem=problem)

            table = Table(data, file.name)
            drafts += each(table.rows("checks"), _check, "check", failed)
            drafts += each(table.rows("channels"), _channel, "integration", failed)
        return drafts


def _check(row: Any, place: str) -> Draft:
    table = Table(row, place)
    uuid = _uuid(table)
    slug = table.text("slug")
    name = table.text("name") or slug or (str(uuid) if uuid else place)
    draft = Draft(place=place, kind=HEARTBEAT, name=name[:255])
    values: dict[str, Any] = {
        "name": name[:255],
        "description": table.text("desc"),
        "tags": tags_of(table.text("tags").split()),
        "grace_seconds": table.integer("grace") or None,
        "resume_on_ping": not table.flag("manual_resume"),
        "is_paused": table.text("status") == "paused",
        "ping_uuid": uuid,
    }
    schedule = table.text("schedule")
    if schedule:
        values["timezone_name"] = table.text("tz") or "UTC"
        values["on_calendar" if len(schedule.split()) != 5 and not schedule.startswith("@") else "cron"] = schedule
    else:
        values["interval_seconds"] = table.integer("timeout") or 86_400
    draft.values = values
    _keywords(table, draft)
    if uuid is None:
        draft.notes.append("The export contains no UUID (the key was read-only): it gets a new address.")
    if table.text("methods") == "POST":
        draft.notes.append("Pings by GET are accepted too.")
    if slug:
        draft.notes.append(f"Its address by the name {slug} needs a ping key here.")
    if table.text("channels"):
        draft.notes.append("Whom to tell is set by channels and rules here.")
    if uuid is not None:
        draft.snippet = lambda url: f"{url}\nThe UUID stays: only the host and the path before it change."
    return draft


def _uuid(table: Table) -> UUID | None:
    for text in (table.text("uuid"), table.text("ping_url").rstrip("/").rpartition("/")[2]):
        try:
            return UUID(text)
        except ValueError:
            continue
    return None


def _keywords(table: Table, draft: Draft) -> None:
    if not (table.flag("filter_subject") or table.flag("filter_body") or table.flag("filter_http_body")):
        return
    for theirs, ours in (
        ("start_kw", "start_keywords"), ("success_kw", "success_keywords"), ("failure_kw", "failure_keywords"),
    ):  # fmt: skip
        words = [word.strip() for word in table.text(theirs).split(",") if word.strip()]
        if words:
            draft.values[ours] = words
            draft.values["otherwise"] = "log"
    if table.flag("filter_subject"):
        draft.notes.append("Keywords are looked for in the body of a ping; it has no subject here.")


def _channel(row: Any, place: str) -> Draft:
    table = Table(row, place)
    kind = table.text("kind") or "unknown"
    problem = f"Integrations ({kind}) are set up as channels here: add one under Channels."
    return Draft(place=place, kind="notification", name=table.text("name") or kind, problem=problem)
