"""Terminals: real shells over SSH and here, who may not, what ends them, and that nothing that waits grows."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.accounts.models import Session, User
from apps.accounts.principals import principal_of_user
from apps.accounts.services.tickets import create_ticket
from apps.core import bell, disk
from apps.core.disk import DiskUsage
from apps.core.models import Event
from apps.core.principals import system
from apps.core.runtime_settings import change_settings
from apps.fleet.models import Server, SshConnection, TerminalSession
from apps.fleet.selectors.terminals import recording_of
from apps.fleet.services.terminals import end_terminal
from apps.fleet.terminal import live as living
from apps.fleet.terminal import opening
from apps.fleet.terminal.live import Limits
from apps.fleet.terminal.shells import Size
from apps.realtime.hub import hub
from apps.realtime.routing import sockets
from tests.factories.accounts import access_token, make_role, make_session, make_user, principal
from tests.factories.fleet import make_server
from tests.factories.ssh import make_connection
from tests.support.processes import wait_for
from tests.support.sshd import USER, Sshd, make_key, sshd
from tests.support.terminals import ScriptedShell, TerminalClient

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("terminal-key"), "id")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("terminal-sshd"), accepts=[key]) as running:
        yield running


@pytest.fixture(autouse=True)
async def _ends() -> AsyncIterator[None]:
    yield
    await sync_to_async(opening.stop_all, thread_sensitive=False)()
    await hub.stop()


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> ScriptedShell:
    """A machine whose shell does what the test says."""
    scripted = ScriptedShell(secrets=("correct horse",))

    class Way:
        name, target = "ssh", "scripted"

        def shell(self, size: Size, *, cancelled: Any) -> ScriptedShell:
            return scripted

    monkeypatch.setattr(opening, "executor_of", lambda server, actor: Way())
    return scripted


@sync_to_async
def _user(role: str = "operator") -> User:
    return make_user(role)


@sync_to_async
def _token(user: User) -> str:
    return access_token(user)


@sync_to_async
def _server(name: str = "web", **values: Any) -> Server:
    server = make_server(name)
    if values:
        Server.objects.filter(pk=server.pk).update(**values)
    return server


@sync_to_async
def _reached(machine: Sshd, key: Path, *, pinned: bool = True) -> Server:
    way = make_connection(
        port=machine.port, username=USER, auth_method="key", credential=key.read_text(),
        host_key=machine.host_key if pinned else "",
    )  # fmt: skip
    return make_server("web", ssh_connection_id=str(way.pk))


@sync_to_async
def _row() -> TerminalSession:
    return TerminalSession.objects.get()


@sync_to_async
def _cast() -> list[Any]:
    text = b"".join(recording_of(TerminalSession.objects.get())).decode()
    return [json.loads(line) for line in text.splitlines()]


def _client(server: Server | str, token: str = "", **query: Any) -> TerminalClient:
    ref = server if isinstance(server, str) else server.slug
    given = "&".join(f"{name}={value}" for name, value in {**({"token": token} if token else {}), **query}.items())
    return TerminalClient(sockets, f"/ws/servers/{ref}/terminal?{given}")


async def _over() -> Any:
    """Wait for the end of the newest session."""
    return await sync_to_async(
        lambda: wait_for(lambda: TerminalSession.objects.exclude(status="open").order_by("-id").first(), what="its end")
    )()


# --- real shells ---------------------------------------------------------------------------------------------------


async def test_shell_over_ssh_is_used_resized_and_recorded(machine: Sshd, key: Path) -> None:
    server = await _reached(machine, key)
    async with _client(server, await _token(await _user()), cols=90, rows=31) as client:
        told = await client.until_told("ready")
        assert (told["cols"], told["rows"], told["position"]) == (90, 31, 0)
        await client.press(b"echo $((6*7)) $(stty size) $TERM\r")
        await client.until_shown(b"42 31 90 xterm-256color")
        await client.send({"type": "resize", "cols": 120, "rows": 40})
        await asyncio.sleep(0.1)
        await client.send({"type": "input", "data": "stty size; exit 3\r"})
        await client.until_shown(b"40 120")
        ended = await client.until_told("exit")
        assert (ended["status"], ended["exit_code"], await client.until_closed()) == ("ended", 3, 1000)
    row, cast = await _row(), await _cast()
    assert (row.status, row.exit_code, row.executor, row.address) == ("ended", 3, "ssh", "127.0.0.1")
    assert row.output_bytes == len(client.shown) and row.input_bytes > 40 and row.recording_bytes > 100
    assert (cast[0]["version"], cast[0]["width"], cast[0]["height"]) == (2, 90, 31)
    shown = "".join(event[2] for event in cast[1:] if event[1] == "o")
    assert shown == client.shown.decode() and [e[2] for e in cast[1:] if e[1] == "r"] == ["120x40"]
    assert not [event for event in cast[1:] if event[1] == "i"]
    times = [event[0] for event in cast[1:]]
    assert times == sorted(times)
    facts = await sync_to_async(lambda: list(Event.objects.filter(name__startswith="terminal.").order_by("id")))()
    assert [fact.name for fact in facts] == ["terminal.opened", "terminal.closed"]
    assert facts[1].data["exit_code"] == 3 and facts[0].actor["name"] == row.user


async def test_paste_of_a_mebibyte_reaches_a_real_terminal_whole(machine: Sshd, key: Path) -> None:
    server = await _reached(machine, key)
    async with _client(server, await _token(await _user())) as client:
        await client.until_told("ready")
        await client.press(b"stty raw -echo; echo rea''dy; head -c 1048576 | md5sum; stty sane; exit\r")
        await client.until_shown(b"ready\n")
        text = bytes(range(256)) * 4096
        await client.press(text)
        await client.until_told("exit")
    assert hashlib.md5(text, usedforsecurity=False).hexdigest().encode() in client.shown


async def test_own_host_needs_its_permission_and_the_switch(settings: Any) -> None:
    server = await _server(is_local=True)
    operator, admin = await _user(), await _user("admin")
    settings.LOCAL_COMMANDS = True
    async with _client(server, await _token(operator)) as client:
        assert await client.until_closed() == 4403 and "execute_local" in client.told[0]["data"]["message"]
    settings.LOCAL_COMMANDS = False
    async with _client(server, await _token(admin)) as client:
        assert await client.until_closed() == 4409 and "LOCAL_COMMANDS" in client.told[0]["data"]["message"]
    assert not await sync_to_async(TerminalSession.objects.exists)()
    settings.LOCAL_COMMANDS = True
    async with _client(server, await _token(admin)) as client:
        await client.until_told("ready")
        await client.press(b"echo $((6*7)) $VAULT_KEY$SECRET_KEY.; kill -9 $$\r")
        await client.until_shown(b"42 .")
        assert (await client.until_told("exit"))["signal"] == "KILL"


# --- who may not ---------------------------------------------------------------------------------------------------


async def test_who_may_not_is_refused_before_anything_is_opened(shell: ScriptedShell) -> None:
    server = await _server()
    viewer, operator = await _token(await _user("viewer")), await _token(await _user())
    cases = [
        (_client(server, viewer), 4403, "servers:terminal"),
        (_client(server, "nonsense"), 4401, ""),
        (_client("nowhere", operator), 4404, "no such server"),
        (_client(server, operator, cols=0), 4400, "cols"),
        (_client(server, operator, rows="x"), 4400, "rows"),
        (_client(server, operator, resume="0190a3c4-0000-7000-8000-000000000000"), 4404, "no such terminal"),
    ]
    for client, code, words in cases:
        async with client:
            assert await client.until_closed() == code, client.told
            assert words in client.told[-1]["data"]["message"]
    headers = {"Cookie": "wk_session=whatever", "Origin": "https://evil.example"}
    async with TerminalClient(sockets, f"/ws/servers/{server.slug}/terminal", headers) as client:
        assert await client.until_closed() == 4403
    assert not await sync_to_async(TerminalSession.objects.exists)()


async def test_machine_that_is_not_reached_is_told_and_written_down(machine: Sshd, key: Path) -> None:
    server = await _reached(machine, key, pinned=False)
    token = await _token(await _user())
    async with _client(server, token) as client:
        assert await client.until_closed() == 4409
        assert client.told[0]["data"]["reason"] == "host_key_pending"
    assert (await _row()).status == "failed" and "not pinned" in (await _row()).reason
    await sync_to_async(SshConnection.objects.update)(port=1)
    async with _client(server, token) as client:
        assert await client.until_closed() == 4502
    async with _client(await _server("bare"), token) as client:
        assert await client.until_closed() == 4409 and "choose an SSH connection" in client.told[0]["data"]["message"]


async def test_ticket_and_first_message_open_it(shell: ScriptedShell) -> None:
    server, user = await _server(), await _user()
    actor = await sync_to_async(lambda: principal_of_user(user, make_session(user)))()
    path = f"/ws/servers/{server.slug}/terminal"
    ticket = (await sync_to_async(create_ticket)(path=path, actor=actor))[0]
    async with _client(server, ticket=ticket) as client:
        await client.until_told("ready")
    async with _client(server, ticket=ticket) as client:
        assert await client.until_closed() == 4401
    async with _client(server) as client:
        await client.send({"type": "auth", "token": await _token(user)})
        await client.until_told("ready")


# --- what ends it --------------------------------------------------------------------------------------------------


async def test_rights_that_end_close_it_at_once_whatever_still_waits(shell: ScriptedShell) -> None:
    server, user = await _server(), await _user()
    async with _client(server, await _token(user)) as client:
        await client.until_told("ready")
        await sync_to_async(Session.objects.filter(user=user).update)(ended_at="2020-01-01T00:00:00Z")
        assert await client.until_closed() == 4401
    assert shell.closed.wait(5)
    assert (await _over()).status == "revoked"


async def test_open_terminal_has_no_events_read_and_its_rights_watched(shell: ScriptedShell) -> None:
    async with _client(await _server(), await _token(await _user())) as client:
        await client.until_told("ready")
        assert not hub.followers and hub._on_live not in bell._bell._callbacks[bell.LIVE]
        (caller,) = hub.callers
        before = caller.principal
        await asyncio.to_thread(wait_for, lambda: caller.principal is not before, what="a look at the rights")
    await asyncio.to_thread(wait_for, lambda: not hub.callers, what="the end of the watch")


async def test_role_that_loses_the_permission_closes_it(shell: ScriptedShell) -> None:
    @sync_to_async
    def custom() -> tuple[User, Any]:
        role = make_role("hands", ["servers:view", "servers:terminal"])
        return make_user("hands"), role

    user, role = await custom()
    async with _client(await _server(), await _token(user)) as client:
        await client.until_told("ready")
        role.permissions = ["servers:view"]
        await sync_to_async(role.save)()
        assert await client.until_closed() == 4403
    assert (await _over()).status == "revoked"


async def test_admin_ends_it(shell: ScriptedShell) -> None:
    async with _client(await _server(), await _token(await _user())) as client:
        told = await client.until_told("ready")
        await sync_to_async(lambda: end_terminal(actor=principal("admin"), session_id=told["id"]))()
        assert (await client.until_told("exit"))["status"] == "kicked"
    assert shell.closed.is_set()
    names = await sync_to_async(lambda: set(Event.objects.values_list("name", flat=True)))()
    assert {"terminal.opened", "terminal.end_asked", "terminal.closed"} <= names


async def test_removed_server_ends_it(shell: ScriptedShell) -> None:
    server = await _server()
    async with _client(server, await _token(await _user())) as client:
        await client.until_told("ready")
        await sync_to_async(server.delete)()
        assert (await client.until_told("exit"))["status"] == "revoked"


async def test_idle_terminal_is_warned_and_ended(shell: ScriptedShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "now", classmethod(lambda cls: Limits(1.0, 3600, 1 << 20)))
    async with _client(await _server(), await _token(await _user())) as client:
        assert "Nothing was typed" in (await client.until_told("notice"))["message"]
        assert (await client.until_told("exit"))["status"] == "timed_out"


async def test_full_recording_and_full_disk_end_it(shell: ScriptedShell, monkeypatch: pytest.MonkeyPatch) -> None:
    token, server = await _token(await _user()), await _server()
    monkeypatch.setattr(Limits, "now", classmethod(lambda cls: Limits(60, 3600, 40)))
    async with _client(server, token) as client:
        shell.output.put(b"some words that are longer than the recording may be")
        assert "as large as it may grow" in (await client.until_told("exit"))["reason"]
    monkeypatch.undo()
    monkeypatch.setattr(opening, "executor_of", lambda server, actor: _way_to(shell))
    monkeypatch.setattr(disk, "usage", lambda: DiskUsage(100, 100, 0, 100.0))
    async with _client(server, token) as client:
        shell.output.put(b"words")
        assert "disk is full" in (await client.until_told("exit"))["reason"]
    monkeypatch.setattr("apps.core.files.create", _no_space)
    async with _client(server, token) as client:
        assert await client.until_closed() == 4503 and "can't be recorded" in client.told[0]["data"]["message"]


def _way_to(shell: ScriptedShell) -> Any:
    class Way:
        name, target = "ssh", "scripted"

        def shell(self, size: Size, *, cancelled: Any) -> ScriptedShell:
            return shell

    return Way()


def _no_space(name: str) -> Any:
    raise OSError(28, "No space left on device")


# --- a connection that breaks off ----------------------------------------------------------------------------------


async def test_broken_connection_is_taken_up_where_it_was(shell: ScriptedShell) -> None:
    server, token = await _server(), await _token(await _user())
    client = await _client(server, token).__aenter__()
    told = await client.until_told("ready")
    shell.output.put(b"one two ")
    await client.until_shown(b"two ")
    await client.drop()
    shell.output.put(b"three")
    async with _client(server, await _token(await _user()), resume=told["id"]) as stranger:
        assert await stranger.until_closed() == 4404
    async with _client(server, token, resume=told["id"], after=4) as back:
        again = await back.until_told("ready")
        assert (again["id"], again["position"]) == (told["id"], 4)
        await back.until_shown(b"two three")
        assert back.shown == b"two three"
        await back.press(b"ls\r")
        async with _client(server, token, resume=told["id"], after=8) as other:
            await other.until_shown(b"three")
            assert await back.until_closed() == 4409  # continued elsewhere
            async with _client(server, token, resume=told["id"], after=10**9) as ahead:
                assert (await ahead.until_told("ready"))["position"] == 13  # no further than there is output
                await ahead.send({"type": "close"})
                await ahead.until_told("exit")
    assert shell.typed == b"ls\r"
    async with _client(server, token, resume=told["id"]) as late:
        assert await late.until_closed() == 4409 and late.told[0]["data"]["reason"] == "over"


async def test_connection_that_stays_away_ends_it(shell: ScriptedShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(living, "AWAY_S", 0.3)
    client = await _client(await _server(), await _token(await _user())).__aenter__()
    await client.until_told("ready")
    await client.drop()
    row = await _over()
    assert row.status == "disconnected" and "broke off" in row.reason and shell.closed.is_set()


async def test_restart_of_the_server_ends_it_as_lost(shell: ScriptedShell) -> None:
    client = await _client(await _server(), await _token(await _user())).__aenter__()
    await client.until_told("ready")
    await client.drop(1012)
    assert (await _over()).status == "lost"


# --- what waits ----------------------------------------------------------------------------------------------------


async def test_flood_waits_for_a_client_that_confirms_and_nothing_is_lost(shell: ScriptedShell) -> None:
    pieces = [bytes([65 + number % 26]) * 30_000 for number in range(80)]
    async with _client(await _server(), await _token(await _user())) as client:
        told = await client.until_told("ready")
        await client.send({"type": "ack", "position": 0})
        await client.send({"type": "ping"})
        await client.until_told("pong")
        for piece in pieces:
            shell.output.put(piece)
        live = opening.find_live(await sync_to_async(lambda: TerminalSession.objects.get().pk)())
        assert live is not None and told["id"] == str(live.id)
        await asyncio.sleep(0.5)
        assert shell.read_bytes <= living.WINDOW + 2 * 30_000 and live.waiting_bytes <= living.KEPT
        while len(client.shown) < 80 * 30_000:
            await client.step()
            await client.send({"type": "ack", "position": len(client.shown)})
        assert client.shown == b"".join(pieces) and live.waiting_bytes <= living.KEPT


async def test_client_that_reads_nothing_stops_the_shell() -> None:
    held = asyncio.Event()
    shell = ScriptedShell()
    for _ in range(100):
        shell.output.put(b"y\r\n" * 10_000)
    server, token = await _server(), await _token(await _user())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "executor_of", lambda server, actor: _way_to(shell))
        client = _client(server, token)
        put = client._out.put

        async def slow(message: Any) -> None:
            if message.get("bytes"):
                await held.wait()  # as a full socket does
            await put(message)

        client._out.put = slow  # type: ignore[method-assign, assignment]
        async with client:
            await client.until_told("ready")
            await asyncio.sleep(0.5)
            assert shell.read_bytes <= living.WINDOW + 2 * 30_000
            held.set()
            await client.until(lambda: len(client.shown) > 2 * living.WINDOW)


async def test_input_that_nobody_takes_is_bounded_and_told(
    shell: ScriptedShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(living, "INPUT_MOST", 100_000)
    async with _client(await _server(), await _token(await _user())) as client:
        await client.until_told("ready")
        shell.takes_input = False
        await client.press(b"a" * 80_000)
        await client.press(b"b" * 80_000)
        assert "80000 bytes were not sent" in (await client.until_told("notice"))["message"]
        shell.takes_input = True
        await client.press(b"c")
        await asyncio.to_thread(wait_for, lambda: len(shell.typed) > 80_000, what="the input", patience_s=5)
        assert shell.typed == b"a" * 80_000 + b"c"


async def test_nonsense_is_answered_and_harms_nothing(shell: ScriptedShell) -> None:
    async with _client(await _server(), await _token(await _user())) as client:
        await client.until_told("ready")
        for nonsense in (
            "nonsense",
            "[]",
            "[" * 50_000,
            '{"type": "jump"}',
            '{"type": "resize", "cols": "x", "rows": 1}',
        ):
            client.told.clear()
            await client.send(nonsense)
            assert (await client.until_told("error"))["code"] == 4400
        await client.send({"type": "ack", "position": 10**12})
        await client.send({"type": "ping"})
        await client.until_told("pong")
        shell.output.put(b"alive")
        await client.until_shown(b"alive")


async def test_limits_of_a_person_and_of_a_process(shell: ScriptedShell) -> None:
    server, user = await _server(), await _user()
    token = await _token(user)
    change = sync_to_async(change_settings)
    await change(values={"terminal.most_per_user": 1}, actor=system("test"))
    async with _client(server, token) as first:
        await first.until_told("ready")
        async with _client(server, token) as second:
            assert await second.until_closed() == 4429
        await change(values={"terminal.most_per_process": 1}, actor=system("test"))
        async with _client(server, await _token(await _user())) as other:
            assert await other.until_closed() == 4429


# --- the recording -------------------------------------------------------------------------------------------------


async def test_letters_split_over_frames_and_bytes_that_are_no_text(shell: ScriptedShell) -> None:
    async with _client(await _server(), await _token(await _user())) as client:
        await client.until_told("ready")
        for part in (b"caf\xc3", b"\xa9 \xe2", b"\x82", b"\xac \xff."):
            shell.output.put(part)
        await client.until_shown(b"\xff.")
        shell.output.put(b"")
        await client.until_told("exit")
    assert client.shown == "café € ".encode() + b"\xff."
    assert "".join(e[2] for e in (await _cast())[1:]) == "café € \ufffd."


async def test_secret_of_the_way_is_masked_also_where_it_is_typed_letter_by_letter(shell: ScriptedShell) -> None:
    await sync_to_async(change_settings)(values={"terminal.record_input": True}, actor=system("test"))
    async with _client(await _server(), await _token(await _user())) as client:
        assert (await client.until_told("ready"))["recorded_input"] is True
        shell.output.put(b"password is correct horse, ")
        await client.until_shown(b"password is ***, ")
        for letter in b"correct horse":
            await client.press(bytes([letter]))
            shell.output.put(bytes([letter]))
            await asyncio.sleep(0.002)
        shell.output.put(b"\r\nc")
        await client.until_shown(b"\nc")  # what only may begin a secret is not held back for long
        shell.output.put(b"")
        await client.until_told("exit")
    cast = await _cast()
    assert "".join(e[2] for e in cast[1:] if e[1] == "o") == "password is ***, ***\r\nc"
    assert "".join(e[2] for e in cast[1:] if e[1] == "i") == "***"
