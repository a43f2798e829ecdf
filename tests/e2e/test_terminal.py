"""A terminal in a real browser on a real machine: typed, seen, reloaded, ended, replayed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from tests.e2e.story import Api
from tests.e2e.test_console_pages import ARGUMENTS, CHROMIUM, PATIENCE_MS, Watched
from tests.support.processes import Installation, Template, wait_for
from tests.support.sshd import USER, Sshd, make_key, sshd


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key that opens the machine."""
    return make_key(tmp_path_factory.mktemp("key"), "id")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Iterator[Sshd]:
    """A machine with an sshd."""
    with sshd(tmp_path_factory.mktemp("sshd"), accepts=[key]) as running:
        yield running


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


def test_terminal_is_typed_in_survives_a_reload_and_is_replayed(
    browser: Browser, machine: Sshd, key: Path, tmp_path_factory: pytest.TempPathFactory, template: Template
) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    with Installation(data_dir=tmp_path_factory.mktemp("terminal") / "data", template=template) as installation:
        assert installation.admin is not None
        api = Api(installation.port, installation.admin.username, installation.admin.password)
        way = api.call(
            "POST",
            "/api/v1/ssh-connections",
            {
                "name": "web", "hostname": "127.0.0.1", "port": machine.port, "username": USER, "auth_method": "key",
                "credential": key.read_text(), "host_key": machine.host_key,
            },
        )  # fmt: skip
        server = api.call("POST", "/api/v1/servers", {"name": "web-1", "ssh_connection_id": way["id"]})
        watched = Watched(browser.new_context(), installation.url)
        page = watched.page
        page.goto(f"{installation.url}/")
        page.fill("[name=username]", installation.admin.username)
        page.fill("[name=password]", installation.admin.password)
        page.click("button[type=submit]")
        page.wait_for_url("**/admin/")
        watched.go(f"fleet/server/{server['id']}/")
        page.get_by_role("link", name="Terminal", exact=True).first.click()
        connected = page.locator("#terminal-state[data-tone=ok]")
        expect(connected).to_be_visible()
        page.keyboard.type("echo $((6*7)) seen\n")
        screen = page.locator("#terminal .xterm-rows")
        expect(screen).to_contain_text("42 seen")
        page.reload()
        expect(connected).to_be_visible()
        expect(screen).to_contain_text("42 seen")  # the same shell, drawn again
        page.keyboard.type("exit 3\n")
        expect(page.locator("#terminal-state")).to_have_text("The shell ended with exit code 3.")
        row: Any = wait_for(
            lambda: next(iter(api.call("GET", "/api/v1/terminal-sessions?status=ended")["results"]), None),
            what="the session's end",
        )
        assert (row["exit_code"], row["user"], row["address"]) == (3, installation.admin.username, "127.0.0.1")
        watched.go(f"fleet/terminalsession/{row['id']}/")
        expect(page.locator("#replay-toggle")).to_be_enabled()
        page.locator("#replay-at").press("End")
        expect(page.locator("#replay .xterm-rows")).to_contain_text("42 seen")
        page.locator("#replay-at").press("Home")
        expect(page.locator("#replay .xterm-rows")).not_to_contain_text("42 seen")
        watched.assert_clean("the terminal")
