"""Filters of the accounts' lists."""

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from apps.accounts.models import Session, User


class UserFilter(django_filters.FilterSet):
    """Filters of /users."""

    search = django_filters.CharFilter(method="with_text", label="Part of user name, email or full name.")
    role = django_filters.CharFilter(field_name="roles__name", label="Name of a role.")
    disabled = django_filters.BooleanFilter(field_name="disabled", label="Only disabled users, or only enabled ones.")

    class Meta:
        model = User
        fields: list[str] = []

    def with_text(self, rows: QuerySet[Any], name: str, text: str) -> QuerySet[Any]:
        """Return the users whose name, email or full name has the text."""
        return rows.filter(Q(username__icontains=text) | Q(email__icontains=text) | Q(full_name__icontains=text))


class SessionFilter(django_filters.FilterSet):
    """Filters of /security/sessions."""

    user_id = django_filters.UUIDFilter(field_name="user_id", label="Sessions of one user.")

    class Meta:
        model = Session
        fields: list[str] = []
