"""Tables of the accounts."""

from apps.accounts.models.access import ApiKey, Session
from apps.accounts.models.people import Role, User

__all__ = ["ApiKey", "Role", "Session", "User"]
