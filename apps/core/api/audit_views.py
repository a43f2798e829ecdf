"""The audit trail over REST, in the plain form and in the Kubernetes manner, and its export."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.pagination import EnvelopePagination
from apps.core.api.parameters import moment
from apps.core.api.views import ApiView
from apps.core.errors import Invalid
from apps.core.events.emit import Subject, emit
from apps.core.models import Event
from apps.core.selectors import audit_events, audit_row

_TIME = [
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="From this time on."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="Before this time."),
]
_ACTOR = OpenApiParameter("actor", OpenApiTypes.STR, description="Name or id of who did it.")
_LIST = {(200, "application/json"): OpenApiTypes.OBJECT}


class AuditView(ApiView):
    """Who did what to which object, when, from which address, with before and after."""

    codes: ClassVar[dict[str, str]] = {"get": "audit:view"}
    cursor_field = "id"

    @extend_schema(
        operation_id="admin_audit",
        summary="Audit trail",
        parameters=[
            _ACTOR,
            OpenApiParameter("action", OpenApiTypes.STR, description="Event name or prefix such as `user.*`."),
            *_TIME,
            OpenApiParameter("limit", OpenApiTypes.INT),
            OpenApiParameter("offset", OpenApiTypes.INT),
            OpenApiParameter("cursor", OpenApiTypes.STR),
        ],
        responses=_LIST,
    )
    def get(self, request: Request) -> Response:
        """Return a page of the trail, newest first."""
        rows = audit_events(
            actor=request.query_params.get("actor", ""),
            action=request.query_params.get("action", ""),
            since=moment(request, "from"),
            until=moment(request, "to"),
        )
        pages = EnvelopePagination()
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response([audit_row(event) for event in page])


def audit_item(event: Event) -> dict[str, Any]:
    """Return one row in the Kubernetes manner."""
    return {
        "apiVersion": "v1",
        "kind": "AuditEvent",
        "metadata": {"name": str(event.uid), "createdAt": event.at.isoformat()},
        "id": str(event.uid),
        "timestamp": event.at.isoformat(),
        "eventType": event.name,
        "action": event.name,
        "severity": event.level,
        "actorType": event.actor.get("kind", ""),
        "actorName": event.actor_name,
        "user": event.actor_name,
        "resourceType": event.subject_kind,
        "resource": event.subject_id,
        "resourceName": event.subject_name,
        "details": {key: event.audit[key] for key in ("before", "after", "note") if key in event.audit},
        "sourceIP": event.audit.get("address", ""),
        "userAgent": event.audit.get("user_agent", ""),
    }


def _filtered(request: Request) -> QuerySet[Event]:
    severity = request.query_params.get("severity", "")
    if severity and severity not in ("info", "warning", "critical"):
        raise Invalid({"severity": "must be info, warning or critical"}, where="query")
    return audit_events(
        actor=request.query_params.get("actor", ""),
        action=request.query_params.get("eventType") or request.query_params.get("type", ""),
        level=severity,
        since=moment(request, "from"),
        until=moment(request, "to"),
    )


_FILTERS = [
    OpenApiParameter("eventType", OpenApiTypes.STR, description="Event name or prefix such as `user.*`."),
    OpenApiParameter("severity", OpenApiTypes.STR, enum=["info", "warning", "critical"]),
    _ACTOR,
    *_TIME,
]


class AuditEventListView(ApiView):
    """The trail as an AuditEventList."""

    codes: ClassVar[dict[str, str]] = {"get": "audit:view"}
    page_size_default, page_size_most = 20, 100

    @extend_schema(
        operation_id="audit_list",
        summary="AuditEventList",
        parameters=[
            *_FILTERS,
            OpenApiParameter("page", OpenApiTypes.INT),
            OpenApiParameter("pageSize", OpenApiTypes.INT),
        ],
        responses=_LIST,
    )
    def get(self, request: Request) -> Response:
        """Return a page of the trail, newest first."""
        pages = EnvelopePagination()
        page = pages.paginate_queryset(_filtered(request), request, self)
        return Response(
            {
                "apiVersion": "v1",
                "kind": "AuditEventList",
                "metadata": {"totalCount": pages.count, "page": pages.page, "pageSize": pages.size},
                "items": [audit_item(event) for event in page],
            },
            headers=pages.headers(),
        )


class AuditExportView(ApiView):
    """The trail as a file."""

    codes: ClassVar[dict[str, str]] = {"get": "audit:export"}

    @extend_schema(
        operation_id="audit_export",
        summary="Export the audit trail",
        parameters=[OpenApiParameter("format", OpenApiTypes.STR, enum=["json", "csv"]), *_FILTERS],
        responses={
            (200, "application/json"): OpenApiResponse(OpenApiTypes.BINARY),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.BINARY),
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream the trail as JSON or CSV; the export itself is recorded.

        Raises:
            Invalid: another format (422).

        Emits: audit.exported.
        """
        wanted = request.query_params.get("format", "json")
        if wanted not in ("json", "csv"):
            raise Invalid({"format": "must be json or csv"}, where="query")
        rows = _filtered(request)
        filters = {key: value for key, value in request.query_params.items() if key != "format"}
        emit(
            "audit.exported",
            subject=Subject("audit", "trail", "Audit trail"),
            actor=self.principal(),
            data={"format": wanted, "filters": filters},
        )
        stream = _as_csv(rows) if wanted == "csv" else _as_json(rows)
        response = StreamingHttpResponse(
            stream, content_type="text/csv; charset=utf-8" if wanted == "csv" else "application/json"
        )
        response["Content-Disposition"] = f'attachment; filename="audit.{wanted}"'
        return response


def _as_json(rows: QuerySet[Event]) -> Iterator[bytes]:
    yield b'{"apiVersion":"v1","kind":"AuditEventList","items":['
    for index, event in enumerate(rows.iterator(chunk_size=500)):
        yield (b"," if index else b"") + json.dumps(audit_item(event), default=str).encode()
    yield b"]}"


_COLUMNS = [
    "timestamp",
    "eventType",
    "severity",
    "actorType",
    "actorName",
    "resourceType",
    "resource",
    "resourceName",
    "sourceIP",
    "userAgent",
    "details",
]


def safe_cell(value: Any) -> str:
    """Return a CSV cell that no spreadsheet takes for a formula."""
    text = json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _as_csv(rows: QuerySet[Event]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for event in rows.iterator(chunk_size=500):
        item = audit_item(event)
        writer.writerow([safe_cell(item[column]) for column in _COLUMNS])
        if buffer.tell() > 64_000:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()
