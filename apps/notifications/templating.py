"""Texts that people write themselves: placeholders and conditions, nothing else.

The engine is Django's with a library of our own in place of the stock one: no tag that loads, includes, loops or calls,
no filter that can make a text longer than what it is given, and a context of plain texts and numbers. So the length of
a text is bounded by the template's times the values', and nothing can be reached from it.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.template import Context, Engine, Library, Template, TemplateSyntaxError
from django.template.base import FilterExpression, Node, TextNode, VariableNode
from django.template.defaultfilters import default, lower, title, truncatechars, upper
from django.template.defaulttags import IfNode, do_if
from django.utils import timezone

from apps.core.errors import Invalid

MOST_TITLE, MOST_BODY, MOST_VALUE = 300, 4000, 2000
#: What a template can name, with an example for people.
NAMES: Mapping[str, str] = {
    "title": "the title as it is without a template",
    "message": "the text as it is without a template",
    "level": "critical, warning or info",
    "event": "alert.opened, alert.resolved …",
    "status": "opened, escalated, acknowledged, silenced, resolved …",
    "name": "what it is about: web-1",
    "kind": "endpoint, heartbeat, certificate, server …",
    "source": "where the alert comes from",
    "type": "what the alert is about: availability, cpu …",
    "value": "what was measured",
    "threshold": "the threshold",
    "note": "the note of whoever acknowledged it",
    "by": "who did it",
    "tags": "db, eu",
    "url": "the page in the console",
    "time": "2026-01-31 12:00 UTC",
    "id": "the alert's id",
}


def _library() -> Library:
    library = Library()
    library.tag("if", do_if)
    for name, function in (
        ("upper", upper), ("lower", lower), ("title", title), ("truncatechars", truncatechars), ("default", default),
    ):  # fmt: skip
        library.filter(name, function)
    return library


_ENGINE = Engine(autoescape=False, loaders=[])
_ENGINE.template_builtins = [_library()]
_ENGINE.template_libraries = {}


class BadTemplate(ValueError):
    """A template can't be used; the text says why and where."""


def compiled(source: str) -> Template:
    """Return a template that can be rendered.

    Raises:
        BadTemplate: its syntax is wrong, or it names what there is not.
    """
    try:
        template = Template(source, engine=_ENGINE)
    except TemplateSyntaxError as error:
        token = getattr(error, "token", None)
        where = f"line {token.lineno}: " if token is not None and "line" not in str(error) else ""
        raise BadTemplate(f"{where}{error}") from error
    for node in template.nodelist.get_nodes_by_type(TextNode):
        assert isinstance(node, TextNode)
        if any(mark in node.s for mark in ("{{", "}}", "{%", "%}")):
            raise BadTemplate("a {{ or {% is opened and never closed on its line, or closed and never opened")
    for expression, line in _expressions(template.nodelist):
        lookups = getattr(expression.var, "lookups", None)
        if lookups is not None and (lookups[0] not in NAMES or len(lookups) > 1):
            named = ".".join(lookups)
            raise BadTemplate(f"line {line}: there is no “{named}”; there are {', '.join(NAMES)}")
    return template


def _expressions(nodes: Iterable[Node]) -> Iterator[tuple[FilterExpression, int]]:
    for node in nodes:
        line = (node.token.lineno if node.token else 1) or 1
        if isinstance(node, VariableNode):
            yield node.filter_expression, line
        elif isinstance(node, IfNode):
            for condition, inner in node.conditions_nodelists:
                yield from ((one, line) for one in _operands(condition))
                yield from _expressions(inner)


def _operands(condition: Any) -> Iterator[FilterExpression]:
    for part in (condition, getattr(condition, "first", None), getattr(condition, "second", None)):
        if part is None:
            continue
        value = getattr(part, "value", None)
        if isinstance(value, FilterExpression):
            yield value
        elif part is not condition:
            yield from _operands(part)


def clean_template(value: Any, field: str) -> str:
    """Return a template that can be used; "" for the default text.

    Raises:
        Invalid: too long, or wrong; names the line (422).
    """
    most = MOST_TITLE if field.endswith("title_template") else MOST_BODY
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > most:
        raise Invalid({field: f"give a text of at most {most} characters"})
    source = value.strip()
    try:
        if source:
            compiled(source)
    except BadTemplate as error:
        raise Invalid({field: str(error)}) from error
    return source


def rendered(source: str, values: Mapping[str, str], *, most: int) -> str:
    """Return the text of a template, cut to `most` characters.

    Raises:
        BadTemplate: it can't be used after all.
    """
    try:
        text = str(compiled(source).render(Context(dict(values), autoescape=False)))
    except BadTemplate:
        raise
    except Exception as error:  # a comparison of what can't be compared, a filter without its argument
        raise BadTemplate(f"{type(error).__name__}: {error}") from error
    text = text.strip()
    return text if len(text) <= most else text[: most - 1] + "…"


def values_of(payload: Mapping[str, Any]) -> dict[str, str]:
    """Return what a template can name, as plain texts, of a message's payload."""
    data = payload.get("data") or {}
    subject = payload.get("subject") or {}
    event = str(payload.get("type", ""))
    found = {
        "title": payload.get("title"),
        "message": payload.get("message"),
        "level": data.get("level") or payload.get("level"),
        "event": event,
        "status": event.rpartition(".")[2],
        "name": data.get("subject_name") or subject.get("name") or subject.get("id"),
        "kind": data.get("subject_kind") or subject.get("kind"),
        "source": data.get("source"),
        "type": data.get("type"),
        "value": data.get("value"),
        "threshold": data.get("threshold"),
        "note": data.get("note"),
        "by": data.get("by"),
        "tags": ", ".join(str(tag) for tag in payload.get("tags") or ()),
        "url": payload.get("url"),
        "time": _spoken(payload.get("timestamp")),
        "id": subject.get("id"),
    }
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MOST_VALUE else text[: MOST_VALUE - 1] + "…"


def _spoken(value: Any) -> str:
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return ""
    return f"{at.astimezone(timezone.get_default_timezone()):%Y-%m-%d %H:%M %Z}"
