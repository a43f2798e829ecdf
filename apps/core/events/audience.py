"""Who may see an event: the same questions as the lists' `visible_to`, answered without a query."""

from collections.abc import Mapping
from typing import Any

from apps.core.principals import Principal


def may_see(principal: Principal, audience: Mapping[str, Any]) -> bool:
    """Return whether a caller may see an event; denied where the event names no permission."""
    permission = audience.get("permission")
    if not permission or not principal.can(permission):
        return False
    owner = audience.get("owner_id")
    if owner and str(principal.user_id) != owner:
        return False
    return not (principal.bound_kind == "server" and audience.get("server_id") != principal.bound_id)
