"""The inbox, channels, rules, webhooks and deliveries in the console."""

from apps.notifications.admin import channels, deliveries, inbox, rules, webhooks

__all__ = ["channels", "deliveries", "inbox", "rules", "webhooks"]
