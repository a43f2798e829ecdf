"""Every registered admin, as every persona: who gets which page."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.accounts.permissions import CODES
from apps.accounts.principals import principal_of_user
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.pages import pages
from apps.core.admin.site import ConsoleSite
from tests.factories.accounts import make_user
from tests.factories.console import consoles, one_of_everything
from tests.support.console import console_of, inline_scripts

pytestmark = pytest.mark.django_db

PERSONAS = ("viewer", "operator", "admin")
#: Pages that lead on where they are asked for, so that 302 is their success.
LEADS_ON = {"notification"}


def may(user: User, code: str | None) -> bool:
    return bool(code) and principal_of_user(user).can(str(code))


def url_of(console: Any, view: str, row: Any = None) -> str:
    name = f"admin:{console.opts.app_label}_{console.opts.model_name}_{view}"
    return reverse(name, args=[quote(row.pk)] if row is not None else [])


def test_site_has_only_console_admins_and_their_codes_exist() -> None:
    assert isinstance(admin.site._wrapped if hasattr(admin.site, "_wrapped") else admin.site, ConsoleSite)
    assert consoles()
    for console in consoles():
        assert isinstance(console, ConsoleAdmin), console
        assert set(console.codes) <= {"view", "add", "change", "delete"}
        assert all(code in CODES for code in console.codes.values()), console
        assert "view" in console.codes
        assert all(transition.code in CODES for transition in console.transitions), console
        assert not console.list_editable
        assert console.actions is None


@pytest.mark.parametrize("role", PERSONAS)
def test_pages_of_every_admin_follow_the_codes(role: str) -> None:
    user = make_user(role)
    rows = one_of_everything(user)
    client = console_of(user)
    assert set(rows) == {console.model for console in consoles()}
    for console in consoles():
        row = rows[console.model]
        may_view = may(user, console.codes.get("view"))
        wanted = {
            url_of(console, "changelist"): 200 if may_view else 403,
            url_of(console, "detail", row): (302 if console.opts.model_name in LEADS_ON else 200) if may_view else 403,
        }
        if console.form_class is not None:
            wanted[url_of(console, "add")] = 200 if may(user, console.codes.get("add")) else 403
        for url, status in wanted.items():
            answer = client.get(url)
            assert answer.status_code == status, f"{role} GET {url}: {answer.status_code}"
            if status == 200:
                assert inline_scripts(answer.content.decode()) == [], url


@pytest.mark.parametrize("role", PERSONAS)
def test_forms_and_removal_of_every_admin_follow_the_codes(role: str) -> None:
    user = make_user(role)
    rows = one_of_everything(user)
    client = console_of(user)
    for console in consoles():
        row = rows[console.model]
        may_change = console.form_class is not None and may(user, console.codes.get("change"))
        change = url_of(console, "change", row)
        if console.opts.model_name != "apikey":  # a key is never changed
            expected = 200 if may_change else (302 if may(user, console.codes.get("view")) else 403)
            assert client.get(change).status_code == expected, f"{role} GET {change}"
        if not may_change:
            assert client.post(change, {}).status_code in (403, 404), f"{role} POST {change}"
        remove = url_of(console, "delete", row)
        expected = 200 if may(user, console.codes.get("delete")) else 403
        assert client.get(remove).status_code == expected, f"{role} GET {remove}"
        assert console.model._default_manager.filter(pk=row.pk).exists(), "a GET removed it"


@pytest.mark.parametrize("role", PERSONAS)
def test_buttons_of_every_admin_follow_the_codes(role: str) -> None:
    user = make_user(role)
    rows = one_of_everything(user)
    client = console_of(user)
    for console in consoles():
        for transition in console.transitions:
            url = reverse(
                f"admin:{console.opts.app_label}_{console.opts.model_name}_do",
                args=[quote(rows[console.model].pk), transition.name],
            )
            before = console.model._default_manager.filter(pk=rows[console.model].pk).values().get()
            expected = 302 if may(user, transition.code) else 403
            assert client.get(url).status_code == expected, f"{role} GET {url}"
            assert console.model._default_manager.filter(pk=rows[console.model].pk).values().get() == before
            if expected == 403:
                assert client.post(url).status_code == 403, f"{role} POST {url}"


@pytest.mark.parametrize("role", PERSONAS)
def test_own_pages_follow_their_codes(role: str) -> None:
    user = make_user(role)
    client = console_of(user)
    for name, page in pages.items():
        if "<" in page.route:
            continue
        expected = 200 if not page.code or may(user, page.code) else 403
        answer = client.get(reverse(f"admin:{name}"))
        assert answer.status_code == expected, f"{role} {name}"
        if expected == 200:
            assert inline_scripts(answer.content.decode()) == []
    overview = client.get("/admin/")
    assert overview.status_code == 200
    assert inline_scripts(overview.content.decode()) == []


def test_stranger_is_led_to_the_login_everywhere() -> None:
    rows = one_of_everything(make_user("admin"))
    client = Client()
    for console in consoles():
        for url in (url_of(console, "changelist"), url_of(console, "detail", rows[console.model])):
            answer = client.get(url)
            assert answer.status_code == 302, url
            assert answer["Location"].startswith("/admin/login/")


def test_user_without_a_role_sees_no_page() -> None:
    user = make_user("nothing", permissions=["profile:logout"])
    client = console_of(user)
    for console in consoles():
        assert client.get(url_of(console, "changelist")).status_code == 403


def test_sidebar_names_only_what_the_person_may_see() -> None:
    page = console_of(make_user("viewer")).get("/admin/").content.decode()
    assert "/admin/monitors/endpoint/" in page
    assert "/admin/accounts/user/" not in page
    assert "/admin/settings/" not in page


def test_post_without_csrf_token_is_refused() -> None:
    user = make_user("admin")
    client = console_of(user)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    assert strict.post(reverse("admin:monitors_endpoint_add"), {"target": "http://127.0.0.1/"}).status_code == 403


def test_no_log_entry_is_ever_written() -> None:
    client = console_of(make_user("admin"))
    client.post(
        reverse("admin:monitors_endpoint_add"),
        {
            "endpoint_type": "tcp",
            "target": "127.0.0.1:9",
            "interval_s": "30s",
            "failure_threshold": 1,
            "recovery_threshold": 1,
            "method": "GET",
            "max_redirects": 5,
        },
    )
    assert LogEntry.objects.count() == 0


def test_page_that_is_refused_or_missing_says_so_in_the_products_own_words() -> None:
    client = console_of(make_user("viewer"))
    refused = client.get(reverse("admin:accounts_user_changelist"))
    assert refused.status_code == 403
    assert "needs a permission" in refused.content.decode()
    missing = client.get("/admin/fleet/server/nothing/")
    assert missing.status_code == 404
    assert "no such page" in missing.content.decode()
    assert client.get("/admin/fleet/")["Location"] == "/admin/"
