"""What a run writes beyond its row, secrets in its variables, and their traces."""

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.utils import timezone

from apps.core import disk, files, runtime_settings
from apps.core.errors import Conflict, Forbidden, Invalid
from apps.core.ids import new_id
from apps.core.models import Event
from apps.core.principals import system
from apps.core.runtime_settings import change_settings
from apps.fleet.api.commands import output_response
from apps.fleet.command_keeping import prune, prune_files
from apps.fleet.commands import KEEP_BYTES, Command
from apps.fleet.executors import LocalExecutor
from apps.fleet.models import CommandRun, Server
from apps.fleet.outputs import Spool, name_of
from apps.fleet.services import cleaned_command, end_lost_runs, ensure_local_server
from apps.fleet.services.commands import start_run
from apps.fleet.services.following import Following, close_followed
from apps.fleet.states import RunStatus
from apps.secrets.services import delete_secret
from tests.factories.accounts import client_as, principal
from tests.factories.batches import make_batch
from tests.factories.fleet import make_server
from tests.factories.secrets import make_secret
from tests.factories.ssh import make_connection

pytestmark = pytest.mark.django_db
ACTOR = system("test")
CANARY = "canary/of a <variable>'s 7Qx"


@pytest.fixture
def local(settings: Any, tmp_path: Path) -> Iterator[Server]:
    settings.LOCAL_COMMANDS = True
    settings.DATA_DIR = tmp_path
    disk.forget()
    yield ensure_local_server()
    disk.forget()


def post(**body: Any) -> Any:
    return client_as("admin").post("/api/v1/commands/local", body, format="json")


async def _whole(response: Any) -> bytes:
    return b"".join([part async for part in response])


def download(run_id: str) -> Any:
    answer = client_as("viewer").get(f"/api/v1/commands/{run_id}/output")
    assert answer.status_code == 200, answer.content
    data = async_to_sync(_whole)(answer)
    assert int(answer["Content-Length"]) == len(data)
    return data


def test_output_beyond_the_row_lies_whole_in_a_file(local: Server) -> None:
    body = post(command="seq 300000").json()
    expected = b"".join(b"%d\n" % n for n in range(1, 300_001))
    assert (body["is_cut"], body["kept_bytes"], body["output_bytes"]) == (True, len(expected), len(expected))
    assert len(body["output"]) == KEEP_BYTES and body["output_note"] == ""
    assert download(body["command_id"]) == expected
    path = files.path_of(name_of(CommandRun.objects.get().pk))
    assert path.stat().st_mode & 0o777 == 0o600


def test_small_text_has_no_file_and_binary_comes_back_as_it_was(local: Server) -> None:
    text = post(command="echo plain").json()
    assert download(text["command_id"]) == b"plain\n"
    binary = post(command=r"printf '\000\377\001'").json()
    assert binary["is_binary"] and download(binary["command_id"]) == b"\x00\xff\x01"
    rows = CommandRun.objects.order_by("started_at").values_list("file_bytes", flat=True)
    assert list(rows) == [0, 3]


def test_limit_of_a_run_and_a_full_disk_end_the_file_and_not_the_run(
    local: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_settings(values={"commands.output_most_mib": 2}, actor=ACTOR)
    body = post(command="head -c 3000000 /dev/zero; echo end").json()
    assert body["status"] == "succeeded" and body["kept_bytes"] == 2 << 20
    assert "2 MiB of one command are kept" in body["output_note"] and body["output_bytes"] == 3_000_004
    monkeypatch.setattr(disk, "telemetry_allowed", lambda: False)
    full = post(command="head -c 3000000 /dev/zero; echo end").json()
    assert (full["status"], full["output_bytes"]) == ("succeeded", 3_000_004)
    assert "nearly full" in full["output_note"]


def test_disk_that_takes_nothing_is_told(local: Server) -> None:
    spool = Spool(new_id(), keep_bytes=10)
    path = files.path_of(spool.name)
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/full")
    spool.feed(b"x" * 100)
    assert spool.note == "The rest of the output was not kept: the disk of the platform is full."
    spool.feed(b"y" * 100)
    spool.finish(is_binary=False)
    assert spool.stored == 0


def test_memory_stays_flat_whatever_comes(local: Server) -> None:
    spool, piece = Spool(new_id()), bytes(1 << 20)
    for _ in range(40):
        spool.feed(piece)
        assert len(spool._head) <= KEEP_BYTES
    spool.finish(is_binary=True)
    assert spool.stored == files.size_of(spool.name) == 40 << 20


def test_names_lead_nowhere_else() -> None:
    for name in ("", "../x", "commands/../../x", "/etc/passwd"):
        with pytest.raises(ValueError, match="file store"):
            files.path_of(name)


def test_files_go_with_their_time_and_with_their_runs(local: Server) -> None:
    keys = [post(command="printf '\\000'; sleep 0").json()["command_id"] for _ in range(2)]
    CommandRun.objects.filter(pk=keys[0]).update(finished_at=timezone.now() - timedelta(days=40))
    assert (prune_files(10), prune_files(10)) == (1, 0)
    row = CommandRun.objects.get(pk=keys[0])
    assert row.file_bytes == 0 and "keep time" in row.output_note
    assert files.size_of(name_of(row.pk)) is None
    CommandRun.objects.update(started_at=timezone.now() - timedelta(days=400))
    other = CommandRun.objects.get(pk=keys[1])
    assert files.size_of(name_of(other.pk)) == 1
    assert prune(10) == 2
    assert files.size_of(name_of(other.pk)) is None
    assert runtime_settings.get("retention.command_files") < runtime_settings.get("retention.commands")


def test_file_that_a_killed_process_left_is_found_again(local: Server) -> None:
    for _ in range(2):
        row = start_run(actor=ACTOR, executor=LocalExecutor(), command=Command("x", 10))
        with files.create(name_of(row.pk)) as file:
            file.write(b"begun")
    CommandRun.objects.filter(pk=row.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert end_lost_runs() == 1
    row.refresh_from_db()
    assert row.file_bytes == 5 and download(str(row.pk)) == b"begun"
    # The end of the other one was written by somebody who knew nothing of its file.
    CommandRun.objects.update(started_at=timezone.now() - timedelta(days=400), status=RunStatus.LOST)
    assert prune(10) == 2
    assert not list(files.path_of("commands").iterdir())


def test_file_of_another_machine_is_a_clear_refusal(local: Server) -> None:
    key = post(command="printf '\\000'").json()["command_id"]
    files.delete(name_of(CommandRun.objects.get(pk=key).pk))
    answer = client_as("viewer").get(f"/api/v1/commands/{key}/output")
    assert (answer.status_code, answer.json()["code"]) == (409, "file_elsewhere")


def test_secret_reaches_the_command_and_is_masked_in_every_form(local: Server) -> None:
    secret = make_secret("deploy token", CANARY)
    forms = {
        "plain": CANARY,
        "base64": b64encode(CANARY.encode()).decode(),
        "json": json.dumps(CANARY),
        "url": quote(CANARY, safe=""),
    }
    body = post(
        command='printf \'%s\\n\' "$TOKEN" "$TOKEN" | head -c 20; echo; cat; printf %s "$TOKEN" | wc -c',
        env_secrets={"TOKEN": "deploy token"},
        stdin="\n".join(f"{name} {value}" for name, value in forms.items()) + "\n",
    ).json()
    assert body["env_secrets"] == {"TOKEN": str(secret.pk)} and body["env_names"] == ["TOKEN"]
    for name, value in forms.items():
        assert value not in body["output"] and f"{name} " in body["output"], name
    assert body["output"].splitlines()[-1].strip() == str(len(CANARY))
    row = CommandRun.objects.get()
    kept = json.dumps([list(CommandRun.objects.values()), list(Event.objects.values("data", "audit"))], default=str)
    assert CANARY not in kept and row.env_secrets == {"TOKEN": str(secret.pk)}
    assert Event.objects.filter(name="secret.used", data__purpose="Variable TOKEN of commands").exists()


def test_secret_that_a_command_uses_is_not_removed_meanwhile() -> None:
    secret = make_secret("deploy token")
    command = cleaned_command(text="sleep 9", env_secrets={"TOKEN": str(secret.pk)}, actor=ACTOR)
    assert command.secrets == {"TOKEN": secret.pk} and isinstance(command, Command)
    run = start_run(actor=ACTOR, executor=LocalExecutor("web-1"), command=command)
    with pytest.raises(Conflict, match="sleep 9 on web-1"):
        delete_secret(secret_id=secret.pk, actor=ACTOR)
    CommandRun.objects.filter(pk=run.pk).update(status=RunStatus.SUCCEEDED)
    make_server("m", ssh_connection_id=make_connection().pk)
    batch = make_batch("sleep 8", env_secrets={"TOKEN": "deploy token"})
    with pytest.raises(Conflict, match="sleep 8 on 1 server"):
        delete_secret(secret_id=secret.pk, actor=ACTOR)
    batch.runs.all().delete()
    batch.delete()
    delete_secret(secret_id=secret.pk, actor=ACTOR)


@pytest.mark.django_db(transaction=True)
def test_server_that_is_removed_meanwhile_costs_no_run_its_end() -> None:
    followed = []
    for name in ("stays", "goes"):
        server, command, way = make_server(name), Command(f"echo {name}", 10), LocalExecutor(name)
        row = start_run(actor=ACTOR, executor=way, command=command, server=server)
        followed.append(Following(row, way, command, ACTOR))
        followed[-1].follow()
    Server.objects.get(name="goes").delete()
    close_followed(followed)
    ends = CommandRun.objects.order_by("target").values_list("target", "status", "output", "server__name")
    assert list(ends) == [("goes", "succeeded", "goes\n", None), ("stays", "succeeded", "stays\n", "stays")]


@pytest.mark.django_db(transaction=True)
def test_download_keeps_no_connection_of_the_pool_while_the_client_reads(local: Server) -> None:
    row = start_run(actor=ACTOR, executor=LocalExecutor(), command=Command("x", 10))
    assert connection.connection is not None
    response = output_response(row)
    assert connection.connection is None
    response.close()


def test_wrong_or_forbidden_secrets_are_named() -> None:
    make_secret("known")
    with pytest.raises(Forbidden, match="secrets:view"):
        cleaned_command(text="x", env_secrets={"A": "known"}, actor=principal("operator"))
    with pytest.raises(Invalid) as caught:
        cleaned_command(
            text="x", env={"C": "1"}, env_secrets={"A": "unknown", "B C": "known", "C": "known"}, actor=ACTOR
        )
    assert list(caught.value.problems) == ["env_secrets.A", "env_secrets.B C", "env_secrets.C"]
    with pytest.raises(Invalid) as caught:
        cleaned_command(text="x", env_secrets={"A": "known"}, sudo=True, actor=ACTOR)
    assert list(caught.value.problems) == ["sudo"]
