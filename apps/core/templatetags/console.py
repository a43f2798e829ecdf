"""Tags and filters of the console's templates."""

import json
import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.admin.utils import display_for_field, display_for_value, lookup_field
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.http import HttpRequest
from django.utils.html import conditional_escape, escape, format_html
from django.utils.safestring import SafeString, mark_safe

from apps.core.admin import words
from apps.core.admin.access import may

register = template.Library()

_MOMENT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")


@register.simple_tag
@lru_cache(maxsize=512)
def icon(name: str, css: str = "") -> SafeString:
    """Draw a symbol; it says nothing to a screen reader, so a word goes with it."""
    return format_html('<span class="material-symbols-outlined wk-icon {}" aria-hidden="true">{}</span>', css, name)


@register.simple_tag
def badge(state: Any, word: str = "", tone: str = "") -> SafeString:
    """Draw a state as icon and word in its tone."""
    return _badge(str(state or "unknown"), word, tone)


@lru_cache(maxsize=1024)
def _badge(state: str, word: str, tone: str) -> SafeString:
    look = words.look_of(state)
    return format_html(
        '<span class="wk-badge is-{}" data-state="{}">{}<span>{}</span></span>',
        tone or look.tone,
        state,
        icon(look.icon),
        word or look.word,
    )


@register.filter
def tone(state: Any) -> str:
    """Return the tone of a state."""
    return words.look_of(state).tone


@register.filter
def word(state: Any) -> str:
    """Return the word for a state."""
    return words.look_of(state).word


@register.filter
def ago(moment: Any, missing: str = "never") -> Any:
    """Draw a moment as the time since (or until) then; the exact UTC and local time are a hover away."""
    if isinstance(moment, str) and moment:
        moment = datetime.fromisoformat(moment)
    if not moment:
        return format_html('<span class="wk-quiet">{}</span>', missing)
    return format_html(
        '<time class="wk-time" datetime="{}" title="{}" data-ago>{}</time>',
        moment.isoformat(),
        words.exact(moment),
        words.since(moment),
    )


@register.filter
def exact(moment: Any) -> SafeString:
    """Draw a moment in full, in the reader's own zone once the page's script runs; UTC is a hover away."""
    if isinstance(moment, str) and moment:
        moment = datetime.fromisoformat(moment)
    if not moment:
        return mark_safe('<span class="wk-quiet">–</span>')
    return format_html(
        '<time class="wk-time" datetime="{}" title="{}" data-exact>{}</time>',
        moment.isoformat(),
        words.exact(moment),
        words.exact(moment),
    )


register.filter("spoken", words.spoken)
register.filter("size", words.size)
register.filter("latency", words.latency)


@register.filter
def percent(value: Any, places: int = 2) -> str:
    """Return a share as text."""
    return words.percent(value, places)


@register.filter
def grouped(number: int) -> str:
    """Return a whole number with its thousands apart: 10,000."""
    return f"{number:,}"


@register.filter
def spoken_ms(milliseconds: Any) -> str:
    """Return milliseconds as a length of time."""
    return words.spoken(milliseconds / 1000) if milliseconds is not None else "–"


@register.filter
def pretty(value: Any) -> str:
    """Return JSON with line breaks."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str)


@register.filter
def entry(mapping: Any, key: Any) -> Any:
    """Return mapping[key], None where there is none."""
    return mapping.get(key) if mapping else None


@register.simple_tag(takes_context=True)
def can(context: template.Context, code: str) -> bool:
    """Return whether the person holds a code."""
    request: HttpRequest = context["request"]
    return may(request, code)


@register.simple_tag
def bars(cells: Iterable[dict[str, Any]], label: str = "", css: str = "") -> SafeString:
    """Draw uptime bars: one cell a period, with `tone` ("none" without data) and `title`."""
    # Built by hand: a list draws thousands of them.
    drawn = "".join(f'<i class="is-{cell["tone"]}" title="{escape(cell["title"])}"></i>' for cell in cells)
    return format_html('<div class="wk-bars {}" role="img" aria-label="{}">{}</div>', css, label, mark_safe(drawn))


@register.simple_tag
def sparkline(
    values: Any, label: str = "", tone: str = "accent", least: float | None = 0, most: float | None = None
) -> SafeString:
    """Draw figures as a small line; None leaves a gap."""
    numbers = list(values or [])
    known = [float(value) for value in numbers if value is not None]
    if len(known) < 2:
        return mark_safe('<span class="wk-spark is-empty" aria-hidden="true"></span>')
    low = min(known) if least is None else least
    high = max([*known, low + 1e-9]) if most is None else most
    height, step = 28.0, 120.0 / (len(numbers) - 1)
    pieces: list[str] = []
    pen = False
    for index, value in enumerate(numbers):
        if value is None:
            pen = False
            continue
        y = height - 2 - (min(max(float(value), low), high) - low) / (high - low or 1) * (height - 4)
        pieces.append(f"{'L' if pen else 'M'}{index * step:.1f} {y:.1f}")
        pen = True
    return format_html(
        '<svg class="wk-spark is-{}" viewBox="0 0 120 28" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path d="{}"/></svg>',
        tone,
        label,
        " ".join(pieces),
    )


@register.inclusion_tag("console/partials/meter.html")
def meter(
    value: float | None, warning: float = 80, critical: float = 90, label: str = "", metric: str = ""
) -> dict[str, Any]:
    """Draw a share of a hundred as a bar with its figure; `metric` names it for live updates."""
    state = "none" if value is None else "crit" if value >= critical else "warn" if value >= warning else "ok"
    return {
        "value": value,
        "width": min(max(value or 0, 0), 100),
        "tone": state,
        "label": label,
        "metric": metric,
        "limits": f"{warning:g},{critical:g}",
    }


@register.simple_tag
def list_headers(cl: Any) -> list[dict[str, Any]]:
    """Return the heads of a list's columns."""
    is_chosen = "o" in cl.params
    return [
        {**header, "css": _css(cl, name), "sorted": is_chosen and header.get("sorted")}
        for name, header in zip(cl.list_display, result_headers(cl), strict=False)
    ]


def _css(cl: Any, name: Any) -> str:
    method = getattr(cl.model_admin, name, None) if isinstance(name, str) else name
    return getattr(method, "css", "") or ""


@register.simple_tag
def list_body(cl: Any) -> SafeString:
    """Draw the rows of a list. By hand: a page has hundreds of cells, and a template costs each of them dearly."""
    columns = [
        (name, _css(cl, name), escape(str(header["text"]).capitalize()))
        for name, header in zip(cl.list_display, result_headers(cl), strict=False)
    ]
    leads_on = cl.list_display_links is not None
    drawn: list[str] = []
    for row in cl.result_list:
        url = escape(cl.url_for_result(row)) if leads_on else ""
        tone = cl.model_admin.row_tone(row)
        href = f' data-href="{url}"' if url else ""
        mark = f"is-{tone}" if tone else ""
        drawn.append(f'<tr{href} class="{mark}" data-id="{escape(row.pk)}">')
        for index, (name, css, label) in enumerate(columns):
            cell: str = conditional_escape(_cell(cl, row, name))
            if index == 0:
                css = f"{css} main"
                cell = f'<a href="{url}">{cell}</a>' if url else cell
            drawn.append(f'<td class="{css}" data-label="{label}">{cell}</td>')
        drawn.append("</tr>")
    return mark_safe("".join(drawn))


def _cell(cl: Any, row: Any, name: Any) -> Any:
    nothing = mark_safe('<span class="wk-quiet">–</span>')
    try:
        field, _, value = lookup_field(name, row, cl.model_admin)
    except ObjectDoesNotExist:
        return nothing
    if isinstance(value, datetime):
        return ago(value)
    if field is None or field.auto_created:
        return display_for_value(value, nothing)
    if isinstance(field.remote_field, models.ManyToOneRel):
        return getattr(row, field.name) or nothing
    return display_for_field(value, field, nothing)


@register.filter
def lines_of_difference(audit: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what changed: field, before, after; from an event's audit."""
    before, after = audit.get("before") or {}, audit.get("after") or {}
    nothing: tuple[Any, ...] = (None, "", [], {})
    return [
        {"field": name, "before": before.get(name), "after": after.get(name)}
        for name in sorted({*before, *after})
        if before.get(name) not in nothing or after.get(name) not in nothing
    ]


@register.filter
def plainly(value: Any) -> SafeString:
    """Return a value as people read it: texts bare, lists with commas, nothing as a dash."""
    if value is None or value == "" or value == []:
        return mark_safe('<span class="wk-quiet">–</span>')
    if isinstance(value, str) and _MOMENT.match(value):
        return exact(value)
    if isinstance(value, bool):
        return mark_safe("yes" if value else "no")
    if isinstance(value, list | tuple) and all(not isinstance(item, dict | list) for item in value):
        return mark_safe(escape(", ".join(str(item) for item in value)))
    if isinstance(value, dict | list):
        return format_html("<code>{}</code>", json.dumps(value, ensure_ascii=False, default=str))
    return mark_safe(escape(value))


@register.inclusion_tag("console/partials/filter.html")
def list_filter(cl: Any, spec: Any) -> dict[str, Any]:
    """Draw a filter as a menu."""
    options = list(spec.choices(cl))
    chosen = next((option["display"] for option in options[1:] if option["selected"]), "")
    return {"title": spec.title, "choices": options, "active": chosen}


@register.simple_tag
def list_pages(cl: Any) -> list[dict[str, Any]]:
    """Return the numbers of a list's pages, gaps among them."""
    found: list[dict[str, Any]] = []
    for number in cl.paginator.get_elided_page_range(cl.page_num, on_each_side=2, on_ends=1):
        if isinstance(number, int):
            found.append({"n": number, "current": number == cl.page_num, "url": cl.get_query_string({"p": number})})
        else:
            found.append({"gap": True})
    return found


@register.filter
def happening(name: str) -> str:
    """Return what an event says in few words."""
    return words.happening(name)


@register.filter
def words_of(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


@register.filter
def spaced(name: str) -> str:
    """Return a name of code as people read it."""
    return words.spaced(name)
