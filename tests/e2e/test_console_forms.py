"""What an operator does with forms, in a real browser against the real processes, from a monitor to the public page."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.story import ENVIRONMENT, Api, Target
from tests.e2e.test_console_pages import ARGUMENTS, CHROMIUM, PATIENCE_MS, Watched
from tests.support.processes import Installation, Template, wait_for
from tests.support.protocols import dns_server
from tests.support.servers import RecordingReceiver, Reply

#: A name as people never choose it and as it has to be shown all the same: long, from right to left, with a tag in it.
NASTY = "<script>window.broken=1</script> متجر الويب " + "Nameofmanyletters" * 9
BROWSER = {"timezone_id": "America/New_York", "viewport": {"width": 1400, "height": 900}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    installed = next((path for path in CHROMIUM if Path(path).exists()), None)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=installed, headless=True, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, template: Template) -> Iterator[Installation]:
    """A running product."""
    with Installation(
        data_dir=tmp_path_factory.mktemp("forms") / "data", env=ENVIRONMENT, template=template
    ) as running:
        yield running


@pytest.fixture(scope="module")
def api(installation: Installation) -> Api:
    """The API, to see what a form did."""
    assert installation.admin is not None
    return Api(installation.port, installation.admin.username, installation.admin.password)


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """A site to watch."""
    site = Target()
    site.start()
    yield site
    site.stop()


@pytest.fixture(scope="module")
def shop(api: Api, target: Target) -> dict[str, Any]:
    """A monitor of that site."""
    found: dict[str, Any] = api.call(
        "POST",
        "/api/v1/endpoints",
        {"name": "Internal name", "endpoint_type": "http", "target": target.url, "interval": 5},
    )
    return found


@pytest.fixture(scope="module")
def signed_in(browser: Browser, installation: Installation) -> Any:
    """The cookies of one login, which is done with keys alone."""
    assert installation.admin is not None
    context = browser.new_context(**BROWSER)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{installation.url}/admin/")
    expect(page.locator("[name=username]")).to_be_focused()
    page.keyboard.type(installation.admin.username)
    page.keyboard.press("Tab")
    page.keyboard.type(installation.admin.password)
    page.keyboard.press("Enter")
    expect(page.locator("#panel-alerts")).to_be_visible(timeout=PATIENCE_MS)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def watched(browser: Browser, installation: Installation, signed_in: Any) -> Iterator[Watched]:
    """A page of somebody who is signed in; nothing on it may go wrong that the test did not ask for."""
    context = browser.new_context(storage_state=signed_in, **BROWSER)  # type: ignore[arg-type]
    found = Watched(context, installation.url)
    yield found
    found.assert_clean("the page")
    context.close()


def save(page: Page) -> None:
    """Press the form's first button."""
    page.locator(".wk-form .bottom button.primary").click()


def assert_fits(page: Page) -> None:
    """Fail where the page is wider than the window, or a name became a program."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("window.broken === undefined")


def endpoint_named(api: Api, name: str) -> dict[str, Any]:
    """Return a monitor by its name."""
    return next(row for row in api.call("GET", "/api/v1/endpoints")["results"] if row["name"] == name)


def test_monitors_of_three_types_are_added_by_one_form(watched: Watched, api: Api, target: Target) -> None:
    page = watched.go("monitors/endpoint/add/")
    page.fill("[name=target]", target.url)
    page.fill("[name=name]", "Shop")
    page.fill("[name=interval_s]", "5s")
    expect(page.locator("[name=opt_http_token]")).to_be_hidden()
    page.select_option("[name=opt_http_auth]", "bearer")
    expect(page.locator("[name=opt_http_token]")).to_be_visible()
    expect(page.locator("[name=opt_http_username]")).to_be_hidden()
    page.fill("[name=opt_http_token]", "s3cret")
    expect(page.get_by_text("*** keeps")).to_have_count(0)
    page.get_by_role("button", name="Test now").click()
    expect(page.locator("#trial .wk-badge")).to_contain_text("Up")
    page.locator("[name=name]").press("Enter")
    expect(page.locator(".wk-head h2")).to_contain_text("Shop")
    page.get_by_role("button", name="Check now").click()
    expect(page.locator("#check-made .wk-badge")).to_contain_text("Up")
    expect(page.locator("#check-made")).to_contain_text("200")

    with dns_server({"shop.test A": ["192.0.2.7"]}) as server:
        page = watched.go("monitors/endpoint/add/")
        page.select_option("[name=endpoint_type]", "dns")
        expect(page.locator("[name=expected_status]")).to_be_hidden()
        page.fill("[name=target]", "shop.test")
        page.fill("[name=name]", NASTY)
        page.fill("[name=interval_s]", "1m")
        page.fill("[name=opt_dns_resolver]", f"127.0.0.1:{server.port}")
        page.fill("[name=opt_dns_expected]", "192.0.2.7")
        save(page)
        expect(page.locator("#endpoint-head .wk-badge")).to_contain_text("Up", timeout=PATIENCE_MS)
        assert_fits(page)

        page = watched.go("monitors/endpoint/add/")
        page.select_option("[name=endpoint_type]", "group")
        expect(page.locator("[name=target]")).to_be_hidden()
        page.select_option("[name=opt_group_members]", label=["Shop", NASTY])
        page.fill("[name=name]", "Everything")
        save(page)
        expect(page.locator("#endpoint-head .wk-badge")).to_contain_text("Up", timeout=PATIENCE_MS)
    expect(page.get_by_role("link", name="Shop")).to_be_visible()
    assert_fits(page)
    assert endpoint_named(api, "Everything")["endpoint_type"] == "group"
    stored = api.call("GET", f"/api/v1/endpoints/{endpoint_named(api, 'Shop')['id']}")
    assert (stored["options"]["auth"], stored["options"]["token"]) == ("bearer", "***")


def test_what_is_wrong_stands_at_its_field_and_has_the_focus(watched: Watched) -> None:
    page = watched.go("monitors/endpoint/add/")
    page.fill("[name=target]", "no address")
    page.fill("[name=interval_s]", "1s")
    save(page)
    wrong = page.locator(".wk-field", has=page.locator("[name=interval_s]")).locator(".wrong")
    expect(wrong).to_contain_text("5..86400")
    expect(page.locator("[name=target]")).to_be_focused()
    expect(page.locator("[name=target]")).to_have_attribute("aria-invalid", "true")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    watched.faults = [fault for fault in watched.faults if "422" not in fault]


def test_channel_and_rule_are_made_tried_and_shown_to_work(watched: Watched, api: Api) -> None:
    with RecordingReceiver() as receiver:
        receiver.answer(Reply(body=b"well received"))
        page = watched.go("notifications/channel/add/?type=webhook")
        page.fill("[name=name]", "Pager")
        page.fill("[name=config_url]", f"{receiver.url}/hook")
        save(page)
        expect(page.locator(".wk-head h2")).to_contain_text("Pager")
        page.get_by_role("button", name="Send test").click()
        expect(page.get_by_text("The other side says: well received")).to_be_visible()
        assert receiver.wait_for(1)[0].path == "/hook"
        receiver.answer(Reply(status=503, body=b"out of order"))
        page.get_by_role("button", name="Send test").click()
        expect(page.get_by_text("out of order").first).to_be_visible()

        page = watched.go("notifications/rule/add/")
        page.fill("[name=name]", "Critical to the pager")
        page.get_by_role("group", name="Levels").get_by_label("Critical").check()
        page.get_by_role("group", name="Channels").get_by_label("Pager").check()
        save(page)
        expect(page.locator(".wk-head h2")).to_contain_text("Critical to the pager")

        page = watched.go("notifications/rule/preview/")
        for level, outcome in (("critical", "Told"), ("warning", "Not told")):
            page.select_option("[name=level]", level)
            page.fill("[name=name]", "web-1")
            page.get_by_role("button", name="Try", exact=True).click()
            row = page.locator("tr", has=page.get_by_role("link", name="Critical to the pager"))
            expect(row.locator(".wk-badge")).to_contain_text(outcome)
    rule = api.call("GET", "/api/v1/notifications/rules")["results"][0]
    assert rule["filter"]["level"] == ["critical"]


def test_maintenance_is_planned_on_the_readers_clock(watched: Watched, api: Api) -> None:
    watched.page.context.clear_cookies(name="wk_zone")  # as on the first page that somebody ever opens
    page = watched.go("monitors/maintenancewindow/add/")
    expect(page.locator("[name=timezone]")).to_have_value("America/New_York")
    expect(page.locator("[name=cron]")).to_be_hidden()
    page.select_option("[name=kind]", "weekly")
    page.get_by_role("group", name="Weekdays").get_by_label("Sunday").check()
    page.fill("[name=start_time]", "03:00")
    page.fill("[name=duration_s]", "1h")
    page.select_option("[name=kind]", "once")
    expect(page.locator("[name=start_time]")).to_be_hidden()
    page.fill("[name=title]", "Move the shop")
    page.fill("[name=starts_at]", "2031-07-01T12:00")
    page.fill("[name=ends_at]", "2031-07-01T13:00")
    page.check("[name=all_targets]")
    save(page)
    expect(page.locator(".wk-head h2")).to_contain_text("Move the shop")
    window = api.call("GET", "/api/v1/maintenance")["results"][0]
    assert window["starts_at"].startswith("2031-07-01T16:00:00"), "New York is four hours behind in summer"


def test_alert_is_silenced_from_its_page_for_a_time_of_ones_own(
    watched: Watched, api: Api, target: Target, shop: dict[str, Any]
) -> None:
    target.stop()

    def opened() -> Any:
        rows = api.call("GET", "/api/v1/alerts")["alerts"]
        return next((row for row in rows if row["subject_id"] == shop["id"]), None)

    alert = wait_for(opened, what="an alert opens")
    page = watched.go(f"alerts/alert/{alert['id']}/")
    page.get_by_role("link", name="Otherwise").click()
    expect(page.locator("[name=entities]")).to_have_value(shop["id"])
    expect(page.get_by_text("Time of America/New_York.").first).to_be_visible()
    end = datetime.now(ZoneInfo("America/New_York")).replace(second=0, microsecond=0) + timedelta(days=2)
    page.fill("[name=ends_at]", f"{end:%Y-%m-%dT%H:%M}")
    page.fill("[name=reason]", "It is being moved")
    save(page)
    expect(page.locator(".wk-head .wk-badge")).to_contain_text("Silenced")
    expect(page.get_by_text(f"{end:%Y-%m-%d %H:%M}:00")).to_be_visible()
    assert datetime.fromisoformat(api.call("GET", "/api/v1/silence")["rules"][0]["ends_at"]) == end
    page = watched.go(f"alerts/alert/{alert['id']}/")
    expect(page.locator("#alert-silence")).to_contain_text("It is being moved", timeout=PATIENCE_MS)
    target.start()


def test_status_page_is_made_and_read_by_a_stranger_without_scripts(
    watched: Watched, shop: dict[str, Any], browser: Browser, installation: Installation
) -> None:
    page = watched.go("statuspage/page/add/")
    page.fill("[name=name]", "Acme services")
    page.fill("[name=slug]", "acme")
    page.fill("[name=intro]", "How we are.")
    save(page)
    page.get_by_role("link", name="Component", exact=True).click()
    page.fill("[name=name]", "Web shop")
    page.select_option("[name=thing]", label=shop["name"])
    save(page)
    expect(page.locator(".wk-head h2")).to_contain_text("Web shop")
    page = watched.go("statuspage/notice/add/")
    page.select_option("[name=page]", label="Acme services")
    page.fill("[name=title]", "Payments are slow")
    page.fill("[name=message]", "We look into it.")
    page.get_by_role("group", name="Affected components").get_by_label("Web shop").check()
    page.check("[name=publish]")
    save(page)
    expect(page.locator(".wk-head h2")).to_contain_text("Payments are slow")

    context = browser.new_context(java_script_enabled=False)
    stranger = Watched(context, installation.url)
    for name in ("Web shop", "How we are.", "Payments are slow", "We look into it."):
        for _ in range(40):
            stranger.page.goto(f"{installation.url}/status/acme")
            if name in stranger.page.content():
                break
            stranger.page.wait_for_timeout(250)
        expect(stranger.page.get_by_text(name).first).to_be_visible()
    assert shop["name"] not in stranger.page.content(), "the monitor's own name never leaves the house"
    stranger.assert_clean("the public page")
    context.close()
