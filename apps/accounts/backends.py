"""Django's question "whose password is this?": user name or email, letters' case aside."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.db.models import Q
from django.http import HttpRequest

from apps.accounts.models import User


class AccountBackend(BaseBackend):
    """Finds a user by name or email and checks the password; rights are not Django's business here."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the user whose password it is. A missing user costs the same time as a wrong password."""
        if not username or password is None:
            return None
        user = User.objects.filter(Q(username__iexact=username) | Q(email__iexact=username)).first()
        if user is None:
            User().set_password(password)
            return None
        return user if user.check_password(password) and not user.disabled else None

    def get_user(self, user_id: Any) -> User | None:
        """Return the user of a browser session."""
        return User.objects.prefetch_related("roles").filter(pk=user_id, disabled=False).first()
