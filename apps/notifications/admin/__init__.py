"""The inbox, channels, rules and webhooks in the console."""

from apps.notifications.admin import channels, inbox, rules, webhooks

__all__ = ["channels", "inbox", "rules", "webhooks"]
