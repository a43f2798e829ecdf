"""Talks to the container engine of this machine, Docker or Podman, over its socket."""

import asyncio
import contextlib
import json
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from agent.tail import LINE_MOST
from apps.fleet.own_container import own_containers

log = logging.getLogger(__name__)

SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock")
CONTAINERS_MOST = 200
BLOCK_MOST = 128 * 1024  # of the list as JSON; a sample may have 512 KiB
TEXT_MOST, NAME_MOST, PORTS_MOST = 255, 200, 32
LIST_S, ANSWER_S = 5.0, 8.0
STOP_S, STOP_MOST_S = 10, 60
ID_LEAST = 12  # characters by which a container is told from all others
TAIL, TAIL_MOST = 100, 5000
LOG_MOST = 512 * 1024  # of the lines as JSON; the platform takes frames of a MiB
BODY_MOST = 16 * 1024 * 1024
ASKED_MOST = 8  # of the platform's requests at one time
LABELS = ("com.docker.compose.project", "com.docker.compose.service")
_PIECE = 64 * 1024
_NO_CONTAINER = re.compile("no (such )?container|status 404", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,254}")


class EngineFault(Exception):
    """The engine did not do it. `code` names why, the text is a sentence for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def engine_socket(surroundings: Mapping[str, str] = os.environ) -> str:
    """Return the path of the engine's socket, "" where there is none."""
    chosen = surroundings.get("DOCKER_HOST", "")
    if chosen:
        return chosen[len("unix://") :] if chosen.startswith("unix://") else ""
    return next((path for path in SOCKETS if os.path.exists(path)), "")  # noqa: PTH110


class Engine:
    """The container engine. Each question is a connection of its own, so that one that hangs holds up no other."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._asked = 0
        self._told = ""

    # --- the list --------------------------------------------------------------------------------------------------

    async def containers(self) -> dict[str, Any]:
        """Return the block of a sample: all containers, those that run first. Never fails."""
        try:
            found = await self._json("GET", "/containers/json?all=1", LIST_S)
            rows = _all_shown(found)
        except EngineFault as fault:
            if fault.code == "absent":  # an ordinary host
                return {"available": False}
            if str(fault) != self._told:
                log.warning("containers can't be listed: %s", fault)
                self._told = str(fault)
            return {"available": False, "reason": str(fault)}
        self._told = ""
        rows.sort(key=lambda one: (one["state"] != "running", one["name"]))
        return {"available": True, "total": len(rows), "containers": _fitting(rows)}

    # --- what is asked ---------------------------------------------------------------------------------------------

    async def answer(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a `container` frame asks for.

        Returns:
            {"ok": true} with the container afterwards, of logs also with the lines; or {"ok": false} with code and
            message.
        """
        if self._asked >= ASKED_MOST:
            return _not_done("busy", f"{ASKED_MOST} requests to the container engine run on this host already.")
        self._asked += 1
        try:
            return {"ok": True, **await self._do(frame)}
        except EngineFault as fault:
            return _not_done(fault.code, str(fault))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            return _not_done("failed", f"The agent did not understand the question or the engine's answer ({error}).")
        finally:
            self._asked -= 1

    async def _do(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        name, action = str(frame["container"]), str(frame["action"])
        if not _NAME.fullmatch(name):
            raise EngineFault("bad_name", "This is neither the id nor the name of a container.")
        path = f"/containers/{quote(name, safe='')}"
        if action == "logs":
            return await self._logs(path, frame)
        patience = ANSWER_S
        if action in ("stop", "restart"):
            wait_s = min(STOP_MOST_S, max(0, int(frame.get("timeout_s", STOP_S))))
            patience += wait_s
            path = await self._spared(path, frame)
            await self._act(f"{path}/{action}?t={wait_s}", action, patience)
        elif action == "start":
            await self._act(f"{path}/start", action, patience)
        else:
            raise EngineFault("bad_request", f"This version of the agent does not know the action {action[:20]!r}.")
        with contextlib.suppress(EngineFault):  # it is done, also where nothing can be said of it
            return {"container": _inspected(await self._json("GET", f"{path}/json", LIST_S))}
        return {"container": None}

    async def _spared(self, path: str, frame: Mapping[str, Any]) -> str:
        """Return the path of a container that may be stopped, by its id where one had to be asked for.

        Raises:
            EngineFault: the agent itself runs in it, or the platform that asks.
        """
        ours = [(one, "this host agent runs: its end would leave nobody to answer") for one in own_containers()]
        theirs = frame.get("own") or ()
        ours += [(str(one), "Watchkeeper itself runs: its end would leave nobody to answer") for one in theirs]
        if not ours:
            return path
        identity = str((await self._json("GET", f"{path}/json", LIST_S))["Id"])
        for one, what in ours:
            if len(one) >= ID_LEAST and identity.startswith(one):
                raise EngineFault("own_container", f"In this container {what}. Do it on the host itself.")
        return f"/containers/{identity}"

    async def _act(self, path: str, action: str, patience_s: float) -> None:
        async with _Question(self._socket(), "POST", path, patience_s) as asked:
            if asked.status == 304:
                sentence = "The container runs already." if action == "start" else "The container does not run."
                raise EngineFault("running" if action == "start" else "not_running", sentence)
            await asked.check()

    async def _logs(self, path: str, frame: Mapping[str, Any]) -> dict[str, Any]:
        described = await self._json("GET", f"{path}/json", LIST_S)
        wanted: dict[str, Any] = {
            "stdout": 1, "stderr": 1, "tail": min(TAIL_MOST, max(1, int(frame.get("tail", TAIL)))),
            "timestamps": int(bool(frame.get("timestamps"))),
        }  # fmt: skip
        if frame.get("since") is not None:
            wanted["since"] = f"{float(frame['since']):.3f}"
        is_plain = bool((described.get("Config") or {}).get("Tty"))
        text, is_cut = bytearray(), False
        async with _Question(self._socket(), "GET", f"{path}/logs?{urlencode(wanted)}", ANSWER_S) as asked:
            await asked.check()
            async for piece in asked.pieces() if is_plain else asked.payloads():
                text += piece
                if len(text) > 2 * LOG_MOST:
                    del text[:-LOG_MOST]
                    is_cut = True
        lines, is_cut = _last_lines(bytes(text), starts_within=is_cut)
        return {"container": _inspected(described), "lines": lines, "is_cut": is_cut}

    # --- asking ----------------------------------------------------------------------------------------------------

    def _socket(self) -> str:
        path = self._path or engine_socket()
        if path:
            return path
        if os.environ.get("DOCKER_HOST"):
            raise EngineFault("no_engine", "DOCKER_HOST of the agent is no unix:// address.")
        raise EngineFault("absent", f"No container engine runs on this host: there is no {SOCKETS[0]}.")

    async def _json(self, method: str, path: str, patience_s: float) -> Any:
        async with _Question(self._socket(), method, path, patience_s) as asked:
            await asked.check()
            return await asked.json()


class _Question:
    """One request over a connection of its own. HTTP/1.0: the answer is not chunked, and ends with the connection."""

    def __init__(self, socket: str, method: str, path: str, patience_s: float) -> None:
        self._socket, self._head = socket, f"{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Length: 0\r\n\r\n"
        self._patience_s, self._until = patience_s, time.monotonic() + patience_s
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self.status = 0

    async def __aenter__(self) -> "_Question":
        try:
            await self._open()
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def _in_time(self, work: Any) -> Any:
        try:
            return await asyncio.wait_for(work, max(0.01, self._until - time.monotonic()))
        except asyncio.TimeoutError:  # noqa: UP041
            sentence = f"The container engine did not answer within {self._patience_s:g} s."
            raise EngineFault("engine_silent", sentence) from None
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise EngineFault("engine_silent", f"The container engine broke off the answer ({error}).") from None

    async def _open(self) -> None:
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(self._socket, limit=_PIECE)
        except PermissionError:
            sentence = f"The agent's user may not use {self._socket}: add that user to the group of the socket."
            raise EngineFault("forbidden", sentence) from None
        except OSError as error:
            sentence = f"No container engine answers at {self._socket}: {error.strerror or error}."
            raise EngineFault("no_engine", sentence) from None
        self._writer.write(self._head.encode())
        head: bytes = await self._in_time(self._reader.readuntil(b"\r\n\r\n"))
        words = head.split(None, 2)
        if not head.startswith(b"HTTP/1.") or len(words) < 2 or not words[1].isdigit():
            raise EngineFault("failed", f"What listens at {self._socket} is no container engine.")
        self.status = int(words[1])

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        while True:
            piece: bytes = await self._in_time(self._reader.read(_PIECE))
            if not piece:
                return
            yield piece

    async def payloads(self) -> AsyncIterator[bytes]:
        """Yield what a container wrote to its streams: each part has a head of eight bytes, the last four its size."""
        waiting, left = bytearray(), 0
        async for piece in self.pieces():
            waiting += piece
            while waiting:
                if not left:
                    if len(waiting) < 8:
                        break
                    left = int.from_bytes(waiting[4:8], "big")
                    del waiting[:8]
                part = bytes(waiting[:left])
                del waiting[:left]
                left -= len(part)
                yield part

    async def json(self) -> Any:
        """Return the body.

        Raises:
            EngineFault: it is too large, or no JSON.
        """
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > BODY_MOST:
                raise EngineFault("failed", f"The container engine answers more than {BODY_MOST >> 20} MiB.")
        try:
            return json.loads(bytes(body) or b"null")
        except ValueError:
            raise EngineFault("failed", "The container engine did not answer with JSON.") from None

    async def check(self) -> None:
        """Pass on the engine's own words where it refused.

        Raises:
            EngineFault: it did.
        """
        if 200 <= self.status < 300:
            return
        said = await self.json() if self.status != 304 else None
        sentence = str(said.get("message") or "") if isinstance(said, dict) else ""
        sentence = " ".join(sentence.split())[:500] or f"status {self.status}"
        # A program that is missing in a container is "not found" too.
        if self.status == 404 and _NO_CONTAINER.search(sentence):
            raise EngineFault("gone", f"The container engine knows no such container ({sentence}).")
        raise EngineFault("refused", f"The container engine refused it: {sentence}")


def _not_done(code: str, message: str) -> dict[str, Any]:
    return {"ok": False, "code": code, "message": message}


def _text(value: Any, most: int = TEXT_MOST) -> str:
    return value[:most] if isinstance(value, str) else ""


def _all_shown(found: Any) -> list[dict[str, Any]]:
    try:
        return [_shown(one) for one in found]
    except (AttributeError, LookupError, TypeError):
        raise EngineFault("failed", "The container engine did not answer with a list of containers.") from None


def _fitting(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first rows, as many as a sample takes."""
    size = 0
    for count, row in enumerate(rows[:CONTAINERS_MOST]):
        size += len(json.dumps(row)) + 1
        if size > BLOCK_MOST:
            return rows[:count]
    return rows[:CONTAINERS_MOST]


def _shown(one: Mapping[str, Any]) -> dict[str, Any]:
    names = one.get("Names") or [""]
    given = one.get("Labels") or {}
    return {
        "id": _text(one.get("Id"))[:12],
        "name": _text(names[0], NAME_MOST + 1).lstrip("/"),
        "image": _text(one.get("Image")),
        "state": _text(one.get("State"), 32).lower(),
        "status": _text(one.get("Status")),
        "created": one["Created"] if isinstance(one.get("Created"), int) else None,
        "ports": _ports(one.get("Ports")),
        "labels": {name: _text(given[name], NAME_MOST) for name in LABELS if name in given},
    }


def _ports(found: Any) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    for one in found or []:
        port: dict[str, Any] = {"private_port": one.get("PrivatePort"), "type": _text(one.get("Type"), 8)}
        if one.get("PublicPort"):
            port["public_port"] = one["PublicPort"]
        if port not in shown:  # the same one for IPv4 and IPv6
            shown.append(port)
    return shown[:PORTS_MOST]


def _inspected(found: Mapping[str, Any]) -> dict[str, Any]:
    state = found.get("State")
    return {
        "id": _text(found.get("Id"))[:12],
        "name": _text(found.get("Name"), NAME_MOST + 1).lstrip("/"),
        "image": _text((found.get("Config") or {}).get("Image")),
        "state": _text(state.get("Status"), 32).lower() if isinstance(state, dict) else "",
    }


def _last_lines(text: bytes, *, starts_within: bool) -> tuple[list[str], bool]:
    """Return the newest lines that fit an answer, and whether anything was left out."""
    found = text.decode("utf-8", "replace").replace("\0", "\ufffd").split("\n")
    if not found[-1]:
        found.pop()
    if starts_within:
        del found[:1]
    lines: list[str] = []
    size, is_cut = 0, starts_within
    for line in reversed(found):
        is_cut |= len(line) > LINE_MOST
        line = line[:LINE_MOST].rstrip("\r")
        size += len(json.dumps(line)) + 1
        if size > LOG_MOST:
            return lines[::-1], True
        lines.append(line)
    return lines[::-1], is_cut
