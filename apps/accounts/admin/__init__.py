"""Accounts in the console."""

from apps.accounts.admin import access, people, profile, security

__all__ = ["access", "people", "profile", "security"]
