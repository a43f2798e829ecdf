"""The console in a real browser against the real processes: clean pages, and changes that show by themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from tests.e2e.story import ENVIRONMENT, Api, Target
from tests.support.processes import Installation, Template, wait_for

PATIENCE_MS = 60_000
CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
LISTS = (
    "",
    "fleet/server/",
    "monitors/endpoint/",
    "monitors/heartbeat/",
    "alerts/alert/",
    "alerts/threshold/",
    "notifications/notification/",
    "notifications/channel/",
    "notifications/rule/",
    "notifications/webhook/",
    "accounts/user/",
    "accounts/role/",
    "accounts/apikey/",
    "accounts/session/",
    "core/event/",
    "settings/",
    "security/",
    "profile/",
    "monitors/endpoint/add/",
    "monitors/heartbeat/add/",
    "notifications/channel/add/",
    "notifications/rule/add/",
    "notifications/webhook/add/",
    "accounts/role/add/",
    "accounts/user/add/",
    "alerts/threshold/add/",
    "fleet/server/add/",
)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """The driver."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """One browser for all tests."""
    installed = next((path for path in CHROMIUM if Path(path).exists()), None)
    running = playwright.chromium.launch(executable_path=installed, headless=True, args=ARGUMENTS)
    yield running
    running.close()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, template: Template) -> Iterator[Installation]:
    """A running product."""
    with Installation(
        data_dir=tmp_path_factory.mktemp("console") / "data", env=ENVIRONMENT, template=template
    ) as running:
        yield running


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """A site to watch."""
    site = Target()
    site.start()
    yield site
    site.stop()


@pytest.fixture(scope="module")
def things(installation: Installation, target: Target) -> dict[str, Any]:
    """One monitor and one heartbeat, both alive."""
    assert installation.admin is not None
    api = Api(installation.port, installation.admin.username, installation.admin.password)
    endpoint = api.call(
        "POST",
        "/api/v1/endpoints",
        {"name": "Shop", "endpoint_type": "http", "target": target.url, "interval": 5, "tags": ["prod"]},
    )
    heartbeat = api.call("POST", "/api/v1/heartbeats", {"name": "Backup", "interval_seconds": 3600})
    wait_for(lambda: api.call("GET", f"/api/v1/endpoints/{endpoint['id']}")["status"] == "up", what="the first check")
    wait_for(
        lambda: any(row["status"] == "online" for row in api.call("GET", "/api/v1/servers")),
        what="this host's first sample",
    )
    return {"endpoint": endpoint, "heartbeat": heartbeat, "server": api.call("GET", "/api/v1/servers")[0], "api": api}


@pytest.fixture(scope="module")
def signed_in(browser: Browser, installation: Installation) -> Any:
    """The cookies of one login."""
    assert installation.admin is not None
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{installation.url}/")
    page.fill("[name=username]", installation.admin.username)
    page.fill("[name=password]", installation.admin.password)
    page.click("button[type=submit]")
    page.wait_for_url("**/admin/")
    state = context.storage_state()
    context.close()
    return state


class Watched:
    """A page whose faults are collected: errors of scripts, of the console, of answers, and requests to other hosts."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.origin, self.faults = origin, list[str]()
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        own = (origin, origin.replace("http:", "ws:"), "data:", "blob:", "about:")
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on(
            "console", lambda said: self.faults.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on(
            "request", lambda sent: None if sent.url.startswith(own) else self.faults.append(f"went to {sent.url}")
        )
        self.page.on(
            "response", lambda got: self.faults.append(f"{got.status} {got.url}") if got.status >= 400 else None
        )

    def go(self, path: str) -> Page:
        """Open a path of the console."""
        self.page.goto(f"{self.origin}/admin/{path}")
        return self.page

    def assert_clean(self, what: str) -> None:
        """Fail on any fault so far."""
        assert self.faults == [], f"{what}: {self.faults}"


LOOKS = {
    "desktop": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"},
}


@pytest.mark.parametrize("look", sorted(LOOKS))
def test_every_page_is_clean_and_fits(
    browser: Browser, installation: Installation, signed_in: Any, things: dict[str, Any], look: str
) -> None:
    context = browser.new_context(storage_state=signed_in, **LOOKS[look])  # type: ignore[arg-type]
    watched = Watched(context, installation.url)
    own = [
        f"monitors/endpoint/{things['endpoint']['id']}/",
        f"monitors/heartbeat/{things['heartbeat']['id']}/",
        f"fleet/server/{things['server']['id']}/",
        f"monitors/endpoint/{things['endpoint']['id']}/change/",
        "accounts/role/operator/",
    ]
    for path in (*LISTS, *own):
        page = watched.go(path)
        expect(page.locator(".wk").first).to_be_visible()
        width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], f"{path} is {width[0]} px wide on {width[1]} px"
        dark = page.evaluate("document.documentElement.classList.contains('dark')")
        assert dark == (look == "phone"), path
        watched.assert_clean(path)
    context.close()


def test_charts_of_this_host_are_drawn_and_grow(
    browser: Browser, installation: Installation, signed_in: Any, things: dict[str, Any]
) -> None:
    context = browser.new_context(storage_state=signed_in)
    watched = Watched(context, installation.url)
    page = watched.go(f"fleet/server/{things['server']['id']}/")
    expect(page.locator(".wk-live[data-state=live]")).to_be_visible()
    expect(page.locator("[data-chart=cpu] canvas")).to_be_visible()
    expect(page.locator("#l-memory")).not_to_have_text("–")
    time = page.locator("#server-now")
    expect(time).to_contain_text("Memory")
    for range_ in ("1h", "24h", "10m"):
        page.click(f"button[data-range='{range_}']")
        expect(page.locator(f"button[data-range='{range_}']")).to_have_attribute("aria-pressed", "true")
    watched.assert_clean("server")
    context.close()


def test_broken_site_shows_on_the_open_overview_by_itself_and_is_acknowledged_there(
    browser: Browser, installation: Installation, signed_in: Any, things: dict[str, Any], target: Target
) -> None:
    context = browser.new_context(storage_state=signed_in)
    watched = Watched(context, installation.url)
    page = watched.go("")
    expect(page.locator(".wk-live[data-state=live]")).to_be_visible()
    page.evaluate("window.notReloaded = true")
    alert = page.locator("#panel-alerts .wk-wrong li", has_text="Shop")
    expect(alert).to_have_count(0)
    target.stop()
    expect(alert).to_be_visible(timeout=PATIENCE_MS)
    assert page.evaluate("window.notReloaded"), "the page came by itself, not by a reload"
    expect(page.locator(".wk-bell b")).to_be_visible(timeout=PATIENCE_MS)
    alert.get_by_role("button", name="Acknowledge").click()
    page.fill("dialog textarea", "on my way")
    page.locator("dialog").get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#panel-alerts")).to_contain_text("taken by", timeout=PATIENCE_MS)
    found = things["api"].call("GET", "/api/v1/alerts?status=acknowledged")["alerts"]
    assert len(found) == 1
    target.start()
    expect(page.locator("#panel-alerts .wk-wrong li", has_text="Shop")).to_have_count(0, timeout=PATIENCE_MS)
    watched.assert_clean("overview")
    context.close()


def test_monitor_is_added_by_the_form_and_its_page_shows_the_first_check(
    browser: Browser, installation: Installation, signed_in: Any, target: Target, things: dict[str, Any]
) -> None:
    context = browser.new_context(storage_state=signed_in)
    watched = Watched(context, installation.url)
    page = watched.go("monitors/endpoint/add/")
    page.fill("[name=target]", target.url)
    page.fill("[name=name]", "Second shop")
    page.fill("[name=interval_s]", "10s")
    page.select_option("[name=endpoint_type]", "tcp")
    expect(page.locator("[name=expected_status]")).to_be_hidden()
    page.select_option("[name=endpoint_type]", "http")
    expect(page.locator("[name=expected_status]")).to_be_visible()
    page.click(".wk-form button[type=submit]")
    expect(page.locator(".wk-head h2")).to_contain_text("Second shop")
    expect(page.locator("#last-checks .wk-badge").first).to_have_text("check_circleUp", timeout=PATIENCE_MS)
    watched.assert_clean("endpoint")
    context.close()


def test_page_says_so_when_it_no_longer_follows_and_when_it_does_again(
    browser: Browser, installation: Installation, signed_in: Any
) -> None:
    context = browser.new_context(storage_state=signed_in)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{installation.url}/admin/")
    expect(page.locator(".wk-live[data-state=live]")).to_be_visible()
    installation.kill9("web")
    expect(page.locator(".wk-live[data-state=waiting]")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".wk-live[data-state=live]")).to_be_visible(timeout=PATIENCE_MS)
    context.close()


@pytest.mark.parametrize(("path", "shown"), [("docs/", ".swagger-ui .info h1"), ("redoc/", ".redoc-wrap h1")])
def test_description_of_the_api_is_shown_from_local_files(
    browser: Browser, installation: Installation, path: str, shown: str
) -> None:
    context = browser.new_context()
    watched = Watched(context, installation.url)
    watched.page.goto(f"{installation.url}/{path}")
    expect(watched.page.locator(shown).first).to_contain_text("Watchkeeper", timeout=PATIENCE_MS)
    watched.assert_clean(path)
    context.close()
