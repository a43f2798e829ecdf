"""What Django's own authentication asks of us."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from apps.accounts.models import User


class AccountBackend(BaseBackend):
    """Finds the user of a session.

    It authenticates nobody: logins go through `services.login`, where failures are counted and the second factor is
    asked for. A form of Django's or of a package that calls `authenticate()` is no way around that.
    """

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:
        """Return None."""
        return None

    def get_user(self, user_id: Any) -> User | None:
        """Return the user of a browser session."""
        return User.objects.prefetch_related("roles").filter(pk=user_id, disabled=False).first()
