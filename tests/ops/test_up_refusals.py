"""`manage.py up` that can't start says one sentence and exits 1, before anything runs."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.supervisor.datadir import Lock, prepare
from config.version import VERSION
from tests.ops.running import ROOT

UNSET = ("SECRET_KEY", "VAULT_KEY", "SECRET_KEY_FILE", "VAULT_KEY_FILE", "DATABASE_URL", "REDIS_URL", "PUBLIC_URL")


def refused(data_dir: Path, **env: str) -> str:
    """Return the one sentence of a start that is refused."""
    inherited = {name: value for name, value in os.environ.items() if name not in UNSET}
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env={**inherited, "DATA_DIR": str(data_dir), "HOST": "127.0.0.1", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def port() -> Iterator[str]:
    """A port that nobody listens on, kept from others by a socket that is bound only."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield str(keeper.getsockname()[1])


def test_up_on_a_taken_port_names_it_and_another(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        said = refused(data_dir, PORT=str(taken))
    assert said.startswith(f"Port {taken} on 127.0.0.1 is taken by another program;")
    assert "make run" in said


def test_up_with_a_port_that_is_no_number_names_the_variable(data_dir: Path) -> None:
    assert refused(data_dir, PORT="http") == 'PORT: "http" is not a whole number.'


def test_up_with_a_host_of_another_machine_names_the_variable(data_dir: Path) -> None:
    assert refused(data_dir, HOST="192.0.2.7", PORT="0").startswith("PORT:")
    assert refused(data_dir, HOST="192.0.2.7", PORT="8000").startswith("HOST: 192.0.2.7:8000 can't be listened on")


def test_up_in_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused(tmp_path / "file" / "data", PORT="8000")
    assert "can't be written" in said
    assert "DATA_DIR" in said


def test_up_twice_on_one_folder_says_that_it_runs(data_dir: Path) -> None:
    prepare(data_dir)
    lock = Lock(data_dir, address="http://127.0.0.1:8000")
    said = refused(data_dir, PORT="8000")
    lock.release()
    assert said.startswith(f"Watchkeeper already runs here (pid {os.getpid()}, http://127.0.0.1:8000);")


@pytest.mark.parametrize(
    "folder",
    [
        {"version": "999.0.0", "migrations": {}, "fingerprint": ""},
        {"version": VERSION, "migrations": {"core": "9999_later"}, "fingerprint": ""},
    ],
)
def test_up_on_a_folder_of_a_newer_version_leaves_it_alone(
    data_dir: Path, port: str, folder: dict[str, object]
) -> None:
    prepare(data_dir)
    (data_dir / "version.json").write_text(json.dumps(folder))
    assert "was used by a newer Watchkeeper" in refused(data_dir, PORT=port)
    assert json.loads((data_dir / "version.json").read_text()) == folder
    assert not (data_dir / "keys" / "vault_key").exists()


def test_up_with_a_spoilt_version_file_says_what_to_do(data_dir: Path, port: str) -> None:
    prepare(data_dir)
    (data_dir / "version.json").write_text("{")
    assert "version.json can't be read" in refused(data_dir, PORT=port)


@pytest.mark.parametrize(
    "env", [{"PUBLIC_URL": "https://watch.example.org"}, {"DATABASE_URL": "postgres://wk@127.0.0.1/wk"}]
)
def test_up_beyond_one_machine_without_keys_gives_the_commands(data_dir: Path, port: str, env: dict[str, str]) -> None:
    said = refused(data_dir, PORT=port, **env)
    assert said.startswith("SECRET_KEY and VAULT_KEY must be given")
    for command in ("secrets.token_urlsafe(50)", "secrets.token_bytes(32)"):
        assert command in said


def test_up_with_a_key_that_others_may_read_names_the_chmod(data_dir: Path, port: str) -> None:
    prepare(data_dir)
    key = data_dir / "keys" / "vault_key"
    key.write_text("x")
    key.chmod(0o644)
    assert f"chmod 600 {key}" in refused(data_dir, PORT=port)


def test_up_without_the_key_of_an_existing_database_makes_no_new_one(data_dir: Path, port: str) -> None:
    prepare(data_dir)
    (data_dir / "watchkeeper.sqlite3").touch()
    assert "vault_key is gone" in refused(data_dir, PORT=port)
    assert not (data_dir / "keys" / "vault_key").exists()


def test_up_with_an_unreadable_key_file_names_it(data_dir: Path, port: str, tmp_path: Path) -> None:
    said = refused(data_dir, PORT=port, SECRET_KEY_FILE=str(tmp_path / "none"))
    assert said.startswith("SECRET_KEY_FILE:")
