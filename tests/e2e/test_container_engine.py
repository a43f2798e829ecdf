"""The agent's client of the container engine against a real one, and where there is none. No Django is needed."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import engine as module
from agent.engine import Engine, engine_socket
from apps.fleet.own_container import own_containers
from tests.support.engine import IMAGE, ContainerEngine, container_engine
from tests.support.processes import wait_for

WAITS = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def docker() -> Iterator[ContainerEngine]:
    with container_engine() as found:
        yield found


def _ask(engine: Engine, action: str, container: str, **values: Any) -> dict[str, Any]:
    return asyncio.run(engine.answer({"action": action, "container": container, **values}))


def _listed(engine: Engine) -> dict[str, dict[str, Any]]:
    block = asyncio.run(engine.containers())
    assert block["available"] is True
    return {one["name"]: one for one in block["containers"]}


def test_containers_are_listed_with_what_people_look_for(docker: ContainerEngine) -> None:
    project = ("--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web")
    identity = docker.run("listed", WAITS, *project, "--label", "secret=hush", "--expose", "8080")
    docker.run("gone-by", "exit 3")
    wait_for(lambda: docker.state("gone-by") == "exited", what="its end")
    found = _listed(Engine(docker.socket))
    one = found["listed"]
    assert (one["id"], one["image"], one["state"]) == (identity[:12], IMAGE, "running")
    assert one["status"].startswith("Up ") and one["created"] > 1_600_000_000
    assert one["labels"] == {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    assert found["gone-by"]["state"] == "exited" and "(3)" in found["gone-by"]["status"]
    names = list(found)
    assert names.index("listed") < names.index("gone-by")


def test_ports_are_named_once_for_both_families() -> None:
    both = [{"IP": ip, "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"} for ip in ("0.0.0.0", "::")]
    assert module._ports([*both, {"PrivatePort": 443, "Type": "tcp"}]) == [
        {"private_port": 80, "type": "tcp", "public_port": 8080},
        {"private_port": 443, "type": "tcp"},
    ]


def test_list_has_bounds(docker: ContainerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        docker.docker("create", "--name", f"many-{number}", "--network", "none", IMAGE, "/bin/sh")
    every = asyncio.run(Engine(docker.socket).containers())
    assert every["total"] == len(every["containers"]) >= 3
    monkeypatch.setattr(module, "CONTAINERS_MOST", 2)
    few = asyncio.run(Engine(docker.socket).containers())
    assert (few["total"], few["containers"]) == (every["total"], every["containers"][:2])
    monkeypatch.setattr(module, "BLOCK_MOST", 10)
    assert asyncio.run(Engine(docker.socket).containers())["containers"] == []


def test_container_is_started_stopped_and_restarted_once_each(docker: ContainerEngine) -> None:
    engine = Engine(docker.socket)
    identity = docker.run("acted-on", WAITS)
    done = _ask(engine, "stop", "acted-on", timeout_s=5)
    shown = {"id": identity[:12], "name": "acted-on", "image": IMAGE}
    assert done == {"ok": True, "container": {**shown, "state": "exited"}} and docker.state("acted-on") == "exited"
    assert _ask(engine, "stop", "acted-on")["code"] == "not_running"
    assert _ask(engine, "start", identity[:12]) == {"ok": True, "container": {**shown, "state": "running"}}
    refused = _ask(engine, "start", "acted-on")
    assert refused == {"ok": False, "code": "running", "message": "The container runs already."}
    before = docker.docker("inspect", "--format", "{{.State.StartedAt}}", "acted-on")
    assert _ask(engine, "restart", "acted-on", timeout_s=5)["ok"] is True
    assert docker.docker("inspect", "--format", "{{.State.StartedAt}}", "acted-on") != before


@pytest.mark.parametrize("length", [64, 12])
def test_container_of_the_agent_or_the_platform_goes_on(
    docker: ContainerEngine, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    engine, name = Engine(docker.socket), f"ours-{length}"
    identity = docker.run(name, WAITS)
    other = docker.run(f"not-{name}", WAITS)
    for action in ("stop", "restart"):
        refused = _ask(engine, action, name, own=["f" * 64, identity[:length]])
        assert refused["code"] == "own_container" and "Watchkeeper itself" in refused["message"]
        monkeypatch.setattr(module, "own_containers", lambda: frozenset({identity[:length]}))
        for shown in (name, identity, identity[:12]):
            refused = _ask(engine, action, shown)
            assert refused["code"] == "own_container" and "this host agent runs" in refused["message"]
        monkeypatch.undo()
    assert docker.state(name) == "running"
    assert _ask(engine, "stop", f"not-{name}", timeout_s=1, own=[identity, "", other[:4]])["ok"] is True
    assert _ask(engine, "stop", "absent", own=[identity])["code"] == "gone"


def test_process_knows_the_container_it_runs_in(docker: ContainerEngine, tmp_path: Path) -> None:
    identity = docker.run("inside", WAITS)
    for folder in ("proc/self", "proc/sys/kernel"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("proc/self/mountinfo", "proc/self/cgroup", "proc/sys/kernel/hostname", ".dockerenv"):
        (tmp_path / name).write_text(docker.docker("exec", "inside", "/bin/busybox", "cat", f"/{name}"))
    assert identity in own_containers(tmp_path)
    (tmp_path / "proc/self/mountinfo").unlink()
    assert {one[:12] for one in own_containers(tmp_path)} == {identity[:12]}


def test_host_of_containers_takes_none_for_its_own(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    folder = f"/var/lib/docker/containers/{'a' * 64}"
    lines = [
        f"1 2 0:1 / {folder}/mounts/shm rw - tmpfs shm rw",
        f"3 2 8:1 {folder}/hosts /mnt/hosts rw - ext4 /dev/a rw",
    ]
    (tmp_path / "proc/self/mountinfo").write_text("\n".join(lines))
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/watchkeeper-agent.service\n")
    assert own_containers(tmp_path) == frozenset()


def test_container_that_ignores_the_wish_is_killed_after_the_time_given(docker: ContainerEngine) -> None:
    docker.run("deaf", "trap '' TERM; while :; do sleep 0.1; done")
    assert _ask(Engine(docker.socket), "stop", "deaf", timeout_s=1)["ok"] is True
    assert docker.docker("inspect", "--format", "{{.State.ExitCode}}", "deaf") == "137"


def test_logs_are_the_last_lines_of_both_streams(docker: ContainerEngine) -> None:
    engine = Engine(docker.socket)
    docker.run("writes", "seq 1 5; echo wrong >&2; printf 'a\\0b\\n'; printf tail")
    wait_for(lambda: docker.state("writes") == "exited", what="its end")
    said = _ask(engine, "logs", "writes", tail=100)
    assert sorted(said["lines"]) == sorted(["1", "2", "3", "4", "5", "wrong", "a\ufffdb", "tail"])
    assert (said["is_cut"], said["container"]["name"]) == (False, "writes")
    assert len(_ask(engine, "logs", "writes", tail=2)["lines"]) == 2
    (line,) = _ask(engine, "logs", "writes", tail=1, timestamps=True)["lines"]
    assert line[:2] == "20" and "T" in line.split(" ")[0]
    assert _ask(engine, "logs", "writes", since=4_000_000_000)["lines"] == []
    # A terminal has one stream, without the heads that tell two apart.
    docker.run("draws", "echo on a terminal", "--tty")
    wait_for(lambda: docker.state("draws") == "exited", what="its end")
    assert _ask(engine, "logs", "draws")["lines"] == ["on a terminal"]


def test_logs_that_are_too_many_keep_the_newest_and_say_so(
    docker: ContainerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.run("talks", "seq 1 5000")
    wait_for(lambda: docker.state("talks") == "exited", what="its end")
    monkeypatch.setattr(module, "LOG_MOST", 2000)
    said = _ask(Engine(docker.socket), "logs", "talks", tail=5000)
    assert said["is_cut"] is True and said["lines"][-1] == "5000" and 100 < len(said["lines"]) < 400
    numbers = [int(line) for line in said["lines"]]
    assert numbers == list(range(numbers[0], 5001))
    monkeypatch.setattr(module, "LINE_MOST", 2)
    assert set(map(len, _ask(Engine(docker.socket), "logs", "talks", tail=9)["lines"])) == {2}


def test_engines_own_words_come_back(docker: ContainerEngine) -> None:
    engine = Engine(docker.socket)
    missing = _ask(engine, "start", "no-such-one")
    assert missing["code"] == "gone" and "no-such-one" in missing["message"]
    docker.docker("create", "--name", "broken", "--network", "none", IMAGE, "/no/such/program")
    refused = _ask(engine, "start", "broken")
    assert (refused["ok"], refused["code"]) == (False, "refused") and "/no/such/program" in refused["message"]
    docker.run("mute", "echo nothing", "--log-driver", "none")
    assert "logging driver" in _ask(engine, "logs", "mute")["message"]


@pytest.mark.parametrize("name", ["", "a", "../images", "a/b", "a?b", "-a", "a b", "a%2Fb", "é" * 3, "x" * 300])
def test_what_names_no_container_is_never_asked(name: str, tmp_path: Path) -> None:
    assert _ask(Engine(str(tmp_path / "none")), "stop", name)["code"] == "bad_name"


def test_unknown_action_and_malformed_question_are_refused(tmp_path: Path) -> None:
    engine = Engine(str(tmp_path / "none"))
    assert "does not know" in _ask(engine, "explode", "web")["message"]
    assert asyncio.run(engine.answer({"action": "start"}))["code"] == "failed"
    assert _ask(engine, "stop", "web", timeout_s="soon")["code"] == "failed"


def test_host_without_an_engine_is_an_ordinary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(module, "SOCKETS", (str(tmp_path / "docker.sock"),))
    assert asyncio.run(Engine().containers()) == {"available": False}
    assert _ask(Engine(), "start", "web")["code"] == "absent"
    assert engine_socket({"DOCKER_HOST": "unix:///x/y.sock"}) == "/x/y.sock"
    assert engine_socket({"DOCKER_HOST": "tcp://127.0.0.1:2375"}) == ""


def test_socket_of_something_else_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        refused = _ask(Engine(str(path)), "start", "web")
        assert refused["code"] == "no_engine" and str(path) in refused["message"]
        block = asyncio.run(Engine(str(path)).containers())
        assert block["available"] is False and "Connection refused" in block["reason"]
        # One that hangs costs the time that is given, and never more than that.
        listening.listen()
        monkeypatch.setattr(module, "ANSWER_S", 0.2)
        monkeypatch.setattr(module, "LIST_S", 0.2)
        assert _ask(Engine(str(path)), "start", "web")["code"] == "engine_silent"
        assert "did not answer within" in asyncio.run(Engine(str(path)).containers())["reason"]


def test_too_many_questions_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.3)
    path = tmp_path / "s"

    async def ask_all() -> list[dict[str, Any]]:
        engine = Engine(str(path))
        asked = [engine.answer({"action": "start", "container": "web"}) for _ in range(module.ASKED_MOST + 1)]
        return list(await asyncio.gather(*asked))

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(20)
        codes = [one["code"] for one in asyncio.run(ask_all())]
    assert sorted(codes) == ["busy", *["engine_silent"] * module.ASKED_MOST]
