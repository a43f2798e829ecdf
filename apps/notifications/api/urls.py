"""Routes below /api/v1/; literals before parameters."""

from collections.abc import Mapping
from typing import Any

from django.urls import URLPattern, re_path

from apps.notifications.api.channels import ChannelViewSet
from apps.notifications.api.deliveries import LedgerViewSet
from apps.notifications.api.inbox import NotificationViewSet
from apps.notifications.api.rules import RoutingPreviewView, RuleViewSet, TemplatePreviewView
from apps.notifications.api.webhooks import DeliveryViewSet, WebhookViewSet


def _route(path: str, view: Any, actions: Mapping[str, str], **options: Any) -> URLPattern:
    return re_path(rf"^{path}/?$", view.as_view(dict(actions), **options))


_ID = "(?P<id>[^/]+)"
_LISTING = {"get": "list", "post": "create"}
_ONE = {"put": "partial_update", "delete": "destroy"}
_CONFIGURED = {**ChannelViewSet.codes, "list": "channels:configure"}

urlpatterns = [
    _route("notifications", NotificationViewSet, {"get": "list"}),
    _route("notifications/unread-count", NotificationViewSet, {"get": "unread_count"}),
    _route("notifications/read-all", NotificationViewSet, {"put": "read_all"}),
    _route("notifications/channels", ChannelViewSet, _LISTING, codes=_CONFIGURED),
    _route(f"notifications/channels/{_ID}", ChannelViewSet, _ONE, codes=_CONFIGURED),
    _route("notifications/rules", RuleViewSet, _LISTING),
    _route(f"notifications/rules/{_ID}", RuleViewSet, _ONE),
    _route(f"notifications/{_ID}/read", NotificationViewSet, {"put": "read"}),
    re_path(r"^notification-rules/preview/?$", RoutingPreviewView.as_view()),
    re_path(r"^notification-templates/preview/?$", TemplatePreviewView.as_view()),
    _route("deliveries", LedgerViewSet, {"get": "list"}),
    _route(f"deliveries/{_ID}", LedgerViewSet, {"get": "retrieve"}),
    _route(f"deliveries/{_ID}/redeliver", LedgerViewSet, {"post": "redeliver"}),
    _route("channels", ChannelViewSet, _LISTING),
    _route("channels/types", ChannelViewSet, {"get": "types"}),
    _route(f"channels/{_ID}", ChannelViewSet, _ONE),
    _route(f"channels/{_ID}/test", ChannelViewSet, {"post": "test"}),
    _route(f"channels/{_ID}/rules", ChannelViewSet, {"post": "add_rule"}),
    _route(f"channels/{_ID}/rules/(?P<rule_id>[^/]+)", ChannelViewSet, {"delete": "remove_rule"}),
    _route("webhooks", WebhookViewSet, _LISTING),
    _route(f"webhooks/{_ID}", WebhookViewSet, {"get": "retrieve", **_ONE}),
    _route(f"webhooks/{_ID}/test", WebhookViewSet, {"post": "test"}),
    _route(f"webhooks/{_ID}/deliveries", DeliveryViewSet, {"get": "list"}),
    _route(f"webhooks/{_ID}/deliveries/(?P<delivery_id>[^/]+)/redeliver", DeliveryViewSet, {"post": "redeliver"}),
]
