"""The doctor: what it says of an installation that is well, and of each thing that is not."""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from pytest_django import Settings

from apps.core import crypto, disk
from apps.core.care import schema
from apps.core.care.doctor import FAILED, FINE, NOTICE, examine
from apps.core.events.readers import readers
from apps.core.events.sequencer import SEQUENCE
from apps.core.models import Canary, Lease, ReaderCursor, Sequence, SetAsideFact, StoredSetting
from apps.core.runtime_settings import forget
from config.supervisor import datadir
from tests.factories.monitors import make_endpoint

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Settings) -> Path:
    """A data folder of the test's own, with a canary of its key in the database."""
    settings.DATA_DIR = tmp_path / "data"
    if settings.EMBEDDED:  # elsewhere Redis is a server of its own and must be there
        settings.REDIS_URL = f"unix://{tmp_path}/data/redis/redis.sock"
    datadir.prepare(settings.DATA_DIR)
    Canary.objects.create(token=crypto.make_canary())
    disk.forget()
    forget()
    return Path(settings.DATA_DIR)


def said_about(check: str) -> list[tuple[str, str]]:
    """Return the findings about one thing."""
    return [(one.status, one.sentence) for one in examine() if one.check == check]


def working(seconds_ago: float = 0) -> None:
    """Let a worker have been at the database."""
    until = timezone.now() + timedelta(seconds=10 - seconds_ago)
    Lease.objects.update_or_create(name="sequencer", defaults={"owner": "host:1:abc", "until": until})


def doctor(*arguments: str) -> tuple[int, str]:
    """Return the command's exit code and what it prints."""
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_healthy_installation_is_said_to_be_well() -> None:
    code, text = doctor()
    assert (code, text.splitlines()[-1]) == (0, "All is well.")
    assert "FAILED" not in text


def test_json_names_every_finding_and_the_verdict(folder: Path) -> None:
    folder.chmod(0o755)
    code, text = doctor("--json")
    answer: dict[str, Any] = json.loads(text)
    assert (code, answer["ok"]) == (1, False)
    assert {one["check"] for one in answer["findings"] if one["status"] == FAILED} == {"folder"}
    assert all(one["sentence"] for one in answer["findings"])


def test_key_file_that_others_can_read_is_told(folder: Path) -> None:
    key = folder / "keys" / "vault_key"
    key.write_text("x")
    key.chmod(0o644)
    [(status, sentence)] = said_about("keys")
    assert status == FAILED
    assert f"chmod go-rwx {key}" in sentence


def test_another_vault_key_is_told_with_both_names(settings: Settings) -> None:
    right = crypto.current_key_id()
    settings.VAULT_KEY = crypto.generate_key()
    [(status, sentence)] = said_about("canary")
    assert status == FAILED
    assert right in sentence and crypto.current_key_id() in sentence


def test_secret_that_does_not_open_is_told_by_its_place() -> None:
    whole, moved = make_endpoint(headers={"X-Token": "a"}), make_endpoint(headers={"X-Token": "b"})
    model = type(whole)
    token = model.objects.filter(pk=whole.pk).values_list("headers", flat=True)[0]
    assert said_about("sealed values")[0][0] == FINE
    model.objects.filter(pk=moved.pk).update(headers=token)
    [(status, sentence)] = said_about("sealed values")
    assert status == FAILED
    assert f"monitors_endpoint.headers of {moved.pk}" in sentence


def test_full_disk_is_told() -> None:
    StoredSetting.objects.create(name="retention.disk_full_percent", value=0.0001)
    forget()
    [(status, sentence)] = said_about("disk")
    assert status == FAILED
    assert "no telemetry" in sentence


def test_silent_worker_is_told_only_while_the_product_runs(folder: Path) -> None:
    assert said_about("processes")[0][0] == NOTICE
    lock = datadir.Lock(folder, address="http://127.0.0.1:8000")
    try:
        assert said_about("processes")[0][0] == FAILED
        working()
        assert said_about("processes")[0][0] == FINE
    finally:
        lock.release()


def test_late_sweep_and_late_beat_are_told_while_a_worker_is_there() -> None:
    long_ago = timezone.now() - timedelta(hours=3)
    for name in ("sweep:alerts.thresholds", "job:core.prune"):
        Lease.objects.create(name=name, owner="host:1:abc", until=long_ago, last_run_at=long_ago)
    assert said_about("sweeps") == said_about("beat") == []
    working()
    assert [status for status, _ in said_about("sweeps")] == [FAILED]
    assert [status for status, _ in said_about("beat")] == [FAILED]
    assert "alerts.thresholds ran 3 h ago" in said_about("sweeps")[0][1]


def test_reader_far_behind_is_told_with_its_last_error() -> None:
    Sequence.objects.update_or_create(name=SEQUENCE, defaults={"value": 5000})
    for name in readers:
        ReaderCursor.objects.create(name=name, seq=5000)
    assert said_about("readers")[0][0] == FINE
    name = next(iter(readers))
    ReaderCursor.objects.filter(name=name).update(seq=10, last_error="ValueError: no")
    assert said_about("readers") == [(FAILED, f"{name} is 4990 facts behind and last said: ValueError: no.")]


def test_fact_set_aside_is_told() -> None:
    SetAsideFact.objects.create(reader="alerts.endpoints", seq=9, event_name="endpoint.alert", error="KeyError: 'x'")
    [(status, sentence)] = said_about("facts set aside")
    assert status == FAILED
    assert "endpoint.alert (no. 9) by alerts.endpoints" in sentence


def test_redis_that_does_not_answer_is_told_while_the_product_runs(folder: Path, settings: Settings) -> None:
    settings.REDIS_URL = f"unix://{folder}/redis/redis.sock"
    lock = datadir.Lock(folder, address="http://127.0.0.1:8000")
    try:
        [(status, sentence)] = said_about("redis")
    finally:
        lock.release()
    assert status == FAILED
    assert "REDIS_URL" in sentence


def test_newer_migration_in_the_database_is_told() -> None:
    MigrationRecorder.Migration.objects.create(app="core", name="9001_from_the_future")
    [(status, sentence)] = said_about("migrations")
    assert status == FAILED
    assert "core.9001_from_the_future" in sentence


def test_migrations_under_their_former_names_are_known() -> None:
    applied = MigrationRecorder.Migration.objects
    applied.filter(app="core").delete()
    for name in ("0001_initial", "0002_watching", "0003_outside_heartbeat"):
        applied.create(app="core", name=name)
    [(status, _)] = said_about("migrations")
    assert status == FINE
    assert ("core", "0001_tables") in schema.applied_migrations("default")
