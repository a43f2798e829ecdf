"""A page's facts as bytes: HTML, JSON, Atom, iCalendar. No request is needed, so any process may draw them."""

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

from django.template.loader import render_to_string
from django.templatetags.static import static

from apps.statuspage import addresses
from apps.statuspage.models import Page

HTML, JSON = "text/html; charset=utf-8", "application/json"
ATOM, ICAL = "application/atom+xml; charset=utf-8", "text/calendar; charset=utf-8"
_ATOM_NS = "http://www.w3.org/2005/Atom"

#: How a status looks: tone, and a symbol drawn in SVG, for those who see no colours.
TONES = {
    "operational": "ok",
    "degraded": "warn",
    "partial_outage": "bad",
    "major_outage": "crit",
    "under_maintenance": "info",
    "no_data": "none",
}
_DAY_WORDS = {
    "operational": "operational",
    "degraded": "degraded",
    "partial_outage": "partial outage",
    "major_outage": "outage",
    "under_maintenance": "maintenance",
    "no_data": "no data",
}


@dataclass(frozen=True, slots=True)
class Body:
    """One answer, ready to send.

    Args:
        packed: the same bytes in gzip; empty where that saves nothing.
    """

    content_type: str
    content: bytes
    packed: bytes
    etag: str


def body(content_type: str, content: bytes) -> Body:
    """Return an answer with its ETag and its packed form."""
    packed = gzip.compress(content, 6, mtime=0) if len(content) > 500 else b""
    return Body(content_type, content, packed, f'"{hashlib.sha256(content).hexdigest()[:24]}"')


def draw(page: Page, facts: Mapping[str, Any], updated_at: datetime) -> dict[str, Body]:
    """Return a page's answers by name: page, history, json, feed, calendar, and logo where there is one."""
    logo = getattr(page, "logo", None)
    context = page_context(page, facts, updated_at, has_logo=logo is not None)
    found = {
        "page": body(HTML, render_to_string("statuspage/page.html", context).encode()),
        "history": body(HTML, render_to_string("statuspage/history.html", context).encode()),
        "json": body(JSON, json.dumps(_public_json(facts, updated_at), ensure_ascii=False).encode()),
        "feed": body(ATOM, _atom(page, facts, updated_at)),
        "calendar": body(ICAL, _ical(page, facts, updated_at)),
    }
    if logo is not None:
        found["logo"] = body(logo.content_type, bytes(logo.body))
    return found


def frame(page: Page | None, /, **more: Any) -> dict[str, Any]:
    """Return what the frame of every public page needs."""
    return {
        "name": page.name if page else "Status",
        "path": addresses.path_of(page) if page else "/status",
        "theme": page.theme if page else "auto",
        "accent_light": page.accent_light if page else "#0b6e8f",
        "accent_dark": page.accent_dark if page else "#5cc4e8",
        "home_url": page.home_url if page else "",
        "css": static("statuspage/status.css"),
        "js": static("statuspage/status.js"),
        "icon": static("console/icon.svg"),
        **more,
    }


def page_context(page: Page, facts: Mapping[str, Any], updated_at: datetime, *, has_logo: bool) -> dict[str, Any]:
    """Return what the templates of a page and its history need."""
    sections = [
        {
            **section,
            "tone": TONES[section["status"]],
            "components": [_component_context(one) for one in section["components"]],
        }
        for section in facts["groups"]
    ]
    names = [one["name"] for section in facts["groups"] for one in section["components"]]
    return frame(
        page,
        **facts,
        intro=page.intro,
        tone=TONES[facts["global_status"]],
        sections=sections,
        names=names,
        updated_at=updated_at,
        updated_iso=updated_at.isoformat(),
        slug=page.slug,
        has_logo=has_logo,
        may_subscribe=page.allow_subscriptions,
        months=_months(facts["history"]),
    )


def _component_context(one: Mapping[str, Any]) -> dict[str, Any]:
    days = [
        {
            "tone": TONES[day["status"]],
            "title": f"{_spoken(day['date'])}: {_DAY_WORDS[day['status']]}"
            + (f", {percent(day['uptime_percent'])}" if day["uptime_percent"] is not None else ""),
        }
        for day in one["days"]
    ]
    bad = sum(day["status"] in ("degraded", "partial_outage", "major_outage") for day in one["days"])
    share = one["uptime_percent"]
    label = f"{one['name']}, the last {len(days)} days: "
    label += f"{percent(share)} uptime, " if share is not None else "no data yet, "
    label += f"{bad} days with problems" if bad != 1 else "1 day with problems"
    return {**one, "tone": TONES[one["status"]], "bars": days, "share": percent(share), "bars_label": label}


def percent(value: float | None) -> str:
    """Return a share: "99.95 %", "100 %"; "" for None."""
    if value is None:
        return ""
    return f"{value:.3f}".rstrip("0").rstrip(".") + " %"


def _spoken(day: str) -> str:
    at = date.fromisoformat(day)
    return f"{at.day} {at:%b %Y}"


def _months(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    months: dict[str, list[dict[str, Any]]] = {}
    for notice in history:
        months.setdefault(f"{datetime.fromisoformat(notice['starts_at']):%B %Y}", []).append(notice)
    return [{"name": name, "notices": notices} for name, notices in months.items()]


def _public_json(facts: Mapping[str, Any], updated_at: datetime) -> dict[str, Any]:
    components = [one for section in facts["groups"] for one in section["components"]]
    return {
        "page": facts["page"],
        "global_status": facts["global_status"],
        "global_message": facts["global_message"],
        "updated_at": updated_at.isoformat(),
        "groups": [
            {"name": one["name"], "status": one["status"], "components": [each["name"] for each in one["components"]]}
            for one in facts["groups"]
        ],
        "components": components,
        "active_incidents": facts["active_incidents"],
        "active_maintenance": facts["active_maintenance"],
        "upcoming_maintenance": facts["upcoming_maintenance"],
        "recent_notices": facts["recent_notices"],
    }


def _atom(page: Page, facts: Mapping[str, Any], updated_at: datetime) -> bytes:
    """Return the feed. Source: RFC 4287."""
    ElementTree.register_namespace("", _ATOM_NS)
    url, host = addresses.url_of(page), urlsplit(addresses.base_of(page)).hostname
    root = ElementTree.Element(f"{{{_ATOM_NS}}}feed")

    def add(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> ElementTree.Element:
        element = ElementTree.SubElement(parent, f"{{{_ATOM_NS}}}{name}", attributes)
        element.text = text or None
        return element

    add(root, "id", f"tag:{host},2026:status/{page.slug}")
    add(root, "title", f"{page.name}: status")
    latest = max((one["updates"][0]["at"] for one in facts["history"] if one["updates"]), default="")
    add(root, "updated", latest or page.created_at.isoformat())
    add(root, "link", rel="self", type="application/atom+xml", href=f"{url}/feed.atom")
    add(root, "link", rel="alternate", type="text/html", href=url)
    author = add(root, "author")
    add(author, "name", page.name)
    for notice in facts["history"]:
        entry = add(root, "entry")
        add(entry, "id", f"tag:{host},2026:status/{page.slug}/{notice['reference']}")
        add(entry, "title", f"{notice['title']} ({notice['label']})")
        times = [notice["published_at"]]
        times += [stamp for update in notice["updates"] for stamp in (update["at"], update["edited_at"]) if stamp]
        add(entry, "updated", max(times))
        add(entry, "published", notice["published_at"])
        add(entry, "link", rel="alternate", type="text/html", href=f"{url}/history#n-{notice['reference']}")
        add(entry, "category", term=notice["kind"])
        lines = [
            f"{update['label']} ({update['at'][:16].replace('T', ' ')} UTC): {update['message']}"
            for update in notice["updates"]
        ]
        if notice["components"]:
            lines.append(f"Affected: {', '.join(notice['components'])}")
        add(entry, "content", "\n\n".join(lines) or notice["label"], type="text")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _ical(page: Page, facts: Mapping[str, Any], updated_at: datetime) -> bytes:
    """Return the maintenances as a calendar. Source: RFC 5545."""
    host = urlsplit(addresses.base_of(page)).hostname

    def stamp(text: str) -> str:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y%m%dT%H%M%SZ}"

    def said(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
        return escaped.replace("\r\n", "\\n").replace("\n", "\\n")

    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Watchkeeper//Status page//EN", "CALSCALE:GREGORIAN"]
    lines.append(f"X-WR-CALNAME:{said(page.name)}: maintenance")
    for notice in facts["history"]:
        if notice["kind"] != "maintenance" or not notice["ends_at"]:
            continue
        newest = max([notice["published_at"], *(update["at"] for update in notice["updates"])])
        lines += [
            "BEGIN:VEVENT",
            f"UID:{notice['reference']}@{host}",
            f"DTSTAMP:{stamp(newest)}",
            f"DTSTART:{stamp(notice['starts_at'])}",
            f"DTEND:{stamp(notice['ends_at'])}",
            f"SEQUENCE:{len(notice['updates'])}",
            f"SUMMARY:{said(notice['title'])}",
            f"DESCRIPTION:{said(', '.join(notice['components']) or notice['label'])}",
            "STATUS:CONFIRMED",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return b"".join(_folded(line) for line in lines)


def _folded(line: str) -> bytes:
    # Lines have at most 75 octets; a longer one goes on after a blank. Never cut within a letter.
    parts: list[bytes] = [b""]
    for letter in line:
        octets = letter.encode()
        if len(parts[-1]) + len(octets) > (75 if len(parts) == 1 else 74):
            parts.append(b"")
        parts[-1] += octets
    return b"\r\n ".join(parts) + b"\r\n"
