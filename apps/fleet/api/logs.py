"""Views of log lines and of the rules that watch them."""

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from apps.core.api.pagination import decode_cursor, encode_cursor
from apps.core.api.parameters import moment, whole_number
from apps.core.api.views import ApiView, ApiViewSet, clean, expected_revision, idempotent, with_etag
from apps.core.errors import Invalid, NotFound
from apps.core.principals import Principal
from apps.fleet import selectors
from apps.fleet.api.serializers import PushResultSerializer
from apps.fleet.logs.entries import LEVELS, SOURCES
from apps.fleet.logs.words import parse_words
from apps.fleet.models import LogRule, Server
from apps.fleet.selectors.logs import LogQuery, count_logs, log_context, log_volumes, search_logs
from apps.fleet.services.log_rules import create_log_rule, delete_log_rule, update_log_rule
from apps.fleet.services.logs import LogPush, accept_logs
from apps.fleet.snapshots import to_iso

LIMIT, LIMIT_MOST = 100, 1000
OFFSET_MOST = 100_000
CONTEXT, CONTEXT_MOST = 50, 500

LOG_FILTERS = [
    OpenApiParameter("agent_id", OpenApiTypes.STR, description="Slug or id of the server; all where absent."),
    OpenApiParameter("source", OpenApiTypes.STR, description=f"Of {', '.join(SOURCES)}; several apart by commas."),
    OpenApiParameter("source_name", OpenApiTypes.STR, description="Unit, file or container, exactly."),
    OpenApiParameter("level", OpenApiTypes.STR, description=f"Of {', '.join(LEVELS)}; several apart by commas."),
    OpenApiParameter(
        "q",
        OpenApiTypes.STR,
        description='Words that must occur, `"words in a row"`, `prefix*`, `-not`. A word is letters and digits: '
        "`web-1` means `web` and `1` in a row.",
    ),
]


class LogEntrySerializer(serializers.Serializer[Any]):
    """A log line."""

    id = serializers.CharField()
    timestamp = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    agent_id = serializers.CharField()
    server_id = serializers.CharField()
    source = serializers.ChoiceField(choices=list(SOURCES))  # type: ignore[assignment]
    source_name = serializers.CharField(allow_blank=True)
    level = serializers.ChoiceField(choices=list(LEVELS))
    message = serializers.CharField(help_text="As it came, but for secrets; control characters too.")
    fields = serializers.DictField(child=serializers.CharField())  # type: ignore[assignment]
    truncated = serializers.BooleanField(help_text="The message was over 16 KiB and was cut.")
    clock_ahead_s = serializers.IntegerField(
        allow_null=True, help_text="By how much the sender's clock was ahead, where over an hour: kept as received."
    )
    highlights = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2),
        help_text="Where the words looked for stand in the message: begin and end, in characters.",
    )


_LOGS = inline_serializer(
    "Logs",
    {
        "entries": LogEntrySerializer(many=True),
        "total": serializers.IntegerField(
            help_text="Of many lines no more than 10,000 are counted, fewer where that takes long: there are at least "
            "so many where the header `X-Total-Count-Exact` is `false`."
        ),
        "next": serializers.URLField(allow_null=True),
        "looked_to": serializers.DateTimeField(
            allow_null=True,
            help_text="Set where no index helps and not every line could be looked at in a moment: older lines may "
            "match too, `next` looks on from here.",
        ),
    },
)
_CONTEXT = inline_serializer("LogContext", {"id": serializers.CharField(), "entries": LogEntrySerializer(many=True)})
_VOLUMES = inline_serializer(
    "LogVolumes",
    {
        "servers": inline_serializer(
            "LogVolume",
            {
                "agent_id": serializers.CharField(),
                "server_id": serializers.UUIDField(),
                "name": serializers.CharField(),
                "lines": serializers.IntegerField(),
                "bytes": serializers.IntegerField(),
                "newest_at": serializers.DateTimeField(allow_null=True),
            },
            many=True,
        )
    },
)


def _words_of(request: Request, name: str, known: dict[str, int]) -> frozenset[int]:
    words = [word.strip().lower() for word in request.query_params.get(name, "").split(",") if word.strip()]
    unknown = [word for word in words if word not in known]
    if unknown:
        raise Invalid({name: f"{unknown[0]} is not one of {', '.join(known)}"}, where="query")
    return frozenset(known[word] for word in words)


def log_query(request: Request, principal: Principal) -> LogQuery:
    """Return what the query asks for.

    Raises:
        Invalid: a filter of the wrong form (422).
        NotFound: no such server, or not the caller's to see (404).
    """
    since, until = moment(request, "from"), moment(request, "to")
    if since and until and since >= until:
        raise Invalid({"from": "must lie before to"}, where="query")
    ref = request.query_params.get("agent_id")
    return LogQuery(
        server=selectors.find_server(ref, principal) if ref else None,
        levels=_words_of(request, "level", LEVELS),
        sources=_words_of(request, "source", SOURCES),
        source_name=request.query_params.get("source_name", ""),
        terms=parse_words(request.query_params.get("q", "")),
        since=int(since.timestamp() * 1000) if since else None,
        until=int(until.timestamp() * 1000) if until else None,
        before=_cursor(request),
    )


def _cursor(request: Request) -> int | None:
    cursor = request.query_params.get("cursor")
    if not cursor:
        return None
    before = decode_cursor(cursor)
    if not isinstance(before, str) or not before.isdecimal() or int(before) >= 2**63:
        raise Invalid({"cursor": "is not a cursor from a former answer"}, where="query")
    return int(before)


class LogsView(ApiView):
    """Log lines: looked for and pushed."""

    codes: ClassVar[dict[str, str]] = {"get": "logs:view", "post": "logs:push"}

    @property
    def throttle_scope(self) -> str:
        """Return "none" for pushes: they are limited by bytes."""
        return "none" if self.request.method == "POST" else ""

    @extend_schema(
        operation_id="logs_list",
        summary="Look for log lines",
        parameters=[
            *LOG_FILTERS,
            OpenApiParameter("from", OpenApiTypes.DATETIME, description="From this time on."),
            OpenApiParameter("to", OpenApiTypes.DATETIME, description="Before this time."),
            OpenApiParameter("limit", OpenApiTypes.INT, description=f"Default {LIMIT}, most {LIMIT_MOST}."),
            OpenApiParameter("offset", OpenApiTypes.INT),
            OpenApiParameter("cursor", OpenApiTypes.STR, description="Where the former page ended, from its `next`."),
        ],
        responses=_LOGS,
    )
    def get(self, request: Request) -> Response:
        """Return the lines that match, newest first.

        Source: contract row GET /logs.
        """
        query = log_query(request, self.principal())
        limit = whole_number(request, "limit", default=LIMIT, least=1, most=LIMIT_MOST)
        offset = whole_number(request, "offset", default=0, least=0, most=OFFSET_MOST)
        page = search_logs(query, self.principal(), limit=limit, offset=offset)
        total, is_exact = count_logs(query, self.principal(), page)
        following = None
        if page.has_more:
            following = replace_query_param(request.build_absolute_uri(), "cursor", encode_cursor(str(page.last_id)))
            if offset:
                following = replace_query_param(following, "offset", page.unskipped)
        headers = {"X-Total-Count": str(total)}
        if not is_exact:
            headers["X-Total-Count-Exact"] = "false"
        if following:
            headers["Link"] = f'<{following}>; rel="next"'
        looked_to = to_iso(page.looked_to) if page.looked_to is not None else None
        body = {"entries": page.entries, "total": total, "next": following, "looked_to": looked_to}
        return Response(body, headers=headers)

    @extend_schema(
        operation_id="logs_push",
        summary="Push log lines",
        description=(
            "An array of at most 5,000 lines. Only `message` is needed; a line without `timestamp` gets the time of "
            "arrival, one without `level` is info, one without `source` is of a file. `entry_id` (or `cursor`) is the "
            "sender's own id: a line sent twice is stored once. `agent_id` names the server, in a line or in the "
            "query; a key that is bound to a server needs none. Lines that can't be kept are listed, the others kept."
        ),
        parameters=[OpenApiParameter("agent_id", OpenApiTypes.STR, description="Server of lines that name none.")],
        request={"application/json": {"type": "array", "items": {"type": "object"}}},
        responses={202: PushResultSerializer},
        examples=[
            OpenApiExample(
                "Two lines",
                value=[
                    {"message": "Started the backup", "source": "journal", "source_name": "backup.service"},
                    {
                        "timestamp": "2026-01-31T10:00:00Z",
                        "level": "error",
                        "source": "docker",
                        "source_name": "web",
                        "message": "GET /orders 500",
                        "fields": {"path": "/orders"},
                        "entry_id": "17",
                    },
                ],
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Store the lines of one push.

        Source: contract row POST /logs.
        """
        size = int(request.META.get("CONTENT_LENGTH") or 0)
        server = request.query_params.get("agent_id", "")
        push = LogPush(request.data, principal=self.principal(), server=server, size=size)
        outcome = accept_logs([push])[0]
        if outcome.error:
            raise outcome.error
        return Response(outcome.body(), status=202)


class LogContextView(ApiView):
    """The lines around one."""

    codes: ClassVar[dict[str, str]] = {"get": "logs:view"}

    @extend_schema(
        operation_id="logs_context",
        summary="Log lines around one",
        parameters=[
            OpenApiParameter("id", OpenApiTypes.STR, OpenApiParameter.PATH),
            OpenApiParameter("before", OpenApiTypes.INT, description=f"Default {CONTEXT}, most {CONTEXT_MOST}."),
            OpenApiParameter("after", OpenApiTypes.INT, description=f"Default {CONTEXT}, most {CONTEXT_MOST}."),
        ],
        responses=_CONTEXT,
    )
    def get(self, request: Request, id: str) -> Response:
        """Return the line and its neighbours of the same server and source, oldest first."""
        before = whole_number(request, "before", default=CONTEXT, least=0, most=CONTEXT_MOST)
        after = whole_number(request, "after", default=CONTEXT, least=0, most=CONTEXT_MOST)
        return Response({"id": id, "entries": log_context(id, self.principal(), before=before, after=after)})


class LogVolumesView(ApiView):
    """How much of the logs is kept."""

    codes: ClassVar[dict[str, str]] = {"get": "logs:view"}

    @extend_schema(operation_id="logs_volumes", summary="Size of the logs by server", responses=_VOLUMES)
    def get(self, request: Request) -> Response:
        """Return lines and bytes of each server, the largest first."""
        rows = log_volumes(self.principal())
        return Response(
            {
                "servers": [
                    {
                        "agent_id": row.server.slug,
                        "server_id": str(row.server_id),
                        "name": row.server.name,
                        "lines": row.lines,
                        "bytes": row.bytes,
                        "newest_at": None if row.newest_at is None else to_iso(row.newest_at),
                    }
                    for row in rows
                ]
            }
        )


class LogRuleSerializer(serializers.Serializer[Any]):
    """A rule about log lines."""

    id = serializers.UUIDField(read_only=True)
    name = serializers.CharField(max_length=100)
    enabled = serializers.BooleanField(default=True)
    server = serializers.CharField(
        allow_null=True, required=False, help_text="Slug or id of the server; null: all, or those of the tag."
    )
    tag = serializers.CharField(max_length=64, allow_blank=True, default="", help_text="Of servers; empty: all.")
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=list(SOURCES), allow_blank=True, default=""
    )
    source_name = serializers.CharField(max_length=200, allow_blank=True, default="")
    levels = serializers.ListField(
        child=serializers.ChoiceField(choices=list(LEVELS)), default=list, help_text="Of the lines; none: all."
    )
    kind = serializers.ChoiceField(choices=LogRule.Kind.choices, default=LogRule.Kind.WORDS)
    pattern = serializers.CharField(
        max_length=500, allow_blank=True, default="", trim_whitespace=False, help_text="Words as in `q`, or a regex."
    )
    count = serializers.IntegerField(default=1, help_text="This many lines of one server within the window.")
    window_s = serializers.IntegerField(default=300)
    severity = serializers.ChoiceField(choices=LogRule.Severity.choices, default=LogRule.Severity.WARNING)
    quiet_s = serializers.IntegerField(default=600, help_text="The alert ends after so many seconds without a line.")
    problem = serializers.CharField(read_only=True, help_text="Why it was switched off by itself.")
    open = serializers.SerializerMethodField(help_text="Servers for which its alert is open.")
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def get_open(self, row: LogRule) -> list[str]:
        """Return their slugs."""
        return sorted(state.server.slug for state in row.states.all() if state.is_open)

    def to_representation(self, row: LogRule) -> dict[str, Any]:
        """Return the server by its id."""
        return {**super().to_representation(row), "server": str(row.server_id) if row.server_id else None}


@extend_schema_view(
    list=extend_schema(operation_id="log_rules_list", summary="Rules about log lines"),
    retrieve=extend_schema(operation_id="log_rules_retrieve", summary="One rule about log lines"),
)
class LogRuleViewSet(ApiViewSet):
    """Rules about log lines: full control."""

    queryset = LogRule.objects.prefetch_related("states__server").order_by("name", "id")
    serializer_class = LogRuleSerializer
    lookup_field = "id"
    codes: ClassVar[dict[str, str]] = {
        "list": "log_rules:view",
        "retrieve": "log_rules:view",
        "create": "log_rules:create",
        "partial_update": "log_rules:update",
        "destroy": "log_rules:delete",
    }

    def _values(self, request: Request, *, partial: bool = False) -> dict[str, Any]:
        values = clean(LogRuleSerializer, request.data, partial=partial)
        if "server" in values:
            values["server"] = self._server(values["server"])
        return values

    def _server(self, ref: str | None) -> Server | None:
        if not ref:
            return None
        try:
            return selectors.find_server(ref, self.principal())
        except NotFound:
            raise Invalid({"server": f"there is no server {ref}"}) from None

    @extend_schema(
        operation_id="log_rules_create",
        summary="Add a rule about log lines",
        request=LogRuleSerializer,
        responses={201: LogRuleSerializer},
        examples=[
            OpenApiExample(
                "Kernel kills a process",
                value={"name": "Out of memory", "pattern": '"out of memory"', "severity": "critical"},
                request_only=True,
            )
        ],
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Add a rule; it counts lines from now on."""
        rule = create_log_rule(actor=self.principal(), values=self._values(request))
        return with_etag(Response(LogRuleSerializer(rule).data, status=201), rule)

    @extend_schema(
        operation_id="log_rules_update",
        summary="Change a rule about log lines",
        request=LogRuleSerializer(partial=True),
        responses=LogRuleSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:
        """Change the named fields; `If-Match` is honoured."""
        rule = self.get_object()
        changed = update_log_rule(
            rule_id=rule.id,
            actor=self.principal(),
            values=self._values(request, partial=True),
            expected_revision=expected_revision(request, rule),
        )
        return with_etag(Response(LogRuleSerializer(changed).data), changed)

    @extend_schema(operation_id="log_rules_delete", summary="Remove a rule about log lines", responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:
        """Remove a rule; what it has open ends."""
        delete_log_rule(rule_id=self.get_object().id, actor=self.principal())
        return Response(status=204)
