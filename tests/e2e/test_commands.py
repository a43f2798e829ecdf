"""A command on many machines in a running installation whose processes are killed under it."""

import contextlib
import http.client
import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.story import Api
from tests.support.processes import Installation, Template, is_alive, wait_for
from tests.support.sshd import USER, make_key, sshd

HOSTS = 6


def test_batch_goes_on_after_kills_and_no_machine_has_two_turns(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, template: Template
) -> None:
    key, trace = make_key(tmp_path, "id"), tmp_path / "trace"
    data = tmp_path_factory.mktemp("commands") / "data"
    with (
        sshd(tmp_path / "sshd", accepts=[key], more_ports=HOSTS - 1) as target,
        Installation(data_dir=data, env={"RESTART_PAUSE_MAX": "1"}, template=template) as installation,
    ):
        assert installation.admin is not None
        api = Api(installation.port, installation.admin.username, installation.admin.password)
        credential: dict[str, Any] = {"credential": key.read_text()}
        for number, port in enumerate(target.ports):
            way = {
                "name": f"way {number}", "hostname": "127.0.0.1", "port": port, "username": USER, "auth_method": "key",
                "host_key": target.host_key, **credential,
            }  # fmt: skip
            made = api.call("POST", "/api/v1/ssh-connections", way)
            credential = {"secret_id": made["secret_id"]}
            server = {"name": f"web {number}", "tags": ["web"], "ssh_connection_id": made["id"]}
            api.call("POST", "/api/v1/servers", server)
        api.call("POST", "/api/v1/change-limits", {"tag": "web", "hosts_most": 3})
        # The input is sealed in the row: what begins after a kill has it too.
        body = {
            "command": f'read word; echo "$SSH_CONNECTION" >>{trace}; echo $word; sleep 2; echo $NAME',
            "tags": ["web"], "parallel": "2", "stdin": "given\n", "env": {"NAME": "value"},
        }  # fmt: skip
        path = f"/api/v1/command-batches/{api.call('POST', '/api/v1/commands', body)['batch_id']}"
        for part in ("worker", "web"):
            wait_for(lambda: _count(api, path)["running"] > 0, what="runs", patience_s=60)
            before = installation.pid(part)
            installation.kill9(part)
            installation.pid(part, other_than=before)
        wait_for(lambda: api.call("GET", path)["status"] != "running", what="the end of the batch", patience_s=120)
        runs = api.call("GET", path)["runs"]
        counts = Counter(run["status"] for run in runs)
        assert set(counts) <= {"succeeded", "lost"} and 1 <= counts["lost"] <= 2, counts
        for run in runs:
            if run["status"] == "succeeded":
                assert api.call("GET", f"/api/v1/commands/{run['command_id']}")["output"] == "given\nvalue\n"
        begun = Counter(trace.read_text().splitlines())
        assert len({line.split()[-1] for line in begun}) == begun.total(), begun  # the port: each machine at most once

        # What was lost held no slot any more, and is what runs again where somebody says so.
        again = api.call("POST", f"{path}/retry", {"scope": "unsuccessful"})
        assert again["hosts"] == counts["lost"]
        path = f"/api/v1/command-batches/{again['batch_id']}"
        wait_for(lambda: api.call("GET", path)["status"] == "succeeded", what="the retry", patience_s=60)


def test_commands_of_an_installation_that_is_stopped_are_lost_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tmp_path_factory.mktemp("stopped") / "data"
    with Installation(data_dir=data, env={"LOCAL_COMMANDS": "on"}) as installation:
        assert installation.admin is not None
        api = Api(installation.port, installation.admin.username, installation.admin.password)
        # One is followed by a worker, one by the web process, which keeps somebody waiting for it.
        body = {"command": "echo $$; exec sleep 600", "timeout": 900}
        api.call("POST", "/api/v1/commands", {**body, "servers": ["local"]})
        waiting = threading.Thread(target=_ask_once, args=(api, "/api/v1/commands/local", body))
        waiting.start()

        def runs() -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = api.call("GET", "/api/v1/commands")["results"]
            return [api.call("GET", f"/api/v1/commands/{row['command_id']}") for row in rows]

        wait_for(lambda: len([row for row in runs() if row["output"]]) == 2, what="both write", patience_s=60)
        installation.stop()
        waiting.join(30)
        installation.start()
        ended = runs()
        assert [row["status"] for row in ended] == ["lost", "lost"]
        assert all("was stopped" in row["error"] and row["output"] for row in ended)
        assert not [row for row in ended if is_alive(int(row["output"]))]


def _ask_once(api: Api, path: str, body: dict[str, Any]) -> None:
    """Send one request, and wait until it is answered or cut off."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api.token}"}
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("POST", path, json.dumps(body), headers)
        connection.getresponse().read()
    connection.close()


def _count(api: Api, path: str) -> dict[str, int]:
    found: dict[str, int] = api.call("GET", path)
    return found
