"""Public paths: the pages as Django serves them where no hot application stands in front, and subscriptions."""

from typing import Any, ClassVar

from django.http import HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.requests import address_of
from apps.core.api.parsers import JSONParser
from apps.core.api.permissions import PUBLIC
from apps.core.api.views import ApiView, clean
from apps.core.errors import NotFound
from apps.statuspage import services
from apps.statuspage.boards import store
from apps.statuspage.hot import NOTHING, headers_of, host_of
from apps.statuspage.models import Page
from apps.statuspage.rendering import frame
from apps.statuspage.services.subscriptions import find_asked, find_by_unsubscribe_token, visitor

THANKS = "If this address is good, a mail with a link is on its way to it. Open the link within 24 hours and confirm."


class AnyRenderer(BaseRenderer):
    """Lets every `Accept` through; the answers know their own type."""

    media_type = "*/*"
    format = "any"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Return a refusal as JSON."""
        rendered: bytes = JSONRenderer().render(data)
        return rendered


class _Public(ApiView):
    """Base of the public paths: nobody signs in here."""

    authentication_classes = []
    renderer_classes = [AnyRenderer]

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Name the type of what is no page."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(response, Response):
            response.content_type = "application/json"
        return response


class _Board(_Public):
    """One answer of a page, from the same store as the short way's."""

    codes: ClassVar[dict[str, str]] = {"get": PUBLIC}
    throttle_scope = "none"
    part = "page"

    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        board = store.current().find(slug, host_of(request.META.get("HTTP_HOST", "")))
        answer = board.bodies.get(self.part) if board else None
        if board is None or answer is None or not board.may_read(address_of(request)):
            raise NotFound(NOTHING)
        headers = headers_of(board, answer)
        if answer.etag in request.headers.get("If-None-Match", ""):
            headers.pop("Content-Type")
            return HttpResponse(status=304, headers=headers)
        return HttpResponse(answer.content, headers=headers)


def _answers(kind: str, text: str) -> dict[Any, Any]:
    missing = OpenApiResponse(OpenApiTypes.OBJECT, description=NOTHING)
    return {(200, kind): OpenApiResponse(OpenApiTypes.STR, description=text), 404: missing}


_STATUS = OpenApiResponse(
    OpenApiTypes.OBJECT,
    description="`global_status`, `global_message`, `updated_at`, `groups`, `components` (with `days`), "
    "`active_incidents`, `active_maintenance`, `upcoming_maintenance`, `recent_notices`. Public names alone.",
)


class PageView(_Board):
    """The page."""

    @extend_schema(
        operation_id="status_page", summary="The public status page", responses=_answers("text/html", "The page.")
    )
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return the page of the host's domain, else the default page."""
        return super().get(request, slug)


class NamedPageView(_Board):
    """A page by its name."""

    @extend_schema(
        operation_id="status_page_named", summary="A status page by its name",
        responses=_answers("text/html", "The page."),
    )  # fmt: skip
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return the page."""
        return super().get(request, slug)


class JsonView(_Board):
    """The page as data."""

    part = "json"

    @extend_schema(operation_id="status_json", summary="The status page as data", responses={200: _STATUS})
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return what the page shows; made to be polled."""
        return super().get(request, slug)


class NamedJsonView(_Board):
    """A named page as data."""

    part = "json"

    @extend_schema(operation_id="status_json_named", summary="A named status page as data", responses={200: _STATUS})
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return what the page shows."""
        return super().get(request, slug)


class FeedView(_Board):
    """The feed."""

    part = "feed"

    @extend_schema(
        operation_id="status_feed", summary="Notices as an Atom feed",
        responses=_answers("application/atom+xml", "The notices of the last 90 days."),
    )  # fmt: skip
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return the feed."""
        return super().get(request, slug)


class NamedFeedView(_Board):
    """The feed of a named page."""

    part = "feed"

    @extend_schema(
        operation_id="status_feed_named", summary="Notices of a named page as an Atom feed",
        responses=_answers("application/atom+xml", "The notices of the last 90 days."),
    )  # fmt: skip
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return the feed."""
        return super().get(request, slug)


class HistoryView(_Board):
    """The history."""

    part = "history"

    @extend_schema(
        operation_id="status_history", summary="Notices of the last 90 days",
        responses=_answers("text/html", "The history."),
    )  # fmt: skip
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return the history."""
        return super().get(request, slug)


class NamedHistoryView(_Board):
    """The history of a named page."""

    part = "history"

    @extend_schema(
        operation_id="status_history_named", summary="Notices of a named page",
        responses=_answers("text/html", "The history."),
    )  # fmt: skip
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return the history."""
        return super().get(request, slug)


class CalendarView(_Board):
    """The calendar."""

    part = "calendar"

    @extend_schema(
        operation_id="status_calendar", summary="Maintenance as a calendar",
        responses=_answers("text/calendar", "iCalendar."),
    )  # fmt: skip
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return the calendar."""
        return super().get(request, slug)


class NamedCalendarView(_Board):
    """The calendar of a named page."""

    part = "calendar"

    @extend_schema(
        operation_id="status_calendar_named", summary="Maintenance of a named page as a calendar",
        responses=_answers("text/calendar", "iCalendar."),
    )  # fmt: skip
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return the calendar."""
        return super().get(request, slug)


class LogoView(_Board):
    """The logo."""

    part = "logo"

    @extend_schema(
        operation_id="status_logo", summary="The page's logo", responses=_answers("image/png", "PNG or SVG.")
    )
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return the logo."""
        return super().get(request, slug)


class NamedLogoView(_Board):
    """The logo of a named page."""

    part = "logo"

    @extend_schema(
        operation_id="status_logo_named", summary="A named page's logo", responses=_answers("image/png", "PNG or SVG.")
    )
    def get(self, request: Request, slug: str | None = None) -> HttpResponseBase:
        """Return the logo."""
        return super().get(request, slug)


# --- subscriptions -----------------------------------------------------------------------------------------------


class SubscribeSerializer(serializers.Serializer[Any]):
    """Who wants news of what."""

    email = serializers.CharField(max_length=254)
    page = serializers.CharField(required=False, allow_blank=True, default="", help_text="Its name in the path.")
    components = serializers.ListField(
        child=serializers.CharField(max_length=100), required=False, max_length=200,
        help_text="Public names; none: of all.",
    )  # fmt: skip


class TokenSerializer(serializers.Serializer[Any]):
    """The token of a mailed link."""

    token = serializers.CharField(max_length=300)


class DetailSerializer(serializers.Serializer[Any]):
    """One sentence."""

    detail = serializers.CharField()


class _Form(_Public):
    """Base of the paths that visitors post to: no cookie, so nothing that another site could borrow."""

    parser_classes = [JSONParser, FormParser, MultiPartParser]
    throttle_scope = "status_subscribe"

    def wants_page(self, request: Request) -> bool:
        """Return whether a person asks, by a browser."""
        return "text/html" in request.headers.get("Accept", "")

    def page(self, page: Page | None, headline: str, text: str, *, status: int = 200, **more: Any) -> HttpResponse:
        """Return a small page of the public kind."""
        context = frame(page, headline=headline, text=text, **more)
        response = HttpResponse(render_to_string("statuspage/message.html", context), status=status)
        response["Cache-Control"] = "no-store"
        return response

    def tell(
        self, request: Request, page: Page | None, headline: str, text: str, *, status: int = 200
    ) -> HttpResponseBase:
        """Return a page to a browser, JSON to a program."""
        if self.wants_page(request):
            return self.page(page, headline, text, status=status)
        return Response({"detail": text}, status=status)

    def handle_exception(self, exc: Exception) -> Any:
        """Show a refusal as a page to a browser."""
        response = super().handle_exception(exc)
        if not self.wants_page(self.request):
            return response
        sentence = str(response.data["error"]["message"]).rpartition(": ")[2].rstrip(".")
        page = self.page(
            None, "That did not work", f"{sentence[:1].upper()}{sentence[1:]}.", status=response.status_code
        )
        if "Retry-After" in response:
            page["Retry-After"] = response["Retry-After"]
        return page


class SubscribeView(_Form):
    """Asking for mails."""

    codes: ClassVar[dict[str, str]] = {"post": PUBLIC}

    @extend_schema(
        operation_id="status_subscribe", summary="Ask for mails about a status page",
        request=SubscribeSerializer, responses={202: DetailSerializer},
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        """Ask; the answer is the same for every address, known or not.

        Raises:
            Invalid: it is no address (422).
        """
        values = clean(SubscribeSerializer, request.data)
        board = store.current().find(values["page"] or None, host_of(request.META.get("HTTP_HOST", "")))
        if board is None or not board.may_read(address_of(request)):
            raise NotFound(NOTHING)
        page = Page.objects.filter(slug=board.slug).first()
        if page is None:
            raise NotFound(NOTHING)
        services.ask_subscription(page=page, email=values["email"], names=values.get("components", ()), actor=visitor())
        return self.tell(request, page, "Look into your mail", THANKS, status=202)


_TOKEN = OpenApiParameter("token", OpenApiTypes.STR, description="From the mail.")
_PAGE = {(200, "text/html"): OpenApiResponse(OpenApiTypes.STR, description="A page with a button.")}


class ConfirmView(_Form):
    """Saying yes."""

    codes: ClassVar[dict[str, str]] = {"get": PUBLIC, "post": PUBLIC}
    throttle_scope = ""

    @extend_schema(
        operation_id="status_confirm_page", summary="The page of a mailed link", parameters=[_TOKEN], responses=_PAGE
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Show a button: programs that open every link of a mail confirm nothing."""
        token = request.query_params.get("token", "")
        found = find_asked(token)
        if found is None:
            text = "This link was used before or is too old; ask for a new one."
            return self.page(None, "This link is no longer good", text, status=404)
        more: dict[str, Any] = {"token": token, "action": "/status/confirm", "button": "Yes, send me news"}
        return self.page(found.page, "Confirm your address", f"News of {found.page.name} will come to it.", **more)

    @extend_schema(
        operation_id="status_confirm", summary="Confirm a subscription", request=TokenSerializer,
        responses={200: DetailSerializer},
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        """Confirm.

        Raises:
            NotFound: the link is unknown, used or too old (404).
        """
        token = clean(TokenSerializer, request.data)["token"]
        row = services.confirm_subscription(token=token, actor=visitor())
        text = f"From now on you are told when something happens at {row.page.name}."
        return self.tell(request, row.page, "Done", text)


class UnsubscribeView(_Form):
    """Leaving."""

    codes: ClassVar[dict[str, str]] = {"get": PUBLIC, "post": PUBLIC}
    throttle_scope = ""

    @extend_schema(
        operation_id="status_unsubscribe_page", summary="The page to leave by", parameters=[_TOKEN], responses=_PAGE
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Show a button; the same for a subscription that is gone."""
        token = request.query_params.get("token", "")
        found = find_by_unsubscribe_token(token)
        more: dict[str, Any] = {"token": token, "action": "/status/unsubscribe", "button": "Send me no more mails"}
        return self.page(found.page if found else None, "Leave?", "No more news will come to your address.", **more)

    @extend_schema(
        operation_id="status_unsubscribe", summary="End a subscription", request=TokenSerializer,
        responses={200: DetailSerializer},
    )  # fmt: skip
    def post(self, request: Request) -> HttpResponseBase:
        """Leave; leaving twice is as good as once.

        Raises:
            NotFound: the link is not whole (404).
        """
        token = clean(TokenSerializer, request.data)["token"]
        services.leave(token=token, actor=visitor())
        return self.tell(request, None, "Done", "No more mails will come. You can always subscribe again.")
