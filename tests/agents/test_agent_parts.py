"""The agent's parts by themselves: the file they make, clock, disk, log files, journal. No Django is needed."""

import ast
import asyncio
import json
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import serve

from agent import bundle, link, tail
from agent import store as store_module
from agent.clock import Clock, iso_of
from agent.identity import Folder, checked_url
from agent.journal import PLACE, JournalFollower
from agent.main import Agent
from agent.store import MEMORY_MOST, SPILL_MOST, Store
from agent.tail import LINE_MOST, FileFollower, level_of, time_of
from tests.support.agents import AgentProgram

NOW = 1_790_000_000.0


class Clocks:
    """Both clocks of a machine, set by hand."""

    def __init__(self, off_s: float = 0.0) -> None:
        self.steady, self.off_s = 1000.0, off_s

    def clock(self) -> Clock:
        return Clock(lambda: NOW + self.steady + self.off_s, lambda: self.steady)

    @property
    def true(self) -> float:
        return NOW + self.steady


def _sample(**more: Any) -> dict[str, Any]:
    return {"timestamp": "?", "cpu": {"totalUsage": 1.0}, **more}


def test_bundle_is_one_program_for_old_pythons_without_the_platform(tmp_path: Path) -> None:
    text = bundle.text()
    tree = ast.parse(text, feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    assert imported - set(sys.stdlib_module_names) == {"psutil", "websockets", "cryptography"}
    assert "strict=True" not in text and "import UTC" not in text
    program = AgentProgram(tmp_path / "state")
    done = program.command("status")
    assert (done.returncode, json.loads(done.stdout)["is_enrolled"]) == (1, False)
    done = program.command("run")
    assert done.returncode == 1 and "not enrolled" in done.stderr
    done = program.command("enroll", "--url", "ftp://x", "--token-file", "-", stdin="t")
    assert done.returncode == 1 and "https://" in done.stderr and "Traceback" not in done.stderr


def test_bundle_refuses_one_name_for_two_things() -> None:
    seen: dict[str, tuple[str, str]] = {}
    bundle._check_names("a.py", "X = 1\ndef f(): return 1\n", seen)
    bundle._check_names("b.py", "X = 1\n", seen)
    with pytest.raises(ValueError, match=r"b\.py and a\.py both define f"):
        bundle._check_names("b.py", "def f(): return 2\n", seen)


def test_state_is_readable_by_nobody_else(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "state")
    folder.set(url=checked_url("https://x/"), ca_file=None)
    assert folder.settings == {"url": "https://x"} and len(folder.sign(b"n")) == 64
    # By a process apart, as the agent does it all the time: the same key.
    program = AgentProgram(tmp_path / "state")
    apart = Folder(folder.path, str(program.path))
    assert apart.sign(b"n") == folder.sign(b"n") and apart.fingerprint() == folder.fingerprint()
    with pytest.raises(ValueError):
        apart.take_certificate("no certificate", "")
    for path in folder.path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


@pytest.mark.parametrize(("off_s", "shift"), [(0.0, 0), (1.5, 0), (3600.0, -3_600_000), (-90.0, 90_000)])
def test_times_are_corrected_the_same_way_each_time(tmp_path: Path, off_s: float, shift: int) -> None:
    clocks = Clocks(off_s)
    clock = clocks.clock()
    store = Store(tmp_path / "agent.db", clock)
    began = clocks.true
    store.add_sample(_sample())
    clocks.steady += 600  # ten minutes before the platform is first reached
    assert clock.shift_ms() is None
    clock.learn(clocks.true)
    store.settle()
    assert clock.shift_ms() == shift
    number, (sample,), _ = store.next(0)
    assert sample["timestamp"] == iso_of(began + (off_s if not shift else 0))
    # Another answer of the platform comes a little later: what was settled stays.
    clock.learn(clocks.true - 0.3)
    store.settle()
    assert store.next(0)[1][0]["timestamp"] == sample["timestamp"]
    store.drop(number)
    assert store.next(0) == (0, [], []) and store.waiting == (0, 0)


def test_parts_keep_their_numbers_through_restarts(tmp_path: Path) -> None:
    clocks = Clocks()
    store = Store(tmp_path / "agent.db", clocks.clock())
    line = {"timestamp": clocks.true, "message": "m"}
    assert [store.add_sample(_sample()), store.add_lines([line], {"/x": "1"})] == [1, 2]
    store.drop(2)
    store.db.close()
    again = Store(tmp_path / "agent.db", clocks.clock())
    assert again.add_sample(_sample()) == 3 and again.places() == {"/x": "1"}
    assert again.begin_run("a") and not again.begin_run("a")
    again.end_run("a", {"ended": "exited"})
    assert again.ending_of("a") == {"ended": "exited"} and again.ending_of("b") is None


def test_full_buffer_and_full_disk_cost_the_oldest_and_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clocks = Clocks()
    store = Store(tmp_path / "agent.db", clocks.clock(), most_bytes=4000)
    for number in range(200):
        store.add_sample(_sample(number=number, text=str(number) * 20))
    numbers = [one["number"] for one in store.next(0, parts_most=1000)[1]]
    assert store.waiting[1] <= 4200 and numbers[-1] == 199 and numbers == list(range(numbers[0], 200))
    assert len(caplog.records) == 1 and store.dropped > 0
    caplog.clear()
    store.db.execute("PRAGMA query_only = ON")
    for number in range(SPILL_MOST + 10):
        store.add_sample(_sample(number=1000 + number))
    kept = store.next(10_000 - 10_000, parts_most=100_000, bytes_most=10**9)[1]
    assert kept[-1]["number"] == 1000 + SPILL_MOST + 9 and len(store._spill) == SPILL_MOST
    assert len(caplog.records) == 1
    store.db.execute("PRAGMA query_only = OFF")
    assert store.add_sample(_sample()) > 0
    Store(tmp_path / "agent.db", clocks.clock()).db.close()


def test_no_frame_is_larger_than_the_platform_takes(tmp_path: Path) -> None:
    store = Store(tmp_path / "agent.db", Clocks().clock())
    lines = [{"timestamp": NOW, "message": f"{number} {'я' * LINE_MOST}"} for number in range(100)]
    store.add_lines(lines, {"/x": "1"})
    found: list[str] = []
    number = 0
    while more := store.next(number)[2]:
        assert len(json.dumps(more)) + link.TABLE_MOST < 1024 * 1024
        number, found = store.next(number)[0], found + [one["message"] for one in more]
    assert found == [one["message"] for one in lines] and store.places() == {"/x": "1"}
    table = [{"pid": pid, "name": "ü" * 15, "user": "somebody"} for pid in range(20_000)]
    fitting = link.fitting(table)
    assert fitting == table[: len(fitting)] and len(fitting) > 1000
    assert len(json.dumps(fitting, separators=(",", ":"))) <= link.TABLE_MOST and link.fitting(fitting) == fitting


def test_what_was_kept_in_memory_for_a_while_is_sent_in_its_turn(tmp_path: Path) -> None:
    store = Store(tmp_path / "agent.db", Clocks().clock())
    for number in range(30):
        store.db.execute(f"PRAGMA query_only = {'ON' if 5 <= number < 8 else 'OFF'}")
        store.add_sample(_sample(number=number))
    found: list[int] = []
    n = 0
    while more := store.next(n, parts_most=10)[1]:
        n = store.next(n, parts_most=10)[0]
        store.drop(n)
        found += [one["number"] for one in more]
    assert found == list(range(30)) and store.waiting == (0, 0)


def test_store_that_a_full_disk_keeps_closed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "agent.db"
    Store(path, Clocks().clock()).add_sample(_sample())
    prepare, tries = store_module._prepared, [path]

    def on_full_disk(file: Path) -> sqlite3.Connection:
        if file in tries:
            raise sqlite3.OperationalError("database or disk is full")
        return prepare(file)

    monkeypatch.setattr(store_module, "_prepared", on_full_disk)
    meanwhile = Store(path, Clocks().clock())
    assert meanwhile.add_sample(_sample()) > 0 and meanwhile.begin_run("a") and not meanwhile.begin_run("a")
    assert meanwhile.most_bytes == MEMORY_MOST
    tries.clear()
    assert len(Store(path, Clocks().clock()).next(0)[1]) == 1 and not list(tmp_path.glob("*.broken-*"))


def _link(folder: Path) -> link.Link:
    clock = Clocks().clock()
    clock.learn(NOW)
    found = link.Link(Folder(folder / "state"), Store(folder / "agent.db", clock), clock, "1", lambda frame: None)
    found.is_connected = True
    return found


async def test_answers_out_of_turn_drop_nothing_that_was_not_taken(tmp_path: Path) -> None:
    one = _link(tmp_path)
    for number in range(6):
        one.store.add_sample(_sample(number=number))
    one._sent, one._in_flight = 6, {2: False, 4: False, 6: False}

    def take(**frame: Any) -> list[int]:
        one._take(json.dumps(frame))
        return [part["number"] for part in one.store.next(0)[1]]

    assert take(type="ack", n=4) == [0, 1, 2, 3, 4, 5]
    assert take(type="ack", n=2) == [4, 5]
    assert take(type="wait", s=1) == [4, 5]
    one._sent, one._in_flight = 5, {5: False}  # sent again, in other pieces
    assert take(type="ack", n=6) == [4, 5]  # late: of the first time
    assert take(type="ack", n=5) == [5]


async def test_fault_of_the_disk_ends_neither_sending_nor_renewing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "RENEW_LOOK_S", 0.01)
    monkeypatch.setattr(link, "FAULT_PAUSE_S", 0.01)
    one = _link(tmp_path)
    one.store.add_sample(_sample())
    one.changed.set()
    read, faults = one.store.next, [sqlite3.OperationalError("disk I/O error"), OSError("no room")]

    def next_parts(after: int) -> Any:
        if faults:
            raise faults.pop(0)
        return read(after)

    def times() -> tuple[float, float]:
        if faults:
            raise faults.pop()
        return NOW - 10, NOW + 1

    monkeypatch.setattr(one.store, "next", next_parts)
    monkeypatch.setattr(one.folder, "certificate_times", times)
    monkeypatch.setattr(one.folder, "request_for_certificate", lambda: "csr")
    tasks = [asyncio.create_task(one._renew()), asyncio.create_task(one._send_parts())]
    kinds: set[str] = set()
    async with asyncio.timeout(20):
        while kinds != {"batch", "renew"}:
            kinds.add((await one._outbox.get())["type"])
    assert not faults and not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_broken_store_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    assert Store(path, Clocks().clock()).add_sample(_sample()) == 1
    assert len(list(tmp_path.glob("agent.db.broken-*"))) == 1
    assert sqlite3.connect(path).execute("SELECT COUNT(*) FROM part").fetchone() == (1,)


class Logs:
    """A follower of one folder's files, which forgets all but its places where that is wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.places = folder, {}
        self.ids: list[str] = []
        self.restart()

    def restart(self) -> None:
        self.follower = FileFollower(self.places)
        self.follower.follow([f"{self.folder}/*.log"])

    def read(self) -> list[str]:
        self.follower._looked_at = 0.0
        found = []
        for _ in range(3):
            lines, places = self.follower.read(NOW)
            self.places.update(places)
            found += [one["message"] for one in lines]
            self.ids += [one["entry_id"] for one in lines]
        assert len(set(self.ids)) == len(self.ids)
        return found


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_log_files_are_followed_through_all_that_happens_to_them(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("history\nhalf")
    logs = Logs(tmp_path)
    assert logs.read() == []
    _append(path, " a line\none\ntw")
    assert logs.read() == ["half a line", "one"]
    logs.restart()
    _append(path, "o\n")
    assert logs.read() == ["two"]
    path.rename(tmp_path / "a.log.1")
    _append(tmp_path / "a.log.1", "late\nunfinished")
    path.write_text("new\n")
    assert logs.read() == ["late", "unfinished", "new"]
    # Rotated while nobody looked.
    _append(path, "before\n")
    path.rename(tmp_path / "a.log.1")
    path.write_text("after\n")
    logs.restart()
    assert logs.read() == ["before", "after"]
    path.write_text("cut\n")  # in place
    assert logs.read() == ["cut"]
    path.write_text("")
    assert logs.read() == []
    _append(path, "cut\n")
    assert logs.read() == ["cut"]
    (tmp_path / "b.log").write_text("a file that came later\n" + "x" * 40_000 + "\n")
    assert [len(one) for one in logs.read()] == [22, 16_384, 16_384, 7_232]


def test_last_words_of_a_removed_file_are_read_and_its_place_is_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path / "agent.db", Clocks().clock())
    follower = FileFollower(store.places())
    follower.follow([f"{tmp_path}/*.log"])

    def read() -> list[str]:
        follower._looked_at = 0.0
        lines, places = follower.read(NOW)
        store.add_lines(lines, places)
        return [one["message"] for one in lines]

    for name in ("kept.log", "renamed.log", "removed.log"):
        (tmp_path / name).write_text("history\n")
    assert read() == [] and len(store.places()) == 3
    for name in ("renamed.log", "removed.log"):
        _append(tmp_path / name, f"last words of {name}\n")
    (tmp_path / "removed.log").unlink()
    (tmp_path / "renamed.log").rename(tmp_path / "renamed.log.1")
    assert sorted(read()) == ["last words of removed.log", "last words of renamed.log"]
    assert read() == []
    # It was renamed and may be made anew; what else is gone is of no use, and containers come and go by the thousand.
    assert sorted(Path(one).name for one in store.places()) == ["kept.log", "renamed.log"]
    _append(tmp_path / "renamed.log.1", "late\n")
    (tmp_path / "renamed.log").write_text("anew\n")
    assert [*read(), *read(), *read()] == ["late", "anew"]


def test_files_that_are_too_many_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tail, "FILES_MOST", 2)
    for name in "abc":
        (tmp_path / f"{name}.log").write_text("")
    logs = Logs(tmp_path)
    assert logs.read() == []
    for name in "abc":
        _append(tmp_path / f"{name}.log", f"{name}\n")
    assert logs.read() == ["a", "b"] and logs.read() == []
    assert [record.getMessage() for record in caplog.records] == [
        "3 log files are to be followed, and 2 are: the others are passed over"
    ]


def test_what_containers_write_has_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "abc"
    folder.mkdir()
    (folder / "config.v2.json").write_text('{"Name": "/shop"}')
    path = folder / "abc-json.log"
    path.write_text("")
    follower = FileFollower({}, is_docker=True)
    follower.follow([f"{tmp_path}/*/*-json.log"])
    assert follower.read(NOW)[0] == []
    entry = {"log": "ERROR out of stock\n", "stream": "stderr", "time": "2026-09-21T14:13:20.5Z"}
    _append(path, json.dumps(entry) + "\nno json\n")
    first, second = follower.read(NOW)[0]
    assert (first["source"], first["source_name"], first["message"], first["level"], first["timestamp"]) == (
        "docker", "shop", "ERROR out of stock", "error", NOW + 0.5,
    )  # fmt: skip
    assert first["fields"] == {"stream": "stderr"} and second["message"] == "no json"


def test_lines_say_their_level_and_time() -> None:
    assert [level_of(one) for one in ("2026 ERROR x", "[warn] x", "level=debug x", "FATAL: x", "terror of errors")] == [
        "error", "warning", "debug", "critical", "info",
    ]  # fmt: skip
    assert time_of("2026-09-21T14:13:20.250Z GET /", NOW) == NOW + 0.25
    assert time_of("[2026-09-21 16:13:20+02:00] GET /", NOW) == NOW
    assert time_of("1999-01-01T00:00:00Z old", NOW) == NOW and time_of("2026-09-21 14:00:00 no zone", NOW) == NOW


async def test_journal_goes_on_where_it_was_read_last(tmp_path: Path) -> None:
    program = tmp_path / "journalctl"
    entry = {"__CURSOR": "c1", "__REALTIME_TIMESTAMP": "1790000000500000", "MESSAGE": [104, 105], "PRIORITY": "3",
             "_SYSTEMD_UNIT": "x.service", "_PID": "7"}  # fmt: skip
    program.write_text(
        f"#!/bin/sh\necho \"$@\" >> {tmp_path}/asked\necho garbage\necho '{json.dumps(entry)}'\n"
        f"echo '{json.dumps({**entry, '__CURSOR': 'c2', 'MESSAGE': None})}'\nexec sleep 60\n"
    )
    program.chmod(0o755)
    for cursor, asked in (("", "-n 0"), ("c0", "--after-cursor c0")):
        follower = JournalFollower(cursor, str(program))
        task = asyncio.create_task(follower.run())
        lines: list[dict[str, Any]] = []
        places: dict[str, str] = {}
        while places.get(PLACE) != "c2":
            await asyncio.sleep(0.01)
            more, place = follower.take()
            lines += more
            places.update(place)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        (line,) = lines
        assert (line["message"], line["level"], line["source_name"], line["entry_id"]) == ("hi", 3, "x.service", "c1")
        assert line["fields"] == {"pid": "7", "unit": "x.service"} and line["timestamp"] == 1_790_000_000.5
        assert (tmp_path / "asked").read_text().splitlines()[-1].endswith(asked)


async def test_agent_that_is_cut_as_soon_as_it_is_welcome_comes_back_ever_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(link, "PAUSE_MOST_S", 0.04)
    pauses: list[float] = []

    def longest(low: float, high: float) -> float:
        pauses.append(high)
        return high

    monkeypatch.setattr(link.random, "uniform", longest)
    challenge = json.dumps({"type": "challenge", "nonce": "bm9uY2U=", "server_time": "2026-09-21T14:13:20.000Z"})
    over = asyncio.Event()
    codes = [1000, 1011]

    async def platform(socket: Any) -> None:
        await socket.send(challenge)
        await socket.recv()
        await socket.send(json.dumps({"type": "welcome"}))
        codes.append(codes[-2])
        await socket.close(codes[-1])
        if len(codes) == 8:
            over.set()

    async with serve(platform, "127.0.0.1", 0) as server:
        folder = Folder(tmp_path / "state")
        folder.set(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", logs={"journal": False})
        task = asyncio.create_task(Agent(folder, "1").run())
        await asyncio.wait_for(over.wait(), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [one for one in pauses if one < 1][:5] == [0.01, 0.02, 0.04, 0.04, 0.04]


async def test_agent_goes_on_whatever_a_platform_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(link, "PAUSE_MOST_S", 0.02)
    monkeypatch.setattr(link, "REFUSED_PAUSE_S", 0.01)
    challenge = json.dumps({"type": "challenge", "nonce": "bm9uY2U=", "server_time": "2026-09-21T14:13:20.000Z"})
    welcome = {"type": "welcome", "agent_id": "x", "interval": 3, "runs": ["?", {"id": "unknown"}, {"no": "id"}]}
    firsts: list[Any] = [
        "garbage", "[]", "{}", b"\x00", '{"type": "challenge"}', '{"type": "refused", "status": "?"}',
        "x" * (link.FRAME_MOST + 1),
    ]  # fmt: skip
    frames: list[Any] = [
        "garbage", "[]", '{"type": 7}', '{"type": "news"}', '{"type": "ack"}', '{"type": "ack", "n": "x"}',
        '{"type": "command"}', '{"type": "command", "id": "c", "env": 5}', '{"type": "stdin", "id": "nobody"}',
        '{"type": "signal", "id": 1, "pid": "x"}', '{"type": "wait", "s": "long"}', '{"type": "interval", "s": -5}',
        '{"type": "interval", "logs": {"files": 7}}', '{"type": "certificate", "pem": "none"}', '{"type": "refused"}',
        b"\xff", '{"type": "ack", "n": 1}', '{"type": "interval", "s": 7}',
    ]  # fmt: skip
    came: list[dict[str, Any]] = []
    over = asyncio.Event()

    async def platform(socket: Any) -> None:
        if firsts:
            await socket.send(firsts.pop(0))
            await socket.wait_closed()
            return
        await socket.send(challenge)
        assert json.loads(await socket.recv())["type"] == "hello"
        await socket.send(json.dumps(welcome))
        for frame in frames:
            await socket.send(frame)
        async for text in socket:
            came.append(json.loads(text))
            if came[-1]["type"] == "batch":
                over.set()

    async with serve(platform, "127.0.0.1", 0, max_size=None) as server:
        folder = Folder(tmp_path / "state")
        folder.set(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", logs={"journal": False})
        agent = Agent(folder, "1")
        task = asyncio.create_task(agent.run())
        await asyncio.wait_for(over.wait(), 20)
        while agent.interval != 7:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not task.done() and not firsts
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    endings = {one["id"]: one["ended"] for one in came if one["type"] == "exit"}
    assert endings["unknown"] == "unknown" and all(one in ("unknown", "refused") for one in endings.values())
