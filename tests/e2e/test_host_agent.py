"""A second host and its agent in a running installation: let in, watched, used, left alone for a while, thrown out."""

import contextlib
import http.client
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.e2e.story import Api
from tests.support.agents import AgentProgram
from tests.support.processes import Installation, Template, is_alive, wait_for

#: How long the platform stays away; the agent notices nothing but that it has to wait.
AWAY_S = float(os.environ.get("AWAY_S", "6"))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, template: Template) -> Iterator[Installation]:
    """One installation, whose parts are started again quickly."""
    data, env = tmp_path_factory.mktemp("agents") / "data", {"RESTART_PAUSE_MAX": "1"}
    with Installation(data_dir=data, env=env, template=template) as running:
        yield running


def _background(api: Api, server: str, text: str) -> threading.Thread:
    """Run a command whose answer may never come."""
    body = json.dumps({"command": text, "timeout": 60}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{api.port}/api/v1/commands/{server}", body, method="POST")
    request.add_header("Authorization", f"Bearer {api.token}")
    request.add_header("Content-Type", "application/json")

    def call() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            urllib.request.urlopen(request, timeout=60).read()

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def test_host_agent_from_the_first_line_to_its_end(installation: Installation, tmp_path: Path) -> None:
    assert installation.admin is not None
    api = Api(installation.port, installation.admin.username, installation.admin.password)
    api.call("PUT", "/api/v1/settings/metrics/interval_s", {"value": 1})
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    token = api.call("POST", "/api/v1/agents/enrolment-tokens", {"name": "rack", "expires_at": ends})["token"]

    # The program as a host downloads it, its key approved by its fingerprint.
    with urllib.request.urlopen(f"{installation.url}/agent/watchkeeper-agent.py") as answer:
        program = AgentProgram(tmp_path / "state", answer.read().decode(), hostname="second-host")
    url, log = installation.url, tmp_path / "app.log"
    log.write_text("")
    said = program.command("enroll", "--url", url, "--token-file", "-", "--name", "web 1", "--no-wait", stdin=token)
    assert said.returncode == 0, said.stderr
    (waiting,) = api.call("GET", "/api/v1/agents/pending")["results"]
    assert waiting["fingerprint"].replace(" ", "") in said.stdout.replace(" ", "")
    assert waiting["hostname"] == "second-host"
    settings = json.loads((program.folder / "agent.json").read_text())
    settings["logs"] = {"journal": False, "docker": False, "files": [str(log)]}
    (program.folder / "agent.json").write_text(json.dumps(settings))
    with program:
        time.sleep(1)
        api.call("POST", f"/api/v1/agents/pending/{waiting['id']}/approve")
        server = wait_for(lambda: _online(api), what="the agent")

        def points() -> list[float]:
            query = urlencode(
                {"agent_id": server, "from": begun, "to": datetime.now(UTC).isoformat(), "resolution": "raw"}
            )
            rows = api.call("GET", f"/api/v1/history?{query}")["data"]
            return [datetime.fromisoformat(row["timestamp"]).timestamp() for row in rows]

        def lines(text: str) -> int:
            return int(api.call("GET", f"/api/v1/logs?{urlencode({'agent_id': server, 'q': text})}")["total"])

        begun = datetime.now(UTC).isoformat()
        wait_for(lambda: len(points()) >= 3, what="samples")

        # Commands: one that ends, one that is cancelled with its children.
        done = api.call("POST", f"/api/v1/commands/{server}", {"command": "hostname; exit 3"})
        assert (done["output"], done["exit_code"]) == ("second-host\n", 3)
        pids = tmp_path / "pids"
        thread = _background(api, server, f"echo $$ >> {pids}; sleep 999 & echo $! >> {pids}; wait")
        run = wait_for(lambda: _running(api), what="the command")
        wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2, what="its children")
        api.call("POST", f"/api/v1/commands/{run}/cancel")
        wait_for(lambda: not any(is_alive(int(one)) for one in pids.read_text().split()), what="the end of both")
        thread.join(20)
        assert api.call("GET", f"/api/v1/commands/{run}")["status"] == "cancelled"

        # Followed by the worker, while the web process holds the connection.
        api.call("POST", "/api/v1/commands", {"command": "cat; exit 5", "stdin": "far", "servers": [server]})
        wait_for(lambda: _runs(api, "failed"), what="the worker's command")
        assert [(one["exit_code"], one["executor"]) for one in _runs(api, "failed")][0] == (5, "agent")

        # The web process dies in the middle of one: it ends within 30 s, and was never begun twice.
        count = tmp_path / "count"
        _background(api, server, f"echo $$ >> {count}; sleep 999")
        wait_for(count.exists, what="the command")
        run = wait_for(lambda: _running(api), what="the command")
        installation.kill9("web")
        killed = time.monotonic()
        with log.open("a") as file:
            file.write("while web was dead\n")

        # The platform goes away altogether.
        installation.stop(signal.SIGTERM)
        time.sleep(AWAY_S)
        installation.start()
        back = time.time()
        wait_for(lambda: any(at > back for at in points()), what="samples after the break")
        wait_for(lambda: lines("while web was dead") == 1, what="the line")
        times = points()
        assert len(set(times)) == len(times)
        # A gap would be as long as the platform was away.
        assert max(later - earlier for earlier, later in zip(times, times[1:], strict=False)) < AWAY_S, times
        wait_for(lambda: api.call("GET", f"/api/v1/commands/{run}")["status"] == "lost", what="the end", patience_s=40)
        wait_for(lambda: not is_alive(int(count.read_text().split()[0])), what="the end over there", patience_s=40)
        assert len(count.read_text().split()) == 1, time.monotonic() - killed

        # Thrown out.
        api.call("POST", f"/api/v1/agents/{server}/revoke")
        wait_for(lambda: "refuses this agent" in program.said(), what="the refusal", patience_s=15)
        behind = time.time() + 1
        time.sleep(2.5)
        assert not any(at > behind for at in points())
        assert program.stop() == 0


def _online(api: Api) -> str:
    found: list[dict[str, Any]] = api.call("GET", "/api/v1/agents/?kind=host")["agents"]
    return next((one["id"] for one in found if one["status"] == "online"), "")


def _runs(api: Api, status: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("GET", f"/api/v1/commands?status={status}")["results"]
    return [one for one in found if "exit 5" in one["command"] or status == "running"]


def _running(api: Api) -> str:
    found = _runs(api, "running")
    return found[0]["command_id"] if found else ""
