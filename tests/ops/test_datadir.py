"""`DATA_DIR`: its modes, its version file, its backups, and where Redis listens."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from config.supervisor import datadir, redis, release
from config.supervisor.dotenv import load_dotenv
from config.supervisor.refusal import StartRefused
from tests.ops.running import wait_for


def test_prepare_makes_every_folder_private(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    (data_dir / "keys").mkdir(parents=True, mode=0o755)
    datadir.prepare(data_dir)
    folders = [data_dir, *(data_dir / name for name in datadir.FOLDERS)]
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


def checkout(root: Path, *names: str) -> release.Release:
    folder = root / "apps" / "core" / "migrations"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.py").touch()
    return release.of_checkout(root, version="0.1.0")


def test_release_changes_with_migrations_and_requirements(tmp_path: Path) -> None:
    first = checkout(tmp_path, "0001_initial")
    assert checkout(tmp_path) == first
    second = checkout(tmp_path, "0002_more")
    assert second.migrations == {"core": "0002_more"}
    (tmp_path / "requirements.txt").write_text("django\n")
    assert len({first.fingerprint, second.fingerprint, checkout(tmp_path).fingerprint}) == 3


def test_release_changes_with_any_code(tmp_path: Path) -> None:
    first = checkout(tmp_path, "0001_initial")
    (tmp_path / "apps" / "core" / "permissions.py").write_text("ROLES = 3\n")
    second = checkout(tmp_path)
    assert second.fingerprint != first.fingerprint
    assert second.migrations == first.migrations


def test_database_state_changes_with_migrations_and_canary(tmp_path: Path) -> None:
    database = tmp_path / "db"
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("CREATE TABLE django_migrations (app TEXT, name TEXT)")
        writer.execute("CREATE TABLE core_canary (token TEXT)")
        writer.commit()
        seen = [release.database_state(database), release.database_state(database)]
        writer.execute("INSERT INTO django_migrations VALUES ('core', '0001_initial')")
        writer.commit()
        seen.append(release.database_state(database))
        writer.execute("INSERT INTO core_canary VALUES ('wk1.a')")
        writer.commit()
        seen.append(release.database_state(database))
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3


def test_database_that_cannot_be_read_is_never_known(tmp_path: Path) -> None:
    assert release.database_state(tmp_path / "none") != release.database_state(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_release_recorded_is_the_release_read(tmp_path: Path) -> None:
    wanted = checkout(tmp_path, "0001_initial")
    assert release.of_folder(tmp_path) is None
    release.record(tmp_path, wanted)
    assert release.of_folder(tmp_path) == wanted


def test_older_folder_is_accepted_and_newer_refused(tmp_path: Path) -> None:
    old = checkout(tmp_path, "0001_initial")
    new = checkout(tmp_path, "0002_more")
    release.refuse_newer(tmp_path, folder=old, checkout=new)
    with pytest.raises(StartRefused):
        release.refuse_newer(tmp_path, folder=new, checkout=old)


def test_backup_of_a_database_in_use_holds_what_was_committed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "db")) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (n INTEGER)")
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        writer.execute("INSERT INTO t VALUES (2)")
        copy = release.back_up(tmp_path / "db", into=tmp_path, label="0.1.0")
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as reader:
        assert reader.execute("SELECT n FROM t").fetchall() == [(1,)]


def test_backups_beyond_the_newest_five_are_removed(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "db").close()
    made = [release.back_up(tmp_path / "db", into=tmp_path, label="0.1.0") for _ in range(7)]
    assert sorted(tmp_path.glob("before-*")) == sorted(made[-5:])


def test_redis_socket_lies_in_the_data_folder(tmp_path: Path) -> None:
    assert redis.socket_path(tmp_path) == tmp_path / "redis" / "redis.sock"


def test_redis_socket_of_a_deep_folder_lies_in_a_short_private_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    found = redis.socket_path(tmp_path / ("deep" * 30))
    try:
        assert len(str(found)) <= redis.LONGEST_SOCKET_PATH
        assert found.parent.stat().st_mode & 0o777 == 0o700
        assert redis.socket_path(tmp_path / ("deep" * 30)) == found
    finally:
        found.parent.rmdir()


def test_redis_socket_folder_that_others_may_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    deep = tmp_path / ("deep" * 30)
    redis.socket_path(deep).parent.chmod(0o755)
    with pytest.raises(StartRefused, match="is not private"):
        redis.socket_path(deep)


def test_redis_that_is_nowhere_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StartRefused, match="apt-get install redis-server"):
        redis.find_server()


def test_private_redis_answers_on_its_socket_and_on_no_port(tmp_path: Path) -> None:
    datadir.prepare(tmp_path)
    sock = redis.socket_path(tmp_path)
    assert not redis.answers(sock)
    argv = redis.command(redis.find_server(), data_dir=tmp_path, sock=sock)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: redis.answers(sock), what="an answer of Redis")
            assert sock.stat().st_mode & 0o777 == 0o700
            listening = subprocess.run(
                ["redis-cli", "-s", str(sock), "config", "get", "port"], capture_output=True, text=True, check=True
            ).stdout.split()
            assert listening == ["port", "0"]
        finally:
            server.terminate()


def test_dotenv_fills_what_is_unset_and_keeps_what_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WK_PLAIN", "WK_QUOTED", "WK_SECRET"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")  # so that the end of the test takes away what the file sets
        monkeypatch.delenv(name)
    monkeypatch.setenv("WK_SET", "shell")
    monkeypatch.setenv("WK_SECRET_FILE", "/run/secret")
    (tmp_path / ".env").write_text("# no\nWK_PLAIN=a=b\nexport WK_QUOTED='c d'\nWK_SET=file\nWK_SECRET=x\nnonsense\n")
    load_dotenv(tmp_path / ".env")
    code = "import os; print([os.environ.get('WK_' + n) for n in ('PLAIN', 'QUOTED', 'SET', 'SECRET')])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "['a=b', 'c d', 'shell', None]"
