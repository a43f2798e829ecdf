"""Which servers a caller may see."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Q

from apps.core.principals import Principal


def by_ref(ref: str, prefix: str = "") -> Q:
    """Return the condition under which a server is the one called `ref`, its slug or its id."""
    try:
        return Q(**{f"{prefix}id": UUID(ref)})
    except ValueError:
        return Q(**{f"{prefix}slug": ref})


def by_refs(refs: Iterable[str], prefix: str = "") -> Q:
    """Return the condition under which a server is one of those called so, by their slugs or ids."""
    ids, slugs = [], []
    for ref in refs:
        try:
            ids.append(UUID(ref))
        except ValueError:
            slugs.append(ref)
    return Q(**{f"{prefix}id__in": ids}) | Q(**{f"{prefix}slug__in": slugs})


class ServerQuerySet(models.QuerySet[Any]):
    """Servers."""

    def visible_to(self, principal: Principal) -> "ServerQuerySet":
        """Return those the caller may see: all, or the one its key is bound to."""
        if not principal.can("servers:view"):
            return self.none()
        if principal.bound_kind == "server":
            return self.filter(by_ref(principal.bound_id))
        if principal.bound_kind:
            return self.none()
        return self


class SshConnectionQuerySet(models.QuerySet[Any]):
    """SSH connections."""

    def visible_to(self, principal: Principal) -> "SshConnectionQuerySet":
        """Return those the caller may see: all or none, and none for a key bound to one thing."""
        if principal.bound_kind or not principal.can("ssh_connections:view"):
            return self.none()
        return self


class CommandRunQuerySet(models.QuerySet[Any]):
    """Runs of commands."""

    def visible_to(self, principal: Principal) -> "CommandRunQuerySet":
        """Return those the caller may see: all or none, and none for a key bound to one thing."""
        if principal.bound_kind or not principal.can("commands:view"):
            return self.none()
        return self


class CommandBatchQuerySet(models.QuerySet[Any]):
    """Commands on many machines."""

    def visible_to(self, principal: Principal) -> "CommandBatchQuerySet":
        """Return those the caller may see: all or none, and none for a key bound to one thing."""
        if principal.bound_kind or not principal.can("commands:view"):
            return self.none()
        return self


class ChangeLimitQuerySet(models.QuerySet[Any]):
    """Limits of what may be under change at once."""

    def visible_to(self, principal: Principal) -> "ChangeLimitQuerySet":
        """Return those the caller may see: all or none, and none for a key bound to one thing."""
        if principal.bound_kind or not principal.can("change_limits:view"):
            return self.none()
        return self


class TerminalSessionQuerySet(models.QuerySet[Any]):
    """Terminal sessions."""

    def visible_to(self, principal: Principal) -> "TerminalSessionQuerySet":
        """Return those the caller may see: all, or one's own; none for a key bound to one thing."""
        if principal.bound_kind:
            return self.none()
        if principal.can("terminals:view_all"):
            return self
        if principal.can("terminals:view") and principal.user_id:
            return self.filter(user_id=principal.user_id)
        return self.none()


class LogEntryQuerySet(models.QuerySet[Any]):
    """Log lines."""

    def visible_to(self, principal: Principal) -> "LogEntryQuerySet":
        """Return those the caller may see: all, or those of the server its key is bound to."""
        if not principal.can("logs:view"):
            return self.none()
        if principal.bound_kind == "server":
            servers: Any = self.model._meta.apps.get_model("fleet", "Server").objects
            nums = list(servers.filter(by_ref(principal.bound_id)).values_list("num", flat=True))
            return self.filter(num__in=nums) if nums else self.none()
        if principal.bound_kind:
            return self.none()
        return self


class LogRuleQuerySet(models.QuerySet[Any]):
    """Rules about log lines."""

    def visible_to(self, principal: Principal) -> "LogRuleQuerySet":
        """Return those the caller may see: all or none, and none for a key bound to one thing."""
        if principal.bound_kind or not principal.can("log_rules:view"):
            return self.none()
        return self
