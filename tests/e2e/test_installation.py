"""`manage.py up` with the real product: the first start, kills, refusals that need the database, the end."""

import http.client
import json
import signal
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.version import VERSION
from tests.support.processes import Admin, Installation, answers, free_port, is_alive, processes_of, wait_for


def log_in(port: int, admin: Admin) -> str:
    """Return the access token of a login by the API."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"username": admin.username, "password": admin.password})
    connection.request("POST", "/api/v1/auth/login", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, content
    return str(content["access"])


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The installation of all tests, for those that begin by stopping it."""
    env = {"SMTP_PORT": str(free_port()), "SMTP_DOMAIN": "watch.example.org"}
    with Installation(data_dir=tmp_path_factory.mktemp("up") / "data", env=env) as running:
        yield running


@pytest.fixture
def installation(one: Installation) -> Installation:
    """The same, running."""
    return one if one.is_running else one.start()


def test_first_start_shows_where_it_is_and_the_password_once(installation: Installation) -> None:
    admin = installation.admin
    assert admin is not None
    assert log_in(installation.port, admin)
    assert installation.output().count(admin.password) == 1
    assert f"Console   {installation.url}/" in installation.output()
    assert f"Data      {installation.data_dir}" in installation.output()
    for log in (installation.data_dir / "logs").iterdir():
        assert admin.password not in log.read_text(errors="replace"), log


def test_everything_it_keeps_is_its_owners_alone(installation: Installation) -> None:
    open_to_others = [
        path
        for path in installation.data_dir.rglob("*")
        if not path.is_socket() and not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert installation.data_dir.stat().st_mode & 0o777 == 0o700
    assert open_to_others == []


@pytest.mark.parametrize("part", ["redis", "web", "worker", "smtp"])
def test_killed_part_is_started_again_and_the_product_serves(installation: Installation, part: str) -> None:
    killed = installation.kill9(part)
    assert installation.pid(part, other_than=killed) != killed
    installation.wait_until_serving()
    assert f"{part} ended (killed by SIGKILL); starting it again" in installation.output()


def test_mail_to_a_heartbeat_is_its_ping_and_the_readiness_names_the_listener(installation: Installation) -> None:
    assert installation.admin is not None
    token = log_in(installation.port, installation.admin)

    def call(method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=30)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        connection.close()
        assert answer.status in (200, 201), content
        return content

    heartbeat = call("POST", "/api/v1/heartbeats", {"name": "by mail", "interval_seconds": 60})
    address = heartbeat["mail_address"]
    assert address == f"{heartbeat['uuid']}@watch.example.org"
    port = int(installation.environment["SMTP_PORT"])
    wait_for(lambda: takes_mail(port), what="the mail listener")
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as server:
        server.sendmail("nas@example.net", [address.replace("@", "+7@")], b"Subject: backup\r\n\r\nno space left")
    assert call("GET", f"/api/v1/heartbeats/{heartbeat['id']}")["last_exit_code"] == 7
    assert call("GET", "/readyz")["parts"]["mail_pings"] == "ok"
    memory = Path(f"/proc/{installation.pid('smtp')}/status").read_text().partition("VmRSS:")[2].split()[0]
    web = Path(f"/proc/{installation.pid('web')}/status").read_text().partition("VmRSS:")[2].split()[0]
    assert int(memory) < 0.8 * int(web)  # it loads a part of the product


def takes_mail(port: int) -> bool:
    """Tell whether a mail listener greets."""
    try:
        smtplib.SMTP("127.0.0.1", port, timeout=5).quit()
    except OSError:
        return False
    return True


def test_second_start_on_the_folder_says_that_it_runs(installation: Installation) -> None:
    with pytest.raises(
        AssertionError, match=f"already runs here .pid {installation.supervisor_pid}, {installation.url}"
    ):
        Installation(data_dir=installation.data_dir).start()
    assert answers(installation.port)


def test_killed_supervisor_leaves_nothing_and_the_next_start_goes_on(installation: Installation) -> None:
    pids = [installation.pid(part) for part in ("redis", "web", "worker", "smtp")]
    installation.kill9("supervisor")
    installation.start()  # at once: it waits for what the killed one left
    assert not any(map(is_alive, pids))
    assert installation.admin is not None
    assert log_in(installation.port, installation.admin)


def test_interrupt_ends_everything_and_exits_0(installation: Installation) -> None:
    installation.stop(signal.SIGINT)
    assert installation.output().rstrip().endswith("Watchkeeper has stopped.")


def test_older_folder_is_backed_up_before_it_is_migrated(one: Installation) -> None:
    file, backups = one.data_dir / "version.json", one.data_dir / "backups"
    one.stop()
    version = json.loads(file.read_text())
    assert version["version"] == VERSION
    assert list(backups.iterdir()) == []
    file.write_text(json.dumps({**version, "version": "0.0.1"}))
    one.start()
    [copy] = backups.iterdir()
    assert copy.name.startswith("before-0.0.1-")
    assert str(copy) in one.output()
    assert json.loads(file.read_text())["version"] == VERSION


def test_wrong_vault_key_is_one_sentence_and_exit_1(one: Installation) -> None:
    one.stop()
    key = one.data_dir / "keys" / "vault_key"
    right = key.read_text()
    key.write_text("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    done = subprocess.run(
        one.command, cwd=one.cwd, env=one.environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    key.write_text(right)
    one.start()
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert "key" in done.stderr


def test_stop_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    starting = Installation(data_dir=data_dir)
    process = subprocess.Popen(
        starting.command,
        cwd=starting.cwd,
        env=starting.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    wait_for((data_dir / "run" / "prepare.pid").exists, what="the start of prepare")
    process.terminate()
    assert process.wait(30) == 0
    assert processes_of(str(data_dir)) == {}
