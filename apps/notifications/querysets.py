"""Rows as callers may see them."""

from typing import TYPE_CHECKING

from django.db import models

from apps.core.principals import Principal

if TYPE_CHECKING:
    from apps.notifications.models import Notification  # noqa: F401  named in the base class below


class NotificationQuerySet(models.QuerySet["Notification"]):
    """Messages of the inbox."""

    def visible_to(self, principal: Principal) -> "NotificationQuerySet":
        """Return the caller's own; a key acts for its owner."""
        return self.filter(user_id=principal.user_id) if principal.user_id else self.none()

    def unread(self) -> "NotificationQuerySet":
        """Return those not read yet."""
        return self.filter(read_at__isnull=True)
