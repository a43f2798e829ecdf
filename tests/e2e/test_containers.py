"""Containers of a real engine, watched and acted on through the host agent of a running installation."""

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.story import Api
from tests.e2e.test_console_pages import ARGUMENTS, CHROMIUM, LOOKS, PATIENCE_MS, Watched
from tests.support.agents import AgentProgram
from tests.support.engine import container_engine
from tests.support.processes import Installation, Template, wait_for

WAITS = "trap 'exit 0' TERM; echo it begins; while :; do sleep 0.1; done"


def _refusal(api: Api, path: str, *, method: str = "POST") -> tuple[int, dict[str, Any]]:
    """Return status and body of a call that is refused."""
    request = urllib.request.Request(f"http://127.0.0.1:{api.port}{path}", method=method)
    request.add_header("Authorization", f"Bearer {api.token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            raise AssertionError(f"{path} was done: {answer.read().decode()}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def _let_in(api: Api, url: str, folder: Path) -> AgentProgram:
    """Return the program as a host downloads it, let in."""
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    token = api.call("POST", "/api/v1/agents/enrolment-tokens", {"name": "rack", "expires_at": ends})["token"]
    with urllib.request.urlopen(f"{url}/agent/watchkeeper-agent.py") as answer:
        program = AgentProgram(folder, answer.read().decode())
    said = program.command("enroll", "--url", url, "--token-file", "-", "--name", "dock", "--no-wait", stdin=token)
    assert said.returncode == 0, said.stderr
    (waiting,) = api.call("GET", "/api/v1/agents/pending")["results"]
    api.call("POST", f"/api/v1/agents/pending/{waiting['id']}/approve")
    return program


def _sign_in(page: Page, installation: Installation) -> None:
    assert installation.admin is not None
    page.goto(f"{installation.url}/")
    page.fill("[name=username]", installation.admin.username)
    page.fill("[name=password]", installation.admin.password)
    page.click("button[type=submit]")
    page.wait_for_url("**/admin/")


def _assert_fits(page: Page) -> None:
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], f"{page.url} is {width[0]} px wide on {width[1]} px"


def test_containers_from_the_list_to_an_engine_that_is_gone(tmp_path: Path, template: Template) -> None:
    with (
        container_engine() as engine,
        Installation(data_dir=tmp_path / "data", template=template) as installation,
    ):
        assert installation.admin is not None
        api = Api(installation.port, installation.admin.username, installation.admin.password)
        api.call("PUT", "/api/v1/settings/metrics/interval_s", {"value": 1})
        identity = engine.run("shop-web", WAITS, "--label", "com.docker.compose.project=shop")[:12]
        program = _let_in(api, installation.url, tmp_path / "state")
        with program.start(env={"DOCKER_HOST": engine.url}):
            base = "/api/v1/docker/dock/containers"

            def listed() -> dict[str, Any]:
                rows = api.call("GET", f"{base}?all=true")["results"]
                return next((one for one in rows if one["name"] == "shop-web"), {})

            def is_shown(state: str) -> bool:
                return bool(listed().get("state") == state)

            wait_for(listed, what="the container")
            one = listed()
            assert (one["id"], one["state"], one["project"]) == (identity, "running", "shop")

            # Each action is done, once, and shows soon.
            done = api.call("POST", f"{base}/shop-web/stop", {"timeout": 5})
            assert (done["status"], done["container"]["state"], engine.state("shop-web")) == (
                "success", "exited", "exited",
            )  # fmt: skip
            wait_for(lambda: is_shown("exited"), what="its state")
            assert api.call("GET", base)["results"] == []
            assert api.call("POST", f"{base}/{identity}/start")["message"] == "shop-web was started."
            assert engine.state("shop-web") == "running"
            status, said = _refusal(api, f"{base}/shop-web/start")
            assert (status, said["code"], said["detail"]) == (409, "container_running", "The container runs already.")
            assert api.call("POST", f"{base}/shop-web/restart", {"timeout": 5})["container"]["state"] == "running"
            found = api.call("GET", f"{base}/shop-web/logs?tail=2&timestamps=true")
            assert [line.split(" ", 1)[1] for line in found["lines"]] == ["it begins"] * 2
            status, said = _refusal(api, f"{base}/no-such-one/stop")
            assert status == 404 and "no-such-one" in said["detail"]
            names = ["container.stopped", "container.started", "container.restarted"]
            wait_for(
                lambda: [one for one in _told(api) if one != "container.action_asked"] == names, what="the audit trail"
            )

            _use_the_console(installation, engine_state=lambda: engine.state("shop-web"))

            # The engine dies: that is said, and samples go on.
            engine.kill9()
            status, said = _refusal(api, f"{base}/shop-web/restart")
            assert (status, said["code"]) == (503, "engine_unavailable") and engine.socket in said["detail"]
            status, said = _refusal(api, f"{base}/shop-web/logs", method="GET")
            assert status == 503 and "No container engine answers" in said["detail"]
            gone = wait_for(lambda: _unless_available(api, base), what="the list without an engine")
            assert gone["results"] == [] and engine.socket in gone["reason"]

            # And so does the agent.
            assert program.stop() == 0
            status, said = _refusal(api, f"{base}/shop-web/restart")
            assert (status, said["code"]) == (503, "agent_offline")


def _unless_available(api: Api, base: str) -> dict[str, Any]:
    found: dict[str, Any] = api.call("GET", base)
    return {} if found["available"] else found


def _told(api: Api) -> list[str]:
    rows = api.call("GET", "/api/v1/admin/audit?page_size=100")["results"]
    return [row["action"] for row in reversed(rows) if row["action"].startswith("container.")]


def _use_the_console(installation: Installation, *, engine_state: Any) -> None:
    """Stop the container on a phone, read its log, start it again."""
    with sync_playwright() as running:
        installed = next((path for path in CHROMIUM if Path(path).exists()), None)
        browser = running.chromium.launch(executable_path=installed, headless=True, args=ARGUMENTS)
        context = browser.new_context(**LOOKS["phone"])  # type: ignore[arg-type]
        watched = Watched(context, installation.url)
        page = watched.page
        _sign_in(page, installation)
        watched.go("fleet/server/")
        page.get_by_role("link", name="dock").first.click()
        section = page.locator("#server-containers")
        expect(section).to_contain_text("shop-web", timeout=PATIENCE_MS)
        _assert_fits(page)
        section.get_by_role("button", name="Stop shop-web").click()
        # The section is drawn anew with every sample; what was asked is still done.
        page.evaluate("new Promise(drawn => addEventListener('wk:drawn', drawn, { once: true })).then(() => null)")
        page.locator("dialog").get_by_role("button", name="Stop").click()
        expect(page.get_by_text("shop-web was stopped.").first).to_be_visible(timeout=PATIENCE_MS)
        assert engine_state() == "exited"
        expect(section.get_by_role("button", name="Start shop-web")).to_be_visible(timeout=PATIENCE_MS)
        section.get_by_role("link", name="shop-web").click()
        expect(page.locator("pre")).to_contain_text("it begins", timeout=PATIENCE_MS)
        _assert_fits(page)
        page.go_back()
        section.get_by_role("button", name="Start shop-web").click()
        page.locator("dialog").get_by_role("button", name="Start").click()
        expect(section.get_by_role("button", name="Stop shop-web")).to_be_visible(timeout=PATIENCE_MS)
        assert engine_state() == "running"
        watched.assert_clean("containers")
        browser.close()
