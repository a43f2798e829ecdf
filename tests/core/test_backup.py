"""Backup, restore and move on real databases; on both engines where the run has PostgreSQL."""

import contextlib
import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db.models import JSONField, Value
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from apps.accounts.models import User
from apps.core import crypto
from apps.core.care import databases
from apps.core.models import Event, IdempotencyRecord, StoredSetting, Tag
from apps.fleet.models import LatestSnapshot, Sample, Server
from apps.monitors.models import Endpoint
from config.settings.database import database_from_url
from config.supervisor import datadir
from config.version import VERSION


class Place:
    """A data folder, or the same with another database, and the commands on it, in this process."""

    def __init__(self, folder: Path, *, url: str = "", vault_key: str = "") -> None:
        self.folder, self.url, self.vault_key = folder, url, vault_key or settings.VAULT_KEY

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Let this process be one that was started for the place."""
        entry = database_from_url(self.url, self.folder, testing=True)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            override_settings(
                DATA_DIR=self.folder, VAULT_KEY=self.vault_key, EMBEDDED=not self.url.startswith("postgres")
            ),
            databases.default_database(entry),
        ):
            yield

    def manage(self, command: str, *arguments: str) -> str:
        """Run a command and return what it says."""
        out = io.StringIO()
        with self.entered():
            call_command(command, *arguments, stdout=out)
        return out.getvalue()

    def refusal(self, command: str, *arguments: str) -> str:
        """Run a command that refuses and return its one sentence."""
        with pytest.raises(SystemExit) as refused:
            self.manage(command, *arguments)
        return str(refused.value)

    def look(self) -> dict[str, Any]:
        """Return rows of every kind as the models give them."""
        with self.entered():
            server = Server.objects.get(slug="kiln")
            return {
                "server": (server.id, server.name, server.metadata, server.created_at),
                "tags": [tag.name for tag in server.tags.all()],
                "body": bytes(LatestSnapshot.objects.get().body),
                "samples": Sample.objects.count(),
                "cpu": Sample.objects.get(pk=(7, 100)).cpu,
                "secret": Endpoint.objects.get().headers,
                "null": IdempotencyRecord.objects.get(id=41).body,
                "setting": StoredSetting.objects.get(name="a.b").value,
                "events": list(Event.objects.order_by("id").values_list("uid", "data", "at")),
                "users": list(User.objects.values_list("username", "password")),
            }

    def next_id(self) -> int:
        """Return the id that the next row with a generated one gets."""
        with self.entered():
            return IdempotencyRecord.objects.create(principal="p", route="r", key="l", body_hash="h", status=201).id


def fill() -> None:
    """Make rows with every kind of column: ids, JSON, blobs, composite keys, sealed values, many-to-many, times."""
    server = Server.objects.create(num=7, slug="kiln", name="Brennofen \u2603", metadata={"a": [1, None, "x"]})
    server.tags.add(Tag.objects.create(name="north"))
    LatestSnapshot.objects.create(server=server, at=5, body=bytes(range(256)))
    Sample.objects.bulk_create(Sample(num=7, at=at, cpu=at / 3) for at in range(1200))
    Endpoint.objects.create(num=1, name="shop", endpoint_type="http", target="http://x", headers="deep secret")
    IdempotencyRecord.objects.create(id=41, principal="p", route="r", key="k", body_hash="h", status=201, body=None)
    StoredSetting.objects.create(name="a.b", value=Value(None, JSONField()))  # JSON's null, not SQL's


@contextlib.contextmanager
def empty_postgresql() -> Iterator[str]:
    """Make a database of its own on the server of the test run."""
    server = os.environ["DATABASE_URL"]
    name = f"wk_care_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # type: ignore[arg-type]
        admin.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _unblocked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Every place has a database of its own; the one of the test run is not touched."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Place:
    """An installation with rows of every kind, and `whole.backup` beside its folder."""
    place = Place(tmp_path_factory.mktemp("origin") / "data")
    with django_db_blocker.unblock():
        place.manage("prepare")
        with place.entered():
            fill()
        place.manage("backup", str(place.folder.parent / "whole.backup"))
    return place


@pytest.fixture
def backup(origin: Place) -> Path:
    """The backup of the origin."""
    return origin.folder.parent / "whole.backup"


@pytest.fixture
def fresh(tmp_path: Path, origin: Place) -> Iterator[Place]:
    """An empty place on the engine of the test run."""
    if not os.environ["DATABASE_URL"].startswith("postgres"):
        yield Place(tmp_path / "fresh")
        return
    with empty_postgresql() as url:
        yield Place(tmp_path / "fresh", url=url)


def contents(backup: Path) -> dict[str, bytes]:
    """Return the parts of a backup by name."""
    with tarfile.open(backup) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]


def rewritten(backup: Path, to: Path, old: str, new: str, *, only: str = "") -> Path:
    """Write the backup with one text replaced by another, every container around it intact."""
    with tarfile.open(to, "w:gz") as target:
        for name, content in contents(backup).items():
            if not only or name == only:
                content = content.replace(old.encode(), new.encode())
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
    return to


def test_backup_holds_no_key_and_is_its_owners_alone(origin: Place, backup: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600
    parts = contents(backup)
    manifest = json.loads(parts["manifest.json"])
    assert manifest["version"] == VERSION
    assert len(manifest["key_ids"]) == 1
    assert "tables/django_session.jsonl" not in parts
    assert not any(word.encode() in part for part in parts.values() for word in (origin.vault_key, "deep secret"))
    assert [path.name for path in backup.parent.iterdir() if "partial" in path.name] == []


def by_former_names(backup: Path, to: Path) -> Path:
    """Write the backup as a version would have that had more migrations for the same tables."""
    text = contents(backup)["manifest.json"].decode()
    manifest = json.loads(text)
    manifest["migrations"].remove(["core", "0001_tables"])
    manifest["migrations"] += [["core", f"000{n}"] for n in ("1_initial", "2_watching", "3_outside_heartbeat")]
    return rewritten(backup, to, text, json.dumps(manifest), only="manifest.json")


def test_restore_brings_everything_back_and_over_data_needs_force(
    origin: Place, backup: Path, fresh: Place, tmp_path: Path
) -> None:
    assert "Restored" in fresh.manage("restore", str(backup))
    assert fresh.look() == origin.look()
    assert not list(fresh.folder.glob("*.restoring*"))
    assert json.loads(fresh.manage("prepare"))["admin"] is None
    fresh.manage("backup", str(fresh.folder / "again.backup"))
    assert fresh.next_id() == 42, "generated ids go on after the largest one"
    assert "--force" in fresh.refusal("restore", str(backup))
    former = by_former_names(backup, tmp_path / "former.backup")
    fresh.manage("restore", str(former), "--force")
    assert fresh.look() == origin.look()
    [copy] = (fresh.folder / "backups").glob("before-restore-*.backup")
    table = "tables/core_idempotencyrecord.jsonl"
    assert contents(fresh.folder / "again.backup")[table] == contents(backup)[table]
    assert contents(copy)[table].count(b"\n") == 2, "what was there before is kept"


def test_restore_refuses_a_damaged_or_cut_file(origin: Place, backup: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    data = backup.read_bytes()
    cut = tmp_path / "cut.backup"
    cut.write_bytes(data[: len(data) // 2])
    altered = rewritten(backup, tmp_path / "altered.backup", '"Brennofen', '"Backofen!')
    assert "damaged" in place.refusal("restore", str(cut))
    assert "damaged: fleet_server" in place.refusal("restore", str(altered))
    assert not (place.folder / "watchkeeper.sqlite3.restoring").exists()


def test_restore_refuses_a_newer_releases_backup(origin: Place, backup: Path, tmp_path: Path) -> None:
    newer = rewritten(backup, tmp_path / "newer.backup", '"0001_initial"', '"9001_initial"', only="manifest.json")
    assert "newer" in Place(tmp_path / "data").refusal("restore", str(newer))


def test_restore_with_another_vault_key_names_the_right_one(origin: Place, backup: Path, tmp_path: Path) -> None:
    stranger = Place(tmp_path / "stranger", vault_key=crypto.generate_key())
    [right] = json.loads(contents(backup)["manifest.json"])["key_ids"]
    refusal = stranger.refusal("restore", str(backup))
    assert f"the vault key {right}" in refusal
    assert str(stranger.folder / "keys" / "vault_key") in refusal


def test_restore_and_move_refuse_while_it_runs_and_backup_does_not(origin: Place, backup: Path, tmp_path: Path) -> None:
    lock = datadir.Lock(origin.folder, address="http://127.0.0.1:8000")
    try:
        assert "already runs here" in origin.refusal("restore", str(backup), "--force")
        assert "already runs here" in origin.refusal("move-database", f"sqlite:///{tmp_path}/moved.sqlite3")
        origin.manage("backup", str(tmp_path / "running.backup"))
    finally:
        lock.release()


def test_backup_does_not_see_what_is_not_committed(origin: Place, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(origin.folder / "watchkeeper.sqlite3", timeout=20)) as writer:
        writer.execute("BEGIN IMMEDIATE")  # somebody is in the middle of a write, and the backup does not wait for it
        writer.execute("DELETE FROM fleet_sample")
        origin.manage("backup", str(tmp_path / "meanwhile.backup"))
        writer.execute("ROLLBACK")
    assert contents(tmp_path / "meanwhile.backup")["tables/fleet_sample.jsonl"].count(b"\n") == 1200


def test_move_there_and_back_keeps_everything_and_names_the_setting(
    origin: Place, fresh: Place, tmp_path: Path
) -> None:
    url = fresh.url or f"sqlite:///{tmp_path}/moved.sqlite3"
    assert f"DATABASE_URL={url}" in origin.manage("move-database", url)
    moved = Place(tmp_path / "moved", url=url)
    assert moved.look() == origin.look()
    assert "not empty" in origin.refusal("move-database", url)
    back = Place(tmp_path / "back", url=f"sqlite:///{tmp_path}/back.sqlite3")
    moved.manage("move-database", back.url)
    assert back.look() == origin.look()
    assert back.next_id() == 42


def test_move_to_the_database_in_use_is_refused(origin: Place) -> None:
    assert "in use now" in origin.refusal("move-database", f"sqlite:///{origin.folder}/watchkeeper.sqlite3")
