"""Users, keys and clients for tests."""

from datetime import timedelta
from itertools import count

from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts import tokens
from apps.accounts.authentication import hash_secret
from apps.accounts.models import ApiKey, Role, Session, User
from apps.accounts.permissions import codes_of_role
from apps.accounts.principals import principal_of_user
from apps.core.ids import new_secret
from apps.core.principals import Principal

PASSWORD = "correct horse battery staple 9!A"
_numbers = count(1)


def make_role(name: str, permissions: list[str] | None = None) -> Role:
    """Return the built-in role of that name, or a custom one with the given codes."""
    system = name in ("viewer", "operator", "admin")
    role, _ = Role.objects.get_or_create(
        name=name, defaults={"permissions": permissions or (codes_of_role(name) if system else []), "is_system": system}
    )
    return role


def make_user(role: str = "viewer", username: str = "", permissions: list[str] | None = None) -> User:
    """Return a user of that role, with the password `PASSWORD`."""
    name = username or f"{role}-{next(_numbers)}"
    user = User(username=name, email=f"{name}@example.org")
    user.set_password(PASSWORD)
    user.save()
    user.roles.add(make_role(role, permissions))
    return user


def principal(role: str = "operator", user: User | None = None) -> Principal:
    """Return the principal of a user, made where none is given."""
    return principal_of_user(user or make_user(role))


def make_session(user: User, kind: str = "jwt") -> Session:
    """Return a live session of the user."""
    return Session.objects.create(user=user, kind=kind, expires_at=timezone.now() + timedelta(hours=1))


def access_token(user: User) -> str:
    """Return an access token of a new session."""
    return tokens.issue(make_session(user))[0]


def client_of(user: User) -> APIClient:
    """Return an API client that sends the user's access token."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_token(user)}")
    return client


def client_as(role: str) -> APIClient:
    """Return an API client of a new user of that role ("anonymous": of nobody)."""
    return APIClient() if role == "anonymous" else client_of(make_user(role))


def make_api_key(owner: User, *, role: str = "", server_id: str = "") -> tuple[ApiKey, str]:
    """Return a key and its secret; bound where a server is given."""
    secret = f"wk_{new_secret(6)[:8]}_{new_secret()}"
    key = ApiKey.objects.create(
        owner=owner,
        name="test key",
        prefix=secret[:11],
        secret_hash=hash_secret(secret),
        role=role,
        bound_kind="server" if server_id else "",
        bound_id=server_id,
    )
    return key, secret


def client_with_key(secret: str) -> APIClient:
    """Return an API client that sends an API key."""
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=secret)
    return client
