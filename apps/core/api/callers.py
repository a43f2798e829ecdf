"""The caller of a request, in our own type."""

from typing import cast

from rest_framework.request import Request

from apps.core.principals import Principal


def caller_of(request: Request) -> Principal | None:
    """Return the principal that authentication found; None for an anonymous caller."""
    return cast(Principal | None, request.user)
