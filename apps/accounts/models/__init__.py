"""Tables of the accounts."""

from apps.accounts.models.access import ApiKey, PasswordReset, Session, Ticket
from apps.accounts.models.guard import IpRule, KnownAddress, LoginGuard
from apps.accounts.models.mfa import RecoveryCode, TotpDevice
from apps.accounts.models.people import FormerPassword, Role, User

__all__ = [
    "ApiKey",
    "FormerPassword",
    "IpRule",
    "KnownAddress",
    "LoginGuard",
    "PasswordReset",
    "RecoveryCode",
    "Role",
    "Session",
    "Ticket",
    "TotpDevice",
    "User",
]
