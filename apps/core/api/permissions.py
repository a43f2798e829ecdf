"""Permission by action: a view names a code for each of its actions; what is not named is refused."""

from typing import Any

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.core.api.callers import caller_of
from apps.core.errors import Forbidden

PUBLIC = "public"

#: Why a caller's rights are cut, and what gives them back.
RESTRICTIONS = {
    "mfa_enrolment_required": "Your role demands a second factor; set one up first.",
    "password_change_required": "You must change your password first.",
}


def code_of(view: Any, method: str) -> str | None:
    """Return the code that a view demands for the action (viewset) or method (plain view); None where it names none.

    HEAD is GET without the body, and needs the same.
    """
    codes: dict[str, str] = getattr(view, "codes", {})
    action = getattr(view, "action", None)
    return codes.get(action or ("get" if method == "HEAD" else method.lower()))


class HasCode(BasePermission):
    """The caller holds the code that the view names for this action."""

    message = "Your role does not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether the caller may; fails closed where the view names no code.

        Raises:
            MethodNotAllowed: the path has no such method (405); a stranger is asked who it is first.
        """
        method = request.method or "GET"
        if method == "OPTIONS":
            return True
        code = code_of(view, method)
        if code == PUBLIC:
            return True
        caller = caller_of(request)
        if caller is not None and not hasattr(view, method.lower()):
            raise MethodNotAllowed(method)
        if code is None or caller is None:
            return False
        if caller.can(code):
            return True
        if caller.restriction:
            raise Forbidden(RESTRICTIONS[caller.restriction], code=caller.restriction)
        return False
