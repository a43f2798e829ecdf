"""The vault in a running installation: canaries in its files and frames, and another key while all of it runs."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from apps.core.masking import Masker
from tests.e2e.story import Api
from tests.support.processes import ROOT, Installation, Template, wait_for

SECRETS = 150


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, template: Template) -> Iterator[Installation]:
    """One installation for both tests."""
    with Installation(data_dir=tmp_path_factory.mktemp("vault") / "data", template=template) as running:
        yield running


@pytest.fixture(scope="module")
def api(installation: Installation) -> Api:
    """The API as the first admin."""
    assert installation.admin is not None
    found = Api(installation.port, installation.admin.username, installation.admin.password)
    found.call("GET", "/api/v1/secrets")
    return found


class Frames(threading.Thread):
    """Everything that `/ws` sends to an admin who follows all of it."""

    def __init__(self, api: Api) -> None:
        super().__init__(daemon=True)
        self.texts: list[str] = []
        self._over, self.ready = threading.Event(), threading.Event()
        self._url = f"ws://127.0.0.1:{api.port}/ws?token={api.token}"

    def run(self) -> None:
        """Read until stopped."""
        with connect(self._url) as socket:
            socket.send(json.dumps({"type": "subscribe", "events": ["*"]}))
            while not self._over.is_set():
                with contextlib.suppress(TimeoutError):
                    self.texts.append(str(socket.recv(0.2)))
                if any('"subscribed"' in text for text in self.texts):
                    self.ready.set()

    def stop(self) -> None:
        """End."""
        self._over.set()
        self.join(10)


def found_in_files(folder: Path, masker: Masker) -> list[str]:
    """Return the files below the folder in which a canary stands."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and masker.spans(path.read_bytes())
    ]


def test_canaries_stand_in_no_file_and_no_frame(installation: Installation, api: Api) -> None:
    canaries = ["canary-one/of+files=", "canary 'two' \"of\" $files", "canary-three-rotated"]
    masker = Masker(canaries)
    frames = Frames(api)
    frames.start()
    assert frames.ready.wait(60), "the socket never opened"
    for name, value in (("one", canaries[0]), ("two", canaries[1])):
        made = api.call("POST", "/api/v1/secrets", {"name": name, "value": value})
        shown = api.call("GET", f"/api/v1/secrets/{made['id']}?reveal=true")
        assert shown["value"] == value
    api.call("POST", f"/api/v1/secrets/{made['id']}/rotate", {"value": canaries[2]})
    with pytest.raises(AssertionError, match="another secret has this name") as refused:
        api.call("POST", "/api/v1/secrets", {"name": "one", "value": canaries[0]})
    wait_for(lambda: any("secret.rotated" in text for text in frames.texts), what="the events on the socket")
    frames.stop()
    assert not masker.spans("\n".join([*frames.texts, str(refused.value), installation.output()]).encode())
    backup = installation.data_dir / "whole.backup"
    installation.manage("backup", str(backup))
    assert found_in_files(installation.data_dir, masker) == []
    api.call("DELETE", f"/api/v1/secrets/{made['id']}")
    (installation.data_dir / "planted.log").write_text(f"it is {canaries[2]}\n")
    assert found_in_files(installation.data_dir, masker) == ["planted.log"]
    (installation.data_dir / "planted.log").unlink()


def test_key_is_replaced_under_load_and_by_a_run_that_is_killed(installation: Installation, api: Api) -> None:
    made = [
        api.call("POST", "/api/v1/secrets", {"name": f"load {number}", "value": f"value {number}"})["id"]
        for number in range(SECRETS)
    ]
    former = _status(installation)["key"]
    argv = [sys.executable, str(ROOT / "manage.py"), "vault", "rekey", "--new-key"]
    process = subprocess.Popen(
        argv, cwd=ROOT, env=installation.environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert former in process.stdout.readline()
    # The processes that run have not been started anew: what they write and read now has to do with both keys.
    for number in range(20):
        api.call("PUT", f"/api/v1/secrets/{made[number]}", {"value": f"other {number}"})
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    installation.manage("vault", "rekey")
    state = _status(installation)
    assert state["key"] != former
    assert {key for counted in state["columns"].values() for key in counted} == {state["key"]}
    expected = {0: "other 0", 19: "other 19", 20: "value 20", len(made) - 1: f"value {len(made) - 1}"}
    for number, value in expected.items():
        assert api.call("GET", f"/api/v1/secrets/{made[number]}?reveal=true")["value"] == value
    assert former in installation.manage("vault", "retire")
    # Started anew it knows the new key alone.
    installation.kill9("web")
    assert api.call("GET", f"/api/v1/secrets/{made[0]}?reveal=true")["value"] == "other 0"
    assert "all of them open" in installation.manage("vault", "drill")


def _status(installation: Installation) -> Any:
    return json.loads(installation.manage("vault", "status", "--json"))
