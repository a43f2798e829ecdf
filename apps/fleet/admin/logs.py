"""The log in the console: looked for, followed, and the lines around one."""

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from apps.core.admin.access import may, require
from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.pages import page, render
from apps.core.admin.panels import SubjectPanel, subject_panels
from apps.core.errors import Invalid, NotFound
from apps.core.principals import Principal
from apps.fleet.logs.entries import LEVELS, SOURCES
from apps.fleet.logs.shown import harmless, marked
from apps.fleet.logs.words import Term, parse_words
from apps.fleet.models import Server
from apps.fleet.selectors import find_server
from apps.fleet.selectors.logs import LogQuery, count_logs, log_context, log_volumes, search_logs

LINES = 200
AROUND = 40
ON_SERVER = 8
TONES = {"debug": "unknown", "info": "info", "warning": "warn", "error": "crit", "critical": "crit"}
SPANS = (("", "Any time"), ("900", "15 min"), ("3600", "1 h"), ("86400", "24 h"), ("604800", "7 days"))


def shown_line(body: dict[str, Any], terms: tuple[Term, ...] = ()) -> dict[str, Any]:
    """Return a line as templates want it."""
    return {
        **body,
        "at": datetime.fromisoformat(body["timestamp"]),
        "received": datetime.fromisoformat(body["received_at"]),
        "tone": TONES.get(body["level"], "unknown"),
        "text": marked(body["message"], terms),
        "details": [(harmless(name), harmless(value)) for name, value in body["fields"].items()],
        "url": reverse("admin:log_context", args=[body["id"]]),
    }


def _number(text: str, most: int) -> int | None:
    """Return a whole number; None where the text is none or over `most`."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
    return None if number is None or number > most else number


def _query(request: HttpRequest, actor: Principal) -> tuple[LogQuery, dict[str, str]]:
    """Return what is looked for, and what is wrong with it by field."""
    asked, problems = request.GET, {}
    terms: tuple[Term, ...] = ()
    server = None
    try:
        terms = parse_words(asked.get("q", ""))
    except Invalid as error:
        problems["q"] = error.problems["q"][0]
    try:
        server = find_server(asked["server"], actor) if asked.get("server") else None
    except NotFound:
        problems["server"] = "there is no such server"
    span, before = asked.get("span", ""), asked.get("before", "")
    return (
        LogQuery(
            server=server,
            levels=frozenset(LEVELS[name] for name in asked.getlist("level") if name in LEVELS),
            sources=frozenset(SOURCES[name] for name in [asked.get("source", "")] if name in SOURCES),
            source_name=asked.get("source_name", "").strip(),
            terms=terms,
            since=None if (seconds := _number(span, 10**8)) is None else int((time.time() - seconds) * 1000),
            before=_number(before, 2**63 - 1),
        ),
        problems,
    )


@page("logs/", "logs", code="logs:view")
def logs_view(request: HttpRequest) -> HttpResponse:
    """Look for lines and follow them."""
    actor = require(request, "logs:view")
    query, problems = _query(request, actor)
    found = search_logs(query, actor, limit=LINES) if not problems else None
    total, is_exact = count_logs(query, actor, found) if found else (0, True)
    volumes = log_volumes(actor)
    asked = {name: request.GET.getlist(name) for name in request.GET if name != "before" and request.GET.get(name)}
    live = {"agent_id": query.server.slug if query.server else "", "source_name": query.source_name}
    live |= {name: request.GET.get(name, "") for name in ("q", "source")}
    live["level"] = ",".join(name for name in request.GET.getlist("level") if name in LEVELS)
    return render(
        request,
        "console/logs.html",
        "Logs",
        status=422 if problems else 200,
        lines=[shown_line(body, query.terms) for body in found.entries] if found else [],
        newest=found.entries[0]["id"] if found and found.entries else "0",
        older=urlencode({**asked, "before": found.last_id}, doseq=True) if found and found.has_more else "",
        is_first=query.before is None,
        first=urlencode(asked, doseq=True),
        total=total,
        is_exact=is_exact,
        looked_to=datetime.fromtimestamp(found.looked_to / 1000, UTC)
        if found and found.looked_to is not None
        else None,
        problems=problems,
        levels=[(name, TONES[name], name in request.GET.getlist("level")) for name in LEVELS],
        sources=list(SOURCES),
        spans=SPANS,
        servers=list(Server.objects.visible_to(actor).order_by("name", "id").only("slug", "name")[:500]),
        volumes=volumes[:50],
        volume_bytes=sum(row.bytes for row in volumes),
        volume_lines=sum(row.lines for row in volumes),
        is_narrowed=bool(asked),
        asked={name: values[0] for name, values in asked.items()},
        stream=f"/api/v1/logs/stream?{urlencode({name: value for name, value in live.items() if value})}",
        push_url=f"{settings.PUBLIC_URL}/api/v1/logs",
        may_make_keys=may(request, "api_keys:create"),
        may_see_rules=may(request, "log_rules:view"),
    )


@page("logs/<str:line_id>/", "log_context", code="logs:view")
def context_view(request: HttpRequest, line_id: str) -> HttpResponse:
    """Show the lines around one, of the same source."""
    actor = require(request, "logs:view")
    try:
        bodies = log_context(line_id, actor, before=AROUND, after=AROUND)
    except NotFound as error:
        raise Http404(error.detail) from error
    line = next(body for body in bodies if body["id"] == line_id)
    same = {"server": line["agent_id"], "source": line["source"], "source_name": line["source_name"]}
    return render(
        request,
        "console/log_context.html",
        "Lines around one",
        lines=[shown_line(body) for body in reversed(bodies)],
        line=shown_line(line),
        all_url=f"{reverse('admin:logs')}?{urlencode({name: value for name, value in same.items() if value})}",
    )


def _server_panel(request: HttpRequest, kind: str, row: Any) -> dict[str, Any] | None:
    actor = require(request, "logs:view")
    volume = log_volumes(actor, [row.pk])
    if not volume:
        return None
    bad = frozenset(number for name, number in LEVELS.items() if name in ("error", "critical"))
    found = search_logs(LogQuery(server=row, levels=bad), actor, limit=ON_SERVER)
    return {
        "volume": volume[0],
        "lines": [shown_line(body) for body in found.entries],
        "url": f"{reverse('admin:logs')}?{urlencode({'server': row.slug})}",
    }


subject_panels.register(
    "server-logs", SubjectPanel(("server",), "console/panels/server_logs.html", _server_panel, "logs:view")
)
navigate(WATCH, 15, "Logs", icon="article", url="admin:logs", code="logs:view")
