"""The routes that the product really has."""

import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from apps.realtime.routing import sockets

_GROUP = re.compile(r"\(\?P<[^>]+>(?:[^()\[\]]|\[[^\]]*\]|\([^()]*\))*\)")
OUTSIDE = re.compile(r"^/(admin|static|favicon\.ico|$)|^/api/\{\}$|^/api/\.\*$")


def _walk(patterns: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for entry in patterns:
        pattern = prefix + _plain(str(entry.pattern))
        if isinstance(entry, URLResolver):
            if not str(entry.pattern).startswith("admin"):
                yield from _walk(entry.url_patterns, pattern)
        elif isinstance(entry, URLPattern):
            yield "/" + pattern.lstrip("/"), entry.callback


def _plain(pattern: str) -> str:
    text = _GROUP.sub("{}", pattern)
    text = re.sub(r"<[^>]+>", "{}", text)
    text = (
        text.replace("(?:api/v1/)?", "").replace("/?$", "").replace("/?\\Z", "").replace("\\Z", "").replace("\\.", ".")
    )
    return text.replace("^", "").replace("$", "").replace("\\", "")


def routes() -> dict[tuple[str, str], Any]:
    """Return (method, path with {} for parameters) -> view, for every route outside the console."""
    found: dict[tuple[str, str], Any] = {}
    for path, callback in _walk(get_resolver().url_patterns):
        clean = path.rstrip("/") or "/"
        if OUTSIDE.match(clean):
            continue
        for method in _methods(callback):
            found[method, clean] = callback
    for route in sockets.routes:
        path = "/" + _plain(str(route.pattern)).rstrip("/")
        if path != "/":  # the last one refuses what no route matches
            found["WS", path] = route.callback
    return found


def _methods(callback: Any) -> list[str]:
    actions = getattr(callback, "actions", None)
    if actions:
        return [method.upper() for method in actions if method != "head"]
    view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
    if view is None:
        return ["GET"]
    return [method.upper() for method in ("get", "post", "put", "patch", "delete") if hasattr(view, method)]
