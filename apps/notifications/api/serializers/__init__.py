"""Bodies and answers of the API."""

from apps.notifications.api.serializers.channels import (
    ChannelBody,
    ChannelSerializer,
    TransportSerializer,
    TrialSerializer,
    channel_values,
)
from apps.notifications.api.serializers.inbox import (
    MarkedCountSerializer,
    NotificationSerializer,
    UnreadCountSerializer,
)
from apps.notifications.api.serializers.rules import (
    FullRuleBody,
    RoutingPreviewBody,
    RoutingPreviewSerializer,
    RuleBody,
    RuleSerializer,
    TemplatePreviewBody,
    TemplatePreviewSerializer,
    rule_values,
)
from apps.notifications.api.serializers.webhooks import (
    DeliverySerializer,
    LedgerSerializer,
    WebhookBody,
    WebhookChange,
    WebhookDetailSerializer,
    WebhookSerializer,
)

__all__ = [
    "ChannelBody",
    "ChannelSerializer",
    "DeliverySerializer",
    "FullRuleBody",
    "LedgerSerializer",
    "MarkedCountSerializer",
    "NotificationSerializer",
    "RoutingPreviewBody",
    "RoutingPreviewSerializer",
    "RuleBody",
    "RuleSerializer",
    "TemplatePreviewBody",
    "TemplatePreviewSerializer",
    "TransportSerializer",
    "TrialSerializer",
    "UnreadCountSerializer",
    "WebhookBody",
    "WebhookChange",
    "WebhookDetailSerializer",
    "WebhookSerializer",
    "channel_values",
    "rule_values",
]
