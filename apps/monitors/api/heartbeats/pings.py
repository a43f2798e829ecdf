"""The address that jobs call, as views: the twin of `hot.py`, for the description and servers without it."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from apps.core import context
from apps.core.api.views import ApiView
from apps.core.errors import Conflict, NotFound, TooLarge, TooMany
from apps.monitors.ping_paths import parse, source_name
from apps.monitors.services.pings import PING_BODY_LIMIT, PING_BODY_MOST, accept_pings

_UUID = OpenApiParameter(
    "uuid", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The heartbeat's secret address."
)
_RID = OpenApiParameter(
    "rid", OpenApiTypes.UUID, OpenApiParameter.QUERY, description="Pairs the start and the end of overlapping runs."
)
_SOURCE = OpenApiParameter(
    "source", OpenApiTypes.STR, OpenApiParameter.QUERY,
    description="Who of several that report to one heartbeat; also as the header `Ping-Source`.",
)  # fmt: skip
_KEY = OpenApiParameter("key", OpenApiTypes.STR, OpenApiParameter.PATH, description="A ping key.")
_SLUG = OpenApiParameter("slug", OpenApiTypes.STR, OpenApiParameter.PATH, description="The job's name below the key.")
_CREATE = OpenApiParameter(
    "create", OpenApiTypes.STR, OpenApiParameter.QUERY, enum=["1"],
    description="The first ping of a slug adds its heartbeat, with the defaults of the key.",
)  # fmt: skip
_CODE = OpenApiParameter(
    "exit_code", str, OpenApiParameter.PATH,
    description="0 is success, 1..255 failure; also `fail` (as 1) and `log` (kept, changes no state).",
)  # fmt: skip
_ANSWERS = {
    (200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, description="`OK`: accepted and on disk."),
    400: OpenApiResponse(description="Neither a signal nor an exit code, or a malformed rid."),
    404: OpenApiResponse(description="There is no such heartbeat."),
    413: OpenApiResponse(description="The body is over 1 MB."),
    429: OpenApiResponse(description="Too many pings to unknown addresses; known ones are never refused."),
}
_SLUG_ANSWERS = {
    **_ANSWERS,
    (201, "text/plain"): OpenApiResponse(OpenApiTypes.STR, description="`OK`: accepted, and the heartbeat was added."),
    409: OpenApiResponse(description="Several heartbeats have this slug, or the key's limit is reached."),
}
_BODY = {"text/plain": OpenApiTypes.STR}


class AnyForm(BaseContentNegotiation):
    """Whatever the caller accepts, it gets the one answer there is."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser | None:
        """Read no body: it is kept as it came."""
        return None

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """Answer in the only form."""
        return renderers[0], renderers[0].media_type


class _PingView(ApiView):
    # Every method, so that one without a handler is answered 405 and not as a lack of rights.
    codes: ClassVar[dict[str, str]] = dict.fromkeys(("get", "head", "post", "put", "patch", "delete"), "public")
    authentication_classes = ()  # the address is the credential; a wrong header changes nothing
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = AnyForm
    throttle_scope = "none"

    def accept(self, request: Request) -> HttpResponse:
        """Accept the ping that the path stands for."""
        underlying = request._request
        ping = parse(underlying.path, underlying.META.get("QUERY_STRING", "").encode("latin-1"))
        length = underlying.headers.get("Content-Length") or "0"
        if length.isdigit() and int(length) > PING_BODY_MOST or len(underlying.body) > PING_BODY_MOST:
            raise TooLarge(f"A ping's body has at most {PING_BODY_MOST} bytes; the first {PING_BODY_LIMIT} are kept.")
        ping.at = datetime.now(UTC)
        ping.method = underlying.method or "GET"
        ping.remote_addr = context.current().address or underlying.META.get("REMOTE_ADDR", "")
        ping.user_agent = underlying.headers.get("User-Agent", "")
        ping.body = underlying.body[:PING_BODY_LIMIT]
        if not ping.source and "Ping-Source" in underlying.headers:
            ping.source = source_name(underlying.headers["Ping-Source"])
        answer = accept_pings([ping])[0]
        if answer.status == 404:
            raise NotFound("There is no such heartbeat.")
        if answer.status == 429:
            raise TooMany(
                "Too many pings to unknown heartbeats; check the address.", retry_after_s=answer.retry_after_s
            )
        if answer.status == 409:
            raise Conflict(answer.detail, code="no_such_slug")
        return HttpResponse(
            "OK",
            content_type="text/plain; charset=utf-8",
            headers={"Cache-Control": "no-store"},
            status=answer.status,
        )

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Announce how much of a body is kept."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Ping-Body-Limit"] = str(PING_BODY_LIMIT)
        return response


class PingView(_PingView):
    """A job reports a success."""

    @extend_schema(operation_id="ping", parameters=[_UUID, _RID, _SOURCE], request=None, responses=_ANSWERS, auth=[])
    def get(self, request: Request, **path: str) -> HttpResponse:
        """Report a success."""
        return self.accept(request)

    @extend_schema(
        operation_id="ping_post", parameters=[_UUID, _RID, _SOURCE], request=_BODY, responses=_ANSWERS, auth=[]
    )
    def post(self, request: Request, **path: str) -> HttpResponse:
        """Report a success; the body is kept as the run's output."""
        return self.accept(request)


class PingStartView(_PingView):
    """A job reports that a run began."""

    @extend_schema(
        operation_id="ping_start", parameters=[_UUID, _RID, _SOURCE], request=None, responses=_ANSWERS, auth=[]
    )
    def get(self, request: Request, **path: str) -> HttpResponse:
        """Report that a run began."""
        return self.accept(request)

    @extend_schema(
        operation_id="ping_start_post", parameters=[_UUID, _RID, _SOURCE], request=_BODY, responses=_ANSWERS, auth=[]
    )
    def post(self, request: Request, **path: str) -> HttpResponse:
        """Report that a run began; the body is kept."""
        return self.accept(request)


class PingExitView(_PingView):
    """A job reports how a run ended."""

    @extend_schema(
        operation_id="ping_exit", parameters=[_UUID, _CODE, _RID, _SOURCE], request=None, responses=_ANSWERS, auth=[]
    )
    def get(self, request: Request, **path: str) -> HttpResponse:
        """Report an exit code, `fail` or `log`."""
        return self.accept(request)

    @extend_schema(
        operation_id="ping_exit_post",
        parameters=[_UUID, _CODE, _RID, _SOURCE],
        request=_BODY,
        responses=_ANSWERS,
        auth=[],
    )
    def post(self, request: Request, **path: str) -> HttpResponse:
        """Report an exit code, `fail` or `log`; the body is kept as the run's output."""
        return self.accept(request)


_BY_SLUG = [_KEY, _SLUG, _RID, _SOURCE, _CREATE]


class SlugPingView(_PingView):
    """A job that names itself reports a success."""

    @extend_schema(operation_id="ping_slug", parameters=_BY_SLUG, request=None, responses=_SLUG_ANSWERS, auth=[])
    def get(self, request: Request, **path: str) -> HttpResponse:
        """Report a success."""
        return self.accept(request)

    @extend_schema(operation_id="ping_slug_post", parameters=_BY_SLUG, request=_BODY, responses=_SLUG_ANSWERS, auth=[])
    def post(self, request: Request, **path: str) -> HttpResponse:
        """Report a success; the body is kept as the run's output."""
        return self.accept(request)


class SlugPingStartView(_PingView):
    """A job that names itself reports that a run began."""

    @extend_schema(operation_id="ping_slug_start", parameters=_BY_SLUG, request=None, responses=_SLUG_ANSWERS, auth=[])
    def get(self, request: Request, **path: str) -> HttpResponse:
        """Report that a run began."""
        return self.accept(request)

    @extend_schema(
        operation_id="ping_slug_start_post", parameters=_BY_SLUG, request=_BODY, responses=_SLUG_ANSWERS, auth=[]
    )
    def post(self, request: Request, **path: str) -> HttpResponse:
        """Report that a run began; the body is kept."""
        return self.accept(request)


class SlugPingExitView(_PingView):
    """A job that names itself reports how a run ended."""

    @extend_schema(
        operation_id="ping_slug_exit", parameters=[*_BY_SLUG, _CODE], request=None, responses=_SLUG_ANSWERS, auth=[]
    )
    def get(self, request: Request, **path: str) -> HttpResponse:
        """Report an exit code, `fail` or `log`."""
        return self.accept(request)

    @extend_schema(
        operation_id="ping_slug_exit_post",
        parameters=[*_BY_SLUG, _CODE],
        request=_BODY,
        responses=_SLUG_ANSWERS,
        auth=[],
    )
    def post(self, request: Request, **path: str) -> HttpResponse:
        """Report an exit code, `fail` or `log`; the body is kept as the run's output."""
        return self.accept(request)
