"""The agent's commands: enroll, run, status."""

import argparse
import asyncio
import contextlib
import fcntl
import importlib
import json
import logging
import os
import re
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from agent.clock import Clock, iso_of
from agent.identity import POLL_S, Folder, Refused, ask_again, ask_to_be_let_in, checked_url, use_keys
from agent.journal import PLACE, JournalFollower
from agent.link import Link
from agent.store import Store
from agent.tail import FileFollower
from apps.fleet.sampler.host import HostReader

log = logging.getLogger(__name__)

STATE = "/var/lib/watchkeeper-agent"
INTERVAL_S = 5.0
CONTAINERS_EVERY_S = 15.0
DOCKER_LOGS = "/var/lib/docker/containers/*/*-json.log"


class Agent:
    """Samples and follows logs, connected or not; `Link` brings what waits to the platform."""

    def __init__(self, folder: Folder, version: str, buffer_mb: int = 128) -> None:
        self.folder = folder
        self.clock = Clock()
        self.store = Store(folder.path / "agent.db", self.clock, buffer_mb * 1024 * 1024)
        places = self.store.places()
        self.link = Link(folder, self.store, self.clock, version, self._on_welcome)
        self.reader = HostReader()
        self.files = FileFollower(places)
        self.docker = FileFollower(dict(places), is_docker=True)
        self.journal = JournalFollower(places.get(PLACE, ""))
        self.interval = INTERVAL_S
        self._hurry = asyncio.Event()  # a sample is wanted now
        self._wants_journal = False
        self._journal_task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sampler")
        self._asked: dict[str, Any] = {}

    def _on_welcome(self, frame: dict[str, Any]) -> None:
        """Take the interval and the logs to follow; what is set on this machine comes first."""
        interval = frame.get("interval", frame.get("s"))
        if isinstance(interval, (int, float)) and not isinstance(interval, bool):
            self.interval = min(3600.0, max(1.0, float(interval)))
        if isinstance(frame.get("logs"), dict):
            self._asked = frame["logs"]
        self._choose_logs()

    def _choose_logs(self) -> None:
        chosen = {**self._asked, **(self.folder.settings.get("logs") or {})}
        patterns = chosen.get("files") or []
        self.files.follow([str(one) for one in patterns] if isinstance(patterns, list) else [])
        self.docker.follow([DOCKER_LOGS] if chosen.get("docker") else [])
        wants = bool(chosen.get("journal"))
        if wants and self._journal_task is None:
            self._journal_task = asyncio.get_running_loop().create_task(self.journal.run())
        elif not wants and self._journal_task is not None:
            self._journal_task.cancel()
            self._journal_task = None

    async def run(self) -> None:
        """Run until cancelled."""
        self.link.runs.end_left_behind()
        self._choose_logs()
        parts = [
            self._sample_forever, self._list_containers_forever, self._read_logs_forever, self._tidy_forever,
            self.link.run,
        ]  # fmt: skip
        tasks = [asyncio.ensure_future(_again_and_again(part)) for part in parts]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in [*tasks, *([self._journal_task] if self._journal_task else [])]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.link.close()
            self._thread.shutdown(wait=False)
            self.store.db.close()

    async def _sample_forever(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self.reader.prime)
        await asyncio.sleep(1)
        due = loop.time()
        while True:
            snapshot = await loop.run_in_executor(self._thread, self.reader.snapshot)
            table = snapshot["processes"].pop("all", None) if "processes" in snapshot else None
            number = self.link.newest_sample = self.store.add_sample(snapshot)
            if table is not None:
                self.link.table = (number, table)  # not kept on the disk: only the newest is of use
            self.link.changed.set()
            due = max(due + self.interval, loop.time() + 0.2)
            while loop.time() < due:
                if await _is_set_within(self._hurry, min(1.0, due - loop.time())):
                    due = loop.time()
                due = min(due, loop.time() + self.interval)

    async def _list_containers_forever(self) -> None:
        # Apart from the samples: an engine that is slow must not hold them up.
        is_news = False
        while True:
            self.link.containers = await self.link.engine.containers()
            if is_news:
                self._hurry.set()
            is_news = await _is_set_within(self.link.engine_used, CONTAINERS_EVERY_S)

    async def _read_logs_forever(self) -> None:
        while True:
            now = self.clock.wall()
            lines, places = self.journal.take()
            for follower in (self.files, self.docker):
                more, read_to = follower.read(now)
                lines += more
                places.update(read_to)
            if lines or places:
                self.store.add_lines(lines, places)
            if lines:
                self.link.changed.set()
            await asyncio.sleep(1)

    async def _tidy_forever(self) -> None:
        while True:
            self.store.drop_old()
            await asyncio.sleep(300)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, and clear it; False where the time was over first."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:  # noqa: UP041
        return False
    event.clear()
    return True


async def _again_and_again(part: Any) -> None:
    """Run a part of the agent for good: a fault in one must not cost the others."""
    while True:
        try:
            await part()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a part of the agent failed; it begins again in 5 s")
        await asyncio.sleep(5)


def _token_of(options: argparse.Namespace) -> str:
    if options.token_file:
        return (sys.stdin.read() if options.token_file == "-" else Path(options.token_file).read_text()).strip()
    return (options.token or os.environ.get("WATCHKEEPER_AGENT_TOKEN", "")).strip()


def _enroll(options: argparse.Namespace, folder: Folder) -> int:
    url, token = checked_url(options.url), _token_of(options)
    if not token:
        raise ValueError("give the enrolment token: --token-file FILE, or - for standard input")
    if url.startswith("http:") and not re.match(r"http://(localhost|127\.|\[::1\])", url):
        log.warning("%s is no https address: whoever sits on the way can run commands on this host", url)
    if ask_to_be_let_in(folder, url=url, token=token, name=options.name, ca_file=options.ca_file):
        print("This host is enrolled.")
        return 0
    print("This host asked to be let in; approve it in the console, under Host agents.")
    print(f"Its key has the fingerprint {folder.fingerprint()}.", flush=True)
    return 0 if options.no_wait else _wait(folder)


def _wait(folder: Folder) -> int:
    while True:
        try:
            if ask_again(folder):
                print("This host was approved.", flush=True)
                return 0
        except OSError as error:
            log.warning("no connection: %s", error)
        except Refused as error:
            if error.status not in (408, 425, 429) and error.status < 500:
                raise
        time.sleep(POLL_S)


def _run(options: argparse.Namespace, folder: Folder, version: str) -> int:
    known = folder.settings
    if not known.get("url"):
        raise ValueError("this host is not enrolled; run the command enroll first")
    held = (folder.path / "lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ValueError(f"another agent runs with {folder.path}") from None
    if not folder.read("certificate.pem") and _wait(folder):
        return 1

    async def serve() -> None:
        task = asyncio.ensure_future(Agent(folder, version, options.buffer_mb).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(serve())
    return 0


def _status(folder: Folder, version: str) -> int:
    known, (_, end) = folder.settings, folder.certificate_times()
    count, size = Store(folder.path / "agent.db", Clock()).waiting
    facts = {
        "version": version, "url": known.get("url"), "agent_id": known.get("agent_id"), "is_enrolled": bool(end),
        "fingerprint": folder.fingerprint() if folder.read("key.pem") else None,
        "certificate_until": iso_of(end) if end else None, "waiting_parts": count, "waiting_bytes": size,
    }  # fmt: skip
    print(json.dumps(facts, indent=1))
    return 0 if end else 1


def run_program(arguments: "list[str] | None" = None, version: str = "") -> int:
    """Run the program; returns its exit code."""
    parser = argparse.ArgumentParser(prog="watchkeeper-agent", description="Watches this host for Watchkeeper.")
    parser.add_argument(
        "--state", default=os.environ.get("WATCHKEEPER_AGENT_STATE", STATE), help="folder (%(default)s)"
    )
    parser.add_argument("--version", action="store_true", help="tell it, and fail where a package is missing")
    commands = parser.add_subparsers(dest="command")
    enroll = commands.add_parser("enroll", help="ask the platform to let this host in")
    enroll.add_argument("--url", required=True, help="the platform's address")
    enroll.add_argument("--token", default="", help="the enrolment token; other users of this host can see it here")
    enroll.add_argument("--token-file", default="", help="a file that holds it, or - for standard input")
    enroll.add_argument("--name", default="", help="how this host is called (its host name)")
    enroll.add_argument("--ca-file", default="", help="authorities that the platform's certificate is checked by")
    enroll.add_argument("--no-wait", action="store_true", help="end at once; `run` waits for the approval")
    run = commands.add_parser("run", help="sample, follow logs, stay connected")
    run.add_argument("--buffer-mb", type=int, default=128, help="kept on the disk while the platform is away")
    commands.add_parser("status", help="tell how this agent stands")
    keys = commands.add_parser("keys", help="use the key; for the agent itself")
    keys.add_argument("what", choices=("sign", "request", "fingerprint", "times"))
    options = parser.parse_args(arguments)
    if options.version:
        importlib.import_module("cryptography.x509")  # the only one that is not loaded by now
        print(version)
        return 0
    if options.command is None:
        parser.error("name a command: enroll, run or status")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("websockets").setLevel(logging.ERROR)
    try:
        folder = Folder(Path(options.state))
        if options.command == "keys":
            sys.stdout.write(use_keys(folder, options.what, "" if options.what == "fingerprint" else sys.stdin.read()))
            return 0
        if options.command == "enroll":
            return _enroll(options, folder)
        if options.command == "run":
            return _run(options, Folder(folder.path, str(Path(sys.argv[0]).resolve())), version)
        return _status(folder, version)
    except KeyboardInterrupt:
        return 130
    except (ValueError, Refused, OSError) as error:
        print(f"watchkeeper-agent: {error}", file=sys.stderr)
        return 1
