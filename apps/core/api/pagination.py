"""Lists: page+page_size or limit+offset or cursor; totals exact up to 10,000; `Link:
rel="next"` on every partial list.
"""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from apps.core.errors import Invalid

EXACT_UP_TO = 10_000


def capped_count(queryset: QuerySet[Any] | Sequence[Any]) -> tuple[int, bool]:
    """Return (count, is_exact); beyond 10,000 the count is 10,000 and not exact, so that it stays cheap."""
    if not isinstance(queryset, QuerySet):
        return len(queryset), True
    count = queryset.order_by()[: EXACT_UP_TO + 1].count()
    return (EXACT_UP_TO, False) if count > EXACT_UP_TO else (count, True)


#: Further than any list is long, and still a number that databases take when it is multiplied by a size.
_FAR = 10**12


def _positive(request: Request, names: tuple[str, ...], least: int) -> int | None:
    for name in names:
        text = request.query_params.get(name)
        if text is None or text == "":
            continue
        try:
            number = int(text)
        except ValueError:
            raise Invalid({name: "give a whole number"}, where="query") from None
        if number < least:
            raise Invalid({name: f"must be at least {least}"}, where="query")
        return min(number, _FAR)
    return None


class EnvelopePagination(BasePagination):
    """Pages of a list in {"count", "next", "previous", "results"}.

    A view may set `page_size_default`, `page_size_most`, `envelope` (rows, paginator -> body) and `cursor_field` (a
    unique, ordered column, e.g. "id" or "seq": then `cursor=` is accepted and the next link carries one).
    """

    default, most = 50, 500

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """Return the rows of the page asked for.

        Raises:
            Invalid: a page, size, offset or cursor of the wrong form (422).
        """
        self.request, self.view = request, view
        self.default = getattr(view, "page_size_default", self.default)
        self.most = getattr(view, "page_size_most", self.most)
        self.cursor_field: str | None = getattr(view, "cursor_field", None)
        size = _positive(request, ("page_size", "pageSize", "limit"), 1) or self.default
        self.size = min(size, self.most)
        self.offset = _positive(request, ("offset", "skip"), 0)
        page = _positive(request, ("page",), 1)
        if self.offset is None:
            self.offset = ((page or 1) - 1) * self.size
        self.page = self.offset // self.size + 1
        self.count, self.is_exact = capped_count(queryset)
        cursor = request.query_params.get("cursor")
        if cursor and self.cursor_field:
            field, descending = self._direction(queryset)
            queryset = queryset.filter(**{f"{field}__{'lt' if descending else 'gt'}": decode_cursor(cursor)})
            rows = list(queryset[: self.size + 1])
            self.offset = 0
            self.by_cursor = True
        else:
            rows = list(queryset[self.offset : self.offset + self.size + 1])
            self.by_cursor = False
        self.has_more = len(rows) > self.size
        self.rows = rows[: self.size]
        return self.rows

    def _direction(self, queryset: QuerySet[Any]) -> tuple[str, bool]:
        ordering = [str(part) for part in (queryset.query.order_by or queryset.model._meta.ordering or [])]
        assert self.cursor_field
        return self.cursor_field, f"-{self.cursor_field}" in ordering

    def next_link(self) -> str | None:
        """Return the address of the next page."""
        if not self.has_more:
            return None
        url = self.request.build_absolute_uri()
        if self.cursor_field and (self.by_cursor or self.request.query_params.get("page") is None):
            last = getattr(self.rows[-1], self.cursor_field)
            return replace_query_param(url, "cursor", encode_cursor(last))
        if "offset" in self.request.query_params or "limit" in self.request.query_params:
            return replace_query_param(url, "offset", (self.offset or 0) + self.size)
        return replace_query_param(url, "page", self.page + 1)

    def previous_link(self) -> str | None:
        """Return the address of the previous page; a cursor only goes forward."""
        if self.by_cursor or not self.offset:
            return None
        url = self.request.build_absolute_uri()
        if "offset" in self.request.query_params:
            return replace_query_param(url, "offset", max(0, self.offset - self.size))
        return replace_query_param(url, "page", max(1, self.page - 1))

    def headers(self) -> dict[str, str]:
        """Return the total and the next link as headers."""
        headers = {"X-Total-Count": str(self.count)}
        if not self.is_exact:
            headers["X-Total-Count-Exact"] = "false"
        following = self.next_link()
        if following:
            headers["Link"] = f'<{following}>; rel="next"'
        return headers

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page in its envelope with its headers."""
        envelope: Callable[[Any, EnvelopePagination], Any] | None = getattr(self.view, "envelope", None)
        body = (
            envelope(data, self)
            if envelope
            else {
                "count": self.count,
                "next": self.next_link(),
                "previous": self.previous_link(),
                "results": data,
            }
        )
        return Response(body, headers=self.headers())

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe the envelope for OpenAPI."""
        return {
            "type": "object",
            "required": ["count", "results"],
            "properties": {
                "count": {"type": "integer", "example": 123},
                "next": {"type": ["string", "null"], "format": "uri"},
                "previous": {"type": ["string", "null"], "format": "uri"},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Describe the query parameters for OpenAPI."""
        integer = {"type": "integer"}
        rows = [
            ("page", "Page, from 1.", integer),
            ("page_size", "Rows a page; more than the most is clamped.", integer),
            ("limit", "Rows, instead of page_size.", integer),
            ("offset", "Rows to pass over, instead of page.", integer),
        ]
        if getattr(view, "cursor_field", None):
            rows.append(("cursor", "Where the former page ended, from its next link.", {"type": "string"}))
        return [
            {"name": name, "in": "query", "required": False, "description": text, "schema": schema}
            for name, text, schema in rows
        ]


def encode_cursor(value: Any) -> str:
    """Return an opaque cursor that stands after `value`."""
    return base64.urlsafe_b64encode(json.dumps(value, default=str).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> Any:
    """Return the value a cursor stands after.

    Raises:
        Invalid: it is not one of ours (422).
    """
    try:
        return json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        raise Invalid({"cursor": "is not a cursor from a former answer"}, where="query") from None
