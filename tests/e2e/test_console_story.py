"""The whole story in a real browser: a second factor is set up and used, a monitor is added, broken and mended."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from django_otp.oath import totp
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.e2e.story import ENVIRONMENT, Listener, Story
from tests.e2e.test_console_pages import ARGUMENTS, CHROMIUM, PATIENCE_MS, Watched
from tests.support.processes import Installation, Template, wait_for

PASSWORD = "a long walk by the sea 7!Q"


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """The driver."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """One browser."""
    installed = next((path for path in CHROMIUM if Path(path).exists()), None)
    running = playwright.chromium.launch(executable_path=installed, headless=True, args=ARGUMENTS)
    yield running
    running.close()


def code(key: str, step: int) -> str:
    """Return the code of a key, `step` periods of 30 s from now."""
    return f"{totp(base64.b32decode(key), drift=step):06d}"


def sign_in(page: Page, url: str) -> None:
    """Pass the first step."""
    page.goto(f"{url}/admin/")
    page.fill("[name=username]", "ada")
    page.fill("[name=password]", PASSWORD)
    page.click("button[type=submit]")


def enrol(page: Page, url: str) -> str:
    """Switch the second step on; returns the key of the authenticator."""
    page.goto(f"{url}/admin/mfa/")
    page.get_by_role("button", name="Set it up").click()
    expect(page.locator("img.qr")).to_be_visible()
    page.locator("summary").click()
    key = "".join(page.locator(".key span").all_inner_texts())
    page.fill("[name=code]", code(key, 0))
    page.get_by_role("button", name="Switch it on").click()
    expect(page.locator(".codes li")).to_have_count(10)
    return key


def test_story_is_told_to_somebody_who_signed_in_with_a_second_factor(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, template: Template
) -> None:
    data_dir = tmp_path_factory.mktemp("mfa") / "data"
    with Installation(data_dir=data_dir, env=ENVIRONMENT, template=template) as installation:
        assert installation.admin is not None
        with Story(installation.port, installation.admin.username, installation.admin.password).running() as story:
            story.api.call(
                "POST",
                "/api/v1/users",
                {"username": "ada", "password": PASSWORD, "email": "ada@example.org", "roles": ["operator"]},
            )
            story.webhook = story.api.call(
                "POST", "/api/v1/webhooks", {"url": f"{story.receiver.url}/hook", "events": ["alert.*"]}
            )
            context = browser.new_context()
            watched = Watched(context, installation.url)
            page = watched.page
            sign_in(page, installation.url)
            page.wait_for_url("**/admin/")
            key = enrol(page, installation.url)
            context.clear_cookies()
            sign_in(page, installation.url)
            expect(page.locator("[name=code]")).to_be_visible()
            page.goto(f"{installation.url}/admin/")
            expect(page.locator("[name=username]")).to_be_visible()  # the first step alone opens nothing
            sign_in(page, installation.url)
            page.fill("[name=code]", code(key, 1))  # the one used for the enrolment counts no more
            page.click("button[type=submit]")
            page.wait_for_url("**/admin/")

            page.goto(f"{installation.url}/admin/monitors/endpoint/add/")
            page.fill("[name=target]", story.target.url)
            page.fill("[name=name]", "shop")
            page.fill("[name=interval_s]", "5s")
            page.click(".wk-form button[type=submit]")
            expect(page.locator(".wk-head h2")).to_contain_text("shop")
            story.endpoint = story.api.call("GET", "/api/v1/endpoints")["results"][0]
            story.wait_status("up")

            page.goto(f"{installation.url}/admin/")
            expect(page.locator(".wk-live[data-state=live]")).to_be_visible()
            wrong = page.locator("#panel-alerts .wk-wrong li", has_text="shop")
            with Listener(story.api) as listener:
                alert = story.break_site()
                expect(wrong).to_be_visible(timeout=PATIENCE_MS)
                expect(page.locator(".wk-bell b")).to_be_visible(timeout=PATIENCE_MS)
                story.mend_site(alert)
                expect(wrong).to_have_count(0, timeout=PATIENCE_MS)
                wait_for(
                    lambda: listener.names(story.endpoint["id"]) == ["alert.opened", "alert.resolved"],
                    what="the socket tells both",
                )
            page.goto(f"{installation.url}/admin/notifications/notification/")
            expect(page.locator("body")).to_contain_text("shop is down")
            watched.assert_clean("the story")
            story.assert_told_in_order()
            context.close()
