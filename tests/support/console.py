"""The console as a signed-in person, for tests."""

import re
from typing import Any

from django.test import Client

from apps.accounts.authentication import BROWSER_SESSION_ID
from apps.accounts.models import User
from tests.factories.accounts import make_session, make_user


def console_of(user: User) -> Client:
    """Return a browser in which the user is signed in."""
    client = Client()
    client.force_login(user, backend="apps.accounts.backends.AccountBackend")
    session: Any = client.session
    session[BROWSER_SESSION_ID] = str(make_session(user, kind="browser").id)
    session.save()
    return client


def console_as(role: str) -> Client:
    """Return a browser of a new user of that role ("anonymous": of nobody)."""
    return Client() if role == "anonymous" else console_of(make_user(role))


def inline_scripts(page: str) -> list[str]:
    """Return the scripts that stand in a page itself, and the handlers in its attributes."""
    scripts = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>.*?</script>", page, re.DOTALL)
    return scripts + re.findall(r"<[a-z][^>]*\son[a-z]+=", page)
