"""Columns of lists: a method of a ModelAdmin with its title, its order and how narrow screens treat it."""

from collections.abc import Callable
from typing import Any

Render = Callable[[Any, Any], Any]


def column(title: str, *, order: str | None = None, css: str = "") -> Callable[[Render], Render]:
    """Make a method a column.

    Args:
        order: field by which a click on the title sorts.
        css: "figure" (right-aligned figures), "wide" (a row of its own on a phone), "quiet" (left out on a phone),
            "tight" (as narrow as its content).
    """

    def mark(render: Render) -> Render:
        render.short_description = title  # type: ignore[attr-defined]
        render.admin_order_field = order  # type: ignore[attr-defined]
        render.css = css  # type: ignore[attr-defined]
        return render

    return mark
