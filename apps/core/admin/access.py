"""What the person at the console may do. The codes are those of the API; Django's own permissions are not asked."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from apps.core.principals import Principal


def principal_of(request: HttpRequest) -> Principal | None:
    """Return who asks, None before the login is complete."""
    found: Any = getattr(request, "principal", None)
    return found


def may(request: HttpRequest, code: str | None) -> bool:
    """Return whether the person holds `code`; None and "" are held by nobody."""
    principal = principal_of(request)
    return bool(principal and code and principal.can(code))


def require(request: HttpRequest, code: str | None) -> Principal:
    """Return who asks.

    Raises:
        PermissionDenied: the person does not hold `code` (403).
    """
    principal = principal_of(request)
    if principal is None or not may(request, code):
        raise PermissionDenied(f"This needs the permission {code}." if code else "This is not offered.")
    return principal
